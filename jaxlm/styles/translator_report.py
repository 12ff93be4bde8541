"""How a trained translator is judged: a table of metrics with their protocol, and a grid of transfers."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from jaxlm import checkpoints
from jaxlm.checkpoints import Trained
from jaxlm.checkpoints.identity import model_identity
from jaxlm.data_pipelines.input import Faces
from jaxlm.drawing import pictures
from jaxlm.evaluation.folders import free_folder, title_of
from jaxlm.evaluation.judged_faces import VALIDATION, open_for
from jaxlm.files import write_json
from jaxlm.models import vunet
from jaxlm.runtime import distributed
from jaxlm.styles import feature_networks, translation, validation

# Faces a side of the grid.
_GRID = 8

ROWS = {
    "reconstruction": ("perceptual + L1 (of 1)", "{:.4f}", 1),
    "perceptual": ("perceptual", "{:.4f}", 1),
    "l1": ("L1 (grey levels of 255)", "{:.2f}", 255),
    "kl_4px": ("KL of the 4 px latent (nats)", "{:.1f}", 1),
    "kl_8px": ("KL of the 8 px latent (nats)", "{:.1f}", 1),
    "active_4px": ("active units, 4 px (%)", "{:.1f}", 100),
    "active_8px": ("active units, 8 px (%)", "{:.1f}", 100),
}
"""The metrics of the table, by key: what people see, its format and the factor of its value."""


class Judged(NamedTuple):
    """What a translator does with some faces.

    Attributes:
      faces: The faces.
      metrics: What `validation.validator` gives, over all of them.
      protocol: All that the metrics depend on, by what each line is about; `run` says what was judged.
      identity: Checksums of the faces; see `identity_of`.
    """

    faces: Faces
    metrics: Mapping[str, float]
    protocol: Mapping[str, str]
    identity: Mapping[str, str]


def judge_translator(
    trained: Trained,
    run: str,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
) -> Judged:
    """Judges a translator, called `run` in the protocol, by the faces that it held out or by those named.

    Args:
      trained: The translator.
      run: What it is called.
      dataset: A prepared set or a pack; by default that of the run.
      data_dir: Where sets were prepared; by default that of the run.
      split: See `judged_faces.open_evaluation`; by default the part held out from training.

    Raises:
      ValueError, FileNotFoundError, CheckpointError: The faces or the feature network cannot be loaded.
    """
    config, data, task = trained.config, trained.config.data, trained.config.task.options
    faces, _, identity, notes = open_for(trained, dataset, split or VALIDATION, data_dir)
    published = task["loss"] == "published"
    network = feature_networks.load_features(task["features"], grey_levels=published)
    validate = validation.validator(trained.model, config, network, faces.margin, distributed.make_mesh())
    metrics = validate(trained.variables, faces)
    protocol = {
        "run": run,
        "data": f"{faces.dataset}, {faces.split}: {len(faces)} faces, crops of {data.crop:g} boxes",
        "box": faces.box,
        "structure": f"{task['structure']} of {faces.scheme.name}",
        "perceptual": f"features {task['features']}; "
        + (
            "the sum that AVS publishes"
            if published
            else "1 is the distance of two different faces, without Gram terms"
        ),
        "rendered": "each face from its own structure and the mean of its style",
        **notes,
    }
    return Judged(faces, metrics, protocol, identity)


def report_translator(workdir: pathlib.Path) -> Mapping[str, float]:
    """Judges the best step of the run in `workdir`, prints the table, and writes metrics.json and transfer.png.

    They go to `WORKDIR/evaluation/DATASET-validation/`; a number follows where results of another step lie there.

    Returns:
      The metrics of the held-out faces.
    """
    trained = checkpoints.open_model(workdir)
    faces, metrics, protocol, identity = judge_translator(trained, f"{workdir}, step {trained.step}")
    if jax.process_index() == 0:
        print_table(metrics, protocol)
        about = {"protocol": protocol, "faces": identity, "model": model_identity(trained)}
        directory = free_folder(pathlib.Path(workdir) / "evaluation", title_of(faces), about)
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / "metrics.json", {**about, "figures": dict(metrics)})
        pictures.save_image(directory / "transfer.png", transfers(translation.as_translator(trained), faces))
        print(f"Wrote {directory / 'metrics.json'}\n      {directory / 'transfer.png'}")
    return metrics


def print_table(metrics: Mapping[str, float], protocol: Mapping[str, str]) -> None:
    """Prints the protocol, then one metric a line."""
    for name, value in protocol.items():
        print(f"{name + ':':12s}{value}")
    print()
    for name, (label, form, factor) in ROWS.items():
        print(f"{label:30s}{form.format(factor * metrics[name]):>10s}")
    print()


def transfers(translator: translation.Translator, faces: Faces) -> np.ndarray:
    """The picture of `pictures.transfer_grid` for up to 8 of the faces, evenly spread."""
    chosen = np.linspace(0, len(faces) - 1, min(_GRID, len(faces))).astype(int)
    images, points = translation.crops_of(faces, chosen, translator)
    structures = translation.structures_of(points, translator)
    pairs = vunet.transfer(translator.model, translator.variables, images, structures)
    photos = translation.to_uint8(images)
    return pictures.transfer_grid(photos, photos, translation.to_uint8(pairs))
