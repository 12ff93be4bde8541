"""How commands tell what was wrong with what they were given."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from jaxlm.checkpoint import CheckpointError


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Ends the program with `error: ...`, and without a traceback, where its input cannot be used."""
    try:
        yield
    except (ValueError, OSError, ImportError, FloatingPointError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
