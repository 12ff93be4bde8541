"""Depthwise convolutions as shifted multiply-adds, one for each tap of the kernel, with gradients of the same form.

XLA's CPU backend runs depthwise convolutions without its fast kernels, and the gradient that it derives from shifts
with a stride adds arrays full of zeros; benchmarks/README.md has the measurements.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import partial, reduce

import jax
import jax.numpy as jnp

Residuals = tuple[jax.Array, jax.Array]
Padding = tuple[tuple[int, int], tuple[int, int]]
"""Zeros before and after, of rows and of columns."""


def same_padding(shape: tuple[int, ...], side: int, stride: int) -> Padding:
    """TensorFlow's "SAME" for maps [B, H, W, C] and a kernel of `side` pixels; of an odd number one more is after."""

    def of(length: int) -> tuple[int, int]:
        total = max((-(-length // stride) - 1) * stride + side - length, 0)
        return total // 2, total - total // 2

    return of(shape[1]), of(shape[2])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_shifts(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
    """Convolves each channel of x [B, H, W, C] with its own part of kernel [k, k, 1, C]."""
    taps = kernel.reshape(-1, 1, 1, 1, x.shape[-1])
    parts = shifts(x, kernel.shape[0], stride, padding)
    return reduce(operator.add, (part * tap for part, tap in zip(parts, taps, strict=True)))


def _forward(x: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> tuple[jax.Array, Residuals]:
    return by_shifts(x, kernel, stride, padding), (x, kernel)


def _backward(stride: int, padding: Padding, inputs: Residuals, gradient: jax.Array) -> Residuals:
    x, kernel = inputs
    # Sums over the pixels of each image first: XLA shares these among cores.
    sums = [jnp.sum(part * gradient, axis=(1, 2)) for part in shifts(x, kernel.shape[0], stride, padding)]
    kernel_gradient = jnp.stack(sums).sum(1).reshape(kernel.shape)
    return _input_gradient(x.shape, kernel, gradient, stride, padding), kernel_gradient


by_shifts.defvjp(_forward, _backward)


def _input_gradient(
    shape: tuple[int, ...], kernel: jax.Array, gradient: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """The gradient of x [B, H, W, C], for each of its `stride` x `stride` phases as multiply-adds of shifts.

    Output pixel m sees pixel `stride` a + b of x, b < `stride`, through tap t where `stride` m + t = `stride` a + b +
    `padding`: so m = a + (b + `padding` - t) / `stride`, for those t for which that is whole.
    """
    batch, height, width, channels = shape
    rows, columns = -(-height // stride), -(-width // stride)
    row_taps, column_taps = (_taps_of_phases(kernel.shape[0], stride, before) for before, _ in padding)
    pads = [_reach(taps) for taps in (row_taps, column_taps)]
    padded = jnp.pad(gradient, ((0, 0), *pads, (0, 0)))
    taps = kernel.reshape(*kernel.shape[:2], 1, 1, 1, channels)
    phases = [
        reduce(
            operator.add,
            (
                padded[:, top : top + rows, left : left + columns] * taps[row, column]
                for row, top in ((tap, pads[0][0] + offset) for tap, offset in row_taps[i])
                for column, left in ((tap, pads[1][0] + offset) for tap, offset in column_taps[j])
            ),
        )
        for i in range(stride)
        for j in range(stride)
    ]
    if stride == 1:
        return phases[0]
    stacked = jnp.stack(phases).reshape(stride, stride, batch, rows, columns, channels).transpose(2, 3, 0, 4, 1, 5)
    return stacked.reshape(batch, stride * rows, stride * columns, channels)[:, :height, :width]


def _taps_of_phases(side: int, stride: int, before: int) -> list[list[tuple[int, int]]]:
    """For each phase b of one axis the pairs (t, m - a)."""
    return [
        [(tap, (phase + before - tap) // stride) for tap in range(side) if (phase + before - tap) % stride == 0]
        for phase in range(stride)
    ]


def _reach(taps: list[list[tuple[int, int]]]) -> tuple[int, int]:
    """How far pairs reach over the first and over the last pixel."""
    offsets = [offset for phase in taps for _, offset in phase]
    return max(0, -min(offsets)), max(0, *offsets)


def shifts(x: jax.Array, side: int, stride: int, padding: Padding) -> Iterator[jax.Array]:
    """The pixels that each tap of a kernel is multiplied with, tap by tap, in reading order."""
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = ((length - side) // stride * stride + 1 for length in padded.shape[1:3])
    for row in range(side):
        for column in range(side):
            yield padded[:, row : row + rows : stride, column : column + columns : stride]
