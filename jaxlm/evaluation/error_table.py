"""Tables of errors: NME, FR and AUC of all faces and of subsets of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.tasks import metrics


@dataclasses.dataclass(frozen=True)
class ErrorRow:
    """One line of a table of errors: a subset of the faces with its NME and FR in per cent, and its AUC in 0..1."""

    subset: str
    faces: int
    nme: float
    failure_rate: Mapping[str, float]
    auc: Mapping[str, float]


def error_rows(nme: np.ndarray, subsets: Mapping[str, np.ndarray], thresholds: Sequence[float]) -> list[ErrorRow]:
    """Rows for the masks [n] in `subsets` over the faces' NME [n]; empty subsets are left out."""
    summarise = jax.jit(metrics.summarise)
    rows = []
    for subset, mask in subsets.items():
        if not mask.any():
            continue
        summary = jax.device_get(summarise(nme, mask, jnp.asarray(thresholds)))
        labels = [f"{100 * threshold:g}" for threshold in thresholds]
        failure_rate = [100 * float(rate) for rate in summary.failure_rate]
        rows.append(
            ErrorRow(
                subset=subset,
                faces=int(mask.sum()),
                nme=100 * float(summary.nme),
                failure_rate=dict(zip(labels, failure_rate, strict=True)),
                auc=dict(zip(labels, map(float, summary.auc), strict=True)),
            )
        )
    return rows


def mean_of_bins(rows: Sequence[ErrorRow]) -> ErrorRow | None:
    """The plain mean of the rows of the yaw bins, "all" in the tables of AFLW2000-3D; None if a bin is missing."""
    bins = [row for row in rows if row.subset.startswith("yaw")]
    if len(bins) < 3:
        return None
    return ErrorRow(
        subset="mean of bins",
        faces=sum(row.faces for row in bins),
        nme=float(np.mean([row.nme for row in bins])),
        failure_rate={t: float(np.mean([row.failure_rate[t] for row in bins])) for t in bins[0].failure_rate},
        auc={t: float(np.mean([row.auc[t] for row in bins])) for t in bins[0].auc},
    )


def print_error_rows(rows: Sequence[ErrorRow], protocol: Mapping[str, Any]) -> None:
    """Prints the protocol, then the rows as aligned columns."""
    for name, value in protocol.items():
        print(f"{name + ':':12s}{value}")
    if not rows:
        raise ValueError("no face has an error that is a number; the model's points are not finite")
    labels = list(rows[0].auc)
    head = "".join(f"{f'FR@{label} %':>10s}{f'AUC@{label}':>10s}" for label in labels)
    print(f"\n{'subset':14s}{'faces':>7s}{'NME %':>9s}{head}")
    for row in rows:
        cells = "".join(f"{row.failure_rate[label]:10.2f}{row.auc[label]:10.4f}" for label in labels)
        print(f"{row.subset:14s}{row.faces:7d}{row.nme:9.3f}{cells}")
    print()
