"""Tasks: what a model's raw outputs mean. A detector's turns them into per-face losses and into points in the crop."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, Protocol

import chex
import jax
import jax.numpy as jnp

from jaxlm import config as config_lib
from jaxlm import heatmap_losses, heatmaps, losses, models
from jaxlm.config import ModelConfig, TaskConfig
from jaxlm.landmarks import Scheme
from jaxlm.reinitialisation_task import ReinitialisationTask
from jaxlm.translation_task import TranslationTask


class Task(Protocol):
    """What training and evaluation ask of a detector's task. Points are (x, y) in crop pixels, centres at integers."""

    def loss(self, outputs: Any, points: jax.Array, visible: jax.Array) -> jax.Array:
        """Losses [B] of raw outputs for true points [B, N, 2], visible [B, N]."""

    def points(self, outputs: Any) -> jax.Array:
        """Points [B, N, 2] that raw outputs stand for."""

    def confidence(self, outputs: Any) -> jax.Array | None:
        """How sure the model is of each point, [B, N] in 0..1; None where raw outputs do not say."""

    def degenerate(self, outputs: Any) -> jax.Array | None:
        """Whether an affine map that the model predicts cannot be used, [B]; None where it predicts none."""


@dataclasses.dataclass(frozen=True)
class CoordinateTask:
    """Direct regression: outputs [B, 2 N] are x0, y0, x1, y1, ...

    Attributes:
      input_size: Side of the crop in pixels.
      loss_name: A key of jaxlm.losses.LOSSES; losses are taken in crop pixels.
      units: `pixels`: outputs are crop pixels, as published for SepBN; `unit`: -1 and 1 are half a crop's side left and
        right of its centre, so that an untrained model starts in the middle.
    """

    input_size: int
    loss_name: str = "l1"
    units: Literal["pixels", "unit"] = "pixels"

    def __post_init__(self) -> None:
        if self.loss_name not in losses.LOSSES:
            raise ValueError(f"unknown loss {self.loss_name!r}; known: {', '.join(losses.LOSSES)}")

    def loss(self, outputs: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
        del visible  # Points out of sight are annotated in every scheme we read, and count in the published losses.
        return losses.LOSSES[self.loss_name](self.points(outputs), points)

    def points(self, outputs: jax.Array) -> jax.Array:
        chex.assert_rank(outputs, 2)
        points = outputs.reshape(outputs.shape[0], -1, 2)
        if self.units == "unit":
            points = 0.5 * self.input_size * points + 0.5 * (self.input_size - 1)
        return points

    def confidence(self, outputs: jax.Array) -> None:
        del outputs  # A regressed coordinate says nothing about its error.

    def degenerate(self, outputs: jax.Array) -> None:
        del outputs


@dataclasses.dataclass(frozen=True)
class HeatMapTask:
    """Heat-maps: outputs [B, S, S, N], one map for each landmark, of S = input_size / stride cells a side.

    With the losses `mse` and `adaptive_wing` a map's heights copy those of a drawn Gaussian; with `soft_argmax` and
    `star` it holds logits whose softmax is a probability. Only the published target, 100 high, suits a model that ends
    in a ReLU: with the others that layer dies (adaptive_wing) or keeps logits from falling. Points more than three
    sigma outside of the maps do not count in the loss.

    Confidence is the height of the peak as a fraction of the target's, or the probability within two sigma of the
    point along both axes (over 0.9 for a Gaussian of the target's sigma, low where a map is spread or has two peaks).

    Attributes:
      input_size: Side of the crop in pixels.
      loss_name: A loss of jaxlm/heatmap_losses.py.
      target: `unbiased`: 1 high at the point itself, half-pixel cells; `published`: that of the ShuffleNetV2
        code, stretched to 0..100, cells x / stride, for `mse` alone. The published sigma is 4, at 96 cells a side.
      sigma: Standard deviation in cells of the drawn Gaussian, or of the one that `soft_argmax` pulls towards; DARK
        smooths by it.
      decoder: How points are read, a function of jaxlm/heatmaps.py; `soft_argmax` reads logits alone.
      legacy_axes: Rows are x and columns are y, as in the published code; with the published target alone.
      stride: Side of a cell in pixels.
    """

    input_size: int
    loss_name: Literal["mse", "adaptive_wing", "soft_argmax", "star"] = "adaptive_wing"
    target: Literal["unbiased", "published"] = "unbiased"
    sigma: float = 2.0
    decoder: Literal["argmax", "quarter", "dark", "soft_argmax"] = "dark"
    legacy_axes: bool = False
    stride: int = 4

    def __post_init__(self) -> None:
        if self.target == "published" and self.loss_name != "mse":
            raise ValueError(f"the published target is for loss mse, not {self.loss_name}, which wants target unbiased")
        if self.legacy_axes and self.target != "published":
            raise ValueError("legacy_axes reproduces the published code, so it wants target published")
        if self.decoder == "soft_argmax" and not self._reads_logits:
            raise ValueError(
                f"decoder soft_argmax reads logits, and loss {self.loss_name} teaches heights;"
                " take decoder dark, quarter or argmax, or loss soft_argmax or star"
            )
        if self.sigma <= 0:
            raise ValueError(f"sigma must be above 0 cells, not {self.sigma}")
        if self.stride < 1 or self.input_size % self.stride:
            raise ValueError(f"a crop of {self.input_size} pixels cannot be cut into cells of {self.stride}")

    def loss(self, outputs: jax.Array, points: jax.Array, visible: jax.Array) -> jax.Array:
        del visible  # As in CoordinateTask.
        self._check_shape(outputs)
        cells = heatmaps.to_cells(self._swap(points), self.stride, self._centred)
        weight = heatmaps.in_reach(cells, self._size, self.sigma)
        if self.loss_name == "soft_argmax":
            return heatmap_losses.soft_argmax(outputs, cells, weight, sigma=self.sigma)
        if self.loss_name == "star":
            return heatmap_losses.star(outputs, cells, weight)
        draw = heatmaps.draw_published if self.target == "published" else heatmaps.draw_unbiased
        compare = heatmap_losses.heatmap_mse if self.loss_name == "mse" else heatmap_losses.adaptive_wing
        return compare(outputs, draw(cells, self._size, self.sigma), weight)

    def points(self, outputs: jax.Array) -> jax.Array:
        self._check_shape(outputs)
        return self._swap(heatmaps.to_pixels(self._decode(outputs), self.stride, self._centred))

    def confidence(self, outputs: jax.Array) -> jax.Array:
        self._check_shape(outputs)
        if self._reads_logits:
            probability = heatmaps.probabilities(outputs)
            return heatmaps.mass_near(probability, self._decode(outputs), radius=2 * self.sigma)
        peak = heatmaps.PUBLISHED_PEAK if self.target == "published" else 1.0
        return jnp.clip(outputs.max(axis=(1, 2)) / peak, 0.0, 1.0)

    def degenerate(self, outputs: jax.Array) -> None:
        del outputs

    def _decode(self, outputs: jax.Array) -> jax.Array:
        """The point [B, N, 2] of each map in cells, along its columns and its rows."""
        if self.decoder == "argmax":
            return heatmaps.argmax(outputs)
        if self.decoder == "quarter":
            return heatmaps.quarter(outputs)
        if self.decoder == "soft_argmax":
            return heatmaps.soft_argmax(outputs)
        return heatmaps.dark(heatmaps.probabilities(outputs) if self._reads_logits else outputs, self.sigma)

    @property
    def _reads_logits(self) -> bool:
        return self.loss_name in ("soft_argmax", "star")

    @property
    def _centred(self) -> bool:
        return self.target == "unbiased"

    @property
    def _size(self) -> int:
        return self.input_size // self.stride

    def _swap(self, points: jax.Array) -> jax.Array:
        """Points with x and y exchanged where rows are x."""
        return points[..., ::-1] if self.legacy_axes else points

    def _check_shape(self, outputs: jax.Array) -> None:
        if outputs.ndim != 4 or outputs.shape[1:3] != (self._size, self._size):
            raise ValueError(
                f"heat-maps of crops of {self.input_size} pixels at stride {self.stride} are"
                f" [B, {self._size}, {self._size}, N]; the model's outputs are {list(outputs.shape)}"
            )


TASKS: dict[str, type] = {
    "coordinates": CoordinateTask,
    "heatmaps": HeatMapTask,
    "reinitialisation": ReinitialisationTask,
    "translation": TranslationTask,
}


def build(config: TaskConfig, model: ModelConfig) -> Task:
    """The task of a detector. Its fields without a default are the model's: its input_size and its options.

    Raises:
      ValueError: The task or one of its options is unknown, or the model lacks an option that the task shares with it;
        the model is a translator, or the task for one.
    """
    if model.name in models.TRANSLATORS or config.name == "translation":
        raise ValueError(
            f"model {model.name} with task {config.name} finds no landmarks: translators"
            f" ({', '.join(models.TRANSLATORS)}) render faces by task translation, and jaxlm.disentangle judges them"
        )
    options = config_lib.complete(TASKS, config.name, config.options)
    theirs = {"input_size": model.input_size} | config_lib.complete(models.MODELS, model.name, model.options)
    shared = [field.name for field in dataclasses.fields(TASKS[config.name]) if field.default is dataclasses.MISSING]
    lacking = [name for name in shared if name not in theirs]
    if lacking:
        raise ValueError(f"task {config.name} is for models with {', '.join(lacking)}, which {model.name} has not")
    return TASKS[config.name](**{name: theirs[name] for name in shared}, **options)


def build_translation(config: TaskConfig, model: ModelConfig) -> TranslationTask:
    """The task of a translator.

    Raises:
      ValueError: The model is no translator or the task not for one, or an option is unknown.
    """
    if model.name not in models.TRANSLATORS or config.name != "translation":
        known = ", ".join(models.TRANSLATORS)
        raise ValueError(f"task translation is for translators ({known}) alone, not {config.name} for {model.name}")
    return TranslationTask(**config_lib.complete(TASKS, config.name, config.options))


def check(config: TaskConfig, model: ModelConfig) -> None:
    """Raises ValueError where a task cannot be built, for a detector or for a translator."""
    (build_translation if model.name in models.TRANSLATORS else build)(config, model)


def structure_channels(config: TaskConfig, model: ModelConfig, scheme: Scheme) -> int:
    """Channels of the structure maps that a model takes beside photos; a detector takes none."""
    return build_translation(config, model).channels(scheme) if model.name in models.TRANSLATORS else 0
