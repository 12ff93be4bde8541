"""Where prepared faces meet training and evaluation: sets and packs are opened, and numpy batches come out.

Only `train_batches` needs TensorFlow (`streaming_library`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from jaxlm.data_pipelines.faces import Faces, subset_masks
from jaxlm.data_pipelines.optional import load_tensorflow
from jaxlm.data_pipelines.prepared import SPLIT_UNIONS, open_faces, open_splits, write_pack
from jaxlm.data_pipelines.selection import hold_out, join, label_subset, mix
from jaxlm.landmarks import heads_of, load_scheme

__all__ = [
    "SPLIT_UNIONS",
    "Faces",
    "batch_indices",
    "eval_batches",
    "hold_out",
    "join",
    "label_subset",
    "open_faces",
    "open_splits",
    "open_training",
    "streaming_library",
    "subset_masks",
    "train_batches",
    "write_pack",
]

Batch = dict[str, np.ndarray]


def open_training(
    dataset: str,
    split: str,
    data_dir: str | os.PathLike,
    scheme: str,
    validation_percent: float,
    styled: str | None = None,
    label_percent: float = 100.0,
    seed: int = 0,
) -> tuple[Faces, Faces]:
    """Opens the faces to train on, with the points of all heads, and the held-out faces of the first set.

    Args:
      dataset: Set or pack of photos, see `open_faces`; several are joined with +.
      split: Split of each set; see `open_faces`.
      data_dir: Folder of the prepared sets.
      scheme: Scheme that points are read in: one for all sets or, joined with +, one for each; see `heads_of`.
      validation_percent: Share of each set's photos that is held out; see `hold_out`.
      styled: Set or pack of styled faces; all its splits are mixed with the training photos, and its points are those
        of the first head; see `selection.mix`.
      label_percent: Share of the training photos that is used; see `label_subset`.
      seed: Seed of that share.

    Raises:
      FileNotFoundError: A set is not prepared, or there is no such file.
      ValueError: What `heads_of`, `open_faces`, `Faces.in_scheme`, `join` or `selection.mix` refuses.
    """
    heads = heads_of(dataset, scheme)
    sets = [open_faces(head.dataset, split, data_dir).in_scheme(head.scheme) for head in heads]
    parts = [hold_out(faces, validation_percent) for faces in sets]
    side_by_side = load_scheme(scheme)
    training = join([part.in_head(head, side_by_side) for (part, _), head in zip(parts, heads, strict=True)])
    training = label_subset(training, label_percent, seed)
    if styled is not None:
        drawn = join(list(open_splits(styled, data_dir).values())).in_scheme(heads[0].scheme)
        held_out = {group for _, faces in parts for group in faces.groups}
        training = mix(training, drawn.in_head(heads[0], side_by_side), held_out)
    return training, parts[0][1]


@functools.lru_cache(maxsize=4)
def _permutation(num_faces: int, *entropy: int) -> np.ndarray:
    return np.random.default_rng(entropy).permutation(num_faces)


def _draw(num_faces: int, count: int, step: int, seed: int, *kind: int) -> np.ndarray:
    """The faces of one kind that a step has, int64 [count], out of `num_faces`."""
    if not count:
        return np.zeros(0, np.int64)
    epoch, position = divmod(step, num_faces // count)
    return _permutation(num_faces, seed, epoch, *kind)[position * count : (position + 1) * count]


def _spread(count: int, size: int) -> np.ndarray:
    """A mask bool [size] of `count` rows that are spread evenly.

    The second coordinate of Sobol's sequence (1967) gives each row a number, and the rows of the smallest numbers are
    chosen. This is even over contiguous stretches and over strides of powers of two. So every device, which has a
    contiguous part of a batch, gets its share, and so does every strided part that gradients are accumulated over.
    """
    rows, numbers, direction = np.arange(size), np.zeros(size, np.int64), 1 << 62
    for bit in range(size.bit_length()):
        numbers ^= (rows >> bit & 1) * direction
        direction ^= direction >> 1
    return np.argsort(np.argsort(numbers)) < count


def batch_indices(
    num_photos: int, batch_size: int, step: int, seed: int, num_styled: int = 0, styled_ratio: float = 0.0
) -> np.ndarray:
    """The faces of the global training batch of one step, int64 [batch_size].

    Faces 0 to `num_photos` - 1 are photos, and the `num_styled` behind them are styled faces. Every batch holds
    round(batch_size * styled_ratio) styled faces. Photos and styled faces have epochs of their own: an epoch is a
    permutation, cut into whole shares of a batch, and the faces left over are dropped. This is a pure function of its
    arguments, so a run resumes at any step, and both data modes draw the same batches.

    Raises:
      ValueError: There are fewer photos than a batch holds, or fewer styled faces than its share of them.
    """
    if num_photos < batch_size:
        raise ValueError(f"{num_photos} training faces do not fill a batch of {batch_size}; lower batch_size")
    share = round(batch_size * styled_ratio) if num_styled else 0
    if num_styled < share:
        raise ValueError(
            f"{num_styled} styled faces do not fill their share of a batch, {share} of {batch_size}; lower styled_ratio"
        )
    is_styled = _spread(share, batch_size)
    indices = np.empty(batch_size, np.int64)
    indices[is_styled] = num_photos + _draw(num_styled, share, step, seed, 1)
    indices[~is_styled] = _draw(num_photos, batch_size - share, step, seed)
    return indices


def streaming_library() -> ModuleType:
    """TensorFlow, told to leave the GPU alone.

    Raises:
      ImportError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # Only to suppress its start-up message.
    tf = load_tensorflow("streaming faces from disk (--data.cache device keeps them in memory instead)")
    tf.config.set_visible_devices([], "GPU")
    return tf


