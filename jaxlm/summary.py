"""Layers, parameters and multiply-accumulates of a model; `python -m jaxlm.summary --experiment NAME`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from jaxlm import experiment
from jaxlm.evaluation.cost import _model_of, as_table, summarise


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m jaxlm.summary", description=__doc__)
    parser.add_argument("--memory", action="store_true", help="compile a training step and print what it holds at most")
    parser.add_argument("--json", action="store_true", help="print the totals as one JSON object")
    arguments, config = experiment.parse_arguments(parser, argv)
    summary = summarise(*_model_of(config))
    if arguments.json:
        totals = {key: getattr(summary, key) for key in ("parameters", "macs", "products", "megabytes")}
        print(json.dumps({"experiment": arguments.experiment, "input_size": config.model.input_size} | totals))
    else:
        print(as_table(summary))
    if arguments.memory:
        from jaxlm.training import memory

        print(f"memory of a training step at batch {config.data.batch_size}: {memory.of_training(config)}")


if __name__ == "__main__":
    main()
