"""Fingerprints of arrays, which tell a flipped byte: Orbax restores it without an error."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Tree = Any


@jax.jit
def fingerprints(tree: Tree) -> Tree:
    """A 32-bit word for each array of a tree, in which any single changed word of the array shows.

    The array's words w_i are summed as w_i (2 i + 1) modulo 2^32, on the devices that hold them, so the value does
    not depend on how the array is split. A change of several words goes unseen once in 2^32.
    """

    def fingerprint(leaf: jax.Array) -> jax.Array:
        unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[leaf.dtype.itemsize]
        words = leaf.view(unsigned) if leaf.dtype != jnp.bool_ else leaf
        words = words.astype(jnp.uint32)
        # Positions from one iota an axis keep a split array where it is.
        position = jnp.zeros(leaf.shape, jnp.uint32)
        for axis, length in enumerate(leaf.shape):
            position = position * length + lax.broadcasted_iota(jnp.uint32, leaf.shape, axis)
        return jnp.sum(words * (2 * position + 1), dtype=jnp.uint32)

    return jax.tree.map(fingerprint, tree)


def named(tree: Tree) -> dict[str, int]:
    """Fingerprints on the host, by the path of their array."""
    return {jax.tree_util.keystr(path): int(value) for path, value in jax.tree_util.tree_leaves_with_path(tree)}
