"""What a data set must offer to be prepared, and the parallel work of making its records. No TensorFlow here."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import cv2
import tqdm

from jaxlm.data_pipelines.record import Record
from jaxlm.landmarks import Scheme

CHUNK = 32
"""Faces a worker process takes at a time."""


class BadFaceError(ValueError):
    """An annotated face that cannot be used; the message names the file and, where there is one, the line."""


OnBad = Callable[[BadFaceError], None]


class Source(Protocol):
    """Where faces come from. A data set is one small class of this kind; its fields are its command-line options.

    Attributes:
      name: The data set's name.
      scheme: Landmark scheme of the points.
      box: How the face box was made, for the protocol printed beside every number.
    """

    name: str
    scheme: Scheme
    box: str

    def read(self, on_bad: OnBad) -> dict[str, Sequence[Any]]:
        """The labels of each split; `on_bad` is called with the error of each label that cannot be used."""

    def to_record(self, label: Any, frame_size: int, margin: float) -> Record:
        """Makes the record of one label, in a worker process; raises BadFaceError if that cannot be done."""


@contextlib.contextmanager
def records(
    source: Source, labels: Sequence[Any], frame_size: int, margin: float
) -> Iterator[Iterator[Record | BadFaceError]]:
    """Makes the records of the labels, in order, on all cores if there are enough labels.

    A context, so that an interrupt ends the worker processes. In place of a bad face's record comes its error.
    """
    work = functools.partial(_record_or_error, source, frame_size, margin)
    num_workers = min(os.cpu_count() or 1, -(-len(labels) // CHUNK))
    if num_workers <= 1:
        yield map(work, labels)
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(num_workers, context, initializer=_start_worker)
    try:
        yield pool.map(work, labels, chunksize=CHUNK)
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
    if not count:
        raise ValueError(f"split {split} of {source.name}: not one of its {len(labels)} faces can be used")


def _record_or_error(source: Source, frame_size: int, margin: float, label: Any) -> Record | BadFaceError:
    try:
        return source.to_record(label, frame_size, margin)
    except BadFaceError as error:
        return error


def _start_worker() -> None:
    """One thread a process; Ctrl-C is the parent's to handle, and a killed parent takes its workers along."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
