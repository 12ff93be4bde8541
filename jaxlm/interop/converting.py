"""Converts PyTorch checkpoints to one file of weights, and prints what became of every tensor."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Sequence

from jaxlm.files import check_output
from jaxlm.interop import torch_checkpoints, torch_files
from jaxlm.models import read_metadata, save_weights


def convert_and_write(
    checkpoints: Sequence[str], model: str, out: str, scheme: str | None = None, without: Sequence[str] = ()
) -> bool:
    """Writes the weights of a model that several PyTorch files make up, and prints the report.

    Nothing is written where a tensor is left over, missing or of the wrong shape.

    Args:
      checkpoints: The PyTorch files.
      model: A key of `torch_maps.MAPS`.
      out: The file to write.
      scheme: The landmark scheme of the checkpoints; by default the built-in one of as many points.
      without: Networks that are in none of the files; they stay untrained.

    Returns:
      Whether the file was written.

    Raises:
      ImportError: PyTorch is not installed.
      FileNotFoundError: There is no such file.
      FileExistsError: `out` is another kind of file, or one of the PyTorch files.
      ConversionError: A file holds anything but tensors, two hold the same one, or there is no network of `without`.
    """
    sources = [pathlib.Path(path) for path in checkpoints]
    check_output(pathlib.Path(out), "a file of weights", lambda file: bool(read_metadata(file)), sources)
    state = torch_files.merge({path: torch_files.read_checkpoint(path) for path in checkpoints})
    converted = torch_checkpoints.convert_state(state, model, scheme, without)
    print(converted.report)
    if not converted.report.ok:
        likely = torch_checkpoints.likely_model(state)
        hint = f"; the tensors look like {likely}'s" if likely != model else ""
        print(f"this is not all of {model} and nothing else, so nothing is written{hint}", file=sys.stderr)
        return False
    files = ", ".join(os.path.basename(path) for path in checkpoints)
    card = {"origin": f"converted from PyTorch: {files}", "licence": "that of the checkpoint"}
    card = converted.metadata.get("card", {}) | card
    save_weights(out, converted.variables, converted.metadata | {"card": card})
    print(f"Wrote {out}: {model}, {card['origin']}")
    return True
