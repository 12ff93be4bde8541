"""What commands share: arguments, and how they tell what was wrong with what they were given."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator


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
