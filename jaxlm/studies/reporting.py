"""Puts the page together that compares several runs; numbers of different protocols stay apart."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Sequence

from jaxlm.drawing import report_page as page
from jaxlm.drawing.report_page import Section
from jaxlm.evaluation.judged_faces import held_out_split
from jaxlm.files import check_output, write_whole
from jaxlm.studies import report_runs
from jaxlm.studies import report_sections as sections
from jaxlm.studies.report_confidence import confidences
from jaxlm.studies.report_runs import Detection, Result, ResultT, Run, Translation

_TITLE = "Report on "


def write_report(
    paths: Sequence[pathlib.Path],
    out: pathlib.Path,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str | None = None,
    with_sensitivity: bool = True,
    step: int | None = None,
    head: str | None = None,
) -> list[Result]:
    """Judges runs and files of weights, and writes the page to `out`.

    Args:
      paths: The models; see `checkpoints.open_models` for them, `step` and `head`.
      out: The page.
      dataset: A prepared set or a packed file; by default the one that each model was trained on.
      data_dir: The folder of the prepared sets; by default that of the training.
      split: See `judged_faces.open_evaluation`; by default, and without a `dataset`, the faces that each model held out
        of its training, by which the training ends, too.
      with_sensitivity: Show how errors grow when face boxes are off, which takes most of the time.
      step: The runs' checkpoint.
      head: The data set whose points are read.

    Returns:
      The results of the models; those without a result are left out.

    Raises:
      CheckpointError: A folder holds no run that can be read.
      FileExistsError: `out` is another kind of file.
      FileNotFoundError: There is no such file, `dataset` is not prepared, or there is no folder for `out`.
      ValueError: There is no such split or head, or its points do not fit a model.
    """
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"{out}: its folder does not exist; make it, or choose another --out")
    check_output(out, "a report", _is_report, paths)
    runs = report_runs.open_runs(paths, step, head)
    results = []
    for index, run in enumerate(runs):
        print(f"run {index + 1} of {len(runs)}: {run.name}")
        same = split or (held_out_split(run.trained) if dataset is None else None)
        result = report_runs.result_of(run, dataset, data_dir, same)
        # Where faces are not at hand, and those held out were never judged, any other evaluation is better than none.
        result = result or report_runs.result_of(run, dataset, data_dir, split)
        print(f"  judged by {result.protocol['data']}" if result else "  never judged, and its faces are not at hand")
        results.append(result)
    found = [result for result in results if result]
    missing = [run for run, result in zip(runs, results, strict=True) if result is None]
    write_whole(out, compose(runs, found, missing, with_sensitivity))
    print(f"Wrote {out}: {len(runs)} runs, {out.stat().st_size / 1e6:.1f} MB")
    return found


def compose(runs: Sequence[Run], results: Sequence[Result], missing: Sequence[Run], with_sensitivity: bool) -> str:
    """The page: sections of detectors, group by group, and of translators; `missing` are runs without a result."""
    detections = [result for result in results if isinstance(result, Detection)]
    detecting = report_runs.groups(detections)
    translating = report_runs.groups([result for result in results if isinstance(result, Translation)])
    detectors, translators = ([run for run in runs if run.translates == kind] for kind in (False, True))
    parts = _of_groups(detecting, lambda group: _detection(group, with_sensitivity))
    parts += [sections.training(detectors), sections.separate_attention(detections)]
    parts += _of_groups(translating, lambda group: [sections.translations(group)])
    parts.append(sections.training(translators))
    opening = [_incomparable(groups) for groups in (detecting, translating) if len(groups) > 1]
    return page.document(
        title=f"{_TITLE}{len(runs)} runs" if len(runs) > 1 else f"{_TITLE}{runs[0].name}",
        lead=f"{', '.join(run.name for run in runs)}; saved {_period(runs)}, put together on {datetime.date.today()}.",
        opening=[*opening, *_not_at_hand(results, missing)],
        sections=[part for part in parts if part],
    )


def _of_groups(
    groups: Sequence[Sequence[ResultT]], sections_of: Callable[[Sequence[ResultT]], list[Section | None]]
) -> list[Section | None]:
    """The sections of each group; where there are several, their titles name the faces."""
    parts = []
    for group in groups:
        prefix = f"{group[0].protocol['data'].partition(':')[0]}: " if len(groups) > 1 else ""
        parts += [part and part._replace(title=prefix + part.title) for part in sections_of(group)]
    return parts


def _detection(group: Sequence[Detection], with_sensitivity: bool) -> list[Section | None]:
    return [
        sections.results(group),
        sections.subsets(group),
        sections.error_distribution(group),
        sections.points_and_parts(group),
        confidences(group, sections.title_of(group)),
        sections.box_errors(group) if with_sensitivity else None,
        sections.worst_faces(group),
    ]


def _incomparable(groups: Sequence[Sequence[Result]]) -> str:
    """A warning that several groups were judged by different protocols, with what differs."""
    protocols = [group[0].protocol for group in groups]
    shared = set.intersection(*(set(protocol.items()) for protocol in protocols))
    items = []
    for group, protocol in zip(groups, protocols, strict=True):
        own = "; ".join(f"{name}: {line}" for name, line in protocol.items() if (name, line) not in shared)
        items.append(f"{', '.join(result.run.name for result in group)}: {own or 'perhaps other faces'}")
    text = "These runs were judged by different protocols, and their numbers must not be compared. They stand apart:"
    return page.warning(text, items)


def _not_at_hand(results: Sequence[Result], missing: Sequence[Run]) -> list[str]:
    """Warnings of the runs whose faces could not be read."""
    warnings = []
    stored = [f"{result.run.name}, {_step_of(result.run)}: {result.folder}" for result in results if result.folder]
    if stored:
        text = (
            "The faces of some runs are not at hand. Their numbers are those of the last evaluation of the same weights"
            " in their folders, and maps of errors, box errors and attention are left out:"
        )
        warnings.append(page.warning(text, stored))
    if missing:
        text = (
            "The faces of some runs are not at hand, and they were never evaluated with these weights; only their"
            " training is shown:"
        )
        lines = [f"{run.name}, {_step_of(run)}: {run.trained.config.data.dataset}" for run in missing]
        warnings.append(page.warning(text, lines))
    return warnings


def _is_report(file: pathlib.Path) -> bool:
    begin = f"{page.OPENING}{_TITLE}".encode()
    with file.open("rb") as opened:
        return opened.read(len(begin)) == begin


def _step_of(run: Run) -> str:
    return f"step {run.trained.step}"


def _period(runs: Sequence[Run]) -> str:
    days = sorted(f"{run.saved:%Y-%m-%d}" for run in runs)
    return f"on {days[0]}" if days[0] == days[-1] else f"from {days[0]} to {days[-1]}"
