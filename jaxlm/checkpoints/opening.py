"""The door to trained models: a path is a run or a file of weights."""

from __future__ import annotations

import argparse
import pathlib

from jaxlm.checkpoints import bundle, runs
from jaxlm.checkpoints.bundle import Bundle
from jaxlm.landmarks import load_scheme


def open_model(weights: pathlib.Path | None, workdir: pathlib.Path | None, head: str | None) -> Bundle:
    """The model of a file, or of a run with one of its heads."""
    if weights is not None:
        return bundle.load(weights)
    trained = runs.load_model(workdir, head=head)
    return Bundle(trained, load_scheme(trained.config.data.scheme), {}, {})


def add_models(parser: argparse.ArgumentParser) -> None:
    """The arguments that name several models, as `open_models` takes them."""
    parser.add_argument("--weights", nargs="+", default=[], type=pathlib.Path, metavar="FILE.npz", help="bundles")
    parser.add_argument("--workdir", nargs="+", default=[], type=pathlib.Path, metavar="DIR", help="training runs")
    parser.add_argument("--head", help="of runs on several data sets: the name of one (default: the first)")


def open_models(arguments: argparse.Namespace) -> list[Bundle]:
    """The models that the arguments of `add_models` name.

    Raises:
      FileNotFoundError, CheckpointError: There is no such file or run.
      ValueError: A file is damaged, there is no such head, one is asked of a file, or nothing is named.
    """
    if arguments.head and arguments.weights:
        raise ValueError("--head is for runs (--workdir); a file of weights has one head")
    opened = [open_model(file, None, None) for file in arguments.weights]
    opened += [open_model(None, run, arguments.head) for run in arguments.workdir]
    if not opened:
        raise ValueError("no model is named; give --weights FILE.npz or --workdir DIR")
    return opened
