"""The arms of the limited-data protocol: how their configs differ from an experiment's, and what is kept equal."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from jaxlm import config as config_lib
from jaxlm import models
from jaxlm.config import AugmentConfig, Config

ARMS = {
    "real": "photos alone",
    "photometric": "photos with photometric augmentation",
    "self": "photos, and each drawn again in its own style",
    "avs": "photos, and each drawn again in styles of others",
    "both": "photometric and avs",
}
"""The faces that each arm trains on. All have the geometric augmentation of the experiment."""

SELF_SET, AVS_SET = "self_set", "avs_set"

SET_OF = {"self": SELF_SET, "avs": AVS_SET, "both": AVS_SET}
"""The styled faces of the arms that have some."""

PHOTOMETRIC: dict[str, Any] = {"colour": 0.4, "hue": 0.05, "grey": 0.2, "blur": 0.2}
"""Strengths in the photometric arms where the experiment has none of its own: those of shufflenet_best."""

# Fields that differ between arms, or that make their trainings equal.
_OWNED = ("seed", "steps_per_epoch", "data.label_percent", "data.styled")

# Fields that detector and translator must share, so that both see the same faces.
_SHARED = ("data.dataset", "data.data_dir", "data.train_split", "data.validation_percent")

# The number of times that a run is saved. One that is killed goes on from the last time.
_SAVES = 4


def check(detector: Config, translator: Config) -> None:
    """Raises ValueError where a model is of the wrong kind, the two see different faces, or set what is set here."""
    for config, wanted in ((detector, False), (translator, True)):
        if (config.model.name in models.TRANSLATORS) != wanted:
            raise ValueError(
                f"model {config.model.name}: give a detector as --experiment, and as --translator one of the models"
                f" {', '.join(models.TRANSLATORS)}"
            )
    ours, theirs, defaults = (
        config_lib.flatten(dataclasses.asdict(config)) for config in (detector, translator, Config())
    )
    for name, values in (("detector", ours), ("translator", theirs)):
        for field in _OWNED:
            if values[field] != defaults[field]:
                raise ValueError(f"the {name} has {field} = {values[field]!r}; leave it out, the protocol sets it")
    for field in _SHARED:
        if ours[field] != theirs[field]:
            raise ValueError(
                f"detector and translator must see the same faces, and have {field} = {ours[field]!r} and"
                f" {theirs[field]!r}; give it behind --, which is for both"
            )


def with_equal_steps(config: Config, steps: int | None, faces: int) -> Config:
    """`config` with epochs of equal length, so that steps and schedule are the same on any subset of the faces.

    Each run is validated and saved four times, and its last step is kept, for that is the one it is judged by.

    Args:
      config: The config of an experiment.
      steps: How many steps in all, rounded down to whole epochs; None takes those of the experiment on all faces.
      faces: How many faces there are to train on.

    Raises:
      ValueError: There are fewer steps than epochs.
    """
    steps = config.epochs * (faces // config.data.batch_size) if steps is None else steps
    if steps < config.epochs:
        raise ValueError(
            f"{steps} steps do not make {config.epochs} epochs of model {config.model.name}; give more steps, or fewer"
            " --epochs behind --"
        )
    eval_every = -(-config.epochs // _SAVES)
    return dataclasses.replace(config, steps_per_epoch=steps // config.epochs, eval_every=eval_every, keep=1)


def total_steps(config: Config) -> int:
    """Steps of a training whose config `with_equal_steps` made."""
    assert config.steps_per_epoch is not None
    return config.steps_per_epoch * config.epochs


def arm_config(config: Config, arm: str, percent: float, seed: int, styled: pathlib.Path | None) -> Config:
    """The config of an arm on a share of the faces; `styled` is its pack of styled faces, where it has one."""
    config = on_share(config, percent, seed)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, styled=None if styled is None else str(styled)),
        augment=photometric(config.augment) if arm in ("photometric", "both") else geometric(config.augment),
    )


def on_share(config: Config, percent: float, seed: int) -> Config:
    """The same experiment on a share of the faces; `seed` draws the share, as all else."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, label_percent=percent), seed=seed)


def geometric(augment: AugmentConfig) -> AugmentConfig:
    """The augmentation without its photometric part."""
    without: dict[str, Any] = dict.fromkeys(PHOTOMETRIC, 0.0)
    return dataclasses.replace(augment, **without)


def photometric(augment: AugmentConfig) -> AugmentConfig:
    """The augmentation with a photometric part: its own, or that of `PHOTOMETRIC` where it has none."""
    return augment if augment != geometric(augment) else dataclasses.replace(augment, **PHOTOMETRIC)
