"""Photos a second of `jaxlm predict FOLDER`: one after another, and several at once as the command does it.

    python -m benchmarks.folder FOLDER [--count 200] [--runs 5]

Reading, the face detector, the points with the weights that ship, drawing and writing are in it; the start of the
program, some 3 s, is not. Each row has a process of its own, and they run in turn.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import pathlib
import tempfile
from collections.abc import Callable, Sequence

from benchmarks import timing
from jaxlm.runtime.commands import told_errors

Run = Callable[[], object]


def one_after_another(files: Sequence[pathlib.Path]) -> Run:
    """Each photo on all cores."""
    from jaxlm import Landmarker
    from jaxlm.drawing import pictures
    from jaxlm.prediction.photo_prediction import predict_photo

    landmarker = Landmarker.load()

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for number, file in enumerate(files):
                found = predict_photo(file, landmarker)
                assert found.picture is not None
                pictures.save_image(pathlib.Path(folder, f"{number}.jpg"), found.picture)

    return run


def at_once(files: Sequence[pathlib.Path]) -> Run:
    """Each photo on one core, as many at once as there are cores."""
    from jaxlm import Landmarker
    from jaxlm.prediction.predicting import predict_files

    landmarker = Landmarker.load(threads=1)

    def run() -> None:
        silent = io.StringIO()
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(silent),
            contextlib.redirect_stderr(silent),
        ):
            predict_files(files, landmarker, pathlib.Path(folder))

    return run


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200, help="photos, evenly taken from all (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with told_errors():
        found = sorted(file for file in arguments.folder.rglob("*") if file.suffix.lower() in (".jpg", ".png"))
        files = found[:: max(len(found) // arguments.count, 1)][: arguments.count]
        if not files:
            raise FileNotFoundError(f"there are no photos below {arguments.folder}")
        rows = {"one after another": one_after_another, "several at once": at_once}
        builders = {name: functools.partial(row, files) for name, row in rows.items()}
        timings = timing.alternate_processes(builders, arguments.runs)
    print(f"{timing.environment(['jax', 'onnxruntime'])}; {len(files)} photos, {arguments.runs} runs in turn, medians")
    print("| photos | photos/s | processor ms a photo |\n|---|---|---|")
    for name, times in timings.items():
        print(f"| {name} | {len(files) / times.wall:.1f} | {1e3 * times.cpu / len(files):.1f} |")


if __name__ == "__main__":
    main()
