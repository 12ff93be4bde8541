"""The progress of a training run: a live line, metrics as JSON lines, TensorBoard events."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TextIO

import tqdm

from jaxlm.files import write_whole

# Names of files may have line ends in them, and what would steer a terminal.
_CONTROL = re.compile(r"[\0-\x08\n-\x1f\x7f-\x9f]")


class Measure(NamedTuple):
    """The number that a run is judged by: its key among the metrics, its label, and the factor for the shown value."""

    key: str
    label: str
    factor: float

    def show(self, values: Mapping[str, float]) -> str:
        """The number, of some metrics, with its label."""
        return f"{self.label} {self.factor * values[self.key]:.4g}"


class Progress:
    """Reports a run from its first process; the others stay silent.

    Args:
      workdir: Gets `metrics.jsonl` and TensorBoard events.
      total_steps: The step at which the run ends.
      start_step: The step from which it goes on. Rows of `metrics.jsonl` after it, from a run that was cut off, are
        dropped.
      batch_size: The number of faces a step, for the rate.
      measure: The number shown beside the loss.
      silent: Write and show nothing.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        total_steps: int,
        start_step: int,
        batch_size: int,
        measure: Measure,
        silent: bool,
    ) -> None:
        self._silent, self._measure = silent, measure
        if silent:
            return
        self._rows = _reopen(workdir / "metrics.jsonl", start_step)
        self._events = _event_writer()(str(workdir / "tensorboard"), purge_step=start_step + 1)
        interactive = sys.stderr.isatty()
        self._bar = tqdm.tqdm(
            total=total_steps,
            initial=start_step,
            unit="step",
            mininterval=0.5 if interactive else 15.0,
            dynamic_ncols=interactive,
            ascii=not interactive,
        )
        self._batch_size = batch_size
        self._step, self._time = start_step, time.perf_counter()
        self._trained = self._validated = ""

    def train(self, step: int, values: Mapping[str, float]) -> None:
        """Training metrics averaged over the steps since the last call; `loss` and the measure are among them."""
        if self._silent:
            return
        now = time.perf_counter()
        rate = (step - self._step) * self._batch_size / (now - self._time)
        self._write(step, "train", {**values, "images_per_second": rate})
        self._trained = f"loss {values['loss']:.4g}, {self._measure.show(values)}, {rate:.0f} images/s"
        if "waiting" in values:
            self._trained += f", waiting for data {values['waiting']:.0%}"
        self._bar.set_postfix_str(self._trained + self._validated, refresh=False)
        self._bar.update(step - self._step)
        self._step, self._time = step, now

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Metrics over all held-out faces; the measure is among them."""
        if self._silent:
            return
        self._write(step, "validation", values)
        self._validated = f"; validation {self._measure.show(values)}"
        self._bar.set_postfix_str(self._trained + self._validated, refresh=False)

    def resume_clock(self) -> None:
        """Leaves the time since the last report (validation, a checkpoint) out of the rate."""
        self._time = time.perf_counter()

    def _write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        self._rows.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        self._rows.flush()
        for name, value in values.items():
            self._events.add_scalar(f"{split}/{name}", value, step)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._silent:
            self._bar.close()
            self._rows.close()
            self._events.close()


def _event_writer() -> Callable[..., Any]:
    """The class that writes TensorBoard's events, imported when it is asked for: other commands only count."""
    # It takes PyTorch along where that is installed, for seconds, and for nothing that is written here.
    absent = {} if "torch" in sys.modules else {"torch": None}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        import tensorboardX
    finally:
        for name in absent:
            del sys.modules[name]
    return tensorboardX.SummaryWriter


@contextlib.contextmanager
def counting(
    total: int | None, title: str, silent: bool = False, unit: str = "faces"
) -> Iterator[Callable[[int], object]]:
    """A live line that says how many of `total` faces are done; what it gives is called with how many more."""
    interactive = sys.stderr.isatty()
    with tqdm.tqdm(
        desc=title,
        total=total,
        unit=f" {unit}",
        mininterval=0.5 if interactive else 15.0,
        dynamic_ncols=interactive,
        ascii=not interactive,
        disable=silent,
    ) as bar:
        yield bar.update


def say(line: str, error: bool = False) -> None:
    """Prints a line, above the progress bar where there is one, whatever characters it has and the terminal knows."""
    file = sys.stderr if error else sys.stdout
    line = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", line)
    encoding = getattr(file, "encoding", None) or "utf-8"
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    if sys.stderr.isatty():
        tqdm.tqdm.write(line, file=file)
    else:
        print(line, file=file, flush=True)


def read_metrics(file: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of a `metrics.jsonl`; lines that were cut off, or hold something else, are left out."""
    rows = []
    for line in file.read_bytes().splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            row = json.loads(line)
            if _is_row(row):
                rows.append(row)
    return rows


def _is_row(row: Any) -> bool:
    """Whether a row is one that `Progress` writes: a step, a split, and numbers."""
    return (
        isinstance(row, dict)
        and isinstance(row.get("step"), int)
        and isinstance(row.get("split"), str)
        and all(isinstance(value, int | float) for key, value in row.items() if key != "split")
    )


def _reopen(file: pathlib.Path, start_step: int) -> TextIO:
    """Opens a `metrics.jsonl` to append to, without rows after `start_step` and without a line that was cut off."""
    before = file.read_text(errors="replace") if file.exists() else ""
    kept = [row for row in read_metrics(file) if row["step"] <= start_step] if before else []
    after = "".join(json.dumps(row) + "\n" for row in kept)
    if before != after:
        write_whole(file, after)
    return file.open("a")
