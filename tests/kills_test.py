"""Commands that are killed at any moment leave no half-written file and lose no row, and end as if undisturbed."""

import contextlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import experiment
from jaxlm.checkpoints import Checkpoints, directory_of
from jaxlm.config import Config
from jaxlm.data_pipelines.input import open_splits
from jaxlm.runtime.progress import read_metrics
from jaxlm.training import loop
from runs import ROOT, assert_same_bits, changed, command, final_state
from tiny_landmarker import mean_face_bundle
from tiny_translator import make_translator

OPTIONS = ("--steps-per-epoch", "5", "--epochs", "200", "--keep", "1", "--model.options.widths", "4")


@pytest.fixture
def config(debug: Config) -> Config:
    """What `OPTIONS` make of the debug experiment."""
    return changed(debug, steps_per_epoch=5, epochs=200, keep=1)


def run_for(arguments: list[str], seconds: float, started: pathlib.Path) -> bool:
    """Runs a command and kills it so long after it has changed the file `started`; whether it ended by itself."""
    before = started.stat() if started.exists() else None
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=os.environ | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and (started.stat() if started.exists() else None) == before:
        time.sleep(0.005)
    try:
        return process.wait(timeout=seconds) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False


@pytest.mark.slow
def test_a_training_that_is_killed_twenty_times_ends_with_the_bits_of_a_straight_one(
    config: Config, pack: pathlib.Path, tmp_path: pathlib.Path
):
    """While it saves, deletes, evaluates, and opens its metrics again, as chance has it."""
    chance = random.Random(0)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    arguments = command(pack, tmp_path / "killed", *OPTIONS)
    for kill in range(20):
        before = read_metrics(metrics) if metrics.exists() else []
        # Every other time within moments of the start, when rows are dropped and checkpoints cleared away.
        ended = run_for(arguments, chance.uniform(0, 0.05) if kill % 2 else chance.uniform(0.2, 1.5), metrics)
        assert not ended, f"the run was over before the kill {kill}"
        saved = [int(path.name) for path in (tmp_path / "killed" / "checkpoints").iterdir() if path.name.isdigit()]
        durable = [row for row in before if row["step"] <= max(saved, default=0)]
        assert read_metrics(metrics)[: len(durable)] == durable
        json.loads((tmp_path / "killed" / "config.json").read_text())
    loop.fit(config, tmp_path / "killed")
    loop.fit(config, tmp_path / "straight")
    assert_same_bits(final_state(config, tmp_path / "killed"), final_state(config, tmp_path / "straight"))
    ours, theirs = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("killed", "straight"))
    assert {(row["step"], row["split"]) for row in ours} >= {(row["step"], row["split"]) for row in theirs}


def faces_in(dataset: str, data_dir: pathlib.Path) -> dict[str, tuple[list[str], list[list], list[bytes]]]:
    """All that a set or a pack holds; raises where it is not whole."""
    return {
        split: (list(faces.names), faces.points.tolist(), faces.read_encoded(np.arange(len(faces))))
        for split, faces in open_splits(dataset, data_dir).items()
    }


def translator_run(pack: pathlib.Path, workdir: pathlib.Path) -> pathlib.Path:
    """A run with a translator that has learnt nothing."""
    translator = make_translator(pack, 8)
    config = changed(translator.config, model={"options": {"width": 4, "encoder_width": 4, "max_width": 8}})
    with Checkpoints(directory_of(workdir), experiment.spell_out(config), 1) as checkpoints:
        checkpoints.save(7, translator.variables, {"step": jnp.asarray(7)}, error=1.0)
    return workdir


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "relabel", "stylize"])
def test_commands_that_are_killed_leave_what_is_whole_and_end_alike(
    name: str, pack: pathlib.Path, tmp_path: pathlib.Path
):
    """Four kills each, at any moment of a straight run's time; what stands under a final name can always be opened."""
    weights, run = mean_face_bundle(tmp_path / "mean.npz"), tmp_path / "translator"
    if name == "stylize":
        translator_run(pack, run)

    def arguments(folder: pathlib.Path) -> tuple[list[str], str]:
        """The command line that writes to `folder`, and the set or pack that it makes."""
        made = str(folder / "made.npz")
        if name == "prepare":
            options = ["synthetic", "--train-faces", "300", "--test-faces", "20", "--frame-size", "64"]
            return ["jaxlm.data_pipelines.prepare", *options, "--pack", made, "--data-dir", str(folder)], made
        if name == "relabel":
            return ["jaxlm.relabel", "--weights", str(weights), "--dataset", str(pack), "--out", made], made
        options = ["--workdir", str(run), "--data-dir", str(folder), "--dataset", str(pack), "--name", "made"]
        return ["jaxlm.stylize", *options, "--styles", "2"], "made"

    for folder in (tmp_path / "straight", tmp_path / "killed"):
        folder.mkdir()
    (module, *options), made = arguments(tmp_path / "straight")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, check=True, capture_output=True)
    needed, expected = time.perf_counter() - start, faces_in(made, tmp_path / "straight")
    (module, *options), made = arguments(tmp_path / "killed")
    chance = random.Random(name)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", module, *options], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.3, 1.0) * needed)
        process.kill()
        process.wait()
        with contextlib.suppress(FileNotFoundError):  # Nothing is there yet.
            assert faces_in(made, tmp_path / "killed") == expected
    subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, check=True, capture_output=True)
    assert faces_in(made, tmp_path / "killed") == expected
