"""How far float32 results may lie from what they should be: one rule for all tests and every processor."""

import jax
import numpy as np
from numpy.typing import ArrayLike

EPSILON = float(np.finfo(np.float32).eps)


def float32_error(depth: int, scale: float = 1.0) -> float:
    """The largest difference that rounding explains.

    An operation rounds by half an epsilon of its value at most, up as often as down. So the errors of a chain or of a
    sum grow with the square root of their number (Higham and Mary, 2019), not with their number. 8 epsilons for one
    operation, 16 times what it rounds by at most: the worst of thousands of values has a few deviations, and exp, log
    and sqrt may differ by some epsilons from one processor's library to another's.

    Args:
      depth: Operations one after another between the inputs and a result. A sum of n products counts n, layers add up.
      scale: The largest value on the way. That of the results, unless they are differences of larger values. With 1
        the result is a relative error, for values that are computed each by itself or from terms of one sign.
    """
    return 8 * EPSILON * scale * depth**0.5


def assert_float32_close(actual: ArrayLike, expected: ArrayLike, depth: int, scale: float | None = None) -> None:
    """Asserts that arrays agree within `float32_error`, for `scale` by default the largest of `expected`."""
    _assert_close(actual, expected, float32_error(depth), scale)


def assert_float32_trees_close(actual: object, expected: object, depth: int, scale: float | None = None) -> None:
    """`assert_float32_close` for every array of two trees of the same structure."""
    jax.tree.map(lambda ours, theirs: assert_float32_close(ours, theirs, depth, scale), actual, expected)


def assert_float64_close(actual: ArrayLike, expected: ArrayLike, depth: int, scale: float | None = None) -> None:
    """`assert_float32_close` for what is computed in float64 from inputs to the end: the same rule of its epsilon."""
    _assert_close(actual, expected, float32_error(depth) / EPSILON * float(np.finfo(np.float64).eps), scale)


def assert_float16_close(actual: ArrayLike, expected: ArrayLike, depth: int, scale: float | None = None) -> None:
    """`assert_float32_close` for what is computed in float16 on the way, whatever the results are given in."""
    _assert_close(actual, expected, float32_error(depth) / EPSILON * float(np.finfo(np.float16).eps), scale)


def _assert_close(actual: ArrayLike, expected: ArrayLike, relative_error: float, scale: float | None) -> None:
    """Asserts that arrays agree within `relative_error` of `scale`, by default the largest of `expected`."""
    expected = np.asarray(expected, np.float64)
    largest = np.abs(expected).max(initial=0.0, where=np.isfinite(expected)) if scale is None else scale
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=0, atol=relative_error * largest)
