"""What an experiment is: frozen, typed dataclasses, their options, and how two of them differ."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import re
import typing
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Options = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    name: str = "cnn"
    """The network; its file in jaxlm/models/registry.py."""
    input_size: int = 128
    """Side of the square crop that the model sees, in pixels."""
    options: Options = dataclasses.field(default_factory=dict)
    """Fields of the model's Linen module."""


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    name: str = "coordinates"
    """What raw outputs mean: how they become a loss and points; a key of jaxlm.tasks.TASKS."""
    options: Options = dataclasses.field(default_factory=dict)
    """Fields of the task's dataclass."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    dataset: str = "synthetic"
    """A prepared set, or the path of a packed .npz file. It is `wflw/384px` where several sizes of `wflw` are prepared.
    Several sets are joined with +, and the first validates."""
    data_dir: str = "data"
    """Folder of the prepared sets."""
    scheme: str = "wflw98"
    """Landmark scheme to learn, a name or a .toml file. The command line need not give it where it is that of the set.
    98 points are read as 68 where asked. One for each set, joined with +, gives each a head of its own; see
    jaxlm/landmarks/heads.py."""
    train_split: str = "train"
    """Split to train on; several are joined with +."""
    validation_percent: int = 10
    """Share of the training split held out, by photo or person. 0 trains on all and keeps the last step as best."""
    label_percent: float = 100.0
    """Share of the training faces that is used, by photo or person. `seed` draws it, less of it is a part of more."""
    crop: float = 1.0
    """Side of the model's crop in units of the face box."""
    batch_size: int = 8
    """Faces a step, over all devices."""
    cache: Literal["none", "device"] = "none"
    """Frames stream from disk (none) or stay in device memory (device). Streaming needs TensorFlow."""
    styled: str | None = None
    """A prepared set or pack of styled faces (python -m jaxlm.stylize); those of training photos join the batches."""
    styled_ratio: float = 0.5
    """Share of each batch that is styled, the rest being photos; an epoch has as many batches as without."""


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    probability: float = 0.5
    """Chance of each geometric step, an independent coin a face."""
    rotation: float = 0.0
    """Uniform in +- this many degrees."""
    shear: float = 0.0
    """Uniform in +- this, one draw an axis."""
    centre_shear: bool = False
    """Shear about the frame's centre; the published recipe does so about its top-left corner."""
    scale: float = 0.0
    """Per axis, each half of the crop grows by a uniform +- this fraction of the crop's side."""
    shift: float = 0.0
    """Uniform in +- this fraction of the crop's side, one draw an axis."""
    flip: bool = False
    """Mirror every other face."""
    colour: float = 0.0
    """Strength of brightness, contrast and saturation jitter."""
    hue: float = 0.0
    """Hues turn by a uniform +- this fraction of the colour circle."""
    grey: float = 0.0
    """Chance that a face is turned grey."""
    blur: float = 0.0
    """Chance of a Gaussian blur of at most a pixel."""
    defocus: float = 0.0
    """Chance of a strong Gaussian blur, up to a twentieth of the crop's side."""
    dark: float = 0.0
    """Chance of little light, at the least 8 % of the photo's, with a sensor's noise."""
    occlusion: float = 0.0
    """Chance that a box of noise covers part of the face."""
    legacy: bool = False
    """Train on the label errors of the released SepBN code. Flips are one pixel off there, and rotations half a pixel.
    It is here for the claim that sepbn_wflw is the published recipe, which these errors are a part of."""


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    name: Literal["sgd", "adamw"] = "adamw"
    """The optimiser, AdamW or SGD with momentum 0.9. `sgd` couples the weight decay, as the published recipes do."""
    learning_rate: float = 1e-3
    """Learning rate where warm-up ends and decay begins."""
    warmup_epochs: float = 1.0
    """Epochs of linear warm-up, fractions allowed."""
    decay: tuple[tuple[float, float], ...] = ()
    """Pairs (epoch, factor): from each epoch on the learning rate is multiplied by its factor; none: see `schedule`."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """Without `decay`: a half cosine to 0, or, as published for AVS, constant for a fiftieth and then linear to 0."""
    betas: tuple[float, float] = (0.9, 0.999)
    """How slowly AdamW's averages of gradients and of their squares forget."""
    weight_decay: float = 0.0
    """Weight decay, of biases and normalisation, too."""
    clip_norm: float | None = None
    """Largest norm of a gradient, over all parameters."""
    ema_decay: float | None = None
    """Evaluate and keep a moving average of the weights. It is exponential, with this decay a step."""
    accumulate: int = 1
    """Split each batch into this many parts and average their gradients, to save memory."""
    remat: bool = False
    """Keep the results of convolutions and products alone for the gradient and compute all else again, to save
    memory on a GPU or TPU; XLA's CPU compiler undoes it."""
    rates: tuple[tuple[str, float], ...] = ()
    """Pairs (path of parameters, factor of their learning rate): ("head", 0.1); 0 freezes, weight decay included."""


