"""Runs as processes of their own: stopped, killed, and several at once; and on eight devices."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

import jax
import numpy as np
import pytest

from jaxlm import experiment
from jaxlm.config import Config
from jaxlm.runtime import commands, distributed
from jaxlm.training import loop
from runs import ROOT, assert_same_bits, changed, command, final_state, losses_and_errors
from tiny_landmarker import mean_face_bundle
from tolerances import assert_float32_close, float32_error

# 30 steps of batches that 1, 2, 3, 4 and 8 devices can share. By SGD, since Adam makes whole steps of gradients that
# are rounding errors alone; with batch normalisation, which couples all faces of a batch.
SHARED = ("--data.batch-size", "24", "--steps-per-epoch", "5", "--epochs", "6", "--optim.name", "sgd")
SHARED += ("--model.options.norm", "batch", "--model.options.widths", "4")
KILLED_AT = 15


def last_step(workdir: pathlib.Path) -> int:
    """The last checkpoint of a run, 0 if it has none."""
    names = [path.name for path in workdir.glob("checkpoints/*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(pack: pathlib.Path, workdir: pathlib.Path, count: int) -> list[subprocess.Popen]:
    """A run of several processes of one device each."""
    cluster = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", str(count), "--process-id")
    return [start_one(pack, workdir, 1, *cluster, str(index)) for index in range(count)]


def start_one(pack: pathlib.Path, workdir: pathlib.Path, devices: int, *more: str) -> subprocess.Popen:
    # As many threads as jaxlm gives a run, not as conftest.py gives the tests.
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    return subprocess.Popen(
        command(pack, workdir, *SHARED, *more),
        cwd=ROOT,
        # Several short runs of the same programs, so even what compiles at once is kept.
        env=environment | {"JAX_NUM_CPU_DEVICES": str(devices), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def ended(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    """Kills what is left of the processes: SIGTERM no longer ends one that has joined a cluster."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def finish(processes: Sequence[subprocess.Popen]) -> None:
    with ended(processes):
        printed = [process.communicate(timeout=150)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), printed


@pytest.fixture(scope="module")
def config(pack: pathlib.Path) -> Config:
    """What `SHARED` makes of the debug experiment."""
    return changed(
        experiment.load("debug"),
        data={"dataset": str(pack), "cache": "device", "batch_size": 24},
        model={"options": experiment.load("debug").model.options | {"norm": "batch", "widths": (4,)}},
        optim={"name": "sgd"},
        steps_per_epoch=5,
        epochs=6,
    )


