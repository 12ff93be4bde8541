"""Faces with the points that models find, in place of those that people made."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import prepared
from jaxlm.data_pipelines.input import Faces
from jaxlm.data_pipelines.prepared import check_pack_name
from jaxlm.evaluation import inference
from jaxlm.evaluation.photo_predictor import predictor_of
from jaxlm.files import check_output
from jaxlm.runtime import progress

_NAMED = 10  # Faces that a message names.


def relabel_and_write(
    teachers: Sequence[Trained], dataset: str, data_dir: str, out: pathlib.Path, flip_test: bool = False
) -> None:
    """Writes a pack of all splits of a set with new points, and prints how far the points have moved.

    A face whose new points no face can have, as they lie in a few pixels, is left out and told.

    The new set is called `NAME_relabelled`, so that numbers on it are never taken for numbers on NAME.

    Args:
      teachers: The models; all points are the mean of theirs.
      dataset: A prepared set or a packed file.
      data_dir: The folder of the prepared sets.
      out: The new packed file.
      flip_test: Average with the points of the mirrored crop.

    Raises:
      FileNotFoundError: The set is not prepared.
      FileExistsError: `out` is the set itself, or another kind of file.
      ValueError: The models' schemes differ; no face of a split is left; or `out` does not end in .npz.
    """
    check_pack_name(out)
    check_output(out, "a pack", lambda file: bool(input_lib.open_splits(str(file), "")), [pathlib.Path(dataset)])
    old, new = {}, {}
    for split, faces in input_lib.open_splits(dataset, data_dir).items():
        old[split], new[split] = _possible(faces, relabel_faces(faces, teachers, flip_test))
    input_lib.write_pack(out, new)
    for split, faces in old.items():
        line = f"{faces.dataset}, {split}: {len(faces)} faces"
        if faces.points.shape == new[split].points.shape:
            moved = inference.face_errors(new[split].points, faces, teachers[0].scheme)
            line += f", whose points moved by {100 * np.nanmean(moved):.2f} % (NME)"
        print(line)
    print(f"Wrote {out}")


def _possible(faces: Faces, relabelled: Faces) -> tuple[Faces, Faces]:
    """Both without the faces whose new points are impossible, which are printed; ValueError where none is left."""
    faults = prepared.find_impossible(relabelled)
    if not faults:
        return faces, relabelled
    lines = [f"{faces.names[face]}: {fault}" for face, fault in faults[:_NAMED]]
    more = ["..."] if len(faults) > _NAMED else []
    print("\n  ".join([f"Left out: {len(faults)} faces of {faces.dataset}, {faces.split}:", *lines, *more]))
    if len(faults) == len(faces):
        raise ValueError(f"the models find no possible face in {faces.dataset}, {faces.split}; nothing was written")
    kept = np.setdiff1d(np.arange(len(faces)), [face for face, _ in faults])
    return faces.take(kept), relabelled.take(kept)


def relabel_faces(faces: Faces, teachers: Sequence[Trained], flip_test: bool) -> Faces:
    """The faces with the mean of the points that models of one scheme find in their frames; all points are visible.

    Args:
      faces: The faces, in any scheme.
      teachers: The models.
      flip_test: Average with the points of the mirrored crop.

    Raises:
      ValueError: The models' schemes differ.
    """
    if any(teacher.scheme != teachers[0].scheme for teacher in teachers):
        names = ", ".join(teacher.scheme.name for teacher in teachers)
        raise ValueError(f"the models have points of different schemes: {names}")
    found = []
    with progress.counting(len(teachers) * len(faces), faces.split) as advance:
        for trained in teachers:
            predictor = predictor_of(trained, faces, trained.scheme.flip if flip_test else None)
            found.append(predictor(trained.variables, faces, advance).points)
    points = np.mean(found, axis=0)
    if not np.isfinite(points).all():
        raise ValueError(f"the models find points that are not finite in {faces.dataset}, {faces.split}")
    visible = np.ones(points.shape[:2], bool)
    name = f"{faces.dataset}_relabelled"
    return dataclasses.replace(faces, dataset=name, scheme=teachers[0].scheme, points=points, visible=visible)
