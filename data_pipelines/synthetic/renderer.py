"""Synthetic faces: seeded pictures of procedural heads with their exact 98 landmarks, made without any data.

A face is drawn by lot (`lot`), shaped and posed in 3D (`face`, `pose`), painted over a background with its features
exactly at the projected landmarks (`head`, `features`, `hair`, `scene`, `occluders`) and photographed (`photo`).
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
from jaxlm.data_pipelines.synthetic.shape.face import make_shape
from jaxlm.data_pipelines.synthetic.shape.figure import Figure, make_figure
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.pose import Camera, turn_shape
from jaxlm.data_pipelines.synthetic.shape.sampling import sample_look, uniform

# The scene is painted at this many pixels a side, or at the photograph's size where that is larger.
_SCENE = 256
# A landmark this far behind the surface that is seen in its place is hidden, in head units.
_DEPTH_TOLERANCE = 0.09


@dataclasses.dataclass(frozen=True, eq=False)
class Face:
    """A rendered face.

    Attributes:
      image: uint8 [S, S, 3], RGB.
      points: float32 [98, 2], the WFLW landmarks (x, y) in the image's pixels, pixel centres at integers.
      visible: bool [98], False where the head itself, hair or a thing in front hides the landmark. Lids do not count.
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
    camera = _aim(look.camera, look.camera.place(turned[:, :98])[:2], margin, rng)
    figure = make_figure(shape, camera, turned)
    scene, visible = _paint(figure, look, max(size, _SCENE), rng)
    return Face(
        image=take_photo(scene, size, look.light, look.has("blur"), rng),
        points=(figure.points * size - 0.5).astype(np.float32),
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


def _paint(figure: Figure, look: Look, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The scene, uint8 [size, size, 3], and which landmarks [98] are seen in it."""
    # What is behind the head holds no landmark, and is painted at less detail.
    image = make_background(size // 2, rng)
    paint_back_hair(image, figure, look, rng)
    paint_body(image, figure, look, rng)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    far = 1 if figure.yaw > 0 else -1
    turned = abs(figure.yaw) > 0.2
    for side in (far,) if turned else (-1, 1):
        paint_ear(image, figure, look, side)
    skin, depth = paint_skin(image, figure, look, rng)
    if turned:
        paint_ear(image, figure, look, -far)
    paint_features(image, skin, figure, look, rng)

    points = figure.points
    visible = figure.depth > _sample(depth, points) - _DEPTH_TOLERANCE
    visible[:33] = True  # The contour is where the head's outline is seen, whatever its pose.
    hair = paint_hair(image, figure, look, rng)
    if hair is not None:
        visible &= _sample(hair, points) < 128
    if look.has("occlusion"):
        visible &= _sample(paint_occluder(image, figure, look, rng), points) < 128
    return image, visible


def _sample(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The nearest values [n] of a picture [size, size] at points [n, 2] in the frame."""
    x, y = np.minimum(np.maximum(points * len(picture), 0), len(picture) - 1).astype(int).T
    return picture[y, x]