@pytest.fixture(scope="module")
def alone(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The run of one process on one device that nothing stopped."""
    workdir = tmp_path_factory.mktemp("alone")
    finish([start_one(pack, workdir, 1)])
    return workdir


def stopped(process: subprocess.Popen, number: signal.Signals, metrics: pathlib.Path, rows: int) -> str:
    """Sends a signal when the process has written, and there are, so many rows; returns what it printed by its end."""

    def text() -> str:
        return metrics.read_text() if metrics.exists() else ""

    before = text()
    # A row may be there before the checkpoint beside it is whole.
    while process.poll() is None and (
        text() == before or len(text().splitlines()) < rows or not last_step(metrics.parent)
    ):
        time.sleep(0.01)
    process.send_signal(number)
    return process.communicate(timeout=120)[1]


def test_a_run_that_was_killed_and_stopped_ends_with_the_bits_of_a_straight_one(
    config: Config, pack: pathlib.Path, alone: pathlib.Path, tmp_path: pathlib.Path
):
    """By kill -9, after some checkpoints were saved and deleted, and by SIGTERM, which saves.

    The straight run is a process of the same kind: XLA parts its sums among the threads that it has.
    """
    workdir, saved = tmp_path / "stopped", []
    for number, rows in ((signal.SIGKILL, 4), (signal.SIGTERM, 1), (None, 0)):
        process = start_one(pack, workdir, 1, "--keep", "1")
        if number is None:
            printed = process.communicate(timeout=120)[1]
        else:
            printed = stopped(process, number, workdir / "metrics.jsonl", rows)
        assert process.returncode == {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, None: 0}[number], printed
        assert ("the same command goes on from there" in printed) == (number == signal.SIGTERM)
        saved.append(last_step(workdir))
    assert 0 < saved[0] < saved[1] < saved[2] == 30
    assert_same_bits(final_state(changed(config, keep=1), workdir), final_state(config, alone))


class Killed(NamedTuple):
    """A run of two processes of which the second was killed, and how the first ended."""

    workdir: pathlib.Path
    returncode: int
    printed: str


@pytest.fixture(scope="module")
def killed(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    workdir = tmp_path_factory.mktemp("killed")
    processes = start(pack, workdir, 2)
    with ended(processes):
        while not (workdir / "checkpoints" / str(KILLED_AT)).exists():
            assert processes[0].poll() is None, processes[0].stderr.read()
            time.sleep(0.02)
        processes[1].kill()
        printed = processes[0].communicate(timeout=60)[1]
    return Killed(workdir, processes[0].returncode, printed)


def test_a_killed_process_ends_the_others_with_an_explanation(killed: Killed):
    assert killed.returncode == 1, killed.printed
    assert "give the same command in every process again" in killed.printed
    assert KILLED_AT <= last_step(killed.workdir) < 30


def assert_same_curve(workdir: pathlib.Path, alone: pathlib.Path) -> None:
    # Each of 30 steps starts from the rounding errors of the one before, in means over 24 faces.
    rtol = float32_error(depth=30 * 24)
    np.testing.assert_allclose(losses_and_errors(workdir), losses_and_errors(alone), rtol=rtol)


def test_its_checkpoint_is_restored_by_one_process(
    killed: Killed, config: Config, alone: pathlib.Path, tmp_path: pathlib.Path
):
    shutil.copytree(killed.workdir, tmp_path / "one")
    loop.fit(config, tmp_path / "one")
    assert_same_curve(tmp_path / "one", alone)


def test_three_processes_go_on_from_it_like_one(
    killed: Killed, pack: pathlib.Path, alone: pathlib.Path, tmp_path: pathlib.Path
):
    """The loss of 30 steps, and the evaluation at their end, of every face once."""
    shutil.copytree(killed.workdir, tmp_path / "several")
    finish(start(pack, tmp_path / "several", 3))
    assert_same_curve(tmp_path / "several", alone)
    predicted, expected = (
        np.load(workdir / "evaluation" / "synthetic-validation" / "predictions.npz")
        for workdir in (tmp_path / "several", alone)
    )
    np.testing.assert_array_equal(predicted["names"], expected["names"])
    assert_float32_close(predicted["points"], expected["points"], depth=30 * 24, scale=64)


def test_processes_that_were_given_different_configs_say_so_and_end(pack: pathlib.Path, tmp_path: pathlib.Path):
    """They would train different runs into one folder, or wait for each other for ever."""
    cluster = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id")
    processes = [start_one(pack, tmp_path, 1, *cluster, str(index), "--seed", str(index)) for index in range(2)]
    with ended(processes):
        printed = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], printed
    assert any("process 1 has not the same config as process 0" in text for text in printed)
    assert not (tmp_path / "checkpoints").exists()


def test_eight_devices_that_split_parameters_and_batch_train_like_one(
    pack: pathlib.Path, alone: pathlib.Path, tmp_path: pathlib.Path
):
    finish([start_one(pack, tmp_path, 8, "--fsdp", "4")])
    assert json.loads((tmp_path / "config.json").read_text())["fsdp"] == 4
    assert_same_curve(tmp_path, alone)


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}, False),
        ({"SLURM_STEP_NUM_TASKS": "8"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "host-0,host-1"}, True),
    ],
)
def test_launchers_say_whether_there_are_other_processes(environment: dict[str, str], several: bool):
    assert distributed.one_of_several(environment) == several


@pytest.mark.parametrize("several", [False, True])
def test_what_was_wrong_ends_a_process_without_waiting_for_others(several: bool, monkeypatch, capsys):
    class EndedAtOnceError(Exception):
        pass

    def end_at_once(code: int) -> NoReturn:
        raise EndedAtOnceError(code)

    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: several)
    monkeypatch.setattr(os, "_exit", end_at_once)
    with pytest.raises(EndedAtOnceError if several else SystemExit, match="1"):
        distributed.fail(ValueError("no such face"))
    printed = capsys.readouterr().err
    assert printed.startswith("error: no such face\n")
    assert ("same command in every process" in printed) == several


def test_addresses_without_numbers_are_refused():
    with pytest.raises(ValueError, match="belong together"):
        distributed.start(coordinator="127.0.0.1:1", num_processes=2)


def test_where_one_process_fails_before_it_meets_the_others_all_end(pack: pathlib.Path, tmp_path: pathlib.Path):
    """An orderly end would wait for minutes for the other one, which waits for this one."""
    weights = mean_face_bundle(tmp_path / "mean.npz")
    environment = {"OMPI_MCA_orte_hnp_uri": "4096.0;tcp://127.0.0.1:1", "OMPI_COMM_WORLD_SIZE": "2"}
    environment |= {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "JAX_COORDINATOR_PORT": str(free_port())}
    environment |= {"PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "jaxlm.evaluate", "--weights", weights, "--dataset", pack.name, "--split", "test"],
            cwd=folder,
            env=os.environ | environment | {"OMPI_COMM_WORLD_RANK": str(index), "JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, folder in enumerate((tmp_path, pack.parent))
    ]
    with ended(processes):
        printed = processes[0].communicate(timeout=120)[1]
        assert processes[0].returncode == 1, printed
        assert "faces.npz: no such file" in printed
        assert "The other processes end, too" in printed
        assert processes[1].wait(timeout=40) != 0


@pytest.mark.parametrize(
    ("error", "several", "traced"),
    [
        (ValueError("no such face"), False, False),
        (ValueError("no such face"), True, False),
        (KeyError("face"), True, True),
        (jax.errors.JaxRuntimeError("lost"), True, False),
    ],
)
def test_errors_are_told_and_bugs_are_traced(error: Exception, several: bool, traced: bool, monkeypatch, capsys):
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: several)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="1"), commands.told_errors():
        raise error
    printed = capsys.readouterr().err
    assert f"error: {error}" in printed
    assert ("Traceback" in printed) == traced


def test_a_bug_in_a_single_process_keeps_its_traceback():
    with pytest.raises(KeyError), commands.told_errors():
        raise KeyError("face")
