"""Runs as processes of their own: stopped, killed, and several at once."""

import os
import pathlib
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

from jaxlm import distributed, train
from jaxlm.config import Config
from tests.runs import ROOT, assert_same_bits, changed, command, final_state, losses_and_errors


def test_sigterm_saves_and_the_same_command_goes_on(pack: pathlib.Path, tmp_path: pathlib.Path):
    argv = command(pack, tmp_path, "--epochs", "400", "--eval-every", "400")
    process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not ((tmp_path / "metrics.jsonl").exists() and (tmp_path / "metrics.jsonl").read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert "the same command goes on from there" in printed
    steps = [int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()]
    assert len(steps) == 1
    assert 0 < steps[0] < 2400


def test_runs_killed_at_any_moment_end_with_the_same_bits(debug: Config, pack: pathlib.Path, tmp_path: pathlib.Path):
    """With kill -9, from before the first checkpoint to after several were saved and deleted."""
    more = ("--epochs", "16", "--keep", "1")
    config = changed(debug, epochs=16, keep=1)
    assert train.fit(config, tmp_path / "straight")
    rng, finished, killed = np.random.default_rng(0), False, 0
    while not finished:
        process = subprocess.Popen(command(pack, tmp_path / "killed", *more), cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            file = tmp_path / "killed" / "metrics.jsonl"
            lines = len(file.read_text().splitlines()) if file.exists() else 0
            while killed < 3 and process.poll() is None:
                if file.exists() and len(file.read_text().splitlines()) > lines + rng.integers(1, 8):
                    time.sleep(rng.uniform(0, 0.05))
                    break
                time.sleep(0.01)
            if killed < 3 and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
        finally:
            finished = process.wait(timeout=120) == 0
    assert killed == 3
    assert_same_bits(final_state(config, tmp_path / "straight"), final_state(config, tmp_path / "killed"))


def start_two(pack: pathlib.Path, workdir: pathlib.Path, *more: str) -> list[subprocess.Popen]:
    """A run of two processes of one device each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = ("--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id")
    return [
        subprocess.Popen(
            command(pack, workdir, *more, *cluster, str(index)),
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def test_two_processes_train_like_one_after_one_of_them_was_killed(
    debug: Config, pack: pathlib.Path, tmp_path: pathlib.Path
):
    config = changed(debug, epochs=8)
    processes = start_two(pack, tmp_path / "two", "--epochs", "8")
    try:
        while not (tmp_path / "two" / "checkpoints" / "12").exists():
            assert processes[0].poll() is None, processes[0].stderr.read()
            time.sleep(0.02)
        processes[1].kill()
        printed = processes[0].communicate(timeout=60)[1]
        assert processes[0].returncode == 1, printed
        assert "another process of this run ended" in printed
        processes = start_two(pack, tmp_path / "two", "--epochs", "8")
        printed = [process.communicate(timeout=150)[1] for process in processes]
    finally:
        for process in processes:  # SIGTERM no longer ends a process that has joined a cluster.
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], printed
    assert train.fit(config, tmp_path / "one")
    two, one = final_state(config, tmp_path / "two"), final_state(config, tmp_path / "one")
    assert two[0] == one[0] == 48
    rows = [losses_and_errors(tmp_path / name) for name in ("two", "one")]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-3)


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


def test_addresses_without_numbers_are_refused():
    with pytest.raises(ValueError, match="belong together"):
        distributed.start(coordinator="127.0.0.1:1", num_processes=2)
