"""Projections of `benchmarks.scaling` against numbers worked out by hand."""

import pytest

from benchmarks.scaling import Cluster, project, table

# A gigabyte of gradients.
PARAMETERS = 250_000_000
NODES_OF_4 = Cluster("toy", step_ms=100.0, batch=10, node=4, node_rate=100.0, rate=10.0, latency_us=1000.0)


@pytest.mark.parametrize(
    ("devices", "fsdp", "gigabytes", "sending"),
    [
        (1, False, 0.0, 0.0),
        (2, False, 1.0, 10.0),
        (4, False, 1.5, 15.0),
        (4, True, 2.25, 22.5),
        (8, False, 1.5 + 0.25, 15.0 + 25.0),
        (8, True, 2.25 + 0.25, 22.5 + 25.0),
        (16, False, 1.5 + 0.375, 15.0 + 37.5),
    ],
)
def test_what_is_sent_and_how_long_it_takes(devices: int, fsdp: bool, gigabytes: float, sending: float):
    projected = project(NODES_OF_4, devices, PARAMETERS, norms=0, fsdp=fsdp)
    assert projected.gigabytes == pytest.approx(gigabytes)
    assert projected.sending == pytest.approx(sending)
    assert projected.efficiency == pytest.approx(100 / (100 + sending))
    assert projected.overlapped_efficiency == 1


def test_normalisations_wait_along_a_tree_there_and_back():
    projected = project(NODES_OF_4, 8, PARAMETERS, norms=5, fsdp=False)
    assert projected.waiting == pytest.approx(1.0 * 5 * 2 * 2 * 3)
    assert projected.overlapped_efficiency == pytest.approx(100 / 160)


def test_nodes_are_full():
    with pytest.raises(ValueError, match="6 devices do not fill nodes of 4"):
        project(NODES_OF_4, 6, PARAMETERS, norms=0, fsdp=False)


def test_the_rate_is_that_of_all_devices():
    row = table(NODES_OF_4, [1], PARAMETERS, 0).splitlines()[0]
    assert row == "| toy | data | 1 | 0.000 | 0.00 | 0.00 | 100% | 100% | 100 |"
