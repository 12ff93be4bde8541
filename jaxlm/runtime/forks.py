"""What was begun before a fork: the threads of JAX, onnxruntime and OpenCV are gone in the child, which would hang."""

from __future__ import annotations

import os


class OneProcess:
    """Belongs to the process that makes it."""

    def __init__(self) -> None:
        self._number = os.getpid()

    def check(self) -> None:
        """Raises RuntimeError in a fork of the process."""
        if os.getpid() != self._number:
            raise RuntimeError(
                "this model was loaded before a fork, which took its threads away; start processes by"
                ' multiprocessing.get_context("spawn"), and load it in each'
            )
