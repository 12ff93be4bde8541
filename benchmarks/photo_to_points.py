"""From a photo to the points of its face with the weights that ship, part by part, and beside other libraries.

    python -m benchmarks.photo_to_points [--photo FILE] [--runs 40]

By default the photo is a portrait of 300 px, in which faces are looked for once; where none is that large, BlazeFace
looks at tiles, too. Each row has a process of its own; they run in turn, five calls at a time, so that a network finds
its weights in the caches as it does in use. PyTorch (where installed) runs a network of the same layers, eager and
without gradients; dlib (where installed) its face detector.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks import timing
from jaxlm.runtime.commands import told_errors

_SAMPLE = pathlib.Path(__file__).parents[1] / "tests" / "data" / "astronaut.png"
_CALLS = 5
Run = Callable[[], object]


def whole(photo: str, backend: str) -> Run:
    """An array of the photo in, faces out."""
    from jaxlm import Landmarker

    landmarker, image = Landmarker.load(backend=backend), _image(photo)
    return lambda: landmarker.predict(image)


def network(photo: str, backend: str) -> Run:
    """One crop in, points out."""
    from jaxlm.checkpoints import open_model, shipped
    from jaxlm.interop.backends import Predictor

    del photo
    trained = open_model(shipped.NAME)
    predictor, crops = Predictor(trained, backend=backend), _crops(trained.config.model.input_size)
    return lambda: predictor(crops)


def torch_network(photo: str) -> Run:
    """One normalised crop in, maps out."""
    import torch

    from benchmarks.torch_networks import ResUNet

    del photo
    model, crops = ResUNet(68).eval(), torch.rand(1, 3, 160, 160)

    def run() -> object:
        with torch.inference_mode():
            return model(crops)

    return run


def detector(photo: str, name: str) -> Run:
    """An array of the photo in, boxes out."""
    from jaxlm.prediction import detectors

    find, image = detectors.build(name), _image(photo)
    return lambda: find(image)


def _image(photo: str) -> np.ndarray:
    from jaxlm.landmarks import photos

    image = photos.read_photo(photo)
    return np.ascontiguousarray(image[20:320, 70:370]) if photo == str(_SAMPLE) else image


def _crops(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)


def several(row: Callable[[], Run]) -> Run:
    """`_CALLS` calls of a row's function."""
    run = row()

    def calls() -> None:
        for _ in range(_CALLS):
            run()

    return calls


def builders(photo: str) -> dict[str, Callable[[], Run]]:
    """The rows that can be measured here."""
    rows = {
        "photo to points, onnxruntime": functools.partial(whole, photo, "onnx"),
        "photo to points, JAX": functools.partial(whole, photo, "jax"),
        "network, onnxruntime": functools.partial(network, photo, "onnx"),
        "network, JAX": functools.partial(network, photo, "jax"),
        "network, PyTorch": functools.partial(torch_network, photo),
        "detector, BlazeFace": functools.partial(detector, photo, "blazeface"),
        "detector, dlib": functools.partial(detector, photo, "dlib"),
    }
    wants = {"network, PyTorch": "torch", "detector, dlib": "dlib"}
    there = {name: row for name, row in rows.items() if name not in wants or importlib.util.find_spec(wants[name])}
    return {name: functools.partial(several, row) for name, row in there.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", default=str(_SAMPLE), help="default: a portrait cut out of %(default)s")
    parser.add_argument("--runs", type=int, default=40, help="timed turns of each (default: %(default)s)")
    arguments = parser.parse_args(argv)
    with told_errors():
        timings = timing.alternate_processes(builders(arguments.photo), arguments.runs)
    print(f"{timing.environment(['jax', 'onnxruntime'])}; {arguments.runs} turns of {_CALLS} calls, medians")
    print("| what | ms | processor ms, all cores |\n|---|---|---|")
    for name, times in timings.items():
        print(f"| {name} | {1e3 * times.wall / _CALLS:.1f} | {1e3 * times.cpu / _CALLS:.1f} |")


if __name__ == "__main__":
    main()
