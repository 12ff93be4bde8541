"""The results of a limited-data study: a table, differences with intervals, verdicts and a picture."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm.drawing import plots
from jaxlm.files import write_json
from jaxlm.landmarks import load_scheme
from jaxlm.studies.intervals import RESAMPLES, paired_difference, summarise_seeds
from jaxlm.studies.limited_data_arms import PHOTOMETRIC, photometric, total_steps
from jaxlm.studies.limited_data_plan import Plan, plan_lines
from jaxlm.tasks import metrics

# By percent and arm: the NME of each face for each seed [seeds, faces], fractions.
Errors = Mapping[tuple[float, str], np.ndarray]

COMPARISONS = (("avs", "real"), ("avs", "self"), ("avs", "photometric"), ("both", "photometric"))
"""Pairs of arms whose difference the table shows; below 0 the first is better."""

_THRESHOLD = 0.10


class ArmResult(NamedTuple):
    """An arm on a share of the faces: means over the seeds; NME and FR in per cent, AUC in 0..1.

    `deviation` is the standard deviation of the NME over the seeds; None where there is one.
    """

    percent: float
    arm: str
    nme: float
    deviation: float | None
    failure_rate: float
    auc: float


class Difference(NamedTuple):
    """NME of `arm` minus that of `other` in points of per cent, and the bounds of its 95 % interval."""

    percent: float
    arm: str
    other: str
    mean: float
    low: float
    high: float


class Verdict(NamedTuple):
    """Whether AVS works at a share of the faces; None where that was not asked. `text` says why."""

    percent: float
    works: bool | None
    text: str


def results_of(errors: Errors) -> list[ArmResult]:
    """The result of each arm on each share of the faces."""
    results = []
    for (percent, arm), nme in errors.items():
        nme_mean, deviation, (failure_rate,), (auc,) = summarise_seeds(nme, (_THRESHOLD,))
        results.append(ArmResult(percent, arm, nme_mean, deviation, failure_rate, auc))
    return results


def differences_of(errors: Errors) -> list[Difference]:
    """The `COMPARISONS` at each share, where both arms are there; seeds are averaged for each face."""
    found = []
    for percent in dict.fromkeys(percent for percent, _ in errors):
        for arm, other in COMPARISONS:
            if (percent, arm) in errors and (percent, other) in errors:
                mean, (low, high), _ = paired_difference(errors[percent, arm], errors[percent, other])
                found.append(Difference(percent, arm, other, mean, low, high))
    return found


def verdict(percent: float, differences: Sequence[Difference]) -> Verdict:
    """AVS works where it is better than photos alone and than self-reconstructions, both beyond the interval."""
    ours = {d.other: d for d in differences if d.percent == percent and d.arm == "avs" and d.other in ("real", "self")}
    if len(ours) < 2:
        return Verdict(percent, None, f"{percent:g} %: no verdict, which takes the arms real, self and avs")
    lost = [d for d in ours.values() if d.high >= 0]
    if not lost:
        return Verdict(percent, True, f"AVS works at {percent:g} %: better than real and than self")
    reasons = ", ".join(f"{d.other} ({d.mean:+.3f}, {d.low:+.3f} to {d.high:+.3f})" for d in lost)
    return Verdict(percent, False, f"AVS did not work at {percent:g} %: not clearly better than {reasons}")


def protocol_of(plan: Plan, box: str) -> dict[str, str]:
    """The lines of the plan, and of how it was judged, by their titles; `box` says how face boxes were made."""
    detector, translator = plan.detector, plan.translator
    strengths = photometric(detector.augment)
    return plan_lines(plan) | {
        "detector": f"{detector.model.name}, {total_steps(detector):,} steps of {detector.data.batch_size} faces",
        "translator": f"{translator.model.name}, {translator.model.input_size} px, {total_steps(translator):,} steps of"
        f" {translator.data.batch_size} faces, on the same share of the faces",
        "mixture": f"{detector.data.styled_ratio:.0%} of a batch is styled; {plan.styles} styles a face, self has 1",
        "augmentation": ", ".join(f"{name} {getattr(strengths, name):g}" for name in PHOTOMETRIC)
        + " where photometric; all else equal",
        "box": box,
        "NME": f"mean over points and faces, {_normaliser(plan)}; +- standard deviation over seeds",
        "FR, AUC": "FR at 10 %: share of faces with NME > 10 %; AUC to 10 %: exact area; means over seeds",
        "interval": f"95 %, paired, {RESAMPLES:,} resamples of the faces, seeds averaged; it lacks their spread",
        "chosen": "nothing: every run is judged by its last step",
    }


def _normaliser(plan: Plan) -> str:
    kind = metrics.default_normaliser(load_scheme(plan.detector.data.scheme))
    return f"by {kind.replace('_', '-')} distance"


def print_protocol(lines: Mapping[str, str]) -> None:
    """Prints aligned lines."""
    for name, text in lines.items():
        print(f"{name + ':':14s}{text}")


def print_tables(results: Sequence[ArmResult], differences: Sequence[Difference], verdicts: Sequence[Verdict]) -> None:
    """Prints the table, the differences and the verdicts of a split."""
    print(f"{'share':>7s}  {'arm':14s}{'NME %':>8s}{'+-':>8s}{'FR@10 %':>10s}{'AUC@10':>9s}")
    for result in results:
        deviation = "" if result.deviation is None else f"{result.deviation:.3f}"
        numbers = f"{result.nme:8.3f}{deviation:>8s}{result.failure_rate:10.2f}{result.auc:9.4f}"
        print(f"{f'{result.percent:g} %':>7s}  {result.arm:14s}{numbers}")
    print(f"\n{'share':>7s}  {'difference':22s}{'NME, points':>12s}   95 % interval")
    for d in differences:
        print(f"{f'{d.percent:g} %':>7s}  {f'{d.arm} - {d.other}':22s}{d.mean:+12.3f}   {d.low:+.3f} to {d.high:+.3f}")
    print("\n" + "\n".join(verdict.text for verdict in verdicts) + "\n")


def report_study(plan: Plan, workdir: pathlib.Path, errors: Mapping[str, Errors], box: str) -> None:
    """Prints the tables of each split, and writes limited_data.json and limited_data.png."""
    protocol = protocol_of(plan, box)
    print_protocol(protocol)
    splits: dict[str, dict[str, Any]] = {}
    panels: dict[str, dict[str, tuple[np.ndarray, ...]]] = {}
    for split, runs in errors.items():
        results, differences = results_of(runs), differences_of(runs)
        verdicts = [verdict(percent, differences) for percent in plan.fractions]
        count = next(iter(runs.values())).shape[1]
        print(f"\n{split}: {count} faces, seeds {', '.join(map(str, plan.seeds))}")
        print_tables(results, differences, verdicts)
        splits[split] = {
            "faces": count,
            "rows": [result._asdict() for result in results],
            "differences": [difference._asdict() for difference in differences],
            "verdicts": [one._asdict() for one in verdicts],
        }
        panels[f"{split}, {count} faces"] = {
            arm: tuple(
                np.asarray(column, float)
                for column in zip(*((r.percent, r.nme, r.deviation or 0) for r in results if r.arm == arm), strict=True)
            )
            for arm in plan.arms
        }
    files = workdir / "limited_data.json", workdir / "limited_data.png"
    write_json(files[0], {"protocol": protocol, "splits": splits})
    title = f"{plan.detector.model.name}, {plan.detector.data.dataset}, {_normaliser(plan)}"
    plots.limited_data_plot(files[1], panels, protocol=title)
    print(f"Wrote {files[0]}\n      {files[1]}")
