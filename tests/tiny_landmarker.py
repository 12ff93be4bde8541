"""Models whose points are known without any training."""

import dataclasses
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import models
from jaxlm.checkpoints import Trained, save_bundle
from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.landmarks import load_scheme
from jaxlm.landmarks.schemes import FIVE
from jaxlm.prediction import Landmarker
from jaxlm.prediction.detectors import FaceDetector

SIZE = 16
OPTIONS = {"widths": (2,), "head_width": 2}


class Brightest(nn.Module):
    """Heat-maps of five points that are the image's own rows and columns."""

    @nn.compact
    def __call__(self, images, *, train, temperature=1.0):
        return jnp.repeat(images.mean(axis=-1, keepdims=True), 5, axis=-1)


def brightest(
    size: int = 120, backend: str | None = None, **calibrations: tuple[float, float, float, float]
) -> Landmarker:
    """Finds the brightest pixel of the box; its detector finds one box, of 60 pixels."""
    config = Config(
        model=ModelConfig("cnn", size),
        task=TaskConfig("heatmaps", {"stride": 1, "decoder": "argmax"}),
        data=DataConfig(scheme="five"),
    )
    detector = FaceDetector("finder", lambda photo: np.float64([[40, 30, 99, 89]]))
    return Landmarker(Trained(config, Brightest(), {}, 1, FIVE, boxes=calibrations), detector, backend=backend)


def bright_spot(x: int, y: int) -> np.ndarray:
    photo = np.zeros((120, 150, 3), np.uint8)
    photo[y, x] = 255
    return photo


def mean_face_model(scheme: str = "ibug68", dataset: str = "synthetic") -> Trained:
    """Places the scheme's mean face in the box, whatever the photo shows."""
    task = TaskConfig("coordinates", {"units": "unit"})
    data = DataConfig(dataset=dataset, scheme=scheme, validation_percent=20)
    config = Config(model=ModelConfig("cnn", SIZE, OPTIONS), task=task, data=data)
    model = models.build("cnn", load_scheme(scheme).num_points, OPTIONS, jnp.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)), train=False))
    variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    mean = np.asarray(load_scheme(scheme).mean_face or np.zeros((model.num_points, 2)), np.float32)
    variables["params"]["fc2"]["bias"] = 2 * mean.ravel() - 1
    return Trained(config, model, variables, 1, load_scheme(scheme))


def shifted(trained: Trained, fraction: float) -> Trained:
    """A `mean_face_model` whose points lie that fraction of the box further to the right and below."""
    variables = jax.tree.map(np.copy, trained.variables)
    variables["params"]["fc2"]["bias"] += np.float32(2 * fraction)
    return dataclasses.replace(trained, variables=variables)


def mean_face_bundle(file: pathlib.Path, **calibrations: tuple[float, float, float, float]) -> pathlib.Path:
    """A file of `mean_face_model`."""
    save_bundle(file, dataclasses.replace(mean_face_model(), card={"licence": "none"}, boxes=calibrations))
    return file


def mean_face_in(box: tuple[float, float, float, float], scheme: str = "ibug68") -> np.ndarray:
    """What `mean_face_model` finds in a box of whole pixels, square and of even size."""
    low, side = np.float64(box[:2]) - 0.5, box[2] - box[0] + 1
    return low + side * np.asarray(load_scheme(scheme).mean_face)
