"""The file of a study: a question, the arms that answer it, their settings, and what judges them."""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec

from jaxlm import experiments
from jaxlm.config import check_known
from jaxlm.evaluation import VALIDATION
from jaxlm.files import as_schema, read_toml

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
T = TypeVar("T")
# Types in TOML's words.
_TYPES = {
    "object": "a table",
    "array": "a list",
    "str": "a text in quotes",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
}
# What the plan gives to each run.
_OWNED = ("--seed", "--workdir", "--experiment")


class Arm(msgspec.Struct, frozen=True):
    """One of the things that are compared.

    Attributes:
      experiment: The name or file of an experiment.
      settings: Overrides of it, as `jaxlm train` takes them.
      trials: Further overrides, of which validation chooses one; None takes those of the study.
      init_from: Another arm: each run starts from that arm's run of the same trial and seed.
    """

    experiment: str
    settings: str = ""
    trials: tuple[str, ...] | None = None
    init_from: str | None = None


class Study(msgspec.Struct, frozen=True):
    """What the file of a study says.

    Attributes:
      question: What is asked.
      arms: The arms by name, in the order of the table.
      seeds: Each arm is trained once with each.
      settings: Overrides of all arms; those of an arm count more.
      trials: The trials of the arms that have none of their own; none: nothing is tried.
      compare: Pairs of arms, whose differences are shown.
      split: The faces that judge; `validation` are those held out from training.
      box_errors: Judged is also with boxes that are off by these shares of their side, in per cent.
    """

    question: str
    arms: dict[str, Arm]
    seeds: tuple[Annotated[int, msgspec.Meta(ge=0, lt=2**31)], ...]
    settings: str = ""
    trials: tuple[str, ...] = ()
    compare: tuple[tuple[str, str], ...] = ()
    split: str = VALIDATION
    box_errors: tuple[Annotated[float, msgspec.Meta(gt=0, le=100)], ...] = ()

    def trials_of(self, arm: str) -> tuple[str, ...]:
        """The trials of an arm."""
        own = self.arms[arm].trials
        return self.trials if own is None else own

    @property
    def shifts(self) -> tuple[float, ...]:
        """By how many of its sides a box is off wherever a run is judged; the first is 0."""
        return (0.0, *(percent / 100 for percent in self.box_errors))


def files() -> dict[str, pathlib.Path]:
    """The files of studies by name: those that come with jaxlm, and those in ./experiments/studies.

    Of two with one name the one in ./experiments/studies counts.
    """
    folders = [*map(pathlib.Path, experiments.__path__), pathlib.Path("experiments")]
    return {file.stem: file for folder in folders for file in sorted((folder / "studies").glob("*.toml"))}


def find_file(name: str) -> pathlib.Path:
    """The file of a study: `name` is one of `files()`, or a path, which ends in .toml.

    Raises:
      ValueError: No study has that name; the nearest one is suggested.
    """
    if name.endswith(".toml"):
        return pathlib.Path(name)
    known = files()
    check_known(name, known, f"unknown study {name!r}; the path of a file ends in .toml")
    return known[name]


def read_study(file: pathlib.Path) -> Study:
    """The study that a file tells.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: It is no TOML, or what it says does not go together; the message begins with the file.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such file of a study")
    table = read_toml(file, dict[str, Any])
    try:
        _check_fields(table, Study, "a study")
        arms = table.get("arms")
        for name, arm in arms.items() if isinstance(arms, dict) else ():
            if isinstance(arm, dict):
                _check_fields(arm, Arm, f"arm {name}")
            _as_told(arm, Arm, f"arm {name}: ")
        study = _as_told(table, Study)
        check(study)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return study


def _check_fields(table: dict[str, Any], kind: type[msgspec.Struct], whose: str) -> None:
    for field in table:
        check_known(field, kind.__struct_fields__, f"{whose} has no field {field!r}")


def _as_told(value: Any, schema: type[T], where: str = "") -> T:
    """What `as_schema` gives; a ValueError has TOML's words for types, behind `where`."""
    try:
        return as_schema(value, schema, "")
    except ValueError as error:
        told = re.sub(r"`([a-z]+)(?: \| null)?`", lambda found: _TYPES.get(found[1], found[0]), str(error))
        raise ValueError(where + told.removeprefix(": ")) from None


def check(study: Study) -> None:
    """Raises ValueError where the parts of a study do not go together."""
    if not study.arms or not study.seeds:
        raise ValueError(f"a study needs one {'seed' if study.arms else 'arm'} at least")
    if again := _repeated(study.seeds):
        raise ValueError(f"seed {again} is there twice")
    if again := _repeated(f"{percent:g}" for percent in study.box_errors):
        raise ValueError(f"box_errors has {again} twice, as the table shows it")
    if again := _repeated(map(str.lower, study.arms)):
        raise ValueError(f"two arms are called {again}, but for capital letters, which many folders do not tell apart")
    for name, arm in study.arms.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"arm {name!r}: its name becomes a folder's; take letters, digits, _ and -")
        if again := _repeated(study.trials_of(name)):
            raise ValueError(f"arm {name} tries {again!r} twice")
        for text in (study.settings, arm.settings, *study.trials_of(name)):
            _check_settings(text, name, arm)
        if arm.init_from is not None:
            check_known(arm.init_from, study.arms, f"arm {name} starts from the unknown arm {arm.init_from!r}")
        chain_of(study, name)
    counts = {name: len(study.trials_of(name)) for name in study.arms}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"all arms need the same number of trials, and they have: {told}")
    for pair in study.compare:
        for name in pair:
            check_known(name, study.arms, f"compare names the unknown arm {name!r}")
        if pair[0] == pair[1]:
            raise ValueError(f"compare names arm {pair[0]} twice in a pair")


def _check_settings(text: str, name: str, arm: Arm) -> None:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"arm {name}: {text!r} cannot be read: {error}") from None
    check_owned(words, name, arm, "the settings")


def check_owned(words: Iterable[str], name: str, arm: Arm, where: str) -> None:
    """Raises ValueError where overrides of an arm have what the study itself gives to each run.

    Args:
      words: The overrides.
      name: The name of the arm.
      arm: The arm.
      where: Where they stand, for messages.
    """
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        if option in _OWNED:
            raise ValueError(f"arm {name}: leave {option} out of {where}; the study gives it to each run")
        if option == "--init-from" and arm.init_from is not None:
            raise ValueError(f"arm {name} has init_from = {arm.init_from!r}; leave --init-from out of {where}")


def chain_of(study: Study, arm: str) -> list[str]:
    """The arms that an arm's run is the end of, itself last: each starts from the one before.

    Raises:
      ValueError: They go in a circle.
    """
    chain = [arm]
    while (before := study.arms[chain[0]].init_from) is not None:
        if before in chain:
            raise ValueError(f"arms start from each other in a circle: {' <- '.join([before, *chain])}")
        chain.insert(0, before)
    return chain


def _repeated(values: Iterable[Any]) -> Any:
    """A value that is there twice, or None."""
    values = list(values)
    return next((value for index, value in enumerate(values) if value in values[:index]), None)
