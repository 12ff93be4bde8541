"""Times how many faces a second are read and decoded for training, from a prepared set of rendered faces.

python -m benchmarks.streaming [--cores 1 2] [--batches 32 64] [--faces 1024] [--data-dir data/benchmarks]

What is timed is all that a training step waits for: records read in the order of training, JPEG decoded, batches of
numpy arrays. The set is rendered by the first run. Needs Linux, where a process can be held on some cores.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
import time

from benchmarks import timing
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import prepared
from jaxlm.data_pipelines.prepare import Options, prepare
from jaxlm.data_pipelines.sources.synthetic import Synthetic

_WARM_UP = 16
_TIMED_FACES = 8192


def stream(data_dir: pathlib.Path, batch_size: int, cores: int) -> timing.Timing:
    """Seconds that a face takes on the first `cores` cores; for a process of its own, as threads are counted once."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    faces = input_lib.open_faces("synthetic", "train", data_dir)
    count = _TIMED_FACES // batch_size
    batches = input_lib.train_batches(faces, batch_size, seed=0, start_step=0, stop_step=_WARM_UP + count)
    for _ in range(_WARM_UP):
        next(batches)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in batches:
        pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return timing.Timing(wall / (count * batch_size), cpu / (count * batch_size))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, nargs="+", default=sorted({1, len(os.sched_getaffinity(0))}))
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64], help="faces in a batch")
    parser.add_argument("--faces", type=int, default=1024, help="in the set that is rendered")
    parser.add_argument("--data-dir", type=pathlib.Path, default=pathlib.Path("data/benchmarks"))
    arguments = parser.parse_args()
    if not prepared.find_sets("synthetic", arguments.data_dir):
        prepare(Synthetic(train_faces=arguments.faces, test_faces=1), Options(arguments.data_dir))
    print(f"{timing.environment(['tensorflow-cpu', 'opencv-python-headless'])}; frames of 256 px\n")
    print("| cores | batch | faces/s | processor time a face, ms |\n|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for cores in arguments.cores:
        for batch_size in arguments.batches:
            with concurrent.futures.ProcessPoolExecutor(1, context) as process:
                time_a_face = process.submit(stream, arguments.data_dir, batch_size, cores).result()
            cells = (cores, batch_size, f"{1 / time_a_face.wall:,.0f}", f"{1e3 * time_a_face.cpu:.2f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
