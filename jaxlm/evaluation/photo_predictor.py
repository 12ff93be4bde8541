"""A model's points for faces, whichever it looks at: crops of frames, or the photo itself through the face's box."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.checkpoints import LANDMARKS, Trained
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.evaluation.inference import NO_ERROR, Advance, BoxError, Predictions
from jaxlm.landmarks import geometry, photos
from jaxlm.models.dpr import Networks, find_in_photo, networks_of
from jaxlm.runtime import distributed

_LOG = logging.getLogger(__name__)


def predictor_of(
    trained: Trained, faces: Faces, flip: Sequence[int] | None = None
) -> inference.Predictor | PhotoPredictor:
    """What finds a model's points for faces; `flip` is as in `inference.Predictor`."""
    if trained.looks_at_photos:
        return PhotoPredictor(trained, flip)
    mesh = distributed.make_mesh()
    return inference.Predictor(trained.model, trained.task, trained.config, faces.margin, mesh, flip=flip)


class PhotoPredictor:
    """Runs a model that looks at photos over faces, with the methods of `inference.Predictor`.

    Where the photos are at hand (`Faces.read_photo`) it sees what `Landmarker.predict` would, by boxes as annotated.
    Otherwise the frame stands for the photo, and the box is that of `boxes_of`. Every process does all faces.
    """

    def __init__(self, trained: Trained, flip: Sequence[int] | None = None) -> None:
        self._trained, self._flip = trained, flip

    def __call__(self, variables: Any, faces: Faces, advance: Advance | None = None) -> Predictions:
        """Predictions for all the faces, numpy arrays in frame pixels."""
        return self.with_box_errors(variables, faces, [NO_ERROR], advance)[0]

    def with_box_errors(
        self, variables: Any, faces: Faces, errors: Sequence[BoxError], advance: Advance | None = None
    ) -> list[Predictions]:
        """Predictions for all the faces, as if their boxes were off, for each of the errors; see `moved_box`."""
        model = self._trained.model
        networks = Networks(*map(jax.jit, networks_of(model, variables)))
        read, boxes = faces.read_photo, boxes_of(self._trained, faces)
        points = np.zeros((len(errors), len(faces), model.num_points, 2), np.float32)
        degenerate = np.zeros((len(errors), len(faces)), bool)
        for index, name in enumerate(faces.names):
            if read is not None:
                image, box = read(index)
                to_frame = geometry.invert(faces.to_source[index].astype(np.float64))
            else:
                image, box, to_frame = faces.images(np.array([index]))[0], boxes[index], np.eye(2, 3)
            try:
                photos.check_box(image, box)
            except photos.PhotoError as problem:
                raise ValueError(f"{faces.dataset}, {faces.split}, {name}: {problem}") from None
            for number, error in enumerate(errors):
                moved = moved_box(box, error)
                found, degenerate[number, index] = find_in_photo(networks, image, moved, self._flip)
                points[number, index] = geometry.transform(found, to_frame)
            if advance is not None:
                advance(len(errors))
        if degenerate.any():
            _LOG.warning(inference.DEGENERATE, degenerate.sum(), degenerate.size)
        return [Predictions(*one) for one in zip(points, [None] * len(errors), degenerate, strict=True)]


def box_lines(trained: Trained, faces: Faces) -> dict[str, str]:
    """The lines of a protocol that say through what a model sees faces."""
    if not trained.looks_at_photos:
        return {"box": faces.box}
    annotated = f"{faces.box.removesuffix(', made square')}, as it is"
    if faces.read_photo is not None:
        return {"box": annotated, "seen": "the photos themselves"}
    box = annotated if _follow_the_model(trained, faces).all() else "made from the landmarks, as the model learnt boxes"
    return {"box": box, "seen": f"frames of {faces.frame_size} px in place of photos (--source has the photos)"}


def boxes_of(trained: Trained, faces: Faces) -> np.ndarray:
    """The boxes float64 [n, 4] of faces in their frames, as a model that looks at photos learnt them.

    They are those that are stored, where the faces are of the set that it learnt from. Boxes of other sets follow other
    conventions: there, and where none is stored, the bounding box of the true points is calibrated (`Trained.boxes`).
    """
    like = geometry.calibrate_boxes(tight_boxes(faces), trained.boxes.get(LANDMARKS))[:, :4]
    return np.where(_follow_the_model(trained, faces)[:, None], faces.boxes, like).astype(np.float64)


def _follow_the_model(trained: Trained, faces: Faces) -> np.ndarray:
    """Whether the stored box of each face [n] is one as the model learnt them."""
    return np.isfinite(faces.boxes).all(1) & (faces.dataset == trained.config.data.dataset)


def tight_boxes(faces: Faces) -> np.ndarray:
    """The bounding boxes float64 [n, 4] of the faces' true points in their frames, as far as these have a place."""
    low, high = np.nanmin(faces.points, axis=1), np.nanmax(faces.points, axis=1)
    return np.concatenate([low, high], axis=1).astype(np.float64)


def moved_box(box: np.ndarray, error: BoxError) -> np.ndarray:
    """A box [4] that is off by an error, whose shift is in units of the box's longer side."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    centre = centre + 2 * half.max() * np.asarray(error.shift)
    return np.concatenate([centre - error.scale * half, centre + error.scale * half])
