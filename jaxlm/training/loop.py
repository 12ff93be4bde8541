"""The training loop: prepares a run, starts or resumes it, and trains, validates and saves until it ends.

A run is a pure function of its config: randomness is `fold_in(key, step)`, and a run that was stopped goes on by
itself, from its last whole checkpoint, to the same numbers.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from jaxlm.checkpoints import Checkpoints, check_exists, check_name, directory_of, write_config
from jaxlm.checkpoints.identity import HELD_OUT, TO_TRAIN_ON, identity_of
from jaxlm.config import Config
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines import prepared
from jaxlm.data_pipelines.input import Faces
from jaxlm.evaluation import inference
from jaxlm.files.folders import claimed
from jaxlm.runtime import distributed
from jaxlm.runtime.progress import Progress
from jaxlm.tasks import TASKS, Alarm
from jaxlm.tasks.metrics import default_normaliser
from jaxlm.training import feeding, starting
from jaxlm.training.step import Recipe, TrainState, from_items, init_state, make_recipe, to_items, train_step

# Metrics are fetched after at least so many steps. Fetching waits for the device, so the host cannot run far ahead.
_STEPS_BETWEEN_REPORTS = 20

_LOCK = "train.lock"

# Models whose layers are scaled by data start from so many faces, as published for VUNet.
_FIRST_FACES = 16


def segments(start: int, stop: int, length: int, boundary: int) -> Iterator[tuple[int, int]]:
    """Cuts the steps start..stop into pieces of at most `length` that also end at multiples of `boundary`."""
    while start < stop:
        end = min(start + length, (start // boundary + 1) * boundary, stop)
        yield start, end
        start = end


def check_finite(values: Mapping[str, np.ndarray], start: int, checkpoints: pathlib.Path) -> None:
    """Raises FloatingPointError naming the first step, counted from `start`, whose loss or gradient is not finite."""
    bad = np.flatnonzero(~np.isfinite(values["loss"]) | ~np.isfinite(values["gradient_norm"]))
    if len(bad):
        raise FloatingPointError(
            f"the loss of step {start + bad[0]} is {values['loss'][bad[0]]}, the gradient's norm"
            f" {values['gradient_norm'][bad[0]]}; the run stops. The last good checkpoint is kept in {checkpoints}."
            " Try a lower --optim.learning-rate, a longer --optim.warmup-epochs or --optim.clip-norm 1."
        )


def check_alarms(
    values: Mapping[str, np.ndarray], alarms: Sequence[Alarm], start: int, checkpoints: pathlib.Path
) -> None:
    """Raises FloatingPointError naming the first step, counted from `start`, in which an alarm's value is not 0."""
    for alarm in alarms:
        bad = np.flatnonzero(values[alarm.name])
        if len(bad):
            raise FloatingPointError(
                f"in step {start + bad[0]} {alarm.problem.format(values[alarm.name][bad[0]])}; the run stops."
                f" The last good checkpoint is kept in {checkpoints}. Try {alarm.remedy}."
            )


def check_places(faces: Faces, what: str) -> None:
    """Raises ValueError where a point of a face has no place; `what` needs all of them."""
    hidden = np.flatnonzero(np.isnan(faces.points).any((1, 2)))
    if len(hidden):
        raise ValueError(
            f"{what} needs a place for every point; {len(hidden)} of the {len(faces)} faces of {faces.dataset},"
            f" {faces.split}, have hidden points without one, {faces.names[hidden[0]]} first; take task coordinates,"
            " heatmaps or san, or leave these faces out"
        )


def prepare_run(config: Config) -> tuple[Recipe, Faces, Faces]:
    """The recipe of an experiment, the faces to train on and those held out.

    Raises:
      ValueError: The batch does not fit the devices or the faces; the data lack what the experiment asks for.
    """
    distributed.check_batch_size(config.data.batch_size, config.optim.accumulate)
    data = config.data
    training, validation = input_lib.open_training(
        data.dataset,
        data.train_split,
        data.data_dir,
        data.scheme,
        data.validation_percent,
        data.styled,
        data.label_percent,
        config.seed,
    )
    if TASKS[config.task.name].needs_all_places:
        check_places(training, f"task {config.task.name}")
    return make_recipe(config, training.num_photos, training.margin), training, validation


def judged_faces(held_out: Faces) -> tuple[Faces, str]:
    """The held-out faces that have an NME, and a sentence on the others, empty where there are none."""
    errors = inference.face_errors(held_out.points, held_out, held_out.scheme)
    missing = np.flatnonzero(np.isnan(errors))
    if not len(missing):
        return held_out, ""
    normaliser = default_normaliser(held_out.scheme).replace("_", "-")
    what = f"{len(missing)} of the {len(held_out)} faces held out have {normaliser} distance 0 or unknown"
    end = (
        " and are left out of the validation's NME"
        if len(missing) < len(held_out)
        else ", so there is no validation NME"
    )
    return held_out.take(np.flatnonzero(~np.isnan(errors))), f"{what} ({held_out.names[missing[0]]} first){end}."


def make_synthetic_faces(config: Config) -> None:
    """Renders the synthetic set, which needs no source, if the experiment wants it and it is not there.

    Without TensorFlow Datasets it becomes a pack.
    """
    folder = pathlib.Path(config.data.data_dir)
    pack = prepared.named_pack("synthetic", folder)
    if config.data.dataset != "synthetic" or pack.exists() or prepared.find_sets("synthetic", folder):
        return
    if jax.process_index() == 0:
        # Not at the top: what prepares sets is slow to start, and few runs need it.
        from jaxlm.data_pipelines.prepare import Options, prepare
        from jaxlm.data_pipelines.sources.synthetic import Synthetic

        with_tfds = importlib.util.find_spec("tensorflow_datasets")
        prepare(Synthetic(), Options(folder) if with_tfds else Options(pack=pack))
    distributed.wait_for_all("synthetic faces")


