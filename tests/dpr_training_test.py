"""DPR's stages in training steps: each lowers its loss and moves its own network alone, weight decay or not."""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import pytest

from jaxlm import experiment
from jaxlm.config import AugmentConfig, Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.training.step import init_state, make_recipe, train_step
from tiny_regressor import use_tiny_regressors, use_tiny_reinit

BATCH_SIZE = 4
NETWORKS = ("global_reinit", "global_regress", "local_reinit", "part_regressors")


def stage_config(pack: pathlib.Path, stage: str) -> Config:
    """A stage of dpr_synthetic on small frames, unjittered, with much weight decay; other networks are frozen.

    SGD, which compiles faster than AdamW, and decays weights, too.
    """
    config = experiment.load("dpr_synthetic")
    local = stage in ("local_reinit", "part_regressors")
    options = config.model.options | {"stage": stage} | ({"local": "network"} if local else {})
    frozen = tuple((name, 0.0) for name in (NETWORKS if local else NETWORKS[:2]) if name != stage)
    return experiment.spell_out(
        dataclasses.replace(
            config,
            model=dataclasses.replace(
                config.model, name="dpr_glsr" if local else "dpr_gsr", input_size=64, options=options
            ),
            data=dataclasses.replace(config.data, dataset=str(pack), batch_size=BATCH_SIZE),
            augment=AugmentConfig(),
            optim=dataclasses.replace(
                config.optim, name="sgd", learning_rate=0.01, rates=frozen, weight_decay=0.1, warmup_epochs=0.0
            ),
        )
    )


def moved(before: dict, after: dict) -> set[str]:
    """The networks of which any value changed."""
    return {
        network
        for network in after
        if not all(map(np.array_equal, jax.tree.leaves(before[network]), jax.tree.leaves(after[network])))
    }


@pytest.mark.parametrize("stage", NETWORKS)
def test_a_stage_lowers_its_loss_and_moves_nothing_but_its_network(
    pack: pathlib.Path, stage: str, monkeypatch: pytest.MonkeyPatch
):
    use_tiny_regressors(monkeypatch)
    if stage != "global_reinit":
        use_tiny_reinit(monkeypatch)
    config = stage_config(pack, stage)
    recipe = make_recipe(config, 48, 2.0)
    before = state = jax.jit(functools.partial(init_state, recipe))()
    step = jax.jit(functools.partial(train_step, recipe=recipe))
    batch = next(input_lib.train_batches(input_lib.open_faces(str(pack), "train", ""), BATCH_SIZE, 0, 0, 1))
    batch = {name: batch[name] for name in ("image", "points", "visible")}
    losses = []
    for _ in range(8):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
        assert metrics["degenerate"] == 0
    assert losses[-1] < 0.9 * losses[0], losses
    before, state = jax.device_get((before, state))
    assert moved(before.params, state.params) == {stage}
    assert moved(before.batch_stats, state.batch_stats) == {stage} & {"global_regress", "part_regressors"}
