"""Writes what came out of a study: study.md for people, study.csv and study.json for programs, study.png."""

from __future__ import annotations

import csv
import io
import pathlib
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlm.evaluation.judging import thresholds_of
from jaxlm.files import write_json, write_whole
from jaxlm.landmarks import load_scheme, split_names
from jaxlm.studies.comparison.file import Study
from jaxlm.studies.comparison.outcomes import Result, key_of, read_result
from jaxlm.studies.comparison.planning import Run, name_of
from jaxlm.studies.comparison.results import ArmResult, Difference, Results, check_judges, differences_of, results_of
from jaxlm.studies.comparison.workdirs import results_in
from jaxlm.studies.intervals import RESAMPLES, Interval


class Findings(NamedTuple):
    """What came out of a study.

    Attributes:
      study: The study.
      rows: What came out of each arm.
      differences: Those of the pairs that it compares.
      protocol: What the numbers depend on, by what each line is about.
      thresholds: Of failure rates and AUC, fractions.
      missing: Why runs have no result, by their names.
    """

    study: Study
    rows: Sequence[ArmResult]
    differences: Sequence[Difference]
    protocol: Mapping[str, str]
    thresholds: Sequence[float]
    missing: Mapping[str, str]


def report_study(study: Study, runs: Sequence[Run], workdir: pathlib.Path, missing: Mapping[str, str]) -> None:
    """Prints study.md, and writes it, study.csv, study.json and study.png into the workdir.

    Args:
      study: The study.
      runs: Its runs.
      workdir: Their folder.
      missing: Why runs have no result, by their names.

    Raises:
      ValueError: No run is finished, a result is damaged, or runs were judged by different faces.
    """
    read = {run.name: read_result(run, workdir, study) for run in runs}
    results = {name: result for name, result in read.items() if result}
    if not results:
        raise ValueError(f"no run of the study is finished; the first failed: {next(iter(missing.values()))}")
    check_judges(results)
    thresholds = thresholds_of(load_scheme(split_names(runs[0].config.data.scheme)[0]))
    rows = results_of(study, results, thresholds)
    differences = differences_of(study, rows, results)
    protocol = protocol_lines(study, next(iter(results.values())), thresholds)
    found = Findings(study, rows, differences, protocol, thresholds, missing)
    text = markdown(found)
    print(f"\n{text}")
    files = results_in(workdir)
    write_whole(files[0], text)
    write_whole(files[1], as_csv(study, rows, thresholds))
    write_json(files[2], document(found))
    draw(files[3], study, rows, results, protocol)
    print("Wrote " + "\n      ".join(map(str, files)))


def protocol_lines(study: Study, one: Result, thresholds: Sequence[float]) -> dict[str, str]:
    """What the numbers depend on, by what each line is about."""
    levels = " and ".join(f"{100 * threshold:g}" for threshold in thresholds)
    lines = {
        **one.protocol,
        "FR, AUC": f"FR at {levels} %: share of faces with NME > it; AUC to it: exact area; means over seeds",
        "+-": "standard deviation over the seeds",
        "judged": "the checkpoint of the best validation, of each run",
    }
    if study.box_errors:
        lines["boxes off"] = "shifted by a share of their side, mean of four directions; what leaves a frame is black"
    if any(map(study.trials_of, study.arms)):
        lines["trial"] = "chosen for each arm by the validation's NME, the mean over the seeds"
    if study.compare:
        lines["by faces"] = f"95 % interval of the paired difference, {RESAMPLES:,} resamples of the faces"
        lines["by seeds"] = "95 % interval of the paired difference, Student's t; better: beyond both intervals"
    return lines


def markdown(found: Findings) -> str:
    """The page: the question, the table, the differences, what is missing, the protocol."""
    study, rows, differences, protocol, thresholds, missing = found
    limits = [f"{measure}@{100 * threshold:g}" for threshold in thresholds for measure in ("FR", "AUC")]
    shifted = [f"NME, boxes off {percent:g} %" for percent in study.box_errors]
    tried = ["trial"] if any(row.trial for row in rows) else []
    names = ["arm", "NME", *shifted, *limits, *tried, "seeds", "steps", "epochs (best)", "parameters"]
    table = [_row(study, row, bool(tried)) for row in rows]
    parts = [f"# {study.question}", _table(names, table)]
    if differences:
        names = ["difference", "boxes off", "NME, points", "by faces", "by seeds", ""]
        parts.append(_table(names, [_difference_row(difference) for difference in differences]))
    trials = {row.arm: _trials_line(study, row) for row in rows if row.trial}
    if trials:
        parts.append(_list("Trials, NME of the validation:", [f"{arm}: {line}" for arm, line in trials.items()]))
    if missing:
        lines = [f"{name}: {' '.join(why.split())}" for name, why in missing.items()]
        parts.append(_list("Runs without a result:", lines))
    parts.append("\n".join(f"- **{about}**: {line}" for about, line in protocol.items()))
    return "\n\n".join(parts) + "\n"


