"""What tests of training runs share."""

import dataclasses
import json
import pathlib
import sys

import jax
import numpy as np

from jaxlm.checkpoints import Checkpoints, directory_of
from jaxlm.config import Config
from jaxlm.runtime import distributed
from jaxlm.training import loop
from jaxlm.training.step import to_items

ROOT = pathlib.Path(__file__).parents[1]


def changed(config: Config, **sections: dict) -> Config:
    """`config` with the given fields of its sections replaced; plain fields are given as they are."""
    return dataclasses.replace(
        config,
        **{
            name: dataclasses.replace(getattr(config, name), **value) if isinstance(value, dict) else value
            for name, value in sections.items()
        },
    )


def command(pack: pathlib.Path, workdir: pathlib.Path, *more: str) -> list[str]:
    options = ["--data.dataset", str(pack), "--data.cache", "device", "--workdir", str(workdir), *more]
    return [sys.executable, "-m", "jaxlm.train", "--experiment", "debug", *options]


def final_state(config: Config, workdir: pathlib.Path) -> tuple[int, dict, dict]:
    """What the last checkpoint of a run holds."""
    recipe, training, _ = loop.prepare_run(config)
    with Checkpoints(directory_of(workdir), config, config.keep) as checkpoints:
        step, state, _ = loop.start_or_resume(recipe, training, checkpoints, distributed.make_mesh())
    return step, *to_items(state)


def assert_same_bits(ours: object, theirs: object) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), ours, theirs)


def losses_and_errors(workdir: pathlib.Path) -> list[float]:
    """Loss and NME of every row of a run's metrics."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [row[key] for row in rows for key in ("loss", "nme") if key in row]
