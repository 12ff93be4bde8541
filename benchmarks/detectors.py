"""Detectors to choose from: errors, size and time a face of trained runs, as a table and a picture.

python -m benchmarks.detectors --workdir RUN [RUN ...] [--dataset SET] [--split SPLIT] [--data-dir DIR] [--runs 41]

Runs are judged as `python -m jaxlm.evaluate` does. The time is that of `Landmarker.predict` for a photo and the box of
the face in it, one at a time: crop, network, points; medians of all runs in turn.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from benchmarks import timing
from jaxlm.drawing import plots
from jaxlm.prediction import Landmarker, calibration
from jaxlm.runtime.commands import add_data_arguments, told_errors
from jaxlm.studies import report_runs
from jaxlm.studies.report_runs import Detection

_engineering = EngFormatter(places=1, sep="")


def judge(
    workdirs: Sequence[pathlib.Path], dataset: str | None, data_dir: str | None, split: str | None
) -> list[Detection]:
    """What the runs find in the same faces.

    Raises:
      CheckpointError: A folder holds no run that can be read.
      FileNotFoundError: The faces are not at hand.
      ValueError: A run is no detector, or they were judged by different protocols.
    """
    results = [report_runs.result_of(run, dataset, data_dir, split) for run in report_runs.open_runs(workdirs)]
    detections = [result for result in results if isinstance(result, Detection) and result.evaluation]
    if len(detections) < len(results) or len(report_runs.groups(detections)) > 1:
        raise ValueError("give detectors that are judged by the same faces, which must be at hand")
    return detections


def face_finder(detection: Detection) -> Callable[[], object]:
    """Finds the landmarks of the first face of those the run was judged by, in its stored frame."""
    trained, faces = detection.run.trained, detection.evaluation.faces
    landmarker = Landmarker(trained)
    frame = faces.images(np.arange(1))[0]
    box = calibration.true_box(faces)
    return lambda: landmarker.predict(frame, box)


def markdown(detections: Sequence[Detection], seconds: Mapping[str, float]) -> str:
    """The table, a run a line, the most exact first."""
    thresholds = list(detections[0].rows[0].auc)
    rates = [name for threshold in thresholds for name in (f"FR@{threshold}", f"AUC@{threshold}")]
    columns = ["run", "model", "input px", "NME %", *rates, "parameters", "MACs", "ms a face"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for detection in sorted(detections, key=lambda detection: detection.rows[0].nme):
        run, full = detection.run, detection.rows[0]
        cells = [run.name, run.trained.config.model.name, run.trained.config.model.input_size, f"{full.nme:.2f}"]
        for threshold in thresholds:
            cells += [f"{full.failure_rate[threshold]:.2f}", f"{full.auc[threshold]:.3f}"]
        cells += [f"{run.summary.parameters:,}", _engineering(run.summary.macs), f"{1e3 * seconds[run.name]:.1f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def picture(detections: Sequence[Detection], seconds: Mapping[str, float]) -> Figure:
    """Errors over times, a dot a run: the best are at the lower left."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, detection in enumerate(detections):
        name, nme = detection.run.name, detection.rows[0].nme
        colour = plots.LINE_COLOURS[index % len(plots.LINE_COLOURS)]
        axes.plot(1e3 * seconds[name], nme, "o", ms=7, color=colour)
        axes.annotate(name, (1e3 * seconds[name], nme), (7, 4), textcoords="offset points", fontsize=9)
    plots.style(axes)
    axes.set(xscale="log", xlabel="ms a face, one at a time", ylabel="NME (%)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(0.12)
    axes.set_title(detections[0].protocol["data"], fontsize=11)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detectors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, nargs="+", type=pathlib.Path, dest="workdirs")
    add_data_arguments(parser)
    parser.add_argument("--runs", type=int, default=41, help="that the median is of (default: %(default)s)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("detectors.png"), help="default: %(default)s")
    arguments = parser.parse_args()
    with told_errors():
        detections = judge(arguments.workdirs, arguments.dataset, arguments.data_dir, arguments.split)
        finders = {detection.run.name: face_finder(detection) for detection in detections}
        times = timing.alternate(finders, arguments.runs)
        seconds = {name: time.wall for name, time in times.items()}
        picture(detections, seconds).savefig(arguments.out, dpi=130)
    for name, line in detections[0].protocol.items():
        print(f"{name + ':':12s}{line}")
    print(f"\n{timing.environment(['jax', 'jaxlib'])}\n\n{markdown(detections, seconds)}\n\nWrote {arguments.out}")


if __name__ == "__main__":
    main()
