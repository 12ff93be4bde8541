"""The script that trains weights to ship: its commands, their order, and that it goes on where it was stopped."""

import importlib.util
import pathlib
import stat
import sys
import types

import pytest

from parsing import parse

FILE = pathlib.Path(__file__).parents[1] / "tools" / "train_shipped.py"
FAKE = """#!/bin/sh
shift 2
echo "$@" >> {log}
[ "$1" = slow ] && [ ! -e {folder}/fast ] && exec sleep 30
[ "$1" != fails ] || exit 3
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("train_shipped", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_shipped", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "imagenet", lambda size: pathlib.Path(f"{size}.pth"))
    return module


@pytest.mark.parametrize("budget", ["cpu", "gpu"])
def test_every_step_is_a_command_and_reads_what_earlier_ones_wrote(
    script: types.ModuleType, budget: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    steps = script.plan(pathlib.Path("300w.npz"), tmp_path, script.BUDGETS[budget])
    assert ("teacher" in {step.name for step in steps}) == (budget == "gpu")
    assert any("depthwise" in word for step in steps for word in step.arguments) == (budget == "cpu")
    written = set()
    for step in steps:
        parse(step.arguments, monkeypatch)
        trains = step.arguments[0] == "train"
        out = step.arguments.index("--workdir" if trains else "--out") + 1 if step.arguments[0] != "evaluate" else None
        for place, word in enumerate(step.arguments):
            names = {pathlib.Path(part).name for part in word.split("+") if part.startswith(str(tmp_path))}
            assert place == out or names <= written, step
        if out:
            written.add(pathlib.Path(step.arguments[out]).name)
    assert {"weights_68.npz", "turned.npz", "first"} <= written


@pytest.fixture
def log(script: types.ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where a stand-in for `python -m jaxlm` writes its arguments; `slow` takes long until there is a file `fast`."""
    fake, file = tmp_path / "fake", tmp_path / "log"
    fake.write_text(FAKE.format(log=file, folder=tmp_path))
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(script.sys, "executable", str(fake))
    return file


def call(script: types.ModuleType, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, *steps: str) -> None:
    plan = [script.Step(name, [name]) for name in steps]
    monkeypatch.setattr(script, "plan", lambda *_: plan)
    # The minute is what a training has to save itself.
    monkeypatch.setattr(script, "_LEAST_MINUTES", 1)
    argv = ["train_shipped", "--dataset", str(FILE), "--workdir", str(folder), "--minutes", "1"]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()


def test_it_stops_in_time_and_goes_on(
    script: types.ModuleType, log: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    with pytest.raises(SystemExit) as caught:
        call(script, tmp_path, monkeypatch, "one", "slow", "two")
    assert caught.value.code == script.TEMPORARY_FAILURE
    assert "Stopped in step 2 of 3, slow" in capsys.readouterr().out
    (tmp_path / "fast").touch()
    call(script, tmp_path, monkeypatch, "one", "slow", "two")
    assert log.read_text().split() == ["one", "slow", "slow", "two"]
    assert "All 3 steps are done" in capsys.readouterr().out


def test_a_step_that_fails_ends_it(
    script: types.ModuleType, log: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            call(script, tmp_path, monkeypatch, "one", "fails", "two")
        assert caught.value.code == 3
    assert log.read_text().split() == ["one", "fails", "fails"]


def test_steps_of_another_command_are_not_taken_for_done(
    script: types.ModuleType, log: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    call(script, tmp_path, monkeypatch, "one")
    (tmp_path / "done" / "one").write_text("one --dataset other.npz")
    with pytest.raises(SystemExit, match=r"has step one by another command: .*; name another --workdir"):
        call(script, tmp_path, monkeypatch, "one")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", str(FILE), "--minutes", "1"], "give 6"),
        (["--dataset", str(FILE), "--minutes", "nan"], "give 6"),
        (["--dataset", "none.npz"], "none.npz: no such file"),
    ],
)
def test_what_cannot_work_is_told(
    script: types.ModuleType, options: list[str], message: str, tmp_path: pathlib.Path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["train_shipped", "--workdir", str(tmp_path / "new"), *options])
    with pytest.raises(SystemExit):
        script.main()
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_packages_that_are_missing_are_named():
    spec = importlib.util.spec_from_file_location("as_it_is", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["as_it_is"] = module
    try:
        spec.loader.exec_module(module)
        with pytest.raises(SystemExit, match="pip install efficientnet-lite9-pytorch-model"):
            module.imagenet("lite9")
    finally:
        del sys.modules["as_it_is"]
