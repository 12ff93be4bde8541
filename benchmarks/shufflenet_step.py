"""Times a training step of the heat-map ShuffleNetV2 (forward, gradient, Adam): ours, and plain PyTorch's if installed.

python -m benchmarks.shufflenet_step [--batch 16] [--size 384] [--frameworks jax torch] [--runs 5]
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable

import numpy as np

from benchmarks import timing

NUM_POINTS = 68


def jax_step(batch: int, size: int) -> Callable[[], object]:
    """A step on fixed images and maps, compiled; each call goes on from the last one's weights."""
    import jax
    import jax.numpy as jnp
    import optax

    from jaxlm import models

    model = models.build("shufflenetv2_heatmap", NUM_POINTS, {}, "float32")
    optimiser = optax.adam(1e-3)
    images, targets = map(jax.device_put, faces(batch, size))
    variables = jax.jit(lambda key: model.init(key, images[:1], train=False))(jax.random.key(0))

    @jax.jit
    def step(
        variables: dict, opt_state: optax.OptState, images: jax.Array, targets: jax.Array
    ) -> tuple[dict, optax.OptState]:
        def loss(params: dict) -> tuple[jax.Array, dict]:
            maps, mutated = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return jnp.square(maps - targets).mean(), mutated

        gradient, mutated = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = optimiser.update(gradient, opt_state)
        return {"params": optax.apply_updates(variables["params"], updates), **mutated}, opt_state

    state = variables, optimiser.init(variables["params"])

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(*state, images, targets))

    return run


def torch_step(batch: int, size: int) -> Callable[[], object]:
    """The same in PyTorch, eagerly, with its default layout."""
    import torch

    from benchmarks.shufflenet_torch import heatmap_network

    network = heatmap_network(NUM_POINTS)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    images, targets = (torch.from_numpy(array.transpose(0, 3, 1, 2).copy()) for array in faces(batch, size))

    def run() -> None:
        optimiser.zero_grad()
        (network(images) - targets).square().mean().backward()
        optimiser.step()

    return run


def faces(batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images [B, S, S, 3] and maps [B, S / 4, S / 4, N] of noise."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, size, size, 3), np.float32)
    return images, rng.random((batch, size // 4, size // 4, NUM_POINTS), np.float32)


STEPS: dict[str, Callable[[int, int], Callable[[], object]]] = {"jax": jax_step, "torch": torch_step}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shufflenet_step", description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16, help="images in a batch")
    parser.add_argument("--size", type=int, default=384, help="side of the images in pixels")
    parser.add_argument("--runs", type=int, default=5, help="timed steps of each, of which the median counts")
    installed = [name for name in STEPS if importlib.util.find_spec(name)]
    parser.add_argument("--frameworks", nargs="+", choices=installed, default=installed, help="what to time")
    arguments = parser.parse_args()
    steps = {name: STEPS[name](arguments.batch, arguments.size) for name in arguments.frameworks}
    print(f"{timing.environment(arguments.frameworks)}; batch {arguments.batch}, {arguments.size} px\n")
    print("| | seconds a step | seconds of processor time |")
    print("|---|---|---|")
    for name, times in timing.alternate(steps, arguments.runs).items():
        print(f"| {name} | {times.wall:.2f} | {times.cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
