"""Workdirs: one run at a time, rows that a kill does not take, and faults of the machine told in a line."""

import contextlib
import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from jaxlm.config import Config
from jaxlm.files import folders
from jaxlm.runtime import commands, progress
from jaxlm.runtime.progress import Measure, Progress, read_metrics
from jaxlm.training import loop
from runs import ROOT

MEASURE = Measure("nme", "NME (%)", 100.0)
HOLD = """
import pathlib, sys, time
from jaxlm.files import folders
with folders.claimed(pathlib.Path(sys.argv[1]), "a.lock", "busy"):
    print("claimed", flush=True)
    time.sleep(600)
"""


def claim(workdir: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    return folders.claimed(workdir, "a.lock", f"another process trains in {workdir}")


def test_files_of_somebodys_own_are_not_written_over(debug: Config, tmp_path: pathlib.Path):
    (tmp_path / "config.json").write_text('{"my": "own"}')
    with pytest.raises(FileExistsError, match=r"holds config\.json, and no run; take another --workdir"):
        loop.fit(debug, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    (tmp_path / "train.lock").touch()  # A run that was killed before its first checkpoint.
    loop.check_own(tmp_path)


def test_a_second_process_is_refused_and_a_killed_one_leaves_no_claim_behind(tmp_path: pathlib.Path):
    workdir = tmp_path / "runs" / "mine"
    process = subprocess.Popen([sys.executable, "-c", HOLD, workdir], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "claimed\n"
        with (
            pytest.raises(BlockingIOError, match=f"another process trains in {workdir}"),
            claim(workdir),
        ):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(2):
        with claim(workdir):
            pass


@pytest.mark.parametrize("place", ["file", "file/below/it"])
def test_a_file_in_the_way_is_named(tmp_path: pathlib.Path, place: str):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=f"{tmp_path / 'file'} is a file"),
        claim(tmp_path / place),
    ):
        pass


def test_a_lock_is_not_written_through_a_link(tmp_path: pathlib.Path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.lock").symlink_to(mine)
    with pytest.raises(OSError, match=r"a\.lock is a link"), claim(tmp_path / "run"):
        pass
    assert mine.read_text() == "mine"


def write_rows(workdir: pathlib.Path, steps: range, start: int = 0) -> None:
    with Progress(workdir, 100, start, 8, MEASURE, silent=False) as shown:
        for step in steps:
            shown.train(step, {"loss": 1.0 / step, "nme": 0.1})


def test_rows_are_appended_and_those_after_the_checkpoint_are_dropped(tmp_path: pathlib.Path):
    write_rows(tmp_path, range(1, 6))
    before = (tmp_path / "metrics.jsonl").read_text()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "split": "tr')  # Cut off by a kill.
    write_rows(tmp_path, range(6, 8), start=5)
    after = (tmp_path / "metrics.jsonl").read_text()
    assert after.startswith(before)
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    write_rows(tmp_path, range(4, 5), start=3)
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_rows_are_dropped_loses_none(tmp_path: pathlib.Path, monkeypatch, moment: str):
    class KilledError(Exception):
        pass

    def kill(*arguments: object) -> None:
        raise KilledError

    write_rows(tmp_path, range(1, 6))
    before = (tmp_path / "metrics.jsonl").read_text()
    monkeypatch.setattr(*((os, "fsync") if moment == "fsync" else (pathlib.Path, "replace")), kill)
    with pytest.raises(KilledError):
        write_rows(tmp_path, range(4, 5), start=3)
    assert (tmp_path / "metrics.jsonl").read_text() == before


def test_lines_that_are_no_rows_are_passed_over(tmp_path: pathlib.Path):
    file = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"step": step, "split": "train", "loss": 1.0}) for step in (1, 2)]
    file.write_bytes(
        "\n".join([rows[0], "[1, 2]", '{"step": "x"}', "\x00\x00", "[" * 100_000, rows[1], rows[0][:9]]).encode()
        + b"\xff"
    )
    assert [row["step"] for row in progress.read_metrics(file)] == [1, 2]


def from_library(text: str) -> Exception:
    """An error of a library with its cause inside, as Orbax raises them."""
    outer = RuntimeError("Checkpoint save failed")
    outer.__cause__ = ValueError(text)
    return outer


FULL = 'RESOURCE_EXHAUSTED: Error writing local file "/data/run/checkpoints/66/_sharding": No space left on device'


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (from_library(FULL), "error: the disk is full (/data/run/checkpoints/66/_sharding); make room"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a.jpg"), "error: the disk is full (out/a.jpg); make"),
        (OSError(errno.EROFS, "Read-only file system", "out"), "error: the disk is read-only (out); name a folder"),
        (RuntimeError("Unable to initialize backend 'gqu': not in the list"), "error: JAX cannot use the devices"),
    ],
)
def test_faults_of_the_machine_are_told_in_a_line(error: Exception, told: str, monkeypatch, capsys):
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="1"), commands.told_errors():
        raise error
    printed = capsys.readouterr().err
    assert printed.startswith(told)
    assert printed.count("\n") == 1
