"""Layers, parameters and multiply-accumulates of a model; `jaxlm summary --experiment NAME`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jaxlm import overrides
from jaxlm.evaluation import check_shapes
from jaxlm.evaluation.cost import as_table, summarise_experiment
from jaxlm.runtime import commands


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of summaries."""
    parser = commands.parser("summary", __doc__, add_help=False, allow_abbrev=False)
    parser.add_argument("--memory", action="store_true", help="compile a training step and print what it holds at most")
    parser.add_argument("--json", action="store_true", help="print the totals as one JSON object")
    arguments, config = overrides.parse_arguments(parser, argv)
    with commands.told_errors():
        check_shapes(config)
    summary = summarise_experiment(config)
    if arguments.json:
        totals = {key: getattr(summary, key) for key in ("parameters", "macs", "products", "megabytes")}
        print(json.dumps({"experiment": arguments.experiment, "input_size": config.model.input_size} | totals))
    else:
        print(as_table(summary))
    if arguments.memory:
        from jaxlm.training import memory

        with commands.told_errors():
            print(f"memory of a training step at batch {config.data.batch_size}: {memory.of_training(config)}")


if __name__ == "__main__":
    main()