def _row(study: Study, row: ArmResult, tried: bool) -> list[str]:
    one = row.summary["0"]
    pairs = zip(one.failure_rate, one.auc, strict=True)
    limits = [text for failure_rate, auc in pairs for text in (f"{failure_rate:.2f}", f"{auc:.3f}")]
    means = []
    for shift in study.shifts:
        summary = row.summary[key_of(shift)]
        means.append(f"{summary.nme:.3f}" + ("" if summary.deviation is None else f" +- {summary.deviation:.3f}"))
    best = f"{np.mean(row.best_epochs):.3g}"
    trial = [f"{row.trial}: `{study.trials_of(row.arm)[row.trial - 1]}`" if row.trial else "-"] if tried else []
    seeds = ", ".join(map(str, row.seeds))
    return [row.arm, *means, *limits, *trial, seeds, f"{row.steps:,}", f"{row.epochs} ({best})", f"{row.parameters:,}"]


def _difference_row(difference: Difference) -> list[str]:
    found = difference.found
    bounds = [_bounds(found.faces), "-" if found.seeds is None else _bounds(found.seeds)]
    off = f"{difference.shift:g} %" if difference.shift else "no"
    return [f"{difference.arm} - {difference.other}", off, f"{found.mean:+.3f}", *bounds, difference.verdict]


def _bounds(interval: Interval) -> str:
    return f"{interval[0]:+.3f} to {interval[1]:+.3f}"


def _trials_line(study: Study, row: ArmResult) -> str:
    trials = study.trials_of(row.arm)
    return ", ".join(f"{trials[trial - 1]}: {nme:.3f}" for trial, nme in row.tried.items())


def _list(title: str, lines: Sequence[str]) -> str:
    return "\n".join([title, "", *(f"- {line}" for line in lines)])


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(study: Study, rows: Sequence[ArmResult], thresholds: Sequence[float]) -> str:
    """The table, with a line for each arm: NME and FR in per cent, AUC in 0..1, times in seconds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    shifts = [f"{measure}_off_{percent:g}" for percent in study.box_errors for measure in ("nme", "nme_sd")]
    limits = [f"{measure}_{100 * threshold:g}" for threshold in thresholds for measure in ("fr", "auc")]
    names = ("arm", "experiment", "trial", "seeds", "nme", "nme_sd", *shifts, *limits)
    writer.writerow((*names, "steps", "epochs", "best_epoch", "parameters", "seconds"))
    for row in rows:
        summaries = [row.summary[key_of(shift)] for shift in study.shifts]
        means = [value for summary in summaries for value in (summary.nme, summary.deviation)]
        pairs = zip(summaries[0].failure_rate, summaries[0].auc, strict=True)
        trial = study.trials_of(row.arm)[row.trial - 1] if row.trial else ""
        start = (row.arm, study.arms[row.arm].experiment, trial, " ".join(map(str, row.seeds)))
        end = (row.steps, row.epochs, np.mean(row.best_epochs), row.parameters, row.seconds)
        writer.writerow((*start, *means, *(value for pair in pairs for value in pair), *end))
    return text.getvalue()


def document(found: Findings) -> dict[str, Any]:
    """What study.json holds; see `ArmResult`, `Difference` and `PairedDifference`."""
    study, rows, differences, protocol, thresholds, missing = found
    return {
        "question": study.question,
        "protocol": dict(protocol),
        "thresholds": list(thresholds),
        "arms": [row._asdict() | {"summary": {k: v._asdict() for k, v in row.summary.items()}} for row in rows],
        "differences": [one._asdict() | {"found": one.found._asdict(), "verdict": one.verdict} for one in differences],
        "missing": dict(missing),
    }


def draw(
    file: pathlib.Path, study: Study, rows: Sequence[ArmResult], results: Results, protocol: Mapping[str, str]
) -> None:
    """Writes study.png."""
    from jaxlm.drawing import study_plots  # Not at the top: matplotlib is slow to start.

    arms = {}
    for row in rows:
        runs = [results[name_of(row.arm, row.trial, seed)] for seed in row.seeds]
        curves = []
        for run in runs:
            steps, nme = np.asarray(run.curve, float).reshape(-1, 2).T
            curves.append((steps * run.epochs / run.steps, 100 * nme))
        nme = np.asarray([row.by_seed[key_of(shift)] for shift in study.shifts]).T
        arms[row.arm] = study_plots.ArmLines(nme, curves)
    title = f"{textwrap.fill(study.question, 100)}\n{protocol['data']}; {protocol['NME'].split(', ')[1]}"
    study_plots.study_plot(file, arms, [100 * shift for shift in study.shifts], title=title)
