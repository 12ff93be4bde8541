"""The task of boundaries and its adversary: what costs nothing, whose loss trains whom, which boundaries count."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxlm import experiment, tasks
from jaxlm.config import Config, DataConfig, ModelConfig, TaskConfig
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.models.lab import LABOutputs
from jaxlm.tasks.boundaries import BoundaryTask
from jaxlm.tasks.boundary_losses import adversarial_loss, discriminator_loss, is_effective
from jaxlm.training import objectives
from jaxlm.training.objectives import Crops
from jaxlm.training.objectives.boundaries import BoundaryObjective
from jaxlm.training.objectives.detection import DetectionObjective
from tolerances import assert_float32_close, assert_float32_trees_close

SIZE = 32


@pytest.fixture
def scheme_file(tmp_path: pathlib.Path) -> str:
    """Nine points on three boundaries that tell each other something."""
    file = tmp_path / "nine.toml"
    file.write_text(
        'name = "nine"\ncount = 9\nflip = [[0, 2], [3, 5], [6, 8]]\neye_corners = [3, 5]\n'
        "[boundaries]\ncontour = [0, 1, 2]\nleft_brow_top = [3, 4, 5]\nlower_lip_bottom = [6, 7, 8]\n"
    )
    return str(file)


def task_of(scheme: str, **options: float | str) -> BoundaryTask:
    return tasks.build(TaskConfig("boundaries", options), ModelConfig("lab", SIZE, {"scheme": scheme}))


def places(count: int) -> jax.Array:
    """Points of some faces in crops."""
    return jnp.asarray(np.random.default_rng(0).uniform(4, SIZE - 4, (count, 9, 2)), jnp.float32)


def perfect(points: jax.Array, task: BoundaryTask) -> LABOutputs:
    coordinates = (points - 0.5 * (SIZE - 1)) / (0.5 * SIZE)
    return LABOutputs((jax.jit(task.maps)(points),) * 2, coordinates.reshape(len(points), -1))


def test_perfect_outputs_cost_nothing_and_give_their_points(scheme_file: str):
    points, task = places(2), task_of(scheme_file)
    outputs = perfect(points, task)
    assert_float32_close(jax.jit(task.loss)(outputs, points, None), [0, 0], depth=4, scale=SIZE)
    assert_float32_close(task.points(outputs), points, depth=4, scale=SIZE)
    assert task.confidence(outputs) is None
    assert task.degenerate(outputs) is None


def test_the_loss_in_numbers(scheme_file: str):
    """Half a summed square for each stack; one pixel off in every coordinate costs 1 by L1."""
    points, task = places(1), task_of(scheme_file, loss_name="l1")
    outputs = perfect(points, task)
    spoilt = outputs.maps[0].at[0, 3, 4, 2].add(2.0)
    outputs = LABOutputs((spoilt, outputs.maps[1]), outputs.coordinates + 2 / SIZE)
    assert_float32_close(jax.jit(task.loss)(outputs, points, None), [0.5 * 4 + 1.0], depth=2 * 8 * 8 * 3, scale=SIZE)


def test_true_maps_are_drawn_about_the_centres_of_cells(scheme_file: str):
    """Cell j is pixels 4 j to 4 j + 3: a straight curve along x = 13.5 runs through the middle of column 3."""
    points = places(1).at[0, :3].set(jnp.asarray([[13.5, y] for y in (1.5, 13.5, 29.5)]))
    maps = jax.jit(task_of(scheme_file).maps)(points)
    assert maps.shape == (1, 8, 8, 3)
    expected = np.exp(-0.5 * np.float32([2, 1, 0, 1, 2]) ** 2)
    assert_float32_close(maps[0, 4, :, 0], [0, *expected, 0, 0], depth=10, scale=8)


def face() -> np.ndarray:
    return 255 * np.float32(IBUG68.mean_face)[None]


@pytest.mark.parametrize(
    ("indices", "pixels", "failed"),
    [
        ([], 0.0, []),
        (list(range(27, 31)), 1.49, []),
        (list(range(27, 31)), 1.51, ["nose_bridge"]),
        ([17], 9.0, []),  # 4 of 5 are right.
        ([17, 18], 9.0, ["left_brow_top"]),
        ([36], 9.0, ["left_upper_lid", "left_lower_lid"]),  # 3 of 4, and it is a corner.
    ],
)
def test_boundaries_are_effective_where_enough_landmarks_are_near(indices: list[int], pixels: float, failed: list[str]):
    predicted = face()
    predicted[:, indices, 0] += pixels
    found = is_effective(predicted, face(), IBUG68, near=1.5)[0]
    assert [name for name, good in zip(IBUG68.boundaries, found, strict=True) if not good] == failed


def test_the_game_in_numbers():
    logit = np.log(4.0).astype(np.float32)  # A probability of 0.8.
    real, fake, effective = jnp.full((1, 2), logit), jnp.full((1, 2), logit), jnp.asarray([[1.0, 0.0]])
    expected = -np.log(0.8) - (np.log(1 - abs(0.8 - 1)) + np.log(1 - abs(0.8 - 0))) / 2
    # The logarithm of 0.2 = 1 - 0.8 has the rounding of 1, five times as much.
    assert_float32_close(discriminator_loss(real, fake, effective), expected, depth=12, scale=5)
    assert_float32_close(adversarial_loss(fake), np.log(0.2), depth=12, scale=5)
    value, gradient = jax.value_and_grad(adversarial_loss)(jnp.full((1, 2), 1e3))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_the_objective_follows_the_weight_of_the_adversary():
    config = experiment.load("lab_300w")
    assert objectives.kind(config) is DetectionObjective
    options = config.task.options | {"adversarial": 0.5}
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, options=options))
    assert objectives.kind(config) is BoundaryObjective


def test_weights_below_zero_and_other_models_are_refused():
    with pytest.raises(ValueError, match="adversarial of boundaries must be at least 0, not -1"):
        task_of("ibug68", adversarial=-1.0)
    with pytest.raises(ValueError, match="task boundaries is for models with scheme, which fan has not"):
        tasks.build(TaskConfig("boundaries"), ModelConfig("fan"))


def objective_of(
    scheme: str, adversarial: float = 0.0, kind: type[DetectionObjective] = BoundaryObjective
) -> DetectionObjective:
    options = {"stacks": 1, "width": 8, "depth": 0, "scheme": scheme}
    config = Config(
        model=ModelConfig("lab", SIZE, options),
        task=TaskConfig("boundaries", {"adversarial": adversarial}),
        data=DataConfig(scheme=scheme),
    )
    return kind.of(config, 1)


def crops_of(count: int) -> Crops:
    images = np.random.default_rng(0).normal(size=(count, SIZE, SIZE, 3))
    return Crops(jnp.asarray(images, jnp.float32), places(count), jnp.ones((count, 9)))


def variables_of(objective: DetectionObjective) -> dict:
    """Random ones without compiling `init`; kernels are small, all else is as `init` leaves it."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(objective.init, jax.random.key(0), None)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name = path[-1].key
        if name == "kernel":
            return jnp.asarray(rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape), jnp.float32)
        return jnp.full(leaf.shape, 1.0 if name in ("scale", "var") else 0.0)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def gradients_of(objective: DetectionObjective, crops: Crops) -> Callable[[dict], tuple]:
    loss = functools.partial(objective.loss, crops=crops, key=jax.random.key(0), step=jnp.asarray(0))
    return jax.jit(lambda variables: jax.grad(loss, has_aux=True)(variables["params"], variables["batch_stats"]))


