"""Commands that are killed at any moment leave no half-written file and lose no row, and end as if undisturbed."""

import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest

from jaxlm import experiment
from jaxlm.config import Config
from jaxlm.runtime.progress import read_metrics
from jaxlm.training import loop
from runs import ROOT, assert_same_bits, changed, command, final_state

OPTIONS = ("--steps-per-epoch", "5", "--epochs", "200", "--keep", "1", "--model.options.widths", "4")


@pytest.fixture
def config(pack: pathlib.Path) -> Config:
    """What `OPTIONS` make of the debug experiment."""
    debug = experiment.load("debug")
    return changed(
        debug,
        data={"dataset": str(pack), "cache": "device"},
        model={"options": debug.model.options | {"widths": (4,)}},
        steps_per_epoch=5,
        epochs=200,
        keep=1,
    )


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
    assert loop.fit(config, tmp_path / "killed")
    assert loop.fit(config, tmp_path / "straight")
    assert_same_bits(final_state(config, tmp_path / "killed"), final_state(config, tmp_path / "straight"))
    ours, theirs = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("killed", "straight"))
    assert {(row["step"], row["split"]) for row in ours} >= {(row["step"], row["split"]) for row in theirs}
