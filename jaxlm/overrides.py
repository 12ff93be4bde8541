"""The command line of an experiment: overrides for any of its fields, help on them, and suggestions."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import itertools
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NoReturn

import tyro

from jaxlm import config as config_lib
from jaxlm import experiment, landmarks, models, tasks
from jaxlm.config import Config, DataConfig, TaskConfig
from jaxlm.data_pipelines import prepared

# What most people change, in the order in which `--help` shows it.
OFTEN_CHANGED = (
    *("data.dataset", "data.data_dir", "data.scheme", "data.train_split", "data.validation_percent"),
    *("data.label_percent", "data.cache", "data.batch_size", "model.name", "model.input_size", "optim.name"),
    *("optim.learning_rate", "optim.warmup_epochs", "optim.weight_decay", "optim.clip_norm", "optim.ema_decay"),
    *("epochs", "steps_per_epoch", "eval_every", "init_from", "seed", "dtype"),
)


def parse_arguments(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[argparse.Namespace, Config]:
    """Reads `--experiment NAME`, what `parser` knows, and an override for any field of the experiment's config.

    Overrides are spelled `--optim.learning-rate 1e-3`. A misspelt one ends the program with a suggestion. `--help`
    shows the fields that most people change, `--help-all` all of them; `parser` comes without a help of its own.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser.add_argument(
        "--experiment",
        required=True,
        metavar="NAME|FILE.py",
        help="one that comes with jaxlm; one in ./experiments, which counts where both have the name; or a file's path",
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this and the fields that most people change")
    parser.add_argument("--help-all", action="store_true", help="show all fields, options of model and task included")
    if {"-h", "--help", "--help-all"} & set(argv):
        show_help(parser, _given(argv, "--experiment"), "--help-all" in argv)
    arguments, rest = parser.parse_known_args(argv)
    return arguments, override(parser, arguments.experiment, rest)


def override(parser: argparse.ArgumentParser, name: str, arguments: Sequence[str]) -> Config:
    """The config of an experiment with overrides; what is wrong with them ends the program of `parser`.

    An experiment that fits itself to the number of faces is told that of the set. Where overrides name another model or
    task, its options start from their defaults. Where they give no scheme, and the experiment's cannot be read from the
    prepared sets, it is that of the sets.
    """
    try:
        loaded = experiment.load(name)
        _check_spelling(parser, _replace_networks(loaded, arguments), arguments)
        asked = _asked(parser, loaded, arguments)
        if experiment.asks_for_faces(name):
            if not _given(arguments, "--data.dataset"):
                parser.error(f"--experiment {name} wants your faces: --data.dataset, a prepared set or a pack FILE.npz")
            loaded = experiment.load(name, _count_faces(asked.data))
            asked = _asked(parser, loaded, arguments)
        _tell_of_defaults(loaded, asked)
        config = asked if _given(arguments, "--data.scheme") else _with_schemes_of_sets(asked)
        if config.model.name != loaded.model.name or config.data.scheme != asked.data.scheme:
            config = _follow_data(config, arguments)
        config = experiment.spell_out(config)
        experiment.check(config)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    return config


def _asked(parser: argparse.ArgumentParser, loaded: Config, arguments: Sequence[str]) -> Config:
    """The config of an experiment with the overrides of a command line, as they stand."""
    return tyro.cli(Config, default=_replace_networks(loaded, arguments), args=arguments, prog=parser.prog)


def _count_faces(data: DataConfig) -> int:
    """The faces of the training splits, with those that will be held out.

    Raises:
      FileNotFoundError, ValueError: See `prepared.open_faces`.
    """
    datasets = landmarks.split_names(data.dataset)
    faces = sum(len(prepared.open_faces(dataset, data.train_split, data.data_dir)) for dataset in datasets)
    return round(faces * data.label_percent / 100)


def show_help(parser: argparse.ArgumentParser, name: str | None, everything: bool) -> NoReturn:
    """Ends the program with help; fields are shown with the values of an experiment, or, without a name, of Config."""
    try:
        config = experiment.spell_out(Config()) if name is None else experiment.load(name)
    except ValueError as error:
        parser.error(str(error))
    whose = "an experiment" if name is None else f"experiment {name}"
    if everything:
        tyro.cli(Config, default=config, args=["--help"], prog=parser.prog, description=f"All fields of {whose}.")
    parser.usage = f"{parser.format_usage().removeprefix('usage: ').rstrip()} [--FIELD VALUE ...]"
    fields = parser.add_argument_group(f"fields of {whose}", "Any can be overridden; --help-all shows the others.")
    values, types = config_lib.flatten(dataclasses.asdict(config)), _flat_types(Config)
    sentences = config_lib.first_sentences()
    for field in OFTEN_CHANGED:
        line = f"{sentences[field][0].lower()}{sentences[field][1:]} (default: {values[field]})"
        fields.add_argument(_flag(field), metavar=_type_name(types[field]), help=line.replace("%", "%%"))
    if name is None:
        parser.epilog = f"experiments: {', '.join(experiment.names())}"
    parser.print_help()
    parser.exit()


def _replace_networks(config: Config, arguments: Sequence[str]) -> Config:
    """`config` with the model and the task that overrides name; one that was another before has its default options."""
    model, task = _given(arguments, "--model.name"), _given(arguments, "--task.name")
    if model not in (None, config.model.name):
        options = models.complete(model, {})
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, name=model, options=options))
    if task not in (None, config.task.name):
        options = tasks.complete(task, {})
        config = dataclasses.replace(config, task=TaskConfig(task, options))
    return config


