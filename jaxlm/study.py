r"""A study: several arms, several seeds, one table: `jaxlm study NAME|FILE.toml --workdir DIR`

    jaxlm study sepbn --workdir runs/study_sepbn --dry-run
    jaxlm study my/study.toml --workdir runs/mine -- --data.dataset 300w.npz --data.cache device

A TOML file asks a question and names the arms that answer it: experiments, overrides, seeds, and trials of which
validation chooses one for each arm. Every run is trained as `jaxlm train` would, one after the other. Overrides behind
`--` are for all runs.

Finished runs are remembered, and a stopped one goes on from its checkpoint when the same command is given again.
Several processes, on one machine or on several with a common folder, share a study by the same command: each takes the
next free run. A run that fails is told, and the others go on. New arms and seeds may join the file later.

It ends with a table, the differences of pairs of arms with their intervals, and a plot, in the workdir: study.md,
study.csv, study.json, study.png.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import absl.logging

from jaxlm.checkpoints import check_name
from jaxlm.runtime import allocation, commands
from jaxlm.studies.comparison import find_file, follow_study, make_plan, read_study, report_study, show_plan


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of a study."""
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser = commands.parser("study", __doc__, allow_abbrev=False)
    parser.add_argument("study", metavar="NAME|FILE.toml", help="one that comes with jaxlm, or a file's path")
    parser.add_argument(
        "--workdir", required=True, type=pathlib.Path, metavar="DIR", help="folder of the runs and the results"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the runs, their commands and states, and stop")
    arguments = parser.parse_args(argv[:end])
    absl.logging.set_verbosity(absl.logging.ERROR)  # Orbax warns at each step that was not validated.
    allocation.keep_memory()
    try:
        with commands.told_errors():
            check_name(arguments.workdir)
            run_study(find_file(arguments.study), arguments.workdir, argv[end + 1 :], arguments.dry_run)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the same command goes on from there.") from None


def run_study(file: pathlib.Path, workdir: pathlib.Path, common: Sequence[str], dry_run: bool) -> None:
    """Does the study of a file, or prints its runs.

    Raises:
      ValueError: The file asks for what cannot be done, the workdir holds other runs, or runs failed.
      FileNotFoundError: There is no such file, or a set is not prepared.
    """
    study = read_study(file)
    try:
        runs = make_plan(study, workdir, common)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if dry_run:
        show_plan(study, runs, workdir)
        return
    missing = follow_study(study, runs, workdir)
    report_study(study, runs, workdir, missing)
    if missing:
        raise ValueError(f"{len(missing)} of {len(runs)} runs have no result; the same command tries them again")


if __name__ == "__main__":
    main()
