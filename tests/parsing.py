"""Command lines that are parsed, and whose work is not done."""

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import tyro

from jaxlm import __main__ as console


class ParsedError(Exception):
    """A command line was parsed; what it asks for is not done."""


def parse(arguments: Sequence[str], patch: pytest.MonkeyPatch) -> None:
    """Parses the command line `jaxlm ARGUMENTS` and stops there; SystemExit where it is refused."""
    patch.setattr(importlib.util, "find_spec", lambda name: name)  # Whatever is installed.
    for owner, function in ((argparse.ArgumentParser, "parse_args"), (tyro, "cli")):
        patch.setattr(owner, function, _stopping(getattr(owner, function)))
    with pytest.raises(ParsedError):
        console.main(list(arguments))


def _stopping(parser: Callable[..., Any]) -> Callable[..., Any]:
    """What parses as `parser` does and then raises ParsedError."""

    def parse_and_stop(*arguments: Any, **settings: Any) -> None:
        parser(*arguments, **settings)
        raise ParsedError

    return parse_and_stop