def _tell_of_defaults(loaded: Config, asked: Config) -> None:
    for kind, before, chosen in (("model", loaded.model, asked.model), ("task", loaded.task, asked.task)):
        if chosen.name != before.name:
            print(
                f"{kind} {chosen.name} in place of {before.name}: its options start from their defaults",
                file=sys.stderr,
            )


def _with_schemes_of_sets(config: Config) -> Config:
    """`config` with the scheme of each prepared set whose points cannot be read in the scheme that it has for them.

    Sets that are not there yet are left to whoever opens them.
    """
    datasets, names = landmarks.split_names(config.data.dataset), landmarks.split_names(config.data.scheme)
    try:
        theirs = [prepared.scheme_of(dataset, config.data.data_dir) for dataset in datasets]
    except (OSError, ValueError):
        return config
    before = names * len(datasets) if len(names) == 1 else names
    if len(before) == len(datasets):
        chosen = [
            name if _fits(scheme, name) else landmarks.text_of(scheme)
            for scheme, name in zip(theirs, before, strict=True)
        ]
    else:
        chosen = [landmarks.text_of(scheme) for scheme in theirs]
    if chosen == before:
        return config
    if len(names) == 1 and len(set(chosen)) == 1:
        chosen = chosen[:1]
    said = " and ".join(f"{scheme.num_points} of {scheme.name}" for scheme in map(landmarks.load_scheme, chosen))
    print(f"points: {said}, as the prepared {'sets have' if len(theirs) > 1 else 'set has'} them", file=sys.stderr)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, scheme="+".join(chosen)))


def _fits(scheme: landmarks.Scheme, name: str) -> bool:
    """Whether points of a scheme can be read in the scheme of that name."""
    try:
        landmarks.conversion(scheme, landmarks.load_scheme(name))
    except ValueError:
        return False
    return True


def _follow_data(config: Config, arguments: Sequence[str]) -> Config:
    """`config` with the options of its model that repeat a field of the data, where overrides do not give them."""
    options = {
        option: value
        for option, (_, value) in experiment.said_by_data(config).items()
        if option in config.model.options and _given(arguments, f"--model.options.{option}") is None
    }
    model = dataclasses.replace(config.model, options=config.model.options | options)
    return dataclasses.replace(config, model=model)


def _check_spelling(parser: argparse.ArgumentParser, config: Config, arguments: Sequence[str]) -> None:
    """Raises ValueError with the nearest one where an option, or the value of a choice, is not known."""
    types, values = _flat_types(Config), config_lib.flatten(dataclasses.asdict(config))
    known = {_flag(field): types.get(field) for field in values}
    switches = (field.rpartition(".") for field, value in values.items() if isinstance(value, bool))
    known |= {_flag(f"{parent}{dot}no-{name}"): bool for parent, dot, name in switches}
    for flag, value in _options(arguments):
        for part, chosen in (("model", config.model), ("task", config.task)):
            if flag.startswith(f"--{part}.options."):
                option, theirs = flag.rpartition(".")[2], [name.replace("_", "-") for name in chosen.options]
                config_lib.check_known(option, theirs, f"{part} {chosen.name} has no option {option!r}")
        if flag not in known:
            others = re.findall(r"--[a-z-]+", parser.format_usage())
            near = difflib.get_close_matches(flag, [*known, *others], n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(f"there is no option {flag}.{hint} --help-all lists the fields of the experiment.")
        if typing.get_origin(known[flag]) is Literal:
            config_lib.check_known(value, typing.get_args(known[flag]), f"{flag} cannot be {value!r}")


def _given(arguments: Sequence[str], flag: str) -> str | None:
    """The value that a command line gives for `flag`, the last one, or None."""
    return dict(_options(arguments)).get(flag)


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options of a command line, spelled with -, each with its value or, of several, the first."""
    for argument, following in itertools.pairwise([*arguments, ""]):
        flag, equals, value = argument.partition("=")
        if flag.startswith("--"):
            yield flag.replace("_", "-"), value if equals else following


def _flag(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _flat_types(cls: type, prefix: str = "") -> dict[str, Any]:
    """The types of all fields of a dataclass and of those in it, by dotted names."""
    types: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(cls).items():
        is_part = isinstance(kind, type) and dataclasses.is_dataclass(kind)
        types |= _flat_types(kind, f"{prefix}{name}.") if is_part else {prefix + name: kind}
    return types


def _type_name(kind: Any) -> str:
    """How help shows a type: `INT`, `{a,b}`, `FLOAT|None`."""
    if typing.get_origin(kind) is Literal:
        return f"{{{','.join(typing.get_args(kind))}}}"
    names = {type(None): "None", str: "TEXT", int: "INT", float: "FLOAT"}
    return "|".join(names.get(part, "PAIRS") for part in typing.get_args(kind) or (kind,))
