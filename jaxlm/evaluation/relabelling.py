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
from jaxlm.landmarks import Scheme, conversion, geometry
from jaxlm.runtime import progress

_NAMED = 10  # Faces that a message names.
_NEAREST = 4  # Labelled points that say how far a point without a label moves.


def relabel_and_write(
    teachers: Sequence[Trained],
    dataset: str,
    data_dir: str,
    out: pathlib.Path,
    flip_test: bool = False,
    follow_labels: bool = False,
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
      follow_labels: Correct the models' points face by face by the labels that the faces have; see `correct_by_labels`.

    Raises:
      FileNotFoundError: The set is not prepared.
      FileExistsError: `out` is the set itself, or another kind of file.
      ValueError: The models' schemes differ; no face of a split is left; `out` does not end in .npz; or the labels to
        follow are not of a scheme whose points are among the models'.
    """
    check_pack_name(out)
    check_output(out, "a pack", lambda file: bool(input_lib.open_splits(str(file), "")), [pathlib.Path(dataset)])
    old, new = {}, {}
    for split, faces in input_lib.open_splits(dataset, data_dir).items():
        relabelled = relabel_faces(faces, teachers, flip_test)
        if follow_labels:
            corrected = correct_by_labels(relabelled.points, relabelled.scheme, faces)
            relabelled = dataclasses.replace(relabelled, points=corrected)
        old[split], new[split] = _possible(faces, relabelled)
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


def correct_by_labels(points: np.ndarray, scheme: Scheme, faces: Faces) -> np.ndarray:
    """Points of models, moved face by face by what the labels of the same faces say.

    The labels are of another scheme, whose points mark some of the models' places, but by other habits: an eyelid at a
    third of its length, say, not at a quarter. So the mean difference of label and model over all faces, in a frame
    that moves, turns and scales with the face, counts as habit and is left out. By what then remains of its difference,
    a point that is labelled moves; each other point moves by the mean of the remainders of the four nearest, weighted
    by 1 / distance^2. A label without a place says nothing.

    Args:
      points: Points of models float32 [n, P, 2] in pixels of the frames.
      scheme: Their scheme.
      faces: The faces with their labels.

    Returns:
      The corrected points, float32 [n, P, 2].

    Raises:
      ValueError: The scheme of the labels is not part of `scheme`.
    """
    chosen = conversion(scheme, faces.scheme)
    mean = points.mean(axis=0).astype(np.float64)
    to_mean = geometry.similarity_fit(points.astype(np.float64), mean)[..., :2]
    differences = np.einsum("nij,nmj->nmi", to_mean, faces.points.astype(np.float64) - points[:, chosen])
    remainders = differences - np.nanmean(differences, axis=0)
    distances = np.linalg.norm(mean[:, None] - mean[chosen], axis=-1)
    moves = np.zeros(points.shape)
    for point, away in enumerate(distances):
        near = np.argsort(away)[: 1 if point in chosen else _NEAREST]
        weights = np.where(np.isnan(remainders[:, near, 0]), 0.0, 1 / np.maximum(away[near], 1e-6) ** 2)
        total = np.maximum(weights.sum(axis=1), np.finfo(np.float64).tiny)
        moves[:, point] = np.einsum("nk,nki->ni", weights, np.nan_to_num(remainders[:, near])) / total[:, None]
    return (points + np.einsum("nij,nmj->nmi", np.linalg.inv(to_mean), moves)).astype(np.float32)
