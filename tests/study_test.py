"""Studies: what a file may say, the runs and their order, going on, sharing, the table and its intervals."""

import dataclasses
import json
import math
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import cv2
import msgspec
import numpy as np
import pytest

from jaxlm import __main__ as cli
from jaxlm import experiment, study
from jaxlm.data_pipelines.input import open_splits, write_pack
from jaxlm.files.folders import claimed
from jaxlm.studies import intervals
from jaxlm.studies.comparison import file as study_file
from jaxlm.studies.comparison import make_plan, outcomes, read_study, reporting, results, show_plan, working
from jaxlm.studies.comparison.outcomes import Result
from jaxlm.studies.comparison.workdirs import as_begun, check_unchanged, remember
from jaxlm.training import loop
from runs import assert_same_bits, final_state
from tolerances import float32_error

PLAIN = """
question = "Is b better than a?"
seeds = [3, 1]
settings = "--data.cache device"
compare = [["b", "a"]]
[arms.a]
experiment = "debug"
[arms.b]
experiment = "debug"
settings = "--optim.learning-rate 1e-3"
"""
CHAIN = """
question = "Does it help to start from a?"
seeds = [0]
trials = ["--optim.weight-decay 0", "--optim.weight-decay 0.1"]
[arms.b]
experiment = "debug"
init_from = "a"
[arms.a]
experiment = "debug"
settings = "--epochs 2"
"""


