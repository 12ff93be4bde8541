"""The record beside a step's arrays: its number, its run, the config, the faces, a fingerprint of every array."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from jaxlm import config as config_lib
from jaxlm import experiment
from jaxlm.checkpoints import identity
from jaxlm.config import Config
from jaxlm.landmarks import load_scheme
from jaxlm.landmarks.scheme import to_table


class CheckpointError(OSError):
    """There is no run, or none of its checkpoints can be used."""


class StrayStepError(CheckpointError):
    """A step lies where it was not saved: under another number, or among the steps of another run."""


class MismatchError(ValueError):
    """A workdir belongs to another run: its config, or the faces that it learns from, are others."""


def make_record(
    step: int, run: str, config: Config, data: Mapping[str, str], fingerprints: Mapping[str, int]
) -> dict[str, Any]:
    """The record of a step, with a checksum of its own.

    Args:
      step: The step's number.
      run: The id of the run.
      config: The run's config, with schemes spelled out.
      data: What the run learns from, checksums by what they are about.
      fingerprints: Those of the arrays, by their paths.
    """
    record = {
        "step": step,
        "run": run,
        "config": experiment.to_json(config),
        "data": dict(data),
        "fingerprints": dict(fingerprints),
    }
    return record | {"checksum": _checksum(record)}


def check_record(record: Any) -> dict[str, Any]:
    """A record that was read, if it is whole; those of older runs have no checksum, and stored nothing of their faces.

    Raises:
      CheckpointError: It is damaged.
    """
    kinds = {"config": str, "fingerprints": dict}
    if not isinstance(record, dict) or any(not isinstance(record.get(key), kind) for key, kind in kinds.items()):
        raise CheckpointError("its record is damaged: the config or the fingerprints are missing")
    content = {key: value for key, value in record.items() if key != "checksum"}
    if record.get("checksum", _checksum(content)) != _checksum(content):
        raise CheckpointError("its record is damaged: it differs from what was saved")
    return record


def check_place(record: Mapping[str, Any], step: int, run: str | None) -> None:
    """Raises StrayStepError where a record is not that of step `step` of the run with the id `run`, None if unknown.

    Records of older runs do not say.
    """
    if record.get("step", step) != step:
        raise StrayStepError(f"it was saved as step {record['step']}, and its folder was renamed or copied")
    if run is not None and record.get("run", run) != run:
        raise StrayStepError("another run saved it, and its folder was copied here")


def check_same_run(record: Mapping[str, Any], config: Config, data: Mapping[str, str], workdir: str) -> None:
    """Raises MismatchError where a step in `workdir` is of a run with another config or on other faces."""
    try:
        stored = experiment.with_schemes_spelled_out(experiment.from_json(record["config"]))
    except experiment.DeletedFieldError:
        raise
    except ValueError as error:
        if "checksum" not in record:  # It may be damaged.
            raise
        raise MismatchError(
            f"{workdir} holds a run of another version of jaxlm, whose config this one does not know: {error}"
        ) from None
    if different := _changed_schemes(stored, config) or config_lib.differences(stored, config):
        lines = "\n  ".join(different)
        raise MismatchError(
            f"{workdir} holds a run with another config; take another --workdir, or match it:\n  {lines}"
        )
    if changed := identity.changes(record.get("data") or {}, data):
        raise MismatchError(
            f"{workdir} holds a run on other faces: {config.data.dataset} has changed since ({', '.join(changed)})."
            f" Take another --workdir, with --init-from {workdir} to start from its weights, or bring the old data"
            " back."
        )


def _changed_schemes(stored: Config, asked: Config) -> list[str]:
    """A line where two configs name schemes of one name that differ, which would be pages of tables side by side."""
    ours, theirs = (load_scheme(config.data.scheme) for config in (stored, asked))
    if ours == theirs or ours.name != theirs.name:
        return []
    before, now = to_table(ours), to_table(theirs)
    changed = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    return [f"data.scheme: {', '.join(changed)} of the scheme {ours.name} changed since"]


def _checksum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
