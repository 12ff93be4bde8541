"""The plan of a limited-data study: its pieces, and the config of each."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from jaxlm import config as config_lib
from jaxlm import experiment
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.files import read_json, write_json
from jaxlm.studies.limited_data_arms import (
    ARMS,
    SELF_SET,
    SET_OF,
    arm_config,
    check,
    on_share,
    total_steps,
    with_equal_steps,
)

TRANSLATOR = "translator"

_FILE = "plan.json"


class Piece(NamedTuple):
    """A piece of the work: a training run, or a set of styled faces to draw.

    Attributes:
      seed: Draws the share of the faces, the weights, the order of the faces, and the styles.
      percent: Share of the training faces in per cent.
      name: An arm, the translator, or one of its two sets of styled faces.
      work: The number of training steps, or of pictures to draw.
    """

    seed: int
    percent: float
    name: str
    work: int

    @property
    def kind(self) -> str:
        """`detector`, `translator` or `set`; pieces of one kind take about the same time for the same work."""
        return "detector" if self.name in ARMS else TRANSLATOR if self.name == TRANSLATOR else "set"

    def folder(self, workdir: pathlib.Path) -> pathlib.Path:
        """The folder of its files."""
        return workdir / share_name(self.seed, self.percent) / self.name


@dataclasses.dataclass(frozen=True)
class Plan:
    """The whole study.

    Attributes:
      detector: The detector's experiment, on all faces, with seed 0.
      translator: The translator's experiment, likewise.
      styles: Renders of each face in the arms `avs` and `both`; `self` has one.
      fractions: Shares of the training faces in per cent, ascending.
      seeds: Seeds of the repetitions.
      arms: Some of `ARMS`.
      faces: The number of training faces, by `share_name`.
      held_out: The number of faces held out from all.
    """

    detector: Config
    translator: Config
    styles: int
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    faces: dict[str, int]
    held_out: int


def share_name(seed: int, percent: float) -> str:
    """The folder, in the workdir, of all that sees one share of the faces."""
    return f"seed{seed}/{percent:g}_percent"


def make_plan(
    detector: Config,
    translator: Config,
    fractions: Sequence[float],
    seeds: Sequence[int],
    arms: Sequence[str],
    styles: int,
    steps: int | None = None,
    translator_steps: int | None = None,
) -> Plan:
    """Opens the faces and makes the plan; see `with_equal_steps` for the steps.

    Raises:
      FileNotFoundError: The set is not prepared.
      ValueError: The configs do not go together, or there are too few faces.
    """
    check(detector, translator)
    if styles < 1 or min(seeds) < 0 or not all(0 < percent <= 100 for percent in fractions):
        raise ValueError("--styles must be at least 1, --seeds 0, and --fractions in per cent, above 0 and at most 100")
    data = detector.data
    training, held_out = input_lib.open_training(
        data.dataset, data.train_split, data.data_dir, data.scheme, data.validation_percent
    )
    if not len(held_out):
        raise ValueError("no faces are held out to judge by; give --data.validation-percent more than 0")
    fractions, seeds = tuple(sorted(set(fractions))), tuple(dict.fromkeys(seeds))
    faces = {
        share_name(seed, percent): len(input_lib.label_subset(training, percent, seed))
        for seed, percent in itertools.product(seeds, fractions)
    }
    plan = Plan(
        detector=with_equal_steps(detector, steps, len(training)),
        translator=with_equal_steps(translator, translator_steps, len(training)),
        styles=styles,
        fractions=fractions,
        seeds=seeds,
        arms=tuple(arm for arm in ARMS if arm in arms),
        faces=faces,
        held_out=len(held_out),
    )
    _check_enough(plan)
    return plan


def _check_enough(plan: Plan) -> None:
    """Raises ValueError where the smallest share cannot fill a batch, or give its faces their styles."""
    name, faces = min(plan.faces.items(), key=lambda item: item[1])
    needed = plan.detector.data.batch_size
    if _sets(plan):
        needed = max(needed, plan.translator.data.batch_size, plan.styles + 1)
    if faces < needed:
        raise ValueError(
            f"{name} has {faces} faces, and a batch of each network and --styles {plan.styles} of other faces want"
            f" {needed}; leave out such small --fractions, or lower --styles or, behind --, --data.batch-size"
        )


def _sets(plan: Plan) -> list[str]:
    """The sets of styled faces that the arms want."""
    return sorted({SET_OF[arm] for arm in plan.arms if arm in SET_OF})


def pieces_of(plan: Plan) -> list[Piece]:
    """All pieces in the order of the work, one share of the faces after the other."""
    pieces, sets = [], _sets(plan)
    for seed, percent in itertools.product(plan.seeds, plan.fractions):
        faces = plan.faces[share_name(seed, percent)]
        work = {TRANSLATOR: total_steps(plan.translator)} if sets else {}
        work |= {name: faces * renders_of_each(plan, name) for name in sets}
        work |= dict.fromkeys(plan.arms, total_steps(plan.detector))
        pieces += [Piece(seed, percent, name, amount) for name, amount in work.items()]
    return pieces


def renders_of_each(plan: Plan, name: str) -> int:
    """How often each face is drawn for a set of styled faces."""
    return 1 if name == SELF_SET else plan.styles


def config_of(plan: Plan, piece: Piece, workdir: pathlib.Path) -> Config:
    """The config of the run that a piece is, for an arm or the translator."""
    if piece.name == TRANSLATOR:
        return on_share(plan.translator, piece.percent, piece.seed)
    name = SET_OF.get(piece.name)
    styled = pack_of(piece._replace(name=name).folder(workdir)) if name else None
    return arm_config(plan.detector, piece.name, piece.percent, piece.seed, styled)


def pack_of(folder: pathlib.Path) -> pathlib.Path:
    """The packed file of a set of styled faces."""
    return folder / "faces.npz"


def remember(plan: Plan, workdir: pathlib.Path) -> None:
    """Writes plan.json, or compares with the one that is there; other fractions, seeds and arms may join it.

    Raises:
      ValueError: The workdir belongs to a plan of another configuration; the differences are listed.
    """
    file = workdir / _FILE
    if file.exists():
        different = differences(read_plan(file), plan)
        if different:
            lines = "\n  ".join(different)
            raise ValueError(f"{file} is another plan; take another --workdir, or match it:\n  {lines}")
    workdir.mkdir(parents=True, exist_ok=True)
    document = dataclasses.asdict(plan) | {"pieces": [piece._asdict() for piece in pieces_of(plan)]}
    write_json(file, document)


class _Stored(msgspec.Struct):
    """What plan.json holds; see `Plan`."""

    detector: dict[str, Any]
    translator: dict[str, Any]
    styles: Annotated[int, msgspec.Meta(ge=1)]
    fractions: tuple[Annotated[float, msgspec.Meta(gt=0, le=100)], ...]
    seeds: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    arms: tuple[str, ...]
    faces: dict[str, int]
    held_out: int


def read_plan(file: pathlib.Path) -> Plan:
    """The plan that `remember` wrote.

    Raises:
      ValueError: The file is damaged.
    """
    stored = read_json(file, _Stored)
    try:
        configs = {name: experiment.from_json(json.dumps(getattr(stored, name))) for name in ("detector", "translator")}
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    return Plan(**msgspec.structs.asdict(stored) | configs)


def differences(stored: Plan, asked: Plan) -> list[str]:
    """One line for each thing that would make the pieces of two plans differ."""
    lines = [f"detector, {line}" for line in config_lib.differences(stored.detector, asked.detector)]
    lines += [f"translator, {line}" for line in config_lib.differences(stored.translator, asked.translator)]
    pairs = {"styles": (stored.styles, asked.styles), "held-out faces": (stored.held_out, asked.held_out)}
    for name in sorted(stored.faces.keys() & asked.faces.keys()):
        pairs[f"faces of {name}"] = stored.faces[name], asked.faces[name]
    return lines + [f"{name}: {here} here, {there} asked for" for name, (here, there) in pairs.items() if here != there]


def plan_lines(plan: Plan) -> dict[str, str]:
    """The lines that show a plan, by their titles: data, shares, arms, and how many runs, steps and pictures."""
    data = plan.detector.data
    lines = {"data": f"{data.dataset}, {data.train_split}; {plan.held_out} faces are held out from all"}
    for percent in plan.fractions:
        counts = ", ".join(str(plan.faces[share_name(seed, percent)]) for seed in plan.seeds)
        lines[f"{percent:g} %"] = f"{counts} faces, by seed ({', '.join(map(str, plan.seeds))})"
    lines |= {arm: ARMS[arm] for arm in plan.arms}
    for kind, unit in ((TRANSLATOR, "steps"), ("set", "pictures"), ("detector", "steps")):
        work = [piece.work for piece in pieces_of(plan) if piece.kind == kind]
        each = f", {work[0]:,} each" if len(set(work)) == 1 else ""
        lines[f"{kind}s"] = f"{len(work)}; {sum(work):,} {unit}{each}"
    return lines
