"""Batches on their way to the devices, and how often a run compiles."""

import dataclasses
import gc
import json
import pathlib
import threading
import time
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from jaxlm.config import Config
from jaxlm.runtime import distributed
from jaxlm.runtime.progress import Progress
from jaxlm.training import loop
from jaxlm.training.feeding import Prefetch


def batches(count: int, pause: threading.Event | None = None) -> Iterator[dict[str, np.ndarray]]:
    """Batches of eight that hold their number; the second waits for `pause`."""
    for index in range(count):
        if index and pause:
            pause.wait()
        yield {"image": np.full((8, 1), index)}


def prefetch(source: Iterator[dict[str, np.ndarray]]) -> Prefetch:
    return Prefetch(source, distributed.split_batch(distributed.make_mesh()))


def test_batches_come_in_order_and_on_all_devices():
    ahead = prefetch(batches(5))
    for index in range(5):
        batch, _ = ahead.take(lambda: False)
        assert len(batch["image"].devices()) == jax.device_count()
        np.testing.assert_array_equal(batch["image"], np.full((8, 1), index))


def test_waiting_counts_while_the_devices_are_idle_alone():
    pause, looks = threading.Event(), []

    def idle(answer: bool) -> bool:
        looks.append(time.perf_counter())
        if len(looks) == 5:
            pause.set()
        return answer

    ahead = prefetch(batches(2, pause))
    ahead.take(lambda: False)
    assert ahead.take(lambda: idle(False))[1] == 0
    assert len(looks) >= 5

    pause.clear()
    looks.clear()
    ahead = prefetch(batches(2, pause))
    ahead.take(lambda: False)
    threading.Timer(0.05, pause.set).start()
    start = time.perf_counter()
    _, waited = ahead.take(lambda: idle(True))
    assert 0 < waited <= time.perf_counter() - start
    assert len(looks) == 1


def test_what_ends_the_reading_is_raised_where_the_batch_is_taken():
    def broken() -> Iterator[dict[str, np.ndarray]]:
        yield from batches(1)
        raise ValueError("face 7 cannot be read")

    ahead = prefetch(broken())
    ahead.take(lambda: False)
    with pytest.raises(ValueError, match="face 7 cannot be read"):
        ahead.take(lambda: False)


def test_the_reader_ends_with_its_owner():
    before = set(threading.enumerate())
    ahead = prefetch(batches(1000))
    ahead.take(lambda: False)
    (reader,) = set(threading.enumerate()) - before
    del ahead
    gc.collect()
    assert not reader.is_alive()


@pytest.mark.parametrize("cache", ["none", "device"])
def test_nothing_is_compiled_after_the_first_epoch(
    debug: Config, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, cache: str
):
    traces, seen = [], []

    def listen(name: str, seconds: float, **kwargs: object) -> None:
        if name.endswith("jaxpr_trace_duration"):
            traces.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    report = Progress.validation
    monkeypatch.setattr(
        Progress, "validation", lambda self, *values: (seen.append(len(traces)), report(self, *values))[1]
    )
    data = dataclasses.replace(debug.data, cache=cache)
    try:
        loop.fit(dataclasses.replace(debug, epochs=3, eval_every=1, data=data), tmp_path)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(seen) == 3
    assert seen[0] > 0
    assert seen[1] == seen[2]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    shares = [row["waiting"] for row in rows if "waiting" in row]
    assert all(0 <= share <= 1 for share in shares)
    assert bool(shares) == (cache == "none")