def train_batches(
    faces: Faces,
    batch_size: int,
    seed: int,
    start_step: int,
    stop_step: int,
    process_index: int = 0,
    process_count: int = 1,
    styled_ratio: float = 0.0,
) -> Iterator[Batch]:
    """Streams this process's part of the training batches of steps `start_step` to `stop_step` - 1.

    Args:
      faces: The faces to train on; see `open_training`.
      batch_size: Faces in a global batch.
      seed: Seed of the epochs' permutations; see `batch_indices`.
      start_step: First step; a resumed run gets the batches of a run without a break.
      stop_step: One past the last step.
      process_index: Number of this process; process p takes the p-th contiguous part of every batch.
      process_count: Number of processes.
      styled_ratio: Share of styled faces in a batch, where there are any.

    Yields:
      image uint8 [b, F, F, 3] RGB, points float32 [b, P, 2] in frame pixels, visible bool [b, P], mask bool [b] (all
      True), index int32 [b] into `faces`, where b = batch_size / process_count.

    Raises:
      ImportError: TensorFlow is not installed.
      ValueError: The batch cannot be divided among the processes, or there are too few faces for a batch.
    """
    part = _part(batch_size, process_index, process_count)
    indices_of = functools.partial(
        batch_indices, faces.num_photos, batch_size, seed=seed, num_styled=faces.num_styled, styled_ratio=styled_ratio
    )
    indices_of(start_step)

    tf = streaming_library()
    example = _batch(faces, np.zeros(0, np.int64), 0)
    types = {key: tf.as_dtype(value.dtype) for key, value in example.items()}

    def read(step: np.ndarray) -> list[np.ndarray]:
        indices = indices_of(int(step))[part]
        return list(_batch(faces, indices, len(indices)).values())

    def load(step: Any) -> dict[str, Any]:
        return dict(zip(types, tf.numpy_function(read, [step], list(types.values())), strict=True))

    steps = tf.data.Dataset.range(start_step, stop_step)
    batches = steps.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    yield from batches.prefetch(tf.data.AUTOTUNE).as_numpy_iterator()


def eval_batches(faces: Faces, batch_size: int, process_index: int = 0, process_count: int = 1) -> Iterator[Batch]:
    """This process's part of batches that hold every face exactly once, in order.

    The last global batch is filled up with rows of zeros, `mask` False and `index` -1. Every process yields the same
    number of batches.

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
    """The batch of the faces at `indices`, filled up to `size` rows."""
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
