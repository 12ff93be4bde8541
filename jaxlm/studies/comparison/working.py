"""Does the runs of a study: takes the next free one, trains it, judges it, and remembers what came out.

Several processes may work in one folder. Each claims a run by a lock that the operating system drops with the process.
"""

from __future__ import annotations

import pathlib
import secrets
import time
import traceback
from collections.abc import Mapping, Sequence

import msgspec

from jaxlm import checkpoints
from jaxlm.checkpoints.identity import identity_of
from jaxlm.checkpoints.setting_aside import is_of_the_machine
from jaxlm.config import Config
from jaxlm.evaluation import check_shapes, cost
from jaxlm.evaluation.judged_faces import open_evaluation
from jaxlm.files import write_json
from jaxlm.files.folders import claimed
from jaxlm.runtime.progress import say
from jaxlm.studies import run_errors
from jaxlm.studies.comparison.file import Study
from jaxlm.studies.comparison.outcomes import (
    RESULT,
    Failure,
    judge,
    read_failure,
    read_result,
    state_of,
    stored_result,
)
from jaxlm.studies.comparison.planning import Run, missing_sets
from jaxlm.studies.comparison.results import check_same_faces
from jaxlm.studies.comparison.workdirs import (
    FAILED,
    LOCK,
    as_begun,
    check_own,
    check_unchanged,
    remember,
    remember_question,
)
from jaxlm.studies.run_errors import Work
from jaxlm.training import loop

# Seconds until a process looks again whether another one has ended, and left work.
_PATIENCE = 5.0


def show_plan(study: Study, runs: Sequence[Run], workdir: pathlib.Path) -> None:
    """Prints the runs, what has become of each, and the command that trains it alone; and which data are missing.

    Raises:
      ValueError: The workdir holds other runs, or is another study's or a training's.
      FileExistsError: It is nobody's, and has files of the names of the results.
    """
    check_own(study, workdir)
    missing = missing_sets(runs)
    if not missing:  # The scheme of an experiment follows the data.
        check_unchanged(runs, workdir)
    states = {run.name: state_of(run, workdir, study) for run in runs}
    done = sum(state == "finished" for state in states.values())
    print(f"{study.question}\n{len(runs)} runs: {done} finished, {len(runs) - done} left\n")
    print(f"{'run':>4s}  {'':9s} command")
    for number, run in enumerate(runs, start=1):
        print(f"{number:4d}  {states[run.name]:9s} {as_begun(run, workdir).command(workdir)}")
    if missing:
        print("\n" + "\n".join(f"Missing: {sentence}" for sentence in missing))


def follow_study(study: Study, runs: Sequence[Run], workdir: pathlib.Path) -> dict[str, str]:
    """Does all runs that are free, until none is left that is neither finished nor failed; see `_work`.

    Returns:
      Why runs have no result, by their names; empty where all are finished.

    Raises:
      ValueError: The workdir holds other runs, or is another study's or a training's; the arms are judged by different
        faces, or these have changed since runs were judged; or a model cannot be built.
      FileNotFoundError: A set is not prepared.
      FileExistsError: The workdir is nobody's, and has files of the names of the results.
      SystemExit: The process was asked to stop; see `loop.fit`.
    """
    check_own(study, workdir)
    if missing := missing_sets(runs):
        raise FileNotFoundError("\n".join(missing))
    check_unchanged(runs, workdir)
    configs = {(run.arm, run.trial): run.config for run in runs}
    with claimed(workdir, LOCK, None):  # One process alone renders faces that are not there.
        for config in configs.values():
            loop.make_synthetic_faces(config)
    identity = _check_judges({run.arm: run.config for run in runs}, study.split)
    results = {run.name: read_result(run, workdir, study) for run in runs}
    check_same_faces({name: result for name, result in results.items() if result}, identity, workdir)
    unfinished = {(run.arm, run.trial): run.config for run in runs if not results[run.name]}
    for config in unfinished.values():
        check_shapes(config)
        cost.check_size(config)
    with claimed(workdir, LOCK, None):
        check_own(study, workdir)
        remember_question(study, workdir)
    return _work(study, runs, workdir)


