"""The command line: `jaxlm COMMAND ...` runs the module of that name, and `jaxlm` alone lists the commands."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import jaxlm
from jaxlm import config

# Each is a module of jaxlm with a function main(argv), loaded only when it is called.
COMMANDS = {
    "Find landmarks": {
        "predict": "landmarks of faces in photos and videos",
        "calibrate": "fit the boxes of a face detector to a model",
        "export": "a trained detector for elsewhere: a bundle, StableHLO, ONNX, TFLite, a page",
        "convert": "PyTorch checkpoints to weights of jaxlm",
    },
    "Prepare data": {
        "prepare": "cut the faces of a data set into frames, to train and to evaluate on",
        "relabel": "give faces the points that trained models find",
    },
    "Train": {
        "train": "train a model, or go on where its run stopped",
        "summary": "layers, parameters and multiply-accumulates of a model",
        "average": "the mean of the weights of several models",
        "study": "several arms and seeds, one table: a study that a file tells",
        "limited-data": "how far few labels go, with styled faces and without",
    },
    "Evaluate and compare": {
        "evaluate": "NME, failure rate and AUC of a model on a data set",
        "report": "one page of tables, curves and pictures on several runs",
        "sensitivity": "how the error grows when face boxes are off",
        "attention": "draw the affine sets and the attention of a SepBN model",
    },
    "Styles": {
        "stylize": "draw training faces in the styles of other photos",
        "turn": "turn the heads of training faces to the side, and shut eyes",
        "disentangle": "whether a translator keeps structure and style apart",
    },
}
USAGE = "usage: jaxlm COMMAND ..."


def module_of(command: str) -> str:
    """The module that runs a command."""
    return "jaxlm.data_pipelines.prepare" if command == "prepare" else f"jaxlm.{command.replace('-', '_')}"


def overview() -> str:
    """All commands, in groups, with a line each."""
    lines = [USAGE, "", "Facial-landmark detectors in JAX. `jaxlm COMMAND --help` tells how a command is used."]
    for title, commands in COMMANDS.items():
        lines += ["", f"{title}:", *(f"  {name:14}{line}" for name, line in commands.items())]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int | None:
    """Runs a command; returns its exit status, 2 where there is no such command."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name in ("-h", "--help"):
        print(overview())
        return 0
    if name == "--version":
        print(f"jaxlm {jaxlm.__version__}")
        return 0
    command = name.replace("_", "-")
    try:
        config.check_known(command, [known for group in COMMANDS.values() for known in group], f"no command {name!r}")
    except ValueError as error:
        print(f"{USAGE}\njaxlm: error: {error}", file=sys.stderr)
        return 2
    return importlib.import_module(module_of(command)).main(arguments)


if __name__ == "__main__":
    sys.exit(main())
