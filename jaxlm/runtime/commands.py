"""What commands share: arguments, and how they tell what was wrong with what they were given."""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Ends the program with `error: ...`, and without a traceback, where its input cannot be used."""
    try:
        yield
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of commands that judge a run by some faces, `dataset`, `data_dir` and `split`."""
    parser.add_argument("--dataset", help="a prepared set or a packed .npz file (default: the one trained on)")
    parser.add_argument("--data-dir", help="where the set was prepared (default: as in training)")
    parser.add_argument("--split", help="default: the set's test splits, else the part held out from training")


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
    return argparse.ArgumentParser(prog=prog, description=doc, formatter_class=_Help, **settings)
