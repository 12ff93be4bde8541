"""What is wanted where Python was started to run a command: open standard streams, and an end by Ctrl-C in one line.

It is set up before anything slow is imported.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from types import FrameType, TracebackType

_BY_CTRL_C = 130  # 128 + the number of SIGINT, as shells have it.


def is_command() -> bool:
    """Whether Python was started as `jaxlm` or as `python -m jaxlm...`, and not to import jaxlm into something else."""
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    if script == "-m":  # While Python looks for the module.
        return any(word.removeprefix("-m").partition(".")[0] == "jaxlm" for word in sys.orig_argv)
    # Worker processes are given the `sys.argv` of the command, and were started otherwise.
    return os.path.basename(script) in ("jaxlm", "jaxlm.exe") and script in sys.orig_argv


def set_up() -> None:
    """Opens the standard streams that are closed, lets their readers go, and tells Ctrl-C in a line."""
    _open_streams()
    for name in ("stdout", "stderr"):
        _let_reader_go(name)
    sys.excepthook = _told
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt in the `main` of a command, and ends the program at once while that is imported.

    Nothing is begun then, and what is raised in some imports (JAX's, in the collection of garbage) is printed and lost.
    """
    place = frame
    while place is not None:
        if place.f_code.co_name == "main" and os.path.basename(place.f_code.co_filename) != "__main__.py":
            signal.default_int_handler(number, frame)
        place = place.f_back
    with contextlib.suppress(OSError):
        os.write(2, b"Stopped.\n")
    os._exit(_BY_CTRL_C)


def _open_streams() -> None:
    """Opens what is closed of stdin, stdout and stderr: files of ours would take their numbers, and get their text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # It takes the lowest number.
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


class _Outlet(io.FileIO):
    """The file of a stream whose reader may go, as that of `| head` does; what is written to it then is dropped.

    So is what stderr cannot take for another reason, a full disk: there is no other place to tell it.
    """

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError) and self.fileno() != 2:
                raise
            return len(data)


def _let_reader_go(name: str) -> None:
    stream = getattr(sys, name)
    if os.name != "posix" or type(stream) is not io.TextIOWrapper:  # Elsewhere, consoles have a class of their own.
        return
    stream.flush()
    outlet = _Outlet(stream.fileno(), "w", closefd=False)
    layer = io.TextIOWrapper(
        outlet if stream.write_through else io.BufferedWriter(outlet),  # type: ignore[type-var]
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    setattr(sys, name, layer)


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tells what nothing has caught: Ctrl-C in a line, and other errors, which are ours, with their traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print(str(error) or "Stopped.", file=sys.stderr)
        raise SystemExit(_BY_CTRL_C)
    sys.__excepthook__(kind, error, trace)
