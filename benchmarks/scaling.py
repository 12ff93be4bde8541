"""Projects weak scaling: the same batch for each device, on ever more of them. The page is docs/scaling.md.

python -m benchmarks.scaling                                  # the clusters of that page
python -m benchmarks.scaling --step-ms 31 --batch 512 --node 4 --node-rate 200 --rate 25     # yours

Nothing runs: times follow from the time of one device's step, bytes and rates. What is sent is the gradient of every
parameter in float32, and with fsdp the parameters, too. Devices of a node first reduce among themselves, each a part;
then each reduces its part with the devices of its place in the other nodes, by a ring; then the parts are gathered.
"""

from __future__ import annotations

import argparse
import dataclasses
import math

_BYTES = 4  # Of a parameter and of its gradient.


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A kind of device, how long it takes for a step, and how devices are connected.

    Attributes:
      name: What the table calls it.
      step_ms: Milliseconds of a training step on one device.
      batch: Faces of one device in a step.
      node: Devices whose links to each other are fast.
      node_rate: GB/s that each of these sends while it receives as much.
      rate: The same between nodes.
      latency_us: Microseconds until a small message has arrived.
    """

    name: str
    step_ms: float
    batch: int
    node: int
    node_rate: float
    rate: float
    latency_us: float


CLUSTERS = (
    Cluster("H200, batch 1024", 24.2, 1024, node=8, node_rate=450, rate=50, latency_us=5),
    Cluster("H200, batch 8", 0.2, 8, node=8, node_rate=450, rate=50, latency_us=5),
    Cluster("TPU v5p, batch 1024", 52.1, 1024, node=1, node_rate=100, rate=100, latency_us=2),
    Cluster("2 CPU cores, batch 32", 1701, 32, node=1, node_rate=1.25, rate=1.25, latency_us=50),
)


@dataclasses.dataclass(frozen=True)
class Projection:
    """A step on some devices.

    Attributes:
      gigabytes: Sent by each device.
      sending: Milliseconds that this takes.
      waiting: Milliseconds for the means and variances of batch normalisation, which the computation waits for.
      step: Milliseconds of the step on one device.
    """

    gigabytes: float
    sending: float
    waiting: float
    step: float

    @property
    def efficiency(self) -> float:
        """Faces a second of each device, compared to one alone, if it computes or sends at a time."""
        return self.step / (self.step + self.sending + self.waiting)

    @property
    def overlapped_efficiency(self) -> float:
        """The same if gradients are sent while others are computed."""
        return self.step / (max(self.step, self.sending) + self.waiting)


def project(cluster: Cluster, devices: int, parameters: int, norms: int, fsdp: bool) -> Projection:
    """A step on `devices` devices.

    Args:
      cluster: The devices.
      devices: A multiple of those of a node, or a part of one node.
      parameters: How many numbers the model has.
      norms: Its batch normalisations. Each waits for one small all-reduce forwards and one backwards, along a tree.
      fsdp: Split the parameters over each node's devices; they are gathered twice, forwards and backwards.

    Raises:
      ValueError: The last node would not be full.
    """
    inside = min(devices, cluster.node)
    if devices % inside:
        raise ValueError(f"{devices} devices do not fill nodes of {cluster.node}")
    nodes = devices // inside
    size = _BYTES * parameters / 1e9
    # An all-reduce by a ring of n sends 2 (n - 1) / n of the data; half of it reduces, or gathers.
    in_node = (3 if fsdp else 2) * (inside - 1) / inside * size
    between = 2 * (nodes - 1) / nodes * size / inside
    return Projection(
        gigabytes=in_node + between,
        sending=1e3 * (in_node / cluster.node_rate + between / cluster.rate),
        waiting=1e-3 * cluster.latency_us * 2 * norms * 2 * math.log2(devices),
        step=cluster.step_ms,
    )


def table(cluster: Cluster, devices: list[int], parameters: int, norms: int) -> str:
    """Rows for data parallelism alone and, where a node has several devices, with fsdp."""
    rows = []
    for fsdp in (False, True) if cluster.node > 1 else (False,):
        for count in devices:
            made = project(cluster, count, parameters, norms, fsdp)
            cells = (
                cluster.name,
                "data + fsdp" if fsdp else "data",
                str(count),
                f"{made.gigabytes:.3f}",
                f"{made.sending:.2f}",
                f"{made.waiting:.2f}",
                f"{made.efficiency:.0%}",
                f"{made.overlapped_efficiency:.0%}",
                f"{float(f'{1e3 * cluster.batch * count / made.step * made.efficiency:.2g}'):,.0f}",
            )
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument("--parameters", type=int, default=42_909_940, help="of the model (default: sepbn_wflw)")
    parser.add_argument("--norms", type=int, default=6, help="batch normalisations in it (default: sepbn_wflw)")
    parser.add_argument("--step-ms", type=float, help="of one device's step: a cluster of your own")
    parser.add_argument("--batch", type=int, default=32, help="faces of one device, with --step-ms")
    parser.add_argument("--node", type=int, default=8, help="devices of a node, with --step-ms")
    parser.add_argument("--node-rate", type=float, default=450, help="GB/s a direction within it, with --step-ms")
    parser.add_argument("--rate", type=float, default=50, help="GB/s a device between nodes, with --step-ms")
    parser.add_argument("--latency-us", type=float, default=5, help="of a message, with --step-ms")
    chosen = parser.parse_args()
    fields = {field.name: getattr(chosen, field.name) for field in dataclasses.fields(Cluster)[1:]}
    clusters = CLUSTERS if chosen.step_ms is None else (Cluster("yours", **fields),)
    print(
        "| cluster | parallel | devices | GB sent | sending, ms | norms wait, ms | efficiency | overlapped | faces/s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    try:
        for cluster in clusters:
            print(table(cluster, chosen.devices, chosen.parameters, chosen.norms))
    except ValueError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
