"""DPR: deep progressive reinitialisation (TPAMI 2021), global (GSR) and with a local stage (G&LSR).

A small network looks at the box's crop and predicts the affine map that brings the face to a normal state. A second one
regresses the shape there. G&LSR does the same for each facial part. Every frame is sampled anew, bilinearly, with black
outside. Frames, maps and residuals are those of `jaxlm.models.dpr.coordinates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike

from jaxlm.images import affine_maps, cropping
from jaxlm.landmarks import load_scheme
from jaxlm.models.dpr import coordinates
from jaxlm.models.dpr.stages import GlobalReinit, LocalReinit, PartRegressors, Thetas
from jaxlm.models.mobilenetv2_small import MobileNetV2Small

# Points [B, N, 2] in the face frame, and thetas and residuals of parts; see `DPROutputs`.
Parts = tuple[jax.Array, Thetas, dict[str, jax.Array]]


class DPROutputs(NamedTuple):
    """What DPR predicts; "the image" is the photo or the wide crop it was given.

    Attributes:
      theta: The theta that global reinitialisation predicts, [B, 2, 3].
      matrix: Map [B, 2, 3] from the image to the face frame.
      residuals: Residuals of the whole shape in the face frame, [B, N, 2].
      points_global: Shape after the global stage, in pixels of the image, [B, N, 2].
      points: Final shape, in pixels of the image, [B, N, 2]; that of the global stage for GSR.
      part_thetas: Theta [B, 2, 3] of each part, from face frame to part frame; empty for GSR.
      part_residuals: Residuals [B, n, 2] of each part in its frame; empty for GSR.
    """

    theta: jax.Array
    matrix: jax.Array
    residuals: jax.Array
    points_global: jax.Array
    points: jax.Array
    part_thetas: Thetas
    part_residuals: dict[str, jax.Array]


class GSR(nn.Module):
    """Global shape regression: GlobalReinit, then a regressor in the face frame.

    At evaluation a degenerate theta leaves the box as it is; `coordinates.is_degenerate` tells which ones are.

    Attributes:
      num_points: N, how many landmarks it predicts.
      scheme: Scheme of the landmarks, which has their mean face; a built-in name or a .toml file.
      context: Side of the wide crops in sides of the face box.
      stage: The network that is being trained; the other ones run as at evaluation, whatever `train` says, and pass no
        gradient. `joint` trains all.
      dtype: Type of the networks; maps, points and parameters are float32.
    """

    num_points: int
    scheme: str = "wflw98"
    context: float = 2.0
    stage: Literal["global_reinit", "global_regress", "joint"] = "joint"
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        _check_scheme(self.scheme, self.num_points)
        super().__post_init__()

    def setup(self) -> None:
        self.global_reinit = GlobalReinit(self.dtype)
        self.global_regress = MobileNetV2Small(self.num_points, dtype=self.dtype)

    def __call__(self, images: jax.Array, *, train: bool) -> DPROutputs:
        """Points in wide crops [B, S, S, 3], normalised, whose central 1 / context is the face box."""
        return self.locate(_to_pixels(images), _wide_to_crop(images, self.context), train=train)

    def locate(self, images: jax.Array, to_crop: jax.Array, *, train: bool) -> DPROutputs:
        """Points in images [B, H, W, 3] of 0..255, given the maps [B, 2, 3] to the crops of their boxes."""
        return _locate(self, images, to_crop, train)

    def locate_parts(self, faces: jax.Array, points: jax.Array, train: bool) -> Parts:
        """The points as they are; see `GLSR`."""
        del faces, train
        return points, {}, {}


class GLSR(nn.Module):
    """Global and local shape regression (G&LSR): GSR, then each part in a frame of its own; the contour stays.

    Part crops are samples of the face frame, as in the released code, not of the image.

    Attributes:
      num_points, scheme, context, dtype: See `GSR`.
      local: Where part thetas come from: the network `LocalReinit`, or the least-squares similarity to the mean part.
      stage: See `GSR`.
    """

    num_points: int
    scheme: str = "wflw98"
    context: float = 2.0
    local: Literal["closed_form", "network"] = "closed_form"
    stage: Literal["global_reinit", "global_regress", "local_reinit", "part_regressors", "joint"] = "joint"
    dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        _check_scheme(self.scheme, self.num_points)
        if self.stage == "local_reinit" and self.local == "closed_form":
            raise ValueError(
                "stage = local_reinit trains a network, and local = closed_form has none; set local = network"
            )
        super().__post_init__()

    def setup(self) -> None:
        self.global_reinit = GlobalReinit(self.dtype)
        self.global_regress = MobileNetV2Small(self.num_points, dtype=self.dtype)
        if self.local == "network":
            self.local_reinit = LocalReinit(self.scheme)
        self.part_regressors = PartRegressors(self.scheme, self.dtype)

    def __call__(self, images: jax.Array, *, train: bool) -> DPROutputs:
        """Points in wide crops [B, S, S, 3], normalised, whose central 1 / context is the face box."""
        return self.locate(_to_pixels(images), _wide_to_crop(images, self.context), train=train)

    def locate(self, images: jax.Array, to_crop: jax.Array, *, train: bool) -> DPROutputs:
        """Points in images [B, H, W, 3] of 0..255, given the maps [B, 2, 3] to the crops of their boxes."""
        return _locate(self, images, to_crop, train)

    def locate_parts(self, faces: jax.Array, points: jax.Array, train: bool) -> Parts:
        """The points [B, N, 2] in images of the face frame, those of parts located anew."""
        thetas = self._part_thetas(points, train)
        crops, maps = {}, {}
        for part, theta in thetas.items():
            maps[part] = coordinates.theta_to_map(theta, coordinates.PART_SIZE)
            crops[part] = cropping.normalise(cropping.warp(faces, maps[part], coordinates.PART_SIZE))
        residuals = self.part_regressors(crops, train=train and _trains(self, "part_regressors"))
        scheme = load_scheme(self.scheme)
        means = coordinates.mean_parts(scheme)
        for part, indices in coordinates.facial_parts(scheme).items():
            residuals[part] = _freeze(self, "part_regressors", residuals[part])
            moved = coordinates.residual_to_points(residuals[part], means[part], coordinates.PART_SIZE)
            points = points.at[:, indices].set(cropping.move(moved, affine_maps.invert(maps[part])))
        return points, thetas, residuals

    def _part_thetas(self, points: jax.Array, train: bool) -> Thetas:
        """Thetas of the parts of points [B, N, 2] in the face frame.

        In evaluation the closed form replaces degenerate ones.
        """
        closed = coordinates.closed_form_thetas(points, load_scheme(self.scheme))
        if self.local == "closed_form":
            return closed
        thetas = {part: _freeze(self, "local_reinit", theta) for part, theta in self.local_reinit(points).items()}
        if train and _trains(self, "local_reinit"):
            return thetas
        return {part: _usable(theta, closed[part]) for part, theta in thetas.items()}


@partial(jax.jit, static_argnames="model")
def locate_in_photos(
    model: GSR | GLSR, variables: Mapping[str, Any], photos: ArrayLike, boxes: ArrayLike
) -> DPROutputs:
    """Points in photos of one size uint8 [B, H, W, 3], each with a face box [B, 4], (x1, y1, x2, y2), in one program.

    The box may have any shape: its corner pixels become those of the square crop, as in the released code.
    """
    to_crop = coordinates.box_to_crop(boxes)
    return cast(DPROutputs, model.apply(variables, jnp.asarray(photos), to_crop, train=False, method="locate"))


def _locate(model: GSR | GLSR, images: jax.Array, to_crop: jax.Array, train: bool) -> DPROutputs:
    """What the stages of a model give for images [B, H, W, 3] of 0..255; see `GSR.locate`."""
    crops = cropping.normalise(cropping.warp(images, to_crop, coordinates.CROP_SIZE))
    theta = _freeze(model, "global_reinit", model.global_reinit(crops))
    usable = theta if train and _trains(model, "global_reinit") else _usable(theta, jnp.eye(2, 3)[None])
    matrix = affine_maps.compose(coordinates.crop_to_face(usable), to_crop)
    faces = cropping.warp(images, matrix, coordinates.FACE_SIZE)
    residuals, of_face = regress_face(model, faces, train)
    of_parts, thetas, part_residuals = model.locate_parts(faces, of_face, train)
    points_global, points = (cropping.move(each, affine_maps.invert(matrix)) for each in (of_face, of_parts))
    return DPROutputs(theta, matrix, residuals, points_global, points, thetas, part_residuals)


def regress_face(model: GSR | GLSR, faces: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
    """Residuals and points [B, N, 2] in the face frame, from images of it [B, 256, 256, 3] of 0..255."""
    train = train and _trains(model, "global_regress")
    residuals = _freeze(model, "global_regress", model.global_regress(cropping.normalise(faces), train=train))
    residuals = residuals.reshape(-1, model.num_points, 2)
    mean = coordinates.mean_face(load_scheme(model.scheme))
    return residuals, coordinates.residual_to_points(residuals, mean, coordinates.FACE_SIZE)


def _trains(model: GSR | GLSR, network: str) -> bool:
    return model.stage in (network, "joint")


def _freeze(model: GSR | GLSR, network: str, output: jax.Array) -> jax.Array:
    """The output of a network, without its gradient where the network is not being trained."""
    return output if _trains(model, network) else jax.lax.stop_gradient(output)


def _usable(theta: jax.Array, fallback: jax.Array) -> jax.Array:
    """Thetas [B, 2, 3], those that flatten the face replaced."""
    return jnp.where(coordinates.is_degenerate(theta)[:, None, None], fallback, theta)


def _to_pixels(images: jax.Array) -> jax.Array:
    """The inverse of `cropping.normalise`, so that what is sampled outside of an image is black, not grey."""
    return images * 128 + 127.5


def _wide_to_crop(images: jax.Array, context: float) -> jax.Array:
    """Maps [B, 2, 3] from wide crops to the crops of their boxes."""
    matrix = cropping.crop_affine(images.shape[1], coordinates.CROP_SIZE, context)
    return jnp.broadcast_to(matrix, (images.shape[0], 2, 3))


def _check_scheme(name: str, num_points: int) -> None:
    scheme = load_scheme(name)
    if scheme.num_points != num_points:
        raise ValueError(
            f"the model's option scheme = {name} has {scheme.num_points} points and the data {num_points};"
            " make it the same as data.scheme"
        )
    coordinates.mean_face(scheme)
