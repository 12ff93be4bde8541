"""What a data format must define, with a whole example, and how its records are made on all cores."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import tqdm

from jaxlm.data_pipelines.record import Record
from jaxlm.landmarks import Scheme, geometry
from jaxlm.landmarks.face_checks import find_faults
from jaxlm.landmarks.tables import LineError

# The points of a record are float32; a face that was just large enough in its photo stays so.
_SLACK = 1.001

CHUNK = 32
"""Number of faces that a worker process takes at a time."""


_MOST_SHOWN = 1000  # Characters of a message.


class BadFaceError(ValueError):
    """An annotated face cannot be used; the message names the file and, where there is one, the line.

    What it quotes of a file may be of any length and hold any character; the message stays readable.
    """

    def __init__(self, message: str) -> None:
        shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message[:_MOST_SHOWN])
        super().__init__(shown if len(message) <= _MOST_SHOWN else f"{shown}... ({len(message)} characters)")


OnBad = Callable[[BadFaceError], None]


@contextlib.contextmanager
def passing_bad(on_bad: OnBad) -> Iterator[None]:
    """Passes the error of a face, of its line or of its file to `on_bad`, and leaves the context."""
    try:
        yield
    except BadFaceError as error:
        on_bad(error)
    except (LineError, OSError) as error:
        on_bad(BadFaceError(str(error)))


class Source(Protocol):
    """Where faces come from: a data format is one dataclass of this kind, alone in a file sources/NAME.py.

    The file's name is the command, `jaxlm prepare NAME`, and the dataclass's fields are the command's options. Its
    docstring is the command's help. No other file needs a change. This is a whole format, of photos a.jpg with five
    points each in a.txt, one line `x y` a point:

        import dataclasses
        from pathlib import Path
        from typing import ClassVar

        from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, make_record, parse_numbers
        from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
        from jaxlm.landmarks import FIVE, Scheme
        from jaxlm.landmarks.geometry import box_around
        from jaxlm.landmarks.tables import files_with_ending, read_lines


        @dataclasses.dataclass(frozen=True)
        class TextFiles:
            '''Photos with their points in text files, a.jpg with a.txt.'''

            source: Path  # Folder of the photos and text files.

            name: ClassVar[str] = "text_files"
            scheme: ClassVar[Scheme] = FIVE
            box: ClassVar[str] = LANDMARK_BOX

            to_record = staticmethod(make_record)

            def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
                labels = []
                for path in files_with_ending(self.source, ".txt"):
                    with passing_bad(on_bad):
                        words = " ".join(line.text for line in read_lines(path)).split()
                        numbers = parse_numbers(words, str(path))
                        if len(numbers) != 10:
                            raise BadFaceError(f"{path}: {len(numbers)} numbers instead of 10")
                        points, photo = numbers.reshape(5, 2), path.with_suffix(".jpg")
                        box = box_around(points, BOX_SCALE)
                        labels.append(Label(photo, points, box, where=str(path), name=path.stem, group=path.stem))
                return {"train": labels}

    Attributes:
      name: Name of the prepared set; a field, if it is an option.
      scheme: Landmark scheme of the points; a field, if it is an option.
      box: How the face box is made, for the protocol printed beside every number.
    """

    @property
    def name(self) -> str: ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def box(self) -> str: ...

    def read(self, on_bad: OnBad) -> Mapping[str, Sequence[Any]]:
        """The labels of each split, small and picklable; photos are not read here.

        Args:
          on_bad: To be called with the error of each label that cannot be used.

        Raises:
          FileNotFoundError: The files are missing.
          ValueError: A file that is not about one face is damaged.
        """

    def to_record(self, label: Any, frame_size: int, margin: float) -> Record:
        """The record of one label, made in a worker process; `cutting.make_record` does it for a `cutting.Label`.

        Args:
          label: One of those that `read` gives.
          frame_size: Width and height of the frame in pixels.
          margin: Side of the region the frame shows, in sides of the face box made square.

        Raises:
          BadFaceError: The face cannot be used.
        """


@contextlib.contextmanager
def records(
    source: Source, labels: Sequence[Any], frame_size: int, margin: float
) -> Iterator[Iterator[Record | BadFaceError]]:
    """Makes the records of the labels, in order, on all cores if there are enough labels.

    It is a context, so that an interrupt ends the worker processes. A bad face gives its error instead of a record.
    """
    work = functools.partial(_record_or_error, source, source.scheme, frame_size, margin)
    num_workers = min(os.cpu_count() or 1, -(-len(labels) // CHUNK))
    if num_workers <= 1:
        yield map(work, labels)
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(num_workers, context, initializer=_start_worker)
    try:
        with _interrupts_later():  # Workers start here; one that still imports has no handler yet.
            results = pool.map(work, labels, chunksize=CHUNK)
        yield results
    finally:
        pool.shutdown(cancel_futures=True)


def good_records(
    source: Source, split: str, labels: Sequence[Any], frame_size: int, margin: float, on_bad: OnBad
) -> Iterator[Record]:
    """The records of those faces of a split that can be used, in order, under a progress bar.

    Args:
      source: Where the faces come from.
      split: The split's name.
      labels: The split's labels.
      frame_size: Width and height of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square.
      on_bad: Called with the error of each face that cannot be used; what it raises ends the work.

    Raises:
      ValueError: Not one face can be used.
    """
    count = 0
    with records(source, labels, frame_size, margin) as results:
        for result in tqdm.tqdm(results, desc=split, total=len(labels), unit=" faces"):
            if isinstance(result, BadFaceError):
                on_bad(result)
            else:
                count += 1
                yield result
    if not labels:
        raise ValueError(f"split {split} of {source.name} has no faces: its list, or its folder, is empty")
    if not count:
        raise ValueError(f"split {split} of {source.name}: not one of its {len(labels)} faces can be used")


def checked_record(source: Source, scheme: Scheme, frame_size: int, margin: float, label: Any) -> Record:
    """The record of one label, whose face is possible in its photo; see `face_checks.find_faults`.

    Raises:
      BadFaceError: The face cannot be used.
    """
    record = source.to_record(label, frame_size, margin)
    # The face box is the central square of the frame.
    first = (frame_size - frame_size / margin) / 2 - 0.5
    ends = np.array([[first, first], [frame_size - 1 - first, frame_size - 1 - first]])
    points, box = (geometry.transform(part.astype(np.float64), record.to_source) for part in (record.points, ends))
    for _, fault in find_faults(_SLACK * points[None], record.visible[None], _SLACK * box.reshape(1, 4), scheme):
        raise BadFaceError(f"{getattr(label, 'where', record.name)}: {fault}")
    return record


def _record_or_error(
    source: Source, scheme: Scheme, frame_size: int, margin: float, label: Any
) -> Record | BadFaceError:
    try:
        return checked_record(source, scheme, frame_size, margin, label)
    except BadFaceError as error:
        return error


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Holds Ctrl-C back while entered; processes that are started here never get it."""
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    multiprocessing.resource_tracker.ensure_running()  # It would let signals through when it starts.
    came: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # Threads of libraries may get it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _start_worker() -> None:
    """Sets up a worker: one thread, Ctrl-C is left to the parent, and the worker ends with its parent."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)
