"""Seeded pictures of procedural heads with their exact 98 landmarks, made without any data.

A face is sampled at random (shape/sampling), shaped and posed in 3D (shape/modes, shape/pose), painted over a
background with its features exactly at the projected landmarks (scene, features/, occluders), and photographed (photo).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.features.brows_nose_mouth import paint_features
from jaxlm.data_pipelines.synthetic.features.hair import paint_back_hair, paint_hair
from jaxlm.data_pipelines.synthetic.features.head import paint_ear, paint_skin
from jaxlm.data_pipelines.synthetic.occluders import paint_occluder
from jaxlm.data_pipelines.synthetic.photo import take_photo
from jaxlm.data_pipelines.synthetic.scene import make_background, paint_body
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.modes import make_shape
from jaxlm.data_pipelines.synthetic.shape.pose import Camera, turn_shape
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace, pose_face
from jaxlm.data_pipelines.synthetic.shape.sampling import sample_look, uniform

# Side of the painted scene in pixels; the photograph's side where that is larger.
_SCENE = 256
# A landmark this far behind the surface that is seen in its place is hidden, in head units.
_DEPTH_TOLERANCE = 0.09


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A rendered face.

    Attributes:
      image: uint8 [S, S, 3], RGB.
      points: float32 [98, 2], the WFLW landmarks (x, y) in the image's pixels, pixel centres at integers.
      visible: bool [98], False where the head itself, hair or an object hides the landmark; lids hide none.
      attributes: bool [6], in the order of `record.ATTRIBUTES`.
    """

    image: np.ndarray
    points: np.ndarray
    visible: np.ndarray
    attributes: np.ndarray


def render(seed: int, index: int, size: int = 256, margin: float = 2.0) -> Face:
    """Renders face number `index` of a seed's faces: a pure function of its arguments.

    The image is a square frame around an imperfect box: a square about the landmarks' bounding box, shifted and grown
    by a few per cent, fills the frame's central 1 / `margin`. Another `size` gives the same picture at that size, but
    for the camera's noise.
    """
    rng = np.random.default_rng((seed, index))
    look = sample_look(rng)
    shape = make_shape(look.identity, look.expression)
    turned = turn_shape(shape, look.camera)
    camera = _aim(look.camera, look.camera.to_frame(turned[:, :98])[:2], margin, rng)
    face = pose_face(shape, camera, turned)
    scene, visible = _paint(face, look, max(size, _SCENE), rng)
    return Face(
        image=take_photo(scene, size, look.light, look.has("blur"), rng),
        points=(face.points * size - 0.5).astype(np.float32),
        visible=visible,
        attributes=look.attributes,
    )


def _aim(camera: Camera, points: np.ndarray, margin: float, rng: np.random.Generator) -> Camera:
    """Brings the box around points [2, 98], as a detector may find it, to the middle of the frame."""
    low, high = points.min(1), points.max(1)
    side = (high - low).max() * uniform(rng, 0.98, 1.06)
    centre = (low + high) / 2 + rng.normal(0, 0.012, 2) * side
    scale = 1 / (margin * side)
    return dataclasses.replace(camera, scale=float(scale), offset=tuple((0.5 - centre * scale).tolist()))


def _paint(face: PosedFace, look: Look, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The scene, uint8 [size, size, 3], and which landmarks [98] are seen in it."""
    # What is behind the head holds no landmark, and is painted at less detail.
    image = make_background(size // 2, rng)
    paint_back_hair(image, face, look, rng)
    paint_body(image, face, look, rng)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    far = 1 if face.yaw > 0 else -1
    turned = abs(face.yaw) > 0.2
    for side in (far,) if turned else (-1, 1):
        paint_ear(image, face, look, side)
    skin, depth = paint_skin(image, face, look, rng)
    if turned:
        paint_ear(image, face, look, -far)
    paint_features(image, skin, face, look, rng)

    points = face.points
    visible = face.depth > _sample(depth, points) - _DEPTH_TOLERANCE
    visible[:33] = True  # The contour is where the head's outline is seen, whatever its pose.
    hair = paint_hair(image, face, look, rng)
    if hair is not None:
        visible &= _sample(hair, points) < 128
    if look.has("occlusion"):
        visible &= _sample(paint_occluder(image, face, look, rng), points) < 128
    return image, visible


def _sample(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The nearest values [n] of a picture [size, size] at points [n, 2] in the frame."""
    x, y = np.minimum(np.maximum(points * len(picture), 0), len(picture) - 1).astype(int).T
    return picture[y, x]
