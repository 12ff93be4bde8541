"""What a run learns from is remembered: other labels or photos behind the same name are told apart."""

import dataclasses
import pathlib

import numpy as np
import pytest

from jaxlm.checkpoints import MismatchError
from jaxlm.checkpoints.identity import identity_of
from jaxlm.config import Config
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.input import open_faces, write_pack
from jaxlm.training import loop
from runs import changed
from tiny_faces import synthetic_faces


@pytest.fixture
def faces(pack: pathlib.Path) -> Faces:
    return open_faces(str(pack), "train", "")


def other(before: dict[str, str], faces: Faces) -> set[str]:
    """What differs."""
    return {about for about, checksum in identity_of(faces).items() if before[about] != checksum}


def test_each_change_is_told_by_its_name(faces: Faces, pack: pathlib.Path):
    before = identity_of(faces)
    assert identity_of(open_faces(str(pack), "train", "")) == before
    moved = faces.points.copy()
    moved[7, 3, 0] += 0.01
    assert other(before, dataclasses.replace(faces, points=moved)) == {"points"}
    hidden = faces.visible.copy()
    hidden[7, 3] = ~hidden[7, 3]
    assert other(before, dataclasses.replace(faces, visible=hidden)) == {"points"}
    assert other(before, dataclasses.replace(faces, names=(*faces.names[:-1], "x"))) == {"names of faces"}
    assert other(before, faces.take(np.arange(59))) >= {"number of faces", "names of faces", "points"}
    assert other(before, dataclasses.replace(faces, read_encoded=lambda indices: [b""] * len(indices))) == {"photos"}


def test_a_run_whose_labels_were_replaced_is_refused(debug: Config, tmp_path: pathlib.Path):
    """Where it goes on; --init-from may start another run from it."""
    file = tmp_path / "mine.npz"
    whole = {split: synthetic_faces(count, split) for split, count in (("train", 60), ("test", 22))}
    write_pack(file, whole)
    config = changed(debug, data={"dataset": str(file)}, epochs=1)
    loop.fit(config, tmp_path / "run")
    points = whole["train"].points + np.float32(1)
    write_pack(file, whole | {"train": dataclasses.replace(whole["train"], points=points)})
    with pytest.raises(MismatchError, match=r"mine.npz has changed since \(points to train on, points held out\)"):
        loop.fit(config, tmp_path / "run")
