"""What a finished translator shows of its held-out faces: figures with their protocol, and a grid of transfers."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlm import checkpoints
from jaxlm.checkpoints import Trained
from jaxlm.data_pipelines.input import Faces
from jaxlm.drawing import pictures
from jaxlm.evaluation import judging
from jaxlm.models import vunet
from jaxlm.runtime import distributed
from jaxlm.styles import translation

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
"""The figures of the table: key, and what people see, its format and the factor of its value."""


class Judged(NamedTuple):
    """What a translator does with some faces.

    Attributes:
      faces: The faces.
      figures: Of the validation, over all of them.
      protocol: All that the figures depend on, by what each line is about; `run` says what was judged.
    """

    faces: Faces
    figures: Mapping[str, float]
    protocol: Mapping[str, str]


def judge(
    trained: Trained,
    run: str,
    make_validator: Callable[..., Any],
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
) -> Judged:
    """Judges a translator, called `run` in the protocol, by the faces that it held out or by those named.

    Args:
      trained: The translator.
      run: What it is called.
      make_validator: `TranslationObjective.validator` of the run.
      dataset: A prepared set or a pack; by default that of the run.
      data_dir: Where sets were prepared; by default that of the run.
      split: See `evaluate.open_evaluation`; by default the part held out from training.
    """
    data, task = trained.config.data, trained.config.task.options
    faces, _ = judging.open_evaluation(
        trained.config, dataset or data.dataset, split or judging.VALIDATION, data_dir or data.data_dir
    )
    figures = make_validator(faces.margin, distributed.make_mesh())(trained.variables, faces)
    protocol = {
        "run": run,
        "data": f"{faces.dataset}, {faces.split}: {len(faces)} faces, crops of {data.crop:g} boxes",
        "box": faces.box,
        "structure": f"{task['structure']} of {faces.scheme}",
        "perceptual": f"features {task['features']}; 1 is the distance of two different faces, without Gram terms",
        "rendered": "each face from its own structure and the mean of its style",
    }
    return Judged(faces, figures, protocol)


def report(workdir: pathlib.Path, make_validator: Callable[..., Any]) -> Mapping[str, float]:
    """Judges the best step of a run, prints the table, and writes metrics.json and transfer.png.

    They go to `WORKDIR/evaluation/DATASET-validation/`.

    Args:
      workdir: Of the run.
      make_validator: `TranslationObjective.validator` of the run.

    Returns:
      The figures of the validation.
    """
    trained = checkpoints.open_model(workdir)
    faces, figures, protocol = judge(trained, f"{workdir}, step {trained.step}", make_validator)
    if jax.process_index() == 0:
        print_table(figures, protocol)
        directory = pathlib.Path(workdir) / "evaluation" / f"{faces.dataset}-{faces.split}"
        directory.mkdir(parents=True, exist_ok=True)
        document = {"protocol": protocol, "figures": dict(figures)}
        (directory / "metrics.json").write_text(json.dumps(document, indent=2) + "\n")
        pictures.save_image(directory / "transfer.png", transfers(translation.as_translator(trained), faces))
        print(f"Wrote {directory / 'metrics.json'}\n      {directory / 'transfer.png'}")
    return figures


def print_table(figures: Mapping[str, float], protocol: Mapping[str, str]) -> None:
    """Prints the protocol, then one figure a line."""
    for name, value in protocol.items():
        print(f"{name + ':':12s}{value}")
    print()
    for name, (label, form, factor) in ROWS.items():
        print(f"{label:30s}{form.format(factor * figures[name]):>10s}")
    print()


def transfers(translator: translation.Translator, faces: Faces) -> np.ndarray:
    """The picture of `pictures.transfer_grid` for up to 8 of the faces, evenly spread."""
    chosen = np.linspace(0, len(faces) - 1, min(_GRID, len(faces))).astype(int)
    images, points = translation.crops_of(faces, chosen, translator)
    structures = translation.structures_of(points, translator)
    pairs = vunet.transfer(translator.model, translator.variables, images, structures)
    photos = translation.to_uint8(images)
    return pictures.transfer_grid(photos, photos, translation.to_uint8(pairs))
