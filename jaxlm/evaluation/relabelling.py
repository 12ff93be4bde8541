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

_RELABELLED = "_relabelled"  # Behind the name of the set.
_NAMED = 10  # Faces that a message names.
_NEAREST = 4  # Labelled points that say how far a point without a label moves.
_ON_IT = 1e-3  # Pixels; a label of the point itself outweighs all others.
_LEAST_FACES = 20  # Whose mean difference may pass for habit.


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
      FileExistsError: `out` is the set itself, or there and no pack of relabelled faces.
      ValueError: The models' schemes differ; no face of a split is left; `out` does not end in .npz; or the labels to
        follow are not of a scheme whose points are among the models', or too few.
    """
    check_pack_name(out)
    ours = "a pack of relabelled faces"  # Of others the photos would be lost.
    check_output(out, ours, lambda file: prepared.is_pack_called(file, _RELABELLED), [pathlib.Path(dataset)])
    splits = input_lib.open_splits(dataset, data_dir)
    relabelled = [relabel_faces(faces, teachers, flip_test) for faces in splits.values()]
    if follow_labels:
        points = correct_by_labels([faces.points for faces in relabelled], teachers[0].scheme, list(splits.values()))
        relabelled = [dataclasses.replace(made, points=moved) for made, moved in zip(relabelled, points, strict=True)]
    old, new = {}, {}
    for (split, faces), made in zip(splits.items(), relabelled, strict=True):
        old[split], new[split] = _possible(faces, made)
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
    name = f"{faces.dataset}{_RELABELLED}"
    return dataclasses.replace(faces, dataset=name, scheme=teachers[0].scheme, points=points, visible=visible)


def correct_by_labels(points: Sequence[np.ndarray], scheme: Scheme, faces: Sequence[Faces]) -> list[np.ndarray]:
    """Points of models, moved face by face by what the labels of the same faces say.

    The labels are of another scheme, whose points mark some of the models' places, but by other habits: an eyelid at a
    third of its length, say, not at a quarter. So the mean difference of label and model over the faces of all splits,
    in a frame that moves, turns and scales with the face, counts as habit and is left out. By what then remains of its
    difference, a point that is labelled moves; each other point, and each whose label has no place, moves by the mean
    of the remainders of the four nearest that are labelled, weighted by 1 / distance^2.

    Args:
      points: Points of models float32 [n, P, 2] in pixels of the frames, for each split.
      scheme: Their scheme.
      faces: The faces of each split, with their labels.

    Returns:
      The corrected points of each split, float32 [n, P, 2].

    Raises:
      ValueError: The scheme of the labels is not part of `scheme`, or the faces are too few to tell habits.
    """
    chosen = conversion(scheme, faces[0].scheme)
    found, labels = (np.concatenate(each).astype(np.float64) for each in (points, [one.points for one in faces]))
    if len(found) < _LEAST_FACES:
        raise ValueError(
            f"--follow-labels takes the mean difference between labels and models for habit, and {len(found)} faces are"
            f" too few for that; give {_LEAST_FACES} or more"
        )
    mean = found.mean(axis=0)
    to_mean = geometry.similarity_fit(found, mean)[..., :2]
    differences = np.einsum("nij,nmj->nmi", to_mean, labels - found[:, chosen])
    known = np.isfinite(differences).all(axis=-1)
    differences[~known] = 0
    remainders = differences - differences.sum(axis=0) / np.maximum(known.sum(axis=0), 1)[:, None]
    moves = np.zeros(found.shape)
    for point, away in enumerate(np.linalg.norm(mean[:, None] - mean[chosen], axis=-1)):
        near = np.argsort(np.where(known, away[None], np.inf), axis=1)[:, :_NEAREST]
        weights = np.take_along_axis(known / np.maximum(away[None], _ON_IT) ** 2, near, axis=1)
        total = np.maximum(weights.sum(axis=1), np.finfo(np.float64).tiny)
        moves[:, point] = np.einsum("nk,nki->ni", weights, np.take_along_axis(remainders, near[..., None], 1))
        moves[:, point] /= total[:, None]
    corrected = found + np.einsum("nij,nmj->nmi", np.linalg.inv(to_mean), moves)
    return np.split(corrected.astype(np.float32), np.cumsum([len(one) for one in points])[:-1])
