"""The task of LAB (Wu et al., CVPR 2018): boundary maps of every stack, and the coordinates regressed from the last."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax

from jaxlm.images import heatmaps, structure_maps
from jaxlm.landmarks import load_scheme
from jaxlm.models.lab import LABOutputs
from jaxlm.tasks import heatmap_losses
from jaxlm.tasks.base import Task
from jaxlm.tasks.coordinates import CoordinateTask

# Side of a cell of the maps in pixels of the crop.
_STRIDE = 4


@dataclasses.dataclass(frozen=True)
class BoundaryTask(Task):
    """Boundaries and coordinates: outputs are `LABOutputs`, points come from their coordinates.

    The loss is half the summed squared error of the maps, summed over the stacks, plus the loss of the coordinates. A
    true map is exp(-d^2 / 2), d cells from the curve through a boundary's landmarks, and 0 from 3 cells on; landmarks
    need not be whole cells. INFERRED: sigma is 1 cell in every later build; the loss of the coordinates is unknown, and
    so are the weights of both terms.

    Attributes:
      input_size: Side of the crop in pixels.
      scheme: Scheme of the landmarks, which has the boundaries; a built-in name or a .toml file.
      loss_name, units: Loss and units of the coordinates; see `CoordinateTask`. Published coordinates are pixels.
      adversarial: Weight of the adversarial term of `BoundaryObjective`, which an experiment has where it is above 0.
    """

    needs_all_places: ClassVar[bool] = True

    input_size: int
    scheme: str
    loss_name: str = "wing"
    units: Literal["pixels", "unit"] = "unit"
    adversarial: float = 0.0

    def __post_init__(self) -> None:
        if self.adversarial < 0:
            raise ValueError(f"adversarial of boundaries must be at least 0, not {self.adversarial}")
        if self.input_size % _STRIDE:
            raise ValueError(f"a crop of {self.input_size} pixels cannot be cut into cells of {_STRIDE}")
        CoordinateTask(self.input_size, self.loss_name)

    def loss(self, outputs: LABOutputs, points: jax.Array, visible: jax.Array) -> jax.Array:
        truth = self.maps(points)
        errors = [heatmap_losses.half_squares(maps, truth) for maps in outputs.maps]
        landmarks = self._coordinates.loss(outputs.coordinates, points, visible)
        return sum(errors) + landmarks

    def points(self, outputs: LABOutputs) -> jax.Array:
        return self._coordinates.points(outputs.coordinates)

    def maps(self, points: jax.Array) -> jax.Array:
        """True boundary maps [B, S / 4, S / 4, K] of points [B, N, 2] in crop pixels.

        Raises:
          ValueError: The scheme has no boundaries.
        """
        cells = heatmaps.to_cells(points, _STRIDE, centred=True)
        return structure_maps.boundary_maps(cells, load_scheme(self.scheme), self.input_size // _STRIDE)

    @property
    def _coordinates(self) -> CoordinateTask:
        return CoordinateTask(self.input_size, self.loss_name, self.units)
