"""The faces that a model is judged by, whether it held them out from its training, and what cannot be judged."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxlm.checkpoints import MismatchError, Trained
from jaxlm.checkpoints.identity import HELD_OUT, changes, identity_of, in_role
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import prepared
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.landmarks import Scheme, load_scheme

_NAMED = 10  # Faces that a line names.

VALIDATION = "validation"
"""The name of the part of the training split that a run holds out."""


class JudgedFaces(NamedTuple):
    """The faces that a model is judged by.

    Attributes:
      faces: The faces, in the scheme of the model.
      subsets: Masks [n] over the faces; see `open_evaluation`.
      identity: Checksums of the faces; see `identity_of`.
      notes: A line of the protocol where they are called `validation` and are not those that the model held out.
    """

    faces: Faces
    subsets: dict[str, np.ndarray]
    identity: Mapping[str, str]
    notes: Mapping[str, str]


def open_for(
    trained: Trained, dataset: str | None, split: str | None, data_dir: str | None, source: pathlib.Path | None = None
) -> JudgedFaces:
    """The faces to judge a model by; see `open_evaluation`. The set is by default the one that it was trained on.

    With `source` they are those of a published archive that need not be prepared; see `prepared.open_faces`.

    Raises:
      MismatchError: The held-out faces of its own set have changed since it was trained.
      ValueError: There is no such split, or no face in it.
      FileNotFoundError: The set is not prepared.
    """
    data = trained.config.data
    faces, subsets, held_out = _open(trained.config, dataset or data.dataset, split, data_dir or data.data_dir, source)
    identity, notes = identity_of(faces), {}
    if held_out and (changed := changes(trained.data, in_role(identity, HELD_OUT))):
        if dataset is None:
            raise MismatchError(
                f"{data.dataset} holds other faces than the run held out: it has changed since ({', '.join(changed)})."
                f" Bring the old data back, or give --dataset {data.dataset} to judge by the faces as they are now"
            )
        notes["held out"] = f"not the faces that the run held out; others are {', '.join(changed)}"
    return JudgedFaces(faces, subsets, identity, notes)


def held_out_split(trained: Trained) -> str | None:
    """`VALIDATION`, by which a training ends, where the model held faces out of it; None where it learnt from all."""
    kept_back = trained.data.get(f"number of faces {HELD_OUT}") != "0"  # Not stored by earlier versions.
    return VALIDATION if kept_back and trained.config.data.validation_percent > 0 else None


def open_evaluation(
    config: Config, dataset: str, split: str | None, data_dir: str
) -> tuple[Faces, dict[str, np.ndarray]]:
    """The faces to evaluate on, in the scheme of `config`, and masks [n] over them for each subset.

    `split` is a split of the prepared set, several joined with +, `full`, or `validation`: the part of the training
    split that `config` holds out. By default it is the set's test split or splits, and `validation` where it has none.
    Subsets are the splits, if there are several, all faces, the attributes, and the bins of yaw where it is known.

    Raises:
      ValueError: There is no such split, or no face in it.
      FileNotFoundError: The set is not prepared.
    """
    return _open(config, dataset, split, data_dir)[:2]


def _open(
    config: Config, dataset: str, split: str | None, data_dir: str, source: pathlib.Path | None = None
) -> tuple[Faces, dict[str, np.ndarray], bool]:
    """What `open_evaluation` gives, and whether the faces are held out of a training split."""
    splits, asked = prepared.names_of_splits(dataset, data_dir, source), split
    if split is None:
        trained_on = {part.partition("[")[0] for part in config.data.train_split.split("+")}
        split = "+".join(name for name in splits if name not in trained_on) or VALIDATION
    held_out = split == VALIDATION and VALIDATION not in splits
    if held_out:
        training = prepared.open_faces(dataset, config.data.train_split, data_dir, source)
        kept_back = input_lib.hold_out(training, config.data.validation_percent)[1]
        parts = {VALIDATION: dataclasses.replace(kept_back, split=VALIDATION)}
    else:
        names = input_lib.SPLIT_UNIONS.get(split, split).split("+")
        parts = {name: prepared.open_faces(dataset, name, data_dir, source) for name in names}
    faces = input_lib.join(list(parts.values())).in_scheme(load_scheme(config.data.scheme))
    if not len(faces):
        if held_out:
            none = f"training holds no face of {config.data.train_split} out"
            if asked == VALIDATION:
                raise ValueError(
                    f"{dataset}: {none}, by --data.validation-percent {config.data.validation_percent}; train with a"
                    " larger one, or judge by another split"
                )
            raise ValueError(
                f"{dataset} has no test split, and {none}; name faces by --split {config.data.train_split} or --dataset"
            )
        raise ValueError(f"{dataset} has no faces in split {split}")
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts.values()])
    masks = {name: owner == index for index, name in enumerate(parts)} if len(parts) > 1 else {}
    masks["full"] = np.ones(len(faces), bool)
    return faces, masks | input_lib.subset_masks(faces), held_out


def notes_on(faces: Faces, scheme: Scheme, normaliser: str) -> dict[str, str]:
    """The lines of a protocol about faces that cannot be judged and points that do not count, where there are any.

    Raises:
      ValueError: Not one face can be judged.
    """
    notes = {}
    bad = np.flatnonzero(np.isnan(inference.face_errors(faces.points, faces, scheme, normaliser)))
    if len(bad):
        names = ", ".join(faces.names[face] for face in bad[:_NAMED]) + (", ..." if len(bad) > _NAMED else "")
        notes["left out"] = f"{len(bad)} faces, {normaliser.replace('_', '-')} distance 0 or unknown: {names}"
        if len(bad) == len(faces):
            raise ValueError(f"{faces.dataset}, {faces.split}: left out are all {notes['left out']}")
    hidden = np.isnan(faces.points).any(-1)
    if hidden.any():
        count = f"{hidden.sum()} of {hidden.size} points, in {hidden.any(-1).sum()} faces"
        notes["hidden"] = f"{count}, have no place; errors are those of the {(~hidden).sum()} visible points"
    return notes