class TinyEstimator(nn.Module):
    """Stands in for the hourglasses, as those below do for other networks; their gradients take long to compile."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        x = nn.BatchNorm(use_running_average=not train)(images)
        return (nn.Conv(3, (4, 4), strides=(4, 4), use_bias=False)(x),)


class TinyRegressor(nn.Module):
    @nn.compact
    def __call__(self, images: jax.Array, maps: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(18)(maps.mean((1, 2)))


class TinyDiscriminator(nn.Module):
    @nn.compact
    def __call__(self, maps: jax.Array, *, train: bool) -> jax.Array:
        return nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(maps.mean((1, 2)) + maps.max((1, 2))))


def test_each_loss_trains_its_own_side(scheme_file: str, monkeypatch: pytest.MonkeyPatch):
    """The discriminator's gradient is the same whatever the adversary weighs; without weight it moves nobody else."""
    monkeypatch.setattr("jaxlm.models.lab.network.StackedHourglass", lambda *_: TinyEstimator())
    monkeypatch.setattr("jaxlm.models.lab.network.BoundaryRegressor", lambda *_, **__: TinyRegressor())
    monkeypatch.setattr("jaxlm.models.lab.network.EffectivenessDiscriminator", lambda *_: TinyDiscriminator())
    crops = crops_of(4)
    idle, active = (objective_of(scheme_file, adversarial=weight) for weight in (0.0, 1000.0))
    variables = variables_of(idle)
    assert set(variables["params"]) == {"estimator", "regressor", "discriminator"}
    step = gradients_of(idle, crops)
    gradients, weighted = step(variables)[0], gradients_of(active, crops)(variables)[0]
    compare = functools.partial(assert_float32_trees_close, depth=400)
    compare(weighted["discriminator"], gradients["discriminator"])
    compare(weighted["regressor"], gradients["regressor"])
    assert any(map(np.any, jax.tree.leaves(gradients["discriminator"])))
    differences = jax.tree.map(lambda a, b: np.abs(a - b).max(), weighted["estimator"], gradients["estimator"])
    assert max(jax.tree.leaves(differences)) > 1e-2

    other = jax.tree.map(lambda leaf: 0.5 * leaf, variables["params"]["discriminator"])
    changed, _ = step(variables | {"params": variables["params"] | {"discriminator": other}})
    compare(changed["estimator"], gradients["estimator"])


def test_steps_along_the_gradient_lower_the_loss(scheme_file: str, monkeypatch: pytest.MonkeyPatch):
    """Of real hourglasses with messages, below a stand-in for the regressor."""
    monkeypatch.setattr("jaxlm.models.lab.network.BoundaryRegressor", lambda *_, **__: TinyRegressor())
    objective, crops = objective_of(scheme_file, kind=DetectionObjective), crops_of(2)
    variables, step = variables_of(objective), gradients_of(objective, crops)
    losses = []
    for _ in range(6):
        gradients, (values, stats) = step(variables)
        params = jax.tree.map(lambda p, g: np.asarray(p) - 2e-3 * np.sign(g), variables["params"], gradients)
        variables = {"params": params, "batch_stats": stats}
        losses.append(float(values["loss"]))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