def _check_judges(configs: Mapping[str, Config], split: str) -> Mapping[str, str]:
    """The checksums of the faces that judge.

    Raises:
      ValueError: Arms are judged by different faces, or their points differ.
    """
    seen: dict[str, Mapping[str, str]] = {}
    opened: dict[tuple[object, ...], Mapping[str, str]] = {}
    for arm, config in configs.items():
        data = config.data
        key = (data.dataset, data.data_dir, data.scheme, data.train_split, data.validation_percent)
        if key not in opened:
            opened[key] = identity_of(open_evaluation(config, data.dataset, split, data.data_dir)[0])
        seen[arm] = opened[key]
    first = next(iter(seen))
    for arm, identity in seen.items():
        if identity != seen[first]:
            about = ", ".join(name for name in identity if identity[name] != seen[first][name])
            raise ValueError(
                f"arms {first} and {arm} are judged by different faces of {split} ({about}), so that they cannot be"
                " compared; give both the same --data.dataset, --data.scheme and --data.validation-percent"
            )
    return seen[first]


def _work(study: Study, runs: Sequence[Run], workdir: pathlib.Path) -> dict[str, str]:
    """Takes one free run after the other; waits for those of other processes, and takes over where one has died.

    A run that failed before is tried once more; one that fails meanwhile, here or in another process, is not.
    """
    before = {run.name: read_failure(run, workdir) for run in runs}
    while True:
        missing: dict[str, str] = {}
        waits = False
        for number, run in enumerate(runs, start=1):
            if read_result(run, workdir, study):
                continue
            failure = read_failure(run, workdir)
            if failure and failure != before[run.name]:
                missing[run.name] = failure.error
            elif run.source in missing:
                missing[run.name] = f"it starts from {run.source}, which failed"
            elif run.source and not _is_finished(run.source, runs, workdir, study):
                waits = True
            else:
                try:
                    with claimed(run.folder(workdir), LOCK, "another process has it"):
                        if read_result(run, workdir, study) or read_failure(run, workdir) != failure:
                            break  # Another process has ended it since.
                        left = run_errors.time_left(_works(study, runs, workdir))
                        say(f"run {number} of {len(runs)}: {run.name}; {left}")
                        _do(run, workdir, study)
                        break
                except BlockingIOError:
                    waits = True
        else:
            if not waits:
                return missing
            time.sleep(_PATIENCE)


def _is_finished(name: str, runs: Sequence[Run], workdir: pathlib.Path, study: Study) -> bool:
    (run,) = [run for run in runs if run.name == name]
    return read_result(run, workdir, study) is not None


def _works(study: Study, runs: Sequence[Run], workdir: pathlib.Path) -> list[Work]:
    """The runs as `time_left` wants them; those of an arm take equally long."""
    results = [read_result(run, workdir, study) for run in runs]
    return [
        Work(run.arm, 1, result is not None, result.seconds if result else None)
        for run, result in zip(runs, results, strict=True)
    ]


def _do(run: Run, workdir: pathlib.Path, study: Study) -> None:
    """Trains, judges and remembers a run; what goes wrong with it is told and written down."""
    folder = run.folder(workdir)
    try:
        remember(run, workdir)
        begun, start = checkpoints.directory_of(folder).exists(), time.perf_counter()
        loop.fit(as_begun(run, workdir).config, folder)
        seconds = None if begun else time.perf_counter() - start
        if stored := stored_result(run, workdir):  # It was trained before, and is judged otherwise now.
            seconds = stored.seconds
        trained = checkpoints.open_model(folder)
        write_json(folder / RESULT, msgspec.to_builtins(judge(trained, folder, study, seconds)))
        (folder / FAILED).unlink(missing_ok=True)
    except BlockingIOError:
        raise
    except Exception as error:  # Runs may fail in any way, and others may not.
        if is_of_the_machine(error):
            raise
        if not isinstance(error, (ValueError, OSError, ImportError, FloatingPointError)):
            traceback.print_exc()
        say(f"run {run.name} failed: {error}", error=True)
        write_json(folder / FAILED, msgspec.to_builtins(Failure(str(error), secrets.token_hex(8))))
