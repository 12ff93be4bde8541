"""The study of fine-tuning: its points, its nested faces, its table, and what of it goes on after a stop."""

import dataclasses
import pathlib

import numpy as np
import pytest

from benchmarks import finetuning, finetuning_faces
from benchmarks.finetuning import Piece
from jaxlm.config import Config
from jaxlm.data_pipelines.input import open_faces
from jaxlm.landmarks import IBUG68, WFLW98
from tiny_faces import synthetic_faces


def test_points_that_are_chosen_mirror_onto_each_other():
    """Corners of the eyes, tip of the nose, corners of the mouth."""
    five = finetuning_faces.part_of(IBUG68, (30, 36, 45, 48, 54), "few")
    assert (five.flip, five.eye_corners, five.pupils) == ((0, 2, 1, 4, 3), (1, 2), None)
    assert five.names[0] == "nose_bridge_3"
    pupils = finetuning_faces.part_of(WFLW98, (96, 97), "pupils")
    assert (pupils.flip, pupils.eye_corners, pupils.pupils) == ((1, 0), None, ((0,), (1,)))


def test_the_thirty_points_are_those_that_300w_lacks():
    scheme = finetuning_faces.part_of(WFLW98, finetuning_faces.THIRTY, "thirty")
    assert len(finetuning_faces.THIRTY) == WFLW98.num_points - IBUG68.num_points == 30
    assert finetuning_faces.THIRTY[:3] == (1, 3, 5)
    assert scheme.names[scheme.pupils[0][0]] == "left_pupil"


def test_fewer_faces_are_a_part_of_more_and_none_of_them_judges(tmp_path: pathlib.Path):
    pack = tmp_path / "faces.npz"
    finetuning_faces.write(pack, synthetic_faces(12, "pool"), synthetic_faces(3, "judges"))
    few, more, other = (open_faces(str(pack), split, "").names for split in ("seed0[:4]", "seed0[:8]", "seed1[:4]"))
    assert few == more[:4]
    assert few != other
    judges = open_faces(str(pack), finetuning_faces.JUDGES, "").names
    assert len(judges) == 3
    assert not set(judges) & set(open_faces(str(pack), "seed0", "").names)


def test_the_table_has_the_mean_and_the_range_of_the_seeds():
    errors = {}
    for dataset in finetuning.SETS:
        for seed, nme in ((0, [0.02, 0.04]), (1, [0.05, 0.05])):
            errors[Piece(dataset, 20, seed, "shipped")] = nme
            errors[Piece(dataset, 20, seed, "nothing")] = [2 * value for value in nme]
    lines = finetuning.markdown(errors).splitlines()
    assert lines[-1] == "| 20 |" + " 4.00 (3.00 to 5.00) | 8.00 (6.00 to 10.00) |" * 2
    np.testing.assert_allclose(finetuning.means_of(errors, "300w12", "shipped")[20], [3.0, 5.0], rtol=1e-12)


def test_both_arms_have_one_recipe(tmp_path: pathlib.Path):
    ours, theirs = (finetuning.config_of(Piece("300w12", 200, 1, arm), tmp_path, 64, 300) for arm in finetuning.ARMS)
    assert (ours.init_from, theirs.init_from) == ("shipped", None)
    assert ours == dataclasses.replace(theirs, init_from="shipped")
    assert (ours.data.train_split, ours.epochs * ours.steps_per_epoch, ours.seed) == ("seed1[:200]", 300, 1)


def test_what_is_judged_is_not_trained_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    trained: list[pathlib.Path] = []

    def fit(config: Config, workdir: pathlib.Path) -> None:
        workdir.mkdir(parents=True)
        trained.append(workdir)

    monkeypatch.setattr(finetuning, "fit", fit)
    monkeypatch.setattr(finetuning, "judge", lambda piece, workdir: [0.01 * piece.seed])
    pieces = [Piece("300w12", 20, seed, "shipped") for seed in (0, 1)]
    finetuning.run(pieces[:1], tmp_path, 64, 300)
    assert finetuning.run(pieces, tmp_path, 64, 300) == {pieces[0]: [0.0], pieces[1]: [0.01]}
    assert trained == [piece.folder(tmp_path) for piece in pieces]