@dataclasses.dataclass(frozen=True)
class Config:
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    init_from: str | tuple[tuple[str, str], ...] | None = None
    """Workdir of a run, .npz file of weights or `shipped`, to start from. What has no counterpart there is drawn. Pairs
    (workdir or file, path here) start networks within the model: ("runs/a", "detector") ("runs/b", "translator")."""
    init_copies: tuple[tuple[str, str], ...] = ()
    """Pairs (path there, path here) of `init_from`: a network that is not there starts as a copy of another one."""
    seed: int = 0
    """Draws initial weights, order of faces and augmentation."""
    epochs: int = 10
    """Passes over the training faces. Each has whole batches only."""
    steps_per_epoch: int | None = None
    """Steps that count as an epoch, instead of a pass. Runs on different numbers of faces then have equal steps and
    schedules."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the model computes in. Parameters and statistics stay float32."""
    temperature: float = 30.0
    """Where the softmax temperature of attention layers starts; it falls by one an epoch down to 1."""
    fsdp: int = 1
    """Devices that share one copy of the parameters; the batch is split over all devices in any case."""
    steps_per_call: int = 1
    """With cache = device: training steps in one compiled call."""
    eval_every: int = 1
    """Epochs between validations, each followed by a checkpoint."""
    keep: int = 2
    """Checkpoints kept beside the one with the best validation."""
    max_megabytes: float | None = None
    """Training does not start where the float32 parameters take more than this, in 10^6 bytes."""


# What may differ between a run and its continuation: the numbers do not depend on it.
_RUNTIME_FIELDS = ("data.data_dir", "data.cache", "fsdp", "steps_per_call", "keep", "max_megabytes")


def complete(kind: type, label: str, options: Options) -> Options:
    """All options of a dataclass, `kind`: its defaults, replaced by `options`.

    Fields without a default are the caller's to fill (a model's number of points) and are no options.

    Raises:
      ValueError: An option or the value of a choice is unknown; `label` says whose, and the nearest one is suggested.
        Or a value is of another type than its field.
    """
    fields = {
        field.name: field.default
        for field in dataclasses.fields(kind)
        if field.name not in ("parent", "name", "dtype") and field.default is not dataclasses.MISSING
    }
    for option in options:
        check_known(option, fields, f"{label} has no option {option!r}")
    types = typing.get_type_hints(kind)
    for option, value in options.items():
        if typing.get_origin(types[option]) is Literal:
            check_known(value, typing.get_args(types[option]), f"{option} of {label} cannot be {value!r}")
            continue
        try:
            msgspec.convert(value, types[option])
        except msgspec.ValidationError as error:
            raise ValueError(f"{option} of {label} cannot be {value!r}: {error}") from None
    return fields | {option: with_tuples(value) for option, value in options.items()}


def check_known(key: Any, known: Iterable[Any], problem: str) -> None:
    """Raises ValueError with `problem` and the nearest known key where a key is not known."""
    known = list(known)
    if key not in known:
        known = list(map(str, known))
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"{problem}.{hint} Known: {', '.join(known) or 'none'}.")


def with_tuples(value: Any) -> Any:
    """A value of JSON with tuples for its lists."""
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value


def first_sentences(cls: type = Config, prefix: str = "") -> dict[str, str]:
    """What the docstring below each field of `cls`, and of the dataclasses in it, says first, by dotted names."""
    types = typing.get_type_hints(cls)
    sentences: dict[str, str] = {}
    (definition,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    for pair in itertools.pairwise(definition.body):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), _ if dataclasses.is_dataclass(types[name]):
                sentences |= first_sentences(types[name], f"{prefix}{name}.")
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                sentences[f"{prefix}{name}"] = re.split(r"[.;](?:\s|$)", text)[0]
    return sentences


def differences(stored: Config, asked: Config) -> list[str]:
    """One line for each field that would change the numbers of a run, for example `seed: 0 here, 1 asked for`."""
    ours, theirs = flatten(dataclasses.asdict(stored)), flatten(dataclasses.asdict(asked))
    return [
        f"{key}: {ours.get(key)!r} here, {theirs.get(key)!r} asked for"
        for key in sorted(ours | theirs)
        if ours.get(key) != theirs.get(key) and key not in _RUNTIME_FIELDS
    ]


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