def start_or_resume(
    recipe: Recipe, training: Faces, checkpoints: Checkpoints, mesh: Mesh
) -> tuple[int, TrainState, TrainState]:
    """The step to go on from, the state there, and the shardings of a state on `mesh`."""
    first = training.take(np.random.default_rng(recipe.config.seed).permutation(len(training))[:_FIRST_FACES])
    faces = {"image": first.images(np.arange(len(first))), "points": first.points, "visible": first.visible}
    abstract = jax.eval_shape(functools.partial(init_state, recipe), faces)
    shardings = distributed.split_parameters(mesh, abstract)
    placed = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), abstract, shardings
    )
    restored = checkpoints.restore(*to_items(placed))
    if restored is None:
        state = jax.jit(functools.partial(init_state, recipe), out_shardings=shardings)(faces)
        if recipe.config.init_from:
            state, match = starting.start_from(state, recipe.config.init_from, recipe.config.init_copies)
            if jax.process_index() == 0:
                print(f"Starting from {recipe.config.init_from}:\n{match}", file=sys.stderr)
        return 0, state, shardings
    step, model, rest = restored
    return step, from_items(model, rest), shardings


def check_own(workdir: pathlib.Path) -> None:
    """Raises FileExistsError where a folder without a run holds files of the names that a run writes."""
    foreign = [name for name in ("config.json", "metrics.jsonl", "curves.png") if (workdir / name).exists()]
    if foreign and not (workdir / _LOCK).exists():
        raise FileExistsError(f"{workdir} holds {', '.join(foreign)}, and no run; take another --workdir")


def fit(config: Config, workdir: pathlib.Path) -> None:
    """Starts or resumes the run in `workdir`, and trains until its end.

    Raises:
      SystemExit: Ctrl-C or SIGTERM stopped it before, and it was saved; the status is 130 or 143, as usual.
      OSError: The workdir cannot be used, holds files of somebody's own, or another process trains in it.
      ValueError: It holds another run, or its path has [ and ]; the processes of this one differ in their data; or see
        `prepare_run`.
      ImportError: The faces are to be streamed, and TensorFlow is not installed.
      FloatingPointError: The loss, or what a task watches, says that training has failed.
    """
    check_name(workdir)
    if config.data.cache != "device":
        input_lib.streaming_library()  # Where it is missing, that is said before minutes of preparing and compiling.
    prepared_run = prepare_run(config)
    if not directory_of(workdir).is_dir():  # A run that goes on no longer needs what it started from.
        check_own(workdir)
        for source in starting.sources_of(config.init_from):
            check_exists(source)
    busy = f"another process trains in {workdir}; wait until it ends, or take another --workdir"
    with claimed(workdir, _LOCK, busy) if jax.process_index() == 0 else contextlib.nullcontext():
        stopped_by = _fit(config, workdir, *prepared_run)
    if stopped_by is not None:
        distributed.end_by(stopped_by, f"Stopped and saved; the same command goes on from there. Run: {workdir}")


def _fit(config: Config, workdir: pathlib.Path, recipe: Recipe, training: Faces, validation: Faces) -> int | None:
    """Trains to the end, or to the signal whose number is returned."""
    mesh = distributed.make_mesh(config.fsdp)
    data = identity_of(training, TO_TRAIN_ON) | identity_of(validation, HELD_OUT)
    distributed.require_agreement(data)
    directory = directory_of(workdir)
    with Checkpoints(directory, config, config.keep, data) as checkpoints:
        start, state, shardings = start_or_resume(recipe, training, checkpoints, mesh)
        if jax.process_index() == 0:
            write_config(workdir, config)
            going_on = f", going on from step {start}" if start else ""
            said = f"{len(training)} faces to train on, {len(validation)} held out: {recipe.plan}{going_on}."
            print(f"{said} The step is compiled first.", file=sys.stderr)
        if len(validation) and recipe.objective.measure.key == "nme":
            validation, note = judged_faces(validation)
            if note and jax.process_index() == 0:
                print(note, file=sys.stderr)
        step = functools.partial(train_step, recipe=recipe)
        if config.data.cache == "device":
            advance = feeding.cached(step, training, config, mesh, shardings)
        else:
            advance = feeding.stream(step, training, config, mesh, shardings, start, recipe.total_steps)
        validate, measure = recipe.objective.validator(recipe.margin, mesh), recipe.objective.measure
        boundary = config.eval_every * recipe.steps_per_epoch
        length = config.steps_per_call * -(-_STEPS_BETWEEN_REPORTS // config.steps_per_call)
        silent = jax.process_index() > 0
        with (
            distributed.StopSignal() as stop_signal,
            Progress(workdir, recipe.total_steps, start, config.data.batch_size, measure, silent) as progress,
        ):
            for begin, end in segments(start, recipe.total_steps, length, boundary):
                state, values = advance(state, begin, end)
                check_alarms(values, recipe.objective.alarms, begin, directory)
                check_finite(values, begin, directory)
                progress.train(end, {name: float(np.mean(value)) for name, value in values.items()})
                stopping = stop_signal.asked(end)
                if end % boundary == 0 or end == recipe.total_steps:
                    model, rest = to_items(state)
                    metrics = validate(model, validation) if len(validation) else {}
                    if metrics:
                        progress.validation(end, metrics)
                    checkpoints.save(end, model, rest, metrics.get(measure.key))
                    progress.resume_clock()
                elif stopping:
                    checkpoints.save(end, *to_items(state))
                if stopping and end < recipe.total_steps:
                    return stop_signal.number
    return None
