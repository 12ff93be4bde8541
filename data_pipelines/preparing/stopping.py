"""How `prepare` ends by Ctrl-C and SIGTERM: in one line, with the usual status, once its workers have ended."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

_STOP = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The signal of that number asks the program to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def told_signals() -> Iterator[None]:
    """Ends the program with status 130 after Ctrl-C and 143 after SIGTERM; a second one does not disturb its end."""

    def stop(number: int, _: object) -> NoReturn:
        for each in _STOP:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _STOP}
    if main:
        for number in _STOP:
            signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt as error:
        text = "Interrupted; nothing half-done was written, so run the same command again."
        print(f"\n{text}", file=sys.stderr)
        ended = SystemExit(text)
        ended.code = 128 + getattr(error, "number", signal.SIGINT)
        raise ended from None
    finally:
        if main:
            for number, handler in before.items():
                signal.signal(number, handler)
