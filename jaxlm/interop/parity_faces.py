"""The faces on which the points of an exported file and of its model are compared."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxlm.config import Config
from jaxlm.data_pipelines import synthetic
from jaxlm.evaluation import judging
from jaxlm.images import cropping

COUNT = 32
"""How many faces points are compared on."""

COUNT_FOR_NME = 512
"""How many at most NME is compared on."""

_RENDERED_SIZE = 256
_SEED = 2


class ParityFaces(NamedTuple):
    """Crops as a model sees them.

    Attributes:
      crops: uint8 [n, S, S, 3].
      description: The set they come from, in words.
      truth: Their labels [n, N, 2] in crop pixels, NaN where a point has no place; None for rendered faces, whose
        points are not those that people set.
    """

    crops: np.ndarray
    description: str
    truth: np.ndarray | None = None


def load(config: Config, dataset: str | None = None, most: int | None = None) -> ParityFaces:
    """Faces of `dataset`, or by default those held out from the run's training; else `COUNT` rendered ones.

    Args:
      config: The run's config.
      dataset: A prepared set or a pack.
      most: How many faces at most; they are spread over the set. By default `COUNT`.

    Raises:
      ValueError, FileNotFoundError: `dataset` is given and cannot be used.
    """
    split = None if dataset else judging.VALIDATION
    try:
        faces, _ = judging.open_evaluation(config, dataset or config.data.dataset, split, config.data.data_dir)
    except (ValueError, FileNotFoundError):
        if dataset:
            raise
        return _rendered(config)
    count = min(most or COUNT, len(faces))
    indices = np.arange(count) * len(faces) // count
    crops = cut_crops(faces.images(indices), faces.margin, config)
    to_crop = cropping.crop_affine(faces.frame_size, config.model.input_size, faces.margin, config.data.crop)
    truth = faces.points[indices] @ to_crop[:, :2].T + to_crop[:, 2]
    return ParityFaces(crops, f"{count} faces of {faces.dataset}, {faces.split}", truth)


def cut_crops(frames: np.ndarray, margin: float, config: Config) -> np.ndarray:
    """Crops uint8 [n, S, S, 3] from the middle of frames uint8 [n, F, F, 3] whose side is `margin` face boxes."""
    crops = cropping.plain_images(frames, config.model.input_size, margin, config.data.crop)
    return np.rint(np.asarray(crops)).astype(np.uint8)


def _rendered(config: Config) -> ParityFaces:
    margin = max(2.0, config.data.crop)
    frames = np.stack([synthetic.render(_SEED, index, _RENDERED_SIZE, margin).image for index in range(COUNT)])
    return ParityFaces(cut_crops(frames, margin, config), f"{COUNT} rendered faces")