def written(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def plan_of(folder: pathlib.Path, text: str, *common: str):
    its = read_study(written(folder, text))
    return its, make_plan(its, folder / "runs", common)


def test_runs_go_seed_by_seed_and_their_commands_make_their_configs(tmp_path: pathlib.Path):
    _, runs = plan_of(tmp_path, PLAIN, "--epochs", "5")
    assert [run.name for run in runs] == ["a/seed3", "b/seed3", "a/seed1", "b/seed1"]
    assert [run.config.optim.learning_rate for run in runs] == [3e-3, 1e-3] * 2
    assert {(run.config.epochs, run.config.data.cache) for run in runs} == {(5, "device")}
    command = runs[1].command(tmp_path / "runs")
    assert command == (
        "jaxlm train --experiment debug --data.cache device --optim.learning-rate 1e-3 --epochs 5 --seed 3"
        f" --workdir {tmp_path}/runs/b/seed3"
    )


def test_a_chain_goes_trial_by_trial_from_run_to_run_of_the_same_seed(tmp_path: pathlib.Path):
    its, runs = plan_of(tmp_path, CHAIN)
    assert [run.name for run in runs] == ["a/trial1/seed0", "b/trial1/seed0", "a/trial2/seed0", "b/trial2/seed0"]
    assert [run.source for run in runs] == [None, "a/trial1/seed0", None, "a/trial2/seed0"]
    assert runs[3].config.init_from == str(tmp_path / "runs" / "a/trial2/seed0")
    assert f"--init-from {tmp_path}/runs/a/trial2/seed0 " in runs[3].command(tmp_path / "runs")
    assert [run.config.optim.weight_decay for run in runs] == [0, 0, 0.1, 0.1]
    assert study_file.chain_of(its, "b") == ["a", "b"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds", "sedes", "a study has no field 'sedes'. Did you mean seeds?"),
        ('[arms.b]\nexperiment', '[arms.b]\nexperimen', "arm b has no field 'experimen'. Did you mean experiment?"),
        ('[arms.a]\nexperiment = "debug"', '[arms.a]\nexperiment = "debgu"', "arm a: unknown experiment 'debgu'"),
        ("--optim.learning-rate 1", "--optim.learning-rat 1", "arm b: there is no option --optim.learning-rat."),
        ("--optim.learning-rate 1e-3", "--epochs many", "arm b: "),
        ("[3, 1]", "[3, 3]", "seed 3 is there twice"),
        ("[3, 1]", "[3, -1]", "Expected an integer >= 0 - at `seeds[1]`"),
        ("[3, 1]", "3", "Expected a list, got an integer - at `seeds`"),
        ('[arms.a]\nexperiment = "debug"', "[arms]\na = 3", "arm a: Expected a table, got an integer"),
        ('[arms.a]\nexperiment = "debug"', "[arms.a]\nexperiment = 3", "arm a: Expected a text in quotes"),
        ("seeds =", "box_errors = [10.0000001, 10.0000002]\nseeds =", "box_errors has 10 twice"),
        ("seeds =", "split = 'train'\nseeds =", "arm a: split = 'train' judges by faces of train that it is tr"),
        ("seeds =", "split = 'test+train[:9]'\nseeds =", "judges by faces of train that it is trained on"),
        ("[arms.b]", "[arms.A]", "two arms are called a, but for capital letters"),
        ("--optim.learning-rate 1e-3", "", "a and b are the same training"),
        ("--optim.learning-rate 1e-3", "--seed 4", "arm b: leave --seed out of the settings"),
        ('["b", "a"]', '["b", "c"]', "compare names the unknown arm 'c'"),
        ('["b", "a"]', '["b", "b"]', "compare names arm b twice"),
        ("[arms.b]", "[arms.b]\ninit_from = 'c'", "arm b starts from the unknown arm 'c'"),
        ("[arms.b]", "[arms.b]\ninit_from = 'b'", "in a circle: b <- b"),
        ("[arms.b]", "[arms.b]\ntrials = ['--epochs 2']", "the same number of trials, and they have: a 0, b 1"),
        ("[arms.b]", "[arms.'b/c']", "arm 'b/c': its name becomes a folder's"),
        ("--optim.learning-rate 1e-3", "--data.validation-percent 0", "arm b: no faces are held out to judge by"),
        ('[arms.a]\nexperiment = "debug"', '[arms.a]\nexperiment = "vunet_synthetic"', "arm a: model vunet is a trans"),
        ('"Is b', '"""Is b', "is no TOML"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_with_its_name(
    old: str, new: str, message: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    assert old in PLAIN
    path = written(tmp_path, PLAIN.replace(old, new, 1))
    with pytest.raises(SystemExit, match="1"):
        cli.main(["study", str(path), "--workdir", str(tmp_path / "runs"), "--dry-run"])
    told = capsys.readouterr().err
    assert told.startswith(f"error: {path}")
    assert message in told


@pytest.mark.parametrize(
    ("text", "common", "message"),
    [
        (PLAIN, ["--seed", "5"], "arm a: leave --seed out of what stands behind --; the study gives it to each run"),
        (PLAIN, ["--seed=5"], "arm a: leave --seed out of"),
        (CHAIN, ["--init-from", "x"], "arm b has init_from = 'a'; leave --init-from out of what stands behind --"),
    ],
)
def test_what_a_study_gives_to_each_run_is_refused_behind_the_dashes_too(
    text: str, common: list[str], message: str, tmp_path: pathlib.Path
):
    with pytest.raises(ValueError, match=message):
        plan_of(tmp_path, text, *common)
    plan_of(tmp_path, PLAIN, "--init-from", "x")


def test_an_unknown_study_gets_a_suggestion(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["study", "sepbm", "--workdir", "runs", "--dry-run"])
    assert "unknown study 'sepbm'; the path of a file ends in .toml. Did you mean sepbn?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="1"):
        cli.main(["study", "none.toml", "--workdir", "runs"])
    assert "none.toml: there is no such file of a study" in capsys.readouterr().err


@pytest.mark.parametrize("name", study_file.files())
def test_the_studies_that_come_along_can_be_planned(name: str, tmp_path: pathlib.Path):
    its = read_study(study_file.find_file(name))
    runs = make_plan(its, tmp_path)
    assert len(its.seeds) == 3
    assert len(runs) == len(its.arms) * len(its.seeds) * max(1, len(its.trials))
    assert its.compare


def test_the_arms_of_the_dpr_study_have_equal_steps(tmp_path: pathlib.Path):
    its = read_study(study_file.find_file("dpr"))
    configs = {run.arm: run.config for run in make_plan(its, tmp_path) if run.seed == 0}
    assert its.shifts == (0, 0.1, 0.2, 0.3)
    epochs = {arm: sum(configs[part].epochs for part in study_file.chain_of(its, arm)) for arm in ("gsr", "plain")}
    assert epochs["gsr"] == epochs["plain"] == 180
    assert configs["gsr"].data.batch_size == configs["plain"].data.batch_size


# Results made up by hand.


def result(nme: list[list[float]], curve: list[tuple[int, float]] = [(4, 0.5)], **fields) -> Result:  # noqa: B006
    values = {
        "seconds": 10.0,
        "steps": 8,
        "epochs": 4,
        "best_step": curve[-1][0],
        "parameters": 100,
        "curve": curve,
        "split": "validation",
        "protocol": {"data": "d", "NME": "mean, by x distance"},
        "identity": {"names": "1"},
        "faces": ["f", "g"],
        "errors": dict(zip(("0", "10"), nme, strict=False)),
    }
    return Result(**values | fields)


def test_the_values_of_the_table(tmp_path: pathlib.Path):
    its, _ = plan_of(tmp_path, PLAIN)
    found = {
        "a/seed3": result([[0.02, 0.04]]),
        "a/seed1": result([[0.06, 0.12]], curve=[(2, 0.5), (6, 0.4)], seconds=None),
        "b/seed3": result([[0.01, 0.04]]),
    }
    a, b = results.results_of(its, found, (0.08, 0.10))
    close = {"rel": float32_error(depth=10)}
    # Seeds have 3 and 9 %; of faces, one of four fails.
    # Areas to 10 % are (8 + 6) / 20 and 4 / 20, to 8 % (6 + 4) / 16 and 2 / 16.
    summary = a.summary["0"]
    assert (a.seeds, a.trial, a.tried) == ([3, 1], None, {})
    assert summary.nme == pytest.approx(6, **close)
    assert summary.deviation == pytest.approx(math.sqrt(18), **close)
    assert summary.failure_rate == pytest.approx((25, 25), **close)
    assert summary.auc == pytest.approx((6 / 16, 9 / 20), **close)
    assert a.best_epochs == [2, 3]  # Steps 4 and 6, of 2 an epoch.
    assert (a.steps, a.epochs, a.parameters, a.seconds) == (8, 4, 100, 10)
    assert (b.seeds, b.summary["0"].deviation) == ([3], None)
    assert b.summary["0"].nme == pytest.approx(2.5, **close)
    (difference,) = results.differences_of(its, [a, b], found)
    # Seed 3 alone is common.
    assert (difference.arm, difference.other, difference.seeds, difference.found.seeds) == ("b", "a", [3], None)
    assert difference.found.mean == pytest.approx(-0.5, rel=float32_error(depth=10, scale=10))
    assert difference.verdict == "not clear (one seed)"
    found = reporting.Findings(its, [a, b], [difference], {"data": "d"}, (0.08, 0.10), {"b/seed1": "it\nbroke"})
    text = reporting.markdown(found)
    assert "| a | 6.000 +- 4.243 | 25.00 | 0.375 | 25.00 | 0.450 | 3, 1 | 8 | 4 (2.5) | 100 |" in text
    assert "| 0.00 | 0.750 | 3 | 8 | 4 (2) | 100 |" in text
    assert "- b/seed1: it broke" in text
    rows = reporting.as_csv(its, [a, b], (0.08, 0.10)).splitlines()
    assert rows[0].startswith("arm,experiment,trial,seeds,nme,nme_sd,fr_8,auc_8,fr_10,auc_10,steps,")
    assert rows[1].startswith("a,debug,,3 1,6.0")


def test_validation_chooses_one_of_the_trials_that_finished_most_seeds(tmp_path: pathlib.Path):
    its, _ = plan_of(tmp_path, CHAIN.replace("[0]", "[0, 1]"))

    def both(arm: str, trial: int, best: tuple[float, ...]) -> dict[str, Result]:
        nme = [[0.1, 0.1]]
        return {f"{arm}/trial{trial}/seed{seed}": result(nme, [(4, v), (8, v + 1)]) for seed, v in enumerate(best)}

    found = both("a", 1, (0.2, 0.4)) | both("a", 2, (0.1, 0.4)) | both("b", 1, (0.3, 0.3)) | both("b", 2, (0.01,))
    a, b = (row for arm in "ab" for row in results.results_of(its, found, (0.1,)) if row.arm == arm)
    assert a.trial == 2
    assert a.tried == pytest.approx({1: 30, 2: 25})
    assert (b.trial, b.seeds) == (1, [0, 1])  # The better trial lacks a seed.
    assert b.steps == 16  # With those of a.
    assert results.choose_trial(its, "b", {}) == (None, {})


def test_the_interval_over_seeds_is_students():
    """Of 1, 2 and 6: mean 3, standard deviation sqrt(7), so 3 -+ 4.3027 sqrt(7 / 3)."""
    half = 4.302653 * math.sqrt(7 / 3)
    assert intervals.t_interval(np.array([1.0, 2.0, 6.0])) == pytest.approx((3 - half, 3 + half), rel=1e-6)
    # As printed in every table of Student's distribution.
    printed = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 30: 2.042}
    assert {n: round(intervals.student_quantile(n), 3) for n in printed} == printed


def test_a_difference_is_clear_beyond_both_intervals():
    """Faces differ by -1 and -3 % on average, seeds by -1.9, -2.0 and -2.1 %."""
    theirs = np.full((3, 2), 0.1)
    ours = theirs - np.array([[0.009, 0.029], [0.010, 0.030], [0.011, 0.031]])
    found = intervals.paired_difference(ours, theirs)
    assert found.mean == pytest.approx(-2)
    assert found.faces == pytest.approx((-3, -1))  # The bounds of all resamples of two faces.
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert found.seeds == pytest.approx((-2 - half, -2 + half), rel=1e-6)
    assert found.is_clear
    assert results.Difference("a", "b", 0, [0, 1, 2], found).verdict == "a is better"
    turned = intervals.paired_difference(theirs, ours)
    assert results.Difference("b", "a", 0, [0, 1, 2], turned).verdict == "a is better"
    # The mean is the same, and the seeds disagree.
    found = intervals.paired_difference(theirs - np.array([[0.06], [0.02], [-0.02]]), theirs)
    assert found.mean == pytest.approx(-2)
    assert not found.is_clear


def test_runs_judged_by_different_faces_are_not_compared():
    with pytest.raises(ValueError, match="a and b were judged by different faces"):
        results.check_judges({"a": result([[0.1, 0.1]]), "b": result([[0.1, 0.1]], identity={"names": "2"})})


# Working, without training.


class Fakes:
    """Stands in for training and judging."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail: str = "", stop: str = "") -> None:
        self.done: list[str] = []
        self._fail, self._stop = fail, stop
        monkeypatch.setattr(loop, "fit", self.fit)
        monkeypatch.setattr(working.checkpoints, "open_model", lambda folder: None)
        monkeypatch.setattr(working, "judge", self.judge)
        monkeypatch.setattr(working, "_PATIENCE", 0.05)

    def judge(self, trained, folder: pathlib.Path, its: study_file.Study, seconds: float | None) -> Result:
        return result([[0.1, 0.2]] * len(its.shifts), split=its.split, seconds=seconds)

    def fit(self, config, workdir: pathlib.Path) -> None:
        name = "/".join(workdir.parts[workdir.parts.index("runs") + 1 :])
        if name == self._stop:
            raise SystemExit(143)
        if name == self._fail:
            raise FloatingPointError("the loss is nan")
        self.done.append(name)
        time.sleep(0.01)


def test_a_failed_run_and_what_starts_from_it_are_told_and_the_rest_goes_on(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    its, runs = plan_of(tmp_path, CHAIN)
    faked = Fakes(monkeypatch, fail="a/trial1/seed0")
    missing = working._work(its, runs, tmp_path / "runs")
    assert faked.done == ["a/trial2/seed0", "b/trial2/seed0"]
    assert missing == {
        "a/trial1/seed0": "the loss is nan",
        "b/trial1/seed0": "it starts from a/trial1/seed0, which failed",
    }
    printed = capsys.readouterr()
    assert "run 3 of 4: a/trial2/seed0; time left not known yet" in printed.out
    assert "run 4 of 4: b/trial2/seed0; " in printed.out
    assert "run a/trial1/seed0 failed: the loss is nan" in printed.err
    show_plan(its, runs, tmp_path / "runs")
    printed = capsys.readouterr().out
    assert "4 runs: 2 finished, 2 left" in printed
    assert [line.split()[1] for line in printed.splitlines()[-4:]] == ["failed", "left", "finished", "finished"]
    again = Fakes(monkeypatch)
    assert working._work(its, runs, tmp_path / "runs") == {}
    assert again.done == ["a/trial1/seed0", "b/trial1/seed0"]
    assert outcomes.read_failure(runs[0], tmp_path / "runs") is None


def test_what_is_judged_otherwise_now_is_looked_up_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    its, runs = plan_of(tmp_path, PLAIN)
    Fakes(monkeypatch)
    working._work(its, runs, tmp_path / "runs")
    before = outcomes.stored_result(runs[0], tmp_path / "runs")
    for more in ("box_errors = [10]", "split = 'test'\nbox_errors = [10]"):
        its, runs = plan_of(tmp_path, PLAIN.replace("seeds =", f"{more}\nseeds ="))
        assert [working.state_of(run, tmp_path / "runs", its) for run in runs] == ["left"] * 4
        working._work(its, runs, tmp_path / "runs")
        assert outcomes.read_result(runs[0], tmp_path / "runs", its)
    assert outcomes.stored_result(runs[0], tmp_path / "runs").seconds == before.seconds > 0


def test_processes_share_the_runs_and_do_none_twice(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    its, runs = plan_of(tmp_path, CHAIN.replace("[0]", "[0, 1, 2]"))
    faked = Fakes(monkeypatch)
    threads = [threading.Thread(target=working._work, args=(its, runs, tmp_path / "runs")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(faked.done) == sorted(run.name for run in runs)


def test_a_process_waits_for_another_and_takes_over_when_it_dies(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    its, runs = plan_of(tmp_path, PLAIN)
    folder = runs[0].folder(tmp_path / "runs")
    code = (
        "import pathlib, sys, time; from jaxlm.files.folders import claimed\n"
        "with claimed(pathlib.Path(sys.argv[1]), 'study.lock', ''): print('claimed', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "claimed\n"
    faked = Fakes(monkeypatch)
    thread = threading.Thread(target=working._work, args=(its, runs, tmp_path / "runs"))
    thread.start()
    while len(faked.done) < 3:
        time.sleep(0.01)
    thread.join(0.2)
    assert thread.is_alive()
    assert faked.done == ["b/seed3", "a/seed1", "b/seed1"]
    other.kill()
    thread.join(10)
    assert faked.done[3:] == ["a/seed3"]
    assert not thread.is_alive()
    other.wait()


def test_a_claim_can_be_waited_for(tmp_path: pathlib.Path):
    entered = threading.Event()

    def enter() -> None:
        with claimed(tmp_path, "lock", None):
            entered.set()

    with claimed(tmp_path, "lock", "busy"):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
        with pytest.raises(BlockingIOError, match="busy"), claimed(tmp_path, "lock", "busy"):
            pass
    thread.join()
    assert entered.is_set()


def test_a_changed_file_is_refused_and_new_arms_and_seeds_are_not(tmp_path: pathlib.Path):
    _, runs = plan_of(tmp_path, PLAIN)
    for run in runs[:2]:
        run.folder(tmp_path / "runs").mkdir(parents=True)
        remember(run, tmp_path / "runs")
    check_unchanged(runs, tmp_path / "runs")
    more = PLAIN.replace("[3, 1]", "[5, 3]") + '\n[arms.c]\nexperiment = "debug"\nsettings = "--epochs 9"'
    check_unchanged(plan_of(tmp_path, more)[1], tmp_path / "runs")
    _, changed = plan_of(tmp_path, PLAIN.replace("1e-3", "2e-3"))
    with pytest.raises(ValueError, match=r"arm b: optim.learning_rate: 0.001 here, 0.002 asked for$"):
        check_unchanged(changed, tmp_path / "runs")
    _, chained = plan_of(tmp_path, PLAIN.replace("[arms.b]", "[arms.b]\ninit_from = 'a'"))
    with pytest.raises(ValueError, match=r"arm b: init_from: None here, a/seed3 asked for$"):
        check_unchanged(chained, tmp_path / "runs")
    # What does not change the numbers may differ, and so may the name of the workdir.
    check_unchanged(plan_of(tmp_path, PLAIN, "--data.cache", "none")[1], tmp_path / "runs")


def test_settings_that_failed_before_the_first_checkpoint_may_be_mended(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    its, runs = plan_of(tmp_path, PLAIN)
    Fakes(monkeypatch, fail="b/seed3")
    assert list(working._work(its, runs, tmp_path / "runs")) == ["b/seed3"]
    _, mended = plan_of(tmp_path, PLAIN.replace("1e-3", "2e-3").replace("[3, 1]", "[3]"))
    check_unchanged(mended, tmp_path / "runs")
    Fakes(monkeypatch)
    assert working._work(its, mended, tmp_path / "runs") == {}
    asked = json.loads((tmp_path / "runs" / "b" / "seed3" / "asked.json").read_text())
    assert asked["config"]["optim"]["learning_rate"] == 2e-3
    # One that failed later goes on from its checkpoint, so that it stays as it was.
    (tmp_path / "runs" / "b" / "seed3" / "failed.json").write_text('{"error": "", "token": ""}')
    (tmp_path / "runs" / "b" / "seed3" / "checkpoints" / "4").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"learning_rate: 0.002 here, 0.001 asked for"):
        check_unchanged([run for run in runs if run.seed == 3], tmp_path / "runs")


def test_a_workdir_that_is_spelt_otherwise_or_moved_goes_on(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Checkpoints of a run know the folder that it started from by the name of that day."""
    monkeypatch.chdir(tmp_path)
    its = read_study(written(tmp_path, CHAIN))
    relative, elsewhere = pathlib.Path("runs"), tmp_path / "moved" / "runs"
    begun, only_asked = (run for run in make_plan(its, relative) if run.source)
    for run in (begun, only_asked):
        run.folder(relative).mkdir(parents=True)
        remember(run, relative)
    (begun.folder(relative) / "checkpoints" / "4").mkdir(parents=True)
    for workdir in (tmp_path / "runs", elsewhere):
        if workdir == elsewhere:
            elsewhere.parent.mkdir()
            relative.rename(elsewhere)
        runs = [run for run in make_plan(its, workdir) if run.source]
        check_unchanged(runs, workdir)
        known = "runs/a/trial1/seed0"
        assert as_begun(runs[0], workdir).config.init_from == known
        assert f"--init-from {known} --workdir" in as_begun(runs[0], workdir).command(workdir)
        # A run without a checkpoint begins anew, from the folder as it is called today.
        assert as_begun(runs[1], workdir).config.init_from == f"{workdir}/a/trial2/seed0"
        remember(runs[1], workdir)
        asked = json.loads((runs[1].folder(workdir) / "asked.json").read_text())
        assert asked["config"]["init_from"] == f"{workdir}/a/trial2/seed0"
    given = []
    Fakes(monkeypatch)
    monkeypatch.setattr(loop, "fit", lambda config, folder: given.append(config.init_from))
    working._do(runs[0], elsewhere, its)
    assert given == [known]


# The whole, at its smallest.

TINY = """
question = "Is a higher learning rate better?"
seeds = [0, 1]
settings = "--data.cache device --model.options.widths 4 --epochs 2 --eval-every 1"
box_errors = [10]
compare = [["fast", "slow"]]
[arms.slow]
experiment = "debug"
[arms.fast]
experiment = "debug"
settings = "--optim.learning-rate 1e-2"
init_from = "slow"
"""


@pytest.fixture(scope="module")
def stopped_and_resumed(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory):
    """A study that was stopped in its second run and went on: its folder, the first run's files before and after."""
    folder = tmp_path_factory.mktemp("study")
    arguments = ["study", str(written(folder, TINY)), "--workdir", str(folder / "runs")]
    arguments += ["--", "--data.dataset", str(pack)]
    fit, started = loop.fit, []

    def stop_in_the_second(config, workdir) -> None:
        started.append(workdir)
        if len(started) == 2:
            raise SystemExit(143)
        fit(config, workdir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fit", stop_in_the_second)
        with pytest.raises(SystemExit, match="143"):
            cli.main(arguments)
    first = folder / "runs" / "slow" / "seed0"
    before = {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}
    cli.main(arguments)
    return folder, before, {file: file.read_bytes() for file in first.rglob("*") if file.is_file()}


def test_a_finished_run_is_not_touched_when_the_study_goes_on(stopped_and_resumed):
    _, before, after = stopped_and_resumed
    assert (len(before), before) == (len(after), after)


def test_a_run_of_a_study_is_that_of_its_command(stopped_and_resumed, pack: pathlib.Path, tmp_path: pathlib.Path):
    folder, _, _ = stopped_and_resumed
    its, common = read_study(folder / "study.toml"), ["--data.dataset", str(pack)]
    runs = make_plan(its, folder / "runs", common)
    assert [run.name for run in runs] == ["slow/seed0", "fast/seed0", "slow/seed1", "fast/seed1"]
    run = runs[2]
    loop.fit(run.config, tmp_path / "alone")
    step, *ours = final_state(run.config, run.folder(folder / "runs"))
    other_step, *theirs = final_state(run.config, tmp_path / "alone")
    assert step == other_step == 12
    assert_same_bits(ours, theirs)


def test_the_files_at_the_end_agree_with_the_runs(stopped_and_resumed):
    folder, _, _ = stopped_and_resumed
    table = json.loads((folder / "runs" / "study.json").read_text())
    slow, fast = table["arms"]
    stored = [json.loads((folder / f"runs/slow/seed{seed}/result.json").read_text()) for seed in (0, 1)]
    means = [100 * np.mean(one["errors"]["0"]) for one in stored]
    assert slow["by_seed"]["0"] == pytest.approx(means, rel=float32_error(depth=10))
    # The validation that chose the checkpoint saw the same faces.
    best = [100 * min(nme for _, nme in one["curve"]) for one in stored]
    assert means == pytest.approx(best, rel=float32_error(depth=1000))
    assert (slow["steps"], fast["steps"]) == (12, 24)
    assert [one["shift"] for one in table["differences"]] == [0, 10]
    mean = fast["summary"]["10"]["nme"] - slow["summary"]["10"]["nme"]
    assert table["differences"][1]["found"]["mean"] == pytest.approx(mean, abs=float32_error(depth=100, scale=100))
    assert table["missing"] == {}
    assert "6 faces, 98 points" in table["protocol"]["data"]
    page = (folder / "runs" / "study.md").read_text()
    assert page.startswith("# Is a higher learning rate better?\n")
    assert cv2.imread(str(folder / "runs" / "study.png")).std() > 5


def test_a_study_that_is_finished_shows_its_table_again(
    stopped_and_resumed, pack: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    folder, _, _ = stopped_and_resumed
    monkeypatch.setattr(loop, "fit", None)
    common = ["--data.dataset", str(pack)]
    study.run_study(folder / "study.toml", folder / "runs", common, dry_run=True)
    assert "4 runs: 4 finished, 0 left" in capsys.readouterr().out
    study.run_study(folder / "study.toml", folder / "runs", common, dry_run=False)
    assert "| fast - slow | 10 % |" in capsys.readouterr().out


def test_arms_that_are_judged_by_different_faces_are_told_before_the_work(
    pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    Fakes(monkeypatch)
    other = TINY.replace('init_from = "slow"', "").replace("1e-2", "1e-2 --data.validation-percent 30")
    its, runs = plan_of(tmp_path, other, "--data.dataset", str(pack))
    with pytest.raises(ValueError, match=r"arms slow and fast are judged by different faces of validation \(number of"):
        working.follow_study(its, runs, tmp_path / "runs")


def test_data_that_changed_since_a_run_was_judged_are_told_before_the_work(
    pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """Their folders are named; once they are deleted, their runs are done again."""
    data = tmp_path / "faces.npz"
    data.write_bytes(pack.read_bytes())
    faked = Fakes(monkeypatch)
    its, runs = plan_of(tmp_path, TINY, "--data.dataset", str(data))
    identity = dict(working.identity_of(working.open_evaluation(runs[0].config, str(data), "validation", "")[0]))
    for run in runs[:2]:
        run.folder(tmp_path / "runs").mkdir(parents=True)
        done = msgspec.to_builtins(result([[0.1, 0.2]] * 2, identity=identity))
        (run.folder(tmp_path / "runs") / "result.json").write_text(json.dumps(done))
    monkeypatch.setattr(working, "check_shapes", lambda config: None)
    monkeypatch.setattr(working.cost, "check_size", lambda config: None)
    splits = open_splits(str(data), "")
    moved = splits["train"].points + 1
    write_pack(data, splits | {"train": dataclasses.replace(splits["train"], points=moved)})
    with pytest.raises(ValueError, match=r"since these runs were judged \(points\); .* delete these folders") as caught:
        working.follow_study(its, runs, tmp_path / "runs")
    folders = [str(run.folder(tmp_path / "runs")) for run in runs[:2]]
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == folders
    assert faked.done == []
    for folder in folders:
        shutil.rmtree(folder)
    assert working.follow_study(its, runs, tmp_path / "runs") == {}
    assert len(faked.done) == 4


def test_the_workdir_of_another_study_or_of_a_training_is_refused(
    stopped_and_resumed, pack: pathlib.Path, tmp_path: pathlib.Path
):
    folder, _, _ = stopped_and_resumed
    common = ["--data.dataset", str(pack)]
    before = (folder / "runs" / "study.md").read_text()
    other = written(tmp_path, PLAIN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "study.md").write_text("of the user")
    for dry_run in (False, True):
        for workdir, message in (
            (
                folder / "runs",
                "another study, 'Is a higher learning rate better.'; this one asks 'Is b better than a.'",
            ),
            (folder / "runs" / "slow" / "seed0", "is the workdir of a training"),
            (tmp_path / "mine", "holds study.md, and no study; take another --workdir"),
        ):
            with pytest.raises((ValueError, FileExistsError), match=message):
                study.run_study(other, workdir, common, dry_run=dry_run)
    assert (folder / "runs" / "study.md").read_text() == before
    assert (tmp_path / "mine" / "study.md").read_text() == "of the user"


def test_missing_data_are_told_and_not_taken_for_a_changed_file(
    pack: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    """The scheme of an experiment is that of the pack, so that a run without the pack looks like another one."""
    data = tmp_path / "van.npz"
    common = ["--data.dataset", str(data)]
    data.write_bytes(pack.read_bytes())
    its = written(tmp_path, PLAIN.replace('"debug"', '"cnn_bn_300w"').replace("1e-3", "1e-5"))
    for workdir in (tmp_path / "begun", tmp_path / "fresh"):
        if workdir.name == "begun":
            runs = make_plan(read_study(its), workdir, common)
            runs[0].folder(workdir).mkdir(parents=True)
            remember(runs[0], workdir)
            data.unlink()
        with pytest.raises(FileNotFoundError, match=r"van\.npz: no such file"):
            study.run_study(its, workdir, common, dry_run=False)
        study.run_study(its, workdir, common, dry_run=True)
        told = capsys.readouterr().out
        assert "4 runs: 0 finished, 4 left" in told
        assert f"Missing: {data}: no such file" in told
    study.run_study(written(tmp_path, PLAIN), tmp_path / "rendered", [], dry_run=True)
    assert "Missing" not in capsys.readouterr().out


def test_a_set_of_which_no_face_is_held_out_is_told_in_words_of_a_study(pack: pathlib.Path, tmp_path: pathlib.Path):
    one = tmp_path / "one.npz"
    faces = open_splits(str(pack), "")["train"]
    write_pack(one, {"train": faces.take(np.arange(1))})
    its, runs = plan_of(tmp_path, PLAIN, "--data.dataset", str(one), "--data.validation-percent", "1")
    with pytest.raises(
        ValueError, match=r"no face of train out, by --data.validation-percent 1; train with a larger one"
    ):
        working.follow_study(its, runs, tmp_path / "runs")


def test_a_study_of_ones_own_joins_those_that_come_along(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "studies").mkdir(parents=True)
    (tmp_path / "experiments" / "studies" / "mine.toml").write_text(PLAIN)
    assert {"dpr", "sepbn", "mine"} <= study_file.files().keys()
    assert "studies" not in experiment.names()
