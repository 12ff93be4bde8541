"""The notebooks run from top to bottom, with fewer steps than a reader would take."""

import json
import pathlib
import re

import matplotlib.pyplot as plt
import pytest

from jaxlm import experiment
from jaxlm.checkpoints import open_model

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "notebooks"


def cells(name: str, **parameters: object) -> list[str]:
    """The code of a notebook's cells; the cell tagged `parameters` is followed by one that sets some anew."""
    code = []
    for cell in json.loads((NOTEBOOKS / name).read_text())["cells"]:
        if cell["cell_type"] == "code":
            code.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", ()):
            code.append("\n".join(f"{parameter} = {value!r}" for parameter, value in parameters.items()))
    return code


def test_own_points(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    shown = []
    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path))
    monkeypatch.setattr(plt, "show", lambda: (shown.append(plt.gcf()), plt.close()))
    notebook: dict[str, object] = {}
    small = "--epochs 1 --model.input-size 64"
    small += " --model.options.widths 48 --model.options.blocks 1"  # All of the network takes long to compile.
    for code in cells("own_points.ipynb", FACES=20, OPTIONS=small):
        exec(code, notebook)
    printed = capsys.readouterr().out
    assert re.search(r"mine, validation: \d+ faces, 5 points \(mine\)", printed)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert notebook["found"].points.shape == (5, 2)
    assert len(shown) == 3


def test_the_shipped_weights_are_those_of_the_whole_network():
    whole = experiment.spell_out(experiment.load("finetune")).model
    shipped = open_model("shipped").config.model
    assert (shipped.name, shipped.options) == (whole.name, whole.options)
