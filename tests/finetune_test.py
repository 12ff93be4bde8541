"""The experiment that fits itself to the number of faces: its numbers, and how the command line tells it of them."""

import argparse
import pathlib

import pytest

from jaxlm import experiment
from jaxlm.config import Config
from jaxlm.overrides import override


def finetune(pack: pathlib.Path, *arguments: str) -> Config:
    """The config of the experiment on the 60 faces of `pack`."""
    return override(argparse.ArgumentParser(), "finetune", ["--data.dataset", str(pack), *arguments])


@pytest.mark.parametrize(
    ("faces", "percent", "batch", "steps_per_epoch", "epochs", "eval_every"),
    [
        (5, 20, 2, 2, 200, 20),  # Of 4 faces to train on two fill a batch; 400 steps at least.
        (20, 20, 8, 2, 200, 20),
        (200, 20, 8, 20, 40, 4),  # 160 faces, 40 times.
        (1000, 20, 8, 100, 40, 4),  # 4,000 steps, as many as there may be.
        (2000, 10, 8, 225, 18, 2),  # 1,800 faces; 17.8 epochs would be 4,000 steps.
        (20_000, 10, 8, 400, 10, 1),  # No pass over the faces: there are ten validations all the same.
    ],
)
def test_steps_are_those_of_the_number_of_faces(
    faces: int, percent: int, batch: int, steps_per_epoch: int, epochs: int, eval_every: int
):
    config = experiment.load("finetune", faces)
    assert (config.data.validation_percent, config.data.batch_size) == (percent, batch)
    assert (config.steps_per_epoch, config.epochs, config.eval_every) == (steps_per_epoch, epochs, eval_every)
    assert config.optim.warmup_epochs == pytest.approx(epochs / 20)


def test_many_faces_stream_from_disk():
    assert experiment.load("finetune", 10_000).data.cache == "device"
    assert experiment.load("finetune", 10_001).data.cache == "none"


def test_the_command_line_counts_the_faces_that_are_trained_on_and_held_out(pack: pathlib.Path):
    """48 of 60 faces make 6 batches; of the first 20 two, and as many of a third of all."""
    assert finetune(pack).steps_per_epoch == 6
    assert finetune(pack, "--data.train-split", "train[:20]").steps_per_epoch == 2
    assert finetune(pack, "--data.label-percent", "34").steps_per_epoch == 2


def test_all_points_of_the_set_are_learnt(pack: pathlib.Path):
    """The 98 of WFLW, although the shipped weights have 68, which could be read from them."""
    assert finetune(pack).data.scheme == "wflw98"
    assert finetune(pack, "--data.scheme", "ibug68").data.scheme == "ibug68"


def test_what_is_asked_for_counts_more_than_the_number_of_faces(pack: pathlib.Path):
    config = finetune(pack, "--epochs", "3", "--data.batch-size", "4", "--init-from", "None")
    assert (config.epochs, config.data.batch_size, config.init_from, config.steps_per_epoch) == (3, 4, None, 6)


def test_other_experiments_are_what_they_are_for_any_set(pack: pathlib.Path):
    assert not experiment.asks_for_faces("resunet_300w")
    config = override(argparse.ArgumentParser(), "resunet_300w", ["--data.dataset", str(pack)])
    assert config.epochs == experiment.load("resunet_300w").epochs


def test_a_set_that_is_not_there_is_told_before_anything_else(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        finetune(tmp_path / "nowhere.npz")
    assert "nowhere.npz: no such file" in capsys.readouterr().err
