"""What commands share: a look of help, arguments, and how they end where something is wrong."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import math
import os
import pathlib
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# Errors that say in words what is wrong with the input or the machine.
_EXPECTED = (ValueError, OSError, ImportError, FloatingPointError)

# The commands that write files of weights.
_MAKERS = "jaxlm export, calibrate, average or convert"
_SHIPPED = "ibug68 or wflw98, which come with jaxlm"


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Ends the program with `error: ...`, and without a traceback, where its input cannot be used.

    Where the program is one of several processes, any error ends all of them: the others would wait for this one.
    """
    try:
        yield
    except Exception as error:
        import jax  # Not at the top: it is slow to start, and help needs none of it.

        from jaxlm.runtime import distributed

        several = distributed.has_joined()
        if told := _fault_of_the_machine(error):
            distributed.fail(OSError(told), at_once=True)
        if not several and not isinstance(error, _EXPECTED):
            raise
        if not isinstance(error, (*_EXPECTED, jax.errors.JaxRuntimeError)):
            traceback.print_exc()
        distributed.fail(error)


def _fault_of_the_machine(error: BaseException) -> str | None:
    """A sentence for an error whose cause is the disk or JAX's choice of devices; libraries bury both in many lines."""
    cause: BaseException | None = error
    while cause is not None:
        text = " ".join(str(cause).split())
        place = getattr(cause, "filename", None) or next(iter(re.findall(r"(?<![\w:/])/[^\s\"':,;\])]+", text)), "")
        where = f" ({place})" if place else ""
        number = cause.errno if isinstance(cause, OSError) else None
        if number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in text:
            return f"the disk is full{where}; make room, and give the same command again. Results saved before are kept"
        if number == errno.EROFS or "Read-only file system" in text:
            return f"the disk is read-only{where}; name a folder that can be written"
        if "Unable to initialize backend" in text or "Unknown backend" in text:
            return (
                f"JAX cannot use the devices that JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')} asks for: {text}"
            )
        cause = cause.__cause__ or cause.__context__
    return None


def add_model_arguments(parser: argparse.ArgumentParser, *, several: bool = False, required: bool = True) -> None:
    """The arguments that name trained models: `path`, `head` and `step`, as `checkpoints.open_model` takes them.

    Args:
      parser: The parser of a command.
      several: The command takes several models: `paths`, in the order given, instead of `path`. There may be none.
      required: Without `several`, that a model must be named.
    """
    group = parser.add_argument_group("model")
    if several:
        many: dict[str, Any] = {"nargs": "+", "action": "extend", "type": pathlib.Path, "dest": "paths", "default": []}
        group.add_argument("--workdir", metavar="DIR", help="folders of training runs; may be repeated", **many)
        group.add_argument("--weights", metavar="FILE.npz", help=f"files of {_MAKERS}; or {_SHIPPED}", **many)
    else:
        one: dict[str, Any] = {"type": pathlib.Path, "dest": "path"}
        either = group.add_mutually_exclusive_group(required=required)
        either.add_argument("--workdir", metavar="DIR", help="folder of a training run", **one)
        either.add_argument("--weights", metavar="FILE.npz", help=f"file of {_MAKERS}; or {_SHIPPED}", **one)
    group.add_argument(
        "--head", metavar="SET", help="of a run on several data sets: the name of one (default: the first)"
    )
    group.add_argument(
        "--step", type=int, help="the run's checkpoint to take (default: the best by validation, else the last)"
    )


def count(text: str) -> int:
    """The type of an argument that counts things, of which there is one at least."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be 1 or more, not {text}")
    return number


def within(kind: type[float], low: float, high: float) -> Callable[[str], float]:
    """The type of an argument that is a number, `int` or `float`, from `low` to `high`."""

    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            whole = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"it must be {whole} from {low} to {high}, not {text}")
        return number

    return read


def add_data_arguments(
    parser: argparse.ArgumentParser, split: str = "the set's test splits, else the part held out from training"
) -> None:
    """The arguments of commands that judge a model by some faces, `dataset`, `data_dir` and `split`.

    Args:
      parser: The parser of a command.
      split: What is judged by where no split is given, for the help.
    """
    parser.add_argument("--dataset", help="a prepared set or a packed .npz file (default: the one trained on)")
    parser.add_argument("--data-dir", help="where the set was prepared (default: as in training)")
    parser.add_argument("--split", help=f"default: {split}")


class _Help(argparse.HelpFormatter):
    """The look of every command's help: paragraphs filled to the terminal, lists and commands as they stand."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = []
        for paragraph in text.strip().split("\n\n"):
            if paragraph.startswith((" ", "- ")):
                paragraphs.append(textwrap.indent(paragraph, indent))
            else:
                lines = " ".join(paragraph.split())
                paragraphs.append(textwrap.fill(lines, width, initial_indent=indent, subsequent_indent=indent))
        return "\n\n".join(paragraphs)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        values = action.default if isinstance(action.default, list | tuple) else [action.default]
        shown = " ".join(str(value) for value in values if not isinstance(value, bool | None))
        if not action.help or not shown or "default" in action.help or action.default is argparse.SUPPRESS:
            return action.help
        return f"{action.help} (default: {shown.replace('%', '%%')})"


class _Parser(argparse.ArgumentParser):
    """A parser that suggests an option for a misspelt one, before it asks for others that are missing."""

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        words = list(sys.argv[1:] if args is None else args)
        known = [option for option in self._option_string_actions if option.startswith("--")]
        for word in words[: words.index("--")] if "--" in words else words:
            option = word.partition("=")[0]
            near = difflib.get_close_matches(option, known, n=1)
            if near and option.startswith("--") and not any(name.startswith(option) for name in known):
                self.error(f"no option {option}. Did you mean {near[0]}?")
        return super().parse_args(args, namespace)

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        words = list(sys.argv[1:] if args is None else args)
        for index, word in enumerate(words):
            if not word or (word.startswith("--") and word.endswith("=") and len(word) > 3):
                before = word or (words[index - 1] if index else self.prog)
                self.error(f"an empty value behind {before!r}; is a variable not set?")
            option, _, value = word.partition("=") if word.startswith("--") else (words[index - 1], "", word)
            if option in ("--workdir", "--out") and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
                self.error(f"{option} {value} is no path on this machine; mount it, and name the folder that it is in")
        return super().parse_known_args(args, namespace)


def parser(name: str, doc: str | None, **settings: Any) -> argparse.ArgumentParser:
    """The parser of the command `name`.

    Args:
      name: As it is typed: `jaxlm NAME`, or `python -m jaxlm.NAME`; usage shows the form that was.
      doc: The module's docstring, which the help begins with.
      **settings: Of argparse.ArgumentParser.
    """
    started = getattr(sys.modules["__main__"], "__spec__", None)
    module = f"jaxlm.{name.replace('-', '_')}"
    by_module = started is not None and started.name == module
    prog = f"python -m {module}" if by_module else f"jaxlm {name}"
    return _Parser(prog=prog, description=doc, formatter_class=_Help, **settings)
