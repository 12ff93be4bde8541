"""Messages between the boundaries of LAB (Wu et al., CVPR 2018), within a stack and from one stack to the next."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from jaxlm.landmarks import Scheme
from jaxlm.models.hourglass import CONV_INIT, MAP_INIT, NormReLU, conv_1x1
from jaxlm.models.layers import operators

Edge = tuple[str, str]
Node = TypeVar("Node")

# The state of each (direction, boundary).
States = dict[tuple[str, str], jax.Array]

_STATE_CHANNELS = 16
_MESSAGE_CHANNELS = 8

# From boundary to boundary. INFERRED: the 16 edges between LAB's 13 boundaries are those of a later build of it; the
# lower edges of the brows, which it lacks, hear what the upper ones hear from the eyes.
EDGES: tuple[Edge, ...] = (
    ("contour", "left_brow_top"),
    ("contour", "right_brow_top"),
    ("contour", "left_lower_lid"),
    ("contour", "right_lower_lid"),
    ("contour", "lower_lip_bottom"),
    ("lower_lip_bottom", "lower_lip_top"),
    ("lower_lip_top", "upper_lip_bottom"),
    ("upper_lip_bottom", "upper_lip_top"),
    ("upper_lip_top", "nose_bottom"),
    ("nose_bottom", "nose_bridge"),
    ("nose_bridge", "left_lower_lid"),
    ("nose_bridge", "right_lower_lid"),
    ("left_lower_lid", "left_upper_lid"),
    ("right_lower_lid", "right_upper_lid"),
    ("left_upper_lid", "left_brow_top"),
    ("right_upper_lid", "right_brow_top"),
    ("left_upper_lid", "left_brow_bottom"),
    ("right_upper_lid", "right_brow_bottom"),
)


class GroupedConv(nn.Module):
    """Convolution of each group of channels by itself, without bias: [B, H, W, C] -> [B, H, W, groups x features].

    Parameters are those of `nn.Conv(groups * features, (side, side), feature_group_count=groups, use_bias=False)`. On a
    CPU each group is a convolution, as XLA's grouped one takes 60 times as long there, gradients included.
    """

    features: int
    groups: int
    side: int = 7
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer = CONV_INIT

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = self.side, self.side, x.shape[-1] // self.groups, self.groups * self.features
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        convolve = partial(
            lax.conv_general_dilated,
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if not operators.rewritten():
            return convolve(x, kernel, feature_group_count=self.groups)
        parts = zip(*(jnp.split(array, self.groups, axis=-1) for array in (x, kernel)), strict=True)
        return jnp.concatenate([convolve(*part) for part in parts], axis=-1)


class MessageBlocks(nn.Module):
    """Messages from the states of their senders, each with weights of its own: [B, H, W, 16 x count], as x is.

    A message is a 7x7 convolution of 16 channels to 8, BN, ReLU and a 7x7 convolution to 16.
    """

    count: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = GroupedConv(_MESSAGE_CHANNELS, self.count, dtype=self.dtype, name="conv1")(x)
        x = NormReLU(self.dtype, name="norm")(x, train=train)
        return GroupedConv(_STATE_CHANNELS, self.count, dtype=self.dtype, name="conv2")(x)


class MessagePassing(nn.Module):
    """Maps of boundaries, after messages between them in two directions.

    Each boundary has a state of 16 channels in each direction: BN and ReLU of its own 1x1 branch of the features plus
    the messages it receives, from other boundaries in this stack and from itself in the stack before. Messages run
    along `edges`, and against them in the second direction, so that one boundary waits for another: the states of one
    level of the graph are computed together. A map is BN, ReLU and a 1x1 convolution of both states of a boundary.

    The parameters are those of LAB as published: 510,496 for 13 boundaries and features of 256 channels, and 326,560
    more in a stack that another one precedes (a later build counts these at the sender).

    Attributes:
      boundaries: Names, in the order of the maps.
      edges: Pairs (sender, receiver) of the first direction, without a cycle.
      dtype: Type of the computation.
    """

    boundaries: tuple[str, ...]
    edges: tuple[Edge, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, features: jax.Array, received: States | None, *, train: bool) -> tuple[jax.Array, States]:
        """Maps [B, H, W, K] and states [B, H, W, 16] from features [B, H, W, C] and the states of the stack before."""
        directions = {"forward": self.edges, "backward": reverse(self.edges)}
        nodes = [(direction, boundary) for direction in directions for boundary in self.boundaries]
        edges = [((way, sender), (way, receiver)) for way, pairs in directions.items() for sender, receiver in pairs]
        branches = conv_1x1(len(nodes) * _STATE_CHANNELS, self.dtype, "branches")(features)
        incoming = {node: [branch] for node, branch in _split(branches, nodes).items()}
        if received:
            sent = self._messages([received[node] for node in nodes], "stack_messages", train)
            for node, message in zip(nodes, sent, strict=True):
                incoming[node].append(message)
        states: States = {}
        for number, level in enumerate(levels(nodes, edges)):
            x = jnp.concatenate([sum(incoming[node]) for node in level], axis=-1)
            states |= _split(NormReLU(self.dtype, name=f"level{number}_norm")(x, train=train), level)
            sending = [edge for edge in edges if edge[0] in level]
            sent = self._messages([states[sender] for sender, _ in sending], f"level{number}_messages", train)
            for (_, receiver), message in zip(sending, sent, strict=True):
                incoming[receiver].append(message)
        return self._maps(states, train), states

    def _messages(self, states: Sequence[jax.Array], name: str, train: bool) -> Sequence[jax.Array]:
        """The message of each sender, from the senders' states."""
        if not states:
            return ()
        blocks = MessageBlocks(len(states), self.dtype, name=name)
        return jnp.split(blocks(jnp.concatenate(states, axis=-1), train=train), len(states), axis=-1)

    def _maps(self, states: States, train: bool) -> jax.Array:
        pairs = [states[direction, boundary] for boundary in self.boundaries for direction in ("forward", "backward")]
        x = NormReLU(self.dtype, name="map_norm")(jnp.concatenate(pairs, axis=-1), train=train)
        count = len(self.boundaries)
        return GroupedConv(1, count, side=1, dtype=self.dtype, kernel_init=MAP_INIT, name="map_conv")(x)


