r"""How many labelled faces fine-tuning wants: NME over 20 to 1,000 faces, from the shipped weights and from nothing.

    python -m benchmarks.finetuning --source 300W --workdir runs/finetuning

Two sets: 300-W reduced to 12 points, and rendered faces with 30 points that 300-W lacks. For every seed, which draws
the faces, and every number of faces, the experiment `finetune` is trained twice, with smaller crops and fewer steps. A
fifth of its faces is held out and chooses the checkpoint. Others, which no training saw, judge it. Finished trainings
are remembered: the same command goes on where it was stopped, and does more --seeds. It ends with a table, and writes
finetuning.json and finetuning.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import absl.logging
import jax
import numpy as np
from matplotlib.figure import Figure

from benchmarks import finetuning_faces
from jaxlm import checkpoints, experiment
from jaxlm.config import Config
from jaxlm.drawing import plots
from jaxlm.evaluation import judging
from jaxlm.files import read_json, replacing, write_json
from jaxlm.runtime import allocation, commands
from jaxlm.training import fit

FACES = (20, 50, 200, 1000)
ARMS = {"shipped": "from the shipped weights", "nothing": "from nothing"}
SETS = {
    "300w12": ("12 points of 300-W", "inter_ocular"),
    "rendered30": ("30 points of rendered faces", "inter_pupil"),
}
"""By the name of the pack: a title, and what errors are divided by."""

_RENDERED, _RENDERED_JUDGES = 1800, 500
_STEPS = 100  # Between two validations.


class Piece(NamedTuple):
    """A training: its set, its number of faces with those that choose its checkpoint, its seed, and where it starts."""

    dataset: str
    faces: int
    seed: int
    arm: str

    def folder(self, workdir: pathlib.Path) -> pathlib.Path:
        """Its workdir."""
        return workdir / self.dataset / f"seed{self.seed}" / f"{self.faces}_{self.arm}"


# By piece: the NME of each face that judges, a fraction.
Errors = Mapping[Piece, Sequence[float]]


def config_of(piece: Piece, workdir: pathlib.Path, size: int, steps: int) -> Config:
    """The experiment `finetune` with crops of `size` pixels and `steps` steps, on the faces of a piece."""
    pack = str(workdir / f"{piece.dataset}.npz")
    config = experiment.load("finetune", piece.faces)
    data = dataclasses.replace(
        config.data,
        dataset=pack,
        scheme=finetuning_faces.SCHEMES[piece.dataset],
        train_split=f"seed{piece.seed}[:{piece.faces}]",
        cache="none",  # The compiled step is then the same for any number of faces.
    )
    return dataclasses.replace(
        config,
        data=data,
        model=dataclasses.replace(config.model, input_size=size),
        init_from=config.init_from if piece.arm == "shipped" else None,
        optim=dataclasses.replace(config.optim, warmup_epochs=steps / _STEPS / 20),
        seed=piece.seed,
        epochs=steps // _STEPS,
        steps_per_epoch=_STEPS,
        eval_every=1,
        keep=1,
    )


def judge(piece: Piece, workdir: pathlib.Path) -> list[float]:
    """The NME of each face that judges, a fraction, by the checkpoint that the held-out faces chose."""
    trained = checkpoints.open_model(piece.folder(workdir))
    normaliser = SETS[piece.dataset][1]
    found = judging.evaluate_model(trained, "", split=finetuning_faces.JUDGES, normaliser=normaliser)
    return found.nme.tolist()


def run(pieces: Sequence[Piece], workdir: pathlib.Path, size: int, steps: int) -> dict[Piece, list[float]]:
    """Trains and judges what is not finished yet, and gives the errors of all."""
    errors = {}
    for number, piece in enumerate(pieces, start=1):
        file = piece.folder(workdir) / "judged.json"
        if not file.exists():
            print(f"[{number}/{len(pieces)}] {time.strftime('%X')} {' '.join(map(str, piece))}", flush=True)
            fit(config_of(piece, workdir, size, steps), piece.folder(workdir))
            write_json(file, judge(piece, workdir))
            jax.clear_caches()  # Of programs that no other piece runs.
        errors[piece] = read_json(file, list[float])
    return errors


def means_of(errors: Errors, dataset: str, arm: str) -> dict[int, np.ndarray]:
    """By number of faces: the NME in per cent of each seed [seeds]."""
    found: dict[int, list[float]] = {}
    for piece, nme in errors.items():
        if (piece.dataset, piece.arm) == (dataset, arm):
            found.setdefault(piece.faces, []).append(100 * float(np.mean(nme)))
    return {faces: np.asarray(means) for faces, means in sorted(found.items())}


def markdown(errors: Errors) -> str:
    """The table, a number of faces a line: means over the seeds, and their range."""
    columns = [f"{title}, {start}" for title, _ in SETS.values() for start in ARMS.values()]
    lines = [f"| faces | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    table = [means_of(errors, dataset, arm) for dataset in SETS for arm in ARMS]
    for faces in sorted(table[0]):
        cells = [f"{means[faces].mean():.2f} ({means[faces].min():.2f} to {means[faces].max():.2f})" for means in table]
        lines.append(f"| {faces:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(errors: Errors, protocol: str) -> Figure:
    """NME over the number of faces, a panel a set and a line an arm; bars are the range of the seeds."""
    drawn = Figure(figsize=(5.2 * len(SETS), 4.6), layout="constrained")
    for axes, (dataset, (title, normaliser)) in zip(drawn.subplots(1, len(SETS)), SETS.items(), strict=True):
        for index, (arm, label) in enumerate(ARMS.items()):
            means = means_of(errors, dataset, arm)
            middle = np.asarray([each.mean() for each in means.values()])
            low, high = (np.asarray([end(each) for each in means.values()]) for end in (np.min, np.max))
            axes.errorbar(
                list(means), middle, (middle - low, high - middle), color=plots.LINE_COLOURS[index], fmt="o-", ms=4,
                capsize=3, label=label,
            )  # fmt: skip
        plots.style(axes)
        axes.set(title=title, xscale="log", xlabel="labelled faces", ylim=(0, None))
        axes.set_ylabel(f"NME (% of the {normaliser.replace('_', '-')} distance)")
        axes.set_xticks(FACES, [f"{faces:,}" for faces in FACES])
        axes.minorticks_off()
    drawn.suptitle(protocol, fontsize=11)
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return drawn


def main(argv: Sequence[str] | None = None) -> None:
    """The command line of the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, type=pathlib.Path, metavar="DIR", help="300-W as published")
    parser.add_argument("--workdir", required=True, type=pathlib.Path, metavar="DIR", help="folder of packs and runs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    parser.add_argument("--faces", nargs="+", type=int, default=FACES, metavar="N")
    parser.add_argument("--input-size", type=int, default=64, metavar="PX", help="side of the crops")
    parser.add_argument("--steps", type=int, default=300, metavar="N", help="of each training, by hundreds")
    arguments = parser.parse_args(argv)
    workdir: pathlib.Path = arguments.workdir
    absl.logging.set_verbosity(absl.logging.ERROR)  # Orbax warns at each step that was not validated.
    allocation.keep_memory()
    # JAX was imported before jaxlm named the folder; trainings of one seed and set run the same programs.
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    with commands.told_errors():
        if not (workdir / "300w12.npz").exists():
            finetuning_faces.write(workdir / "300w12.npz", *finetuning_faces.photographed(arguments.source))
        if not (workdir / "rendered30.npz").exists():
            finetuning_faces.write(workdir / "rendered30.npz", *finetuning_faces.rendered(_RENDERED, _RENDERED_JUDGES))
        pieces = [
            Piece(dataset, faces, seed, arm)
            for seed in arguments.seeds
            for faces in sorted(arguments.faces)
            for dataset in SETS
            for arm in ARMS
        ]
        errors = run(pieces, workdir, arguments.input_size, arguments.steps)
        print(markdown(errors))
        seeds = ", ".join(map(str, arguments.seeds))
        protocol = f"{arguments.input_size} px, {arguments.steps:,} steps of 8 faces, seeds {seeds}"
        rows = [{**piece._asdict(), "nme": 100 * float(np.mean(nme))} for piece, nme in errors.items()]
        write_json(workdir / "finetuning.json", {"protocol": protocol, "rows": rows})
        with replacing(workdir / "finetuning.png") as file:
            figure(errors, protocol).savefig(file, dpi=130, format="png")
        print(f"Wrote {workdir / 'finetuning.json'} and finetuning.png")


if __name__ == "__main__":
    main()
