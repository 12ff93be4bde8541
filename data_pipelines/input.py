"""Where prepared faces meet the trainer: sets and packs are opened here, and batches of numpy arrays come out.

TensorFlow is imported by `train_batches` alone; everything else works where it is not installed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator

import numpy as np

from data_pipelines.faces import Faces, hold_out, join, subset_masks
from data_pipelines.prepared import SPLIT_UNIONS, open_faces, open_splits, write_pack

__all__ = [
    "SPLIT_UNIONS",
    "Faces",
    "batch_indices",
    "eval_batches",
    "hold_out",
    "join",
    "open_faces",
    "open_splits",
    "subset_masks",
    "train_batches",
    "write_pack",
]

Batch = dict[str, np.ndarray]


@functools.lru_cache(maxsize=4)
def _permutation(num_faces: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(num_faces)


def batch_indices(num_faces: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """The faces of the global training batch of one step, int64 [batch_size].

    An epoch is `num_faces // batch_size` whole batches of a permutation of its own; the faces left over are dropped.
    A pure function of its arguments, so a run resumes at any step, and both data modes draw the same batches.

    Raises:
      ValueError: There are fewer faces than a batch holds.
    """
    if num_faces < batch_size:
        raise ValueError(f"{num_faces} training faces do not fill a batch of {batch_size}; lower batch_size")
    epoch, position = divmod(step, num_faces // batch_size)
    return _permutation(num_faces, seed, epoch)[position * batch_size : (position + 1) * batch_size]


def train_batches(
    faces: Faces,
    batch_size: int,
    seed: int,
    start_step: int,
    stop_step: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Streams this process's part of the training batches of steps `start_step` to `stop_step` - 1.

    Args:
      faces: The faces to train on.
      batch_size: Faces in a global batch.
      seed: Of the epochs' permutations, see `batch_indices`.
      start_step: First step; a resumed run gets the batches a straight run would.
      stop_step: The step before which to stop.
      process_index: Number of this process; process p takes the p-th contiguous part of every batch.
      process_count: Number of processes.

    Yields:
      image uint8 [b, F, F, 3] RGB, points float32 [b, P, 2] in frame pixels, visible bool [b, P], mask bool [b] (all
      True), index int32 [b] into `faces`, where b = batch_size / process_count.

    Raises:
      ValueError: The batch cannot be divided among the processes, or there are too few faces for one.
    """
    part = _part(batch_size, process_index, process_count)
    batch_indices(len(faces), batch_size, start_step, seed)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # Only to be spared its start-up message.
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    example = _batch(faces, np.zeros(0, np.int64), 0)
    types = {key: tf.as_dtype(value.dtype) for key, value in example.items()}

    def read(step: np.ndarray) -> list[np.ndarray]:
        indices = batch_indices(len(faces), batch_size, int(step), seed)[part]
        return list(_batch(faces, indices, len(indices)).values())

    def load(step: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(types, tf.numpy_function(read, [step], list(types.values())), strict=True))

    steps = tf.data.Dataset.range(start_step, stop_step)
    batches = steps.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from batches.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def eval_batches(faces: Faces, batch_size: int, process_index: int = 0, process_count: int = 1) -> Iterator[Batch]:
    """This process's part of batches that hold every face exactly once, in order.

    The last global batch is filled up with zeros whose `mask` is False and whose `index` is -1; every process yields
    the same number of batches.

    Args:
      faces: The faces to evaluate on.
      batch_size: Faces in a global batch.
      process_index: Number of this process; process p takes the p-th contiguous part of every batch.
      process_count: Number of processes.

    Yields:
      What `train_batches` yields.

    Raises:
      ValueError: The batch cannot be divided among the processes.
    """
    part = _part(batch_size, process_index, process_count)
    for start in range(0, len(faces), batch_size):
        indices = np.arange(start, start + batch_size)[part]
        yield _batch(faces, indices[indices < len(faces)], len(indices))


def _part(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of a global batch that belong to a process."""
    if batch_size % process_count:
        raise ValueError(f"a batch of {batch_size} cannot be divided evenly among {process_count} processes")
    size = batch_size // process_count
    return slice(process_index * size, (process_index + 1) * size)


def _batch(faces: Faces, indices: np.ndarray, size: int) -> Batch:
    """The faces at `indices` as a batch, filled up to `size` rows."""
    missing = size - len(indices)

    def fill(array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1)) if missing else array

    return {
        "image": fill(faces.images(indices)),
        "points": fill(faces.points[indices]),
        "visible": fill(faces.visible[indices]),
        "mask": np.arange(size) < len(indices),
        "index": np.concatenate([indices, np.full(missing, -1)]).astype(np.int32),
    }