def reverse(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """The edges with senders and receivers exchanged."""
    return tuple((receiver, sender) for sender, receiver in edges)


def levels(nodes: Iterable[Node], edges: Iterable[tuple[Node, Node]]) -> list[tuple[Node, ...]]:
    """The nodes of a graph by the number of edges on the longest path to them; in a level, in their own order."""
    nodes = list(nodes)
    sorter = graphlib.TopologicalSorter({node: [a for a, b in edges if b == node] for node in nodes})
    sorter.prepare()
    found = []
    while sorter.is_active():
        found.append(tuple(sorted(sorter.get_ready(), key=nodes.index)))
        sorter.done(*found[-1])
    return found


def edges_of(scheme: Scheme) -> tuple[Edge, ...]:
    """The edges of `EDGES` between boundaries that a scheme has.

    Raises:
      ValueError: The scheme has a boundary that no edge names.
    """
    known = {boundary for edge in EDGES for boundary in edge}
    unknown = [boundary for boundary in scheme.boundaries if boundary not in known]
    if unknown:
        raise ValueError(
            f"messages pass between boundaries named {', '.join(sorted(known))}; scheme {scheme.name} has others:"
            f" {', '.join(unknown)}; rename them, or set message_passing = False"
        )
    return tuple(edge for edge in EDGES if set(edge) <= set(scheme.boundaries))


def _split(x: jax.Array, nodes: Sequence[tuple[str, str]]) -> States:
    """The channels of each node."""
    return dict(zip(nodes, jnp.split(x, len(nodes), axis=-1), strict=True))
