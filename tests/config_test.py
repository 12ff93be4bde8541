import argparse
import dataclasses
import json
import re

import pytest

from jaxlm import config as config_lib
from jaxlm import experiment, models, overrides, tasks
from jaxlm.config import AugmentConfig, Config, OptimConfig
from jaxlm.data_pipelines.input import write_pack
from jaxlm.experiments import debug as debug_experiment
from jaxlm.landmarks import FIVE, IBUG68, Scheme, load_scheme, text_of
from jaxlm.landmarks.scheme import to_toml
from jaxlm.models import option_ranges
from runs import changed
from tiny_faces import synthetic_faces


def parse(*argv: str) -> Config:
    parser = argparse.ArgumentParser(prog="test", add_help=False)
    parser.add_argument("--workdir")
    return overrides.parse_arguments(parser, argv)[1]


@pytest.mark.parametrize("name", experiment.names())
def test_every_experiment_survives_json(name: str):
    config = experiment.load(name)
    assert experiment.from_json(experiment.to_json(config)) == config


def test_sepbn_wflw_is_the_published_recipe():
    config = experiment.load("sepbn_wflw")
    assert config.optim == OptimConfig(name="sgd", learning_rate=1e-3, warmup_epochs=800, weight_decay=5e-4)
    assert config.augment == AugmentConfig(rotation=25.0, shear=0.3, scale=0.15, flip=True)
    assert (config.epochs, config.data.batch_size, config.temperature) == (2000, 8, 30.0)
    assert config.model.options["sets"] == 3
    assert config.model.options["unbiased_running_var"]


@pytest.mark.parametrize("name", [name for name in experiment.names() if name.startswith(("sepbn", "cnt", "cnn_bn"))])
def test_experiments_of_sepbn_keep_the_running_variance_of_pytorch(name: str):
    assert experiment.load(name).model.options["unbiased_running_var"]


def test_published_experiments_of_avs_take_its_pixels_and_its_loss():
    assert experiment.load("san_published_wflw").model.options["pixels"] == "signed"
    translator = experiment.load("vunet_wflw").task.options
    assert {translator[name] for name in ("loss", "warmup", "structure")} == {"published"}
    assert translator["features"] == "vgg19.npz"


def test_any_field_can_be_overridden():
    config = parse(
        "--experiment", "debug", "--optim.clip-norm", "None", "--seed", "7", "--model.options.widths", "2", "3"
    )
    assert (config.optim.clip_norm, config.seed, config.model.options["widths"]) == (None, 7, (2, 3))


def test_stages_are_overrides_of_one_experiment():
    stage = ("--model.options.stage", "global_regress", "--optim.rates", "global_reinit", "0", "--init-from", "runs/a")
    config = parse("--experiment", "dpr_gsr_300w", *stage)
    assert tasks.build(config.task, config.model).stage == "global_regress"
    assert (config.optim.rates, config.init_from) == ((("global_reinit", 0.0),), "runs/a")
    glsr = parse("--experiment", "dpr_synthetic", "--model.name", "dpr_glsr", "--task.options.weighting", "none")
    assert glsr.model.options["local"] == "closed_form"
    assert tasks.build(glsr.task, glsr.model).weighting == "none"


def test_options_that_an_experiment_leaves_at_their_default_can_be_overridden():
    assert parse("--experiment", "cnn_wflw", "--model.options.sets", "5").model.options["sets"] == 5


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--experiment", "sepbn_wflv"], "Did you mean sepbn_wflw"),
        (["--experiment", "debug", "--optim.learning-rat", "1"], "Did you mean --optim.learning-rate?"),
        (["--experiment", "debug", "--learning-rate=1"], "Did you mean --optim.learning-rate?"),
        (["--experiment", "debug", "--wrkdir", "runs/a"], "Did you mean --workdir?"),
        (["--experiment", "debug", "--optim.name", "sdg"], "--optim.name cannot be 'sdg'. Did you mean sgd?"),
        (["--experiment", "debug", "--data.cache=devise"], "--data.cache cannot be 'devise'. Did you mean device?"),
        (["--experiment", "debug", "--epochs", "ten"], "invalid"),
        (["--experiment", "debug", "--model.options.norm", "spbn"], "sepbn"),
        (["--experiment", "debug", "--model.options.width", "3"], "has no option 'width'. Did you mean widths?"),
        (["--experiment", "debug", "--model.name", "cmn"], "registry.py. Did you mean cnn"),
        (["--experiment", "debug", "--model.name", "pipnet"], "unknown model 'pipnet'; models are entered in"),
        (["--experiment", "debug", "--task.name", "pip"], "unknown task 'pip'; tasks are entered in"),
        (
            ["--experiment", "debug", "--model.name", "resnet18", "--model.options.widths", "4"],
            "model resnet18 has no option 'widths'",
        ),
        (["--experiment", "debug", "--task.options.loss-name", "l3"], "known: l1"),
        (["--experiment", "debug", "--data.scheme", "wflw_98"], "did you mean wflw98"),
        (["--experiment", "debug", "--epochs", "0"], "epochs must be at least 1, not 0"),
        (["--experiment", "debug", "--optim.learning-rate", "-1"], "optim.learning_rate must be above 0, not -1.0"),
        (["--experiment", "debug", "--optim.learning-rate", "nan"], "optim.learning_rate must be above 0, not nan"),
        (["--experiment", "debug", "--optim.ema-decay", "1.5"], "optim.ema_decay must be at least 0 and below 1"),
        (["--experiment", "debug", "--optim.betas", "0.9", "1"], "optim.betas must be at least 0 and below 1"),
        (["--experiment", "debug", "--data.crop", "0"], "data.crop must be above 0, not 0.0"),
        (["--experiment", "debug", "--augment.blur", "2"], "augment.blur must be in 0..1, not 2.0"),
        (["--experiment", "debug", "--model.input-size", "0"], "model.input_size must be in 8..4096, not 0"),
        (["--experiment", "debug", "--seed", "-1"], "seed must be at least 0, not -1"),
        (["--experiment", "debug", "--optim.learning-rate", "1e9"], "optim.learning_rate must be at most 1000, not"),
        (["--experiment", "debug", "--data.crop", "1e9"], "data.crop must be at most 100, not"),
        (["--experiment", "debug", "--augment.rotation", "1e9"], "augment.rotation must be at most 180, not"),
        (
            ["--experiment", "debug", "--model.options.widths", "4", "-1"],
            "model.options.widths must be above 0 and at most 10000, not (4, -1)",
        ),
        (["--experiment", "debug", "--model.options.widths"], "model.options.widths must be one number at least"),
        (["--experiment", "debug", "--model.options.head-width", "0"], "model.options.head_width must be above 0 and"),
        (
            ["--experiment", "debug", "--model.options.sets", "0"],
            "model.options.sets must be above 0 and at most 10000",
        ),
        (["--experiment", "debug", "--model.options.ratio", "nan"], "model.options.ratio must be above 0 and at most"),
        (["--experiment", "fan_wflw", "--model.options.stacks", "0"], "model.options.stacks must be in 1..100, not 0"),
        (["--experiment", "fan_wflw", "--task.options.sigma", "0"], "task.options.sigma must be above 0 and at most"),
        (["--experiment", "fan_wflw", "--task.options.stride", "0"], "task.options.stride must be above 0 and at most"),
        (["--experiment", "lab_300w", "--model.options.depth", "0"], "model.options.depth must be in 1..10, not 0"),
        (
            ["--experiment", "vunet_300w", "--model.options.dropout", "2"],
            "options.dropout must be at least 0 and below 1",
        ),
        (["--experiment", "debug", "--optim.rates", "fc1", "-1"], "optim.rates"),
        (["--experiment", "debug", "--task.name", "reinitialisation"], "task reinitialisation is for models with"),
        (["--experiment", "dpr_gsr_300w", "--data.crop", "1.5"], "data.crop = 1.5 must be the same"),
        (["--experiment", "dpr_gsr_300w", "--model.options.stage", "joind"], "Did you mean joint"),
        (["--experiment", "dpr_gsr_300w", "--data.scheme", "wflw98"], "68"),
    ],
)
def test_a_wrong_command_line_ends_with_a_suggestion(argv, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*argv)
    assert caught.value.code != 0
    printed = capsys.readouterr()
    assert message in printed.out + printed.err


def test_every_number_among_the_options_has_a_range():
    kinds = [*models.MODELS.values(), *tasks.TASKS.values()]
    numbers = {
        field.name
        for kind in kinds
        for field in dataclasses.fields(kind)
        if isinstance(field.default, int | float | tuple) and not isinstance(field.default, bool)
    }
    ranged = {name for names, _, _ in option_ranges._RANGES for name in names}
    assert numbers <= ranged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"batch_size": "8"}}, "config(): Expected `int`, got `str` - at `data.batch_size`"),
        ({"optim": {"betas": (0.9,)}}, "config(): Expected `array` of length 2, got 1 - at `optim.betas`"),
        ({"model": {"options": {"widths": 4}}}, "widths of model cnn cannot be 4: Expected `array`, got `int`"),
        (
            {"model": {"options": {"widths": (2.5,)}}},
            "widths of model cnn cannot be (2.5,): Expected `int`, got `float`",
        ),
        ({"model": {"name": "san", "options": {"stride": 3}}}, "stride of model san cannot be 3. Known: 4, 8."),
    ],
)
def test_an_experiment_gives_values_of_the_fields_types(change: dict, message: str, tmp_path, monkeypatch):
    config = changed(experiment.load("debug"), **change)
    monkeypatch.setattr(debug_experiment, "config", lambda: config)
    (tmp_path / "mine.py").write_text("from jaxlm.experiments.debug import config\n")
    with pytest.raises(ValueError, match=re.escape(message)):
        experiment.load(str(tmp_path / "mine.py"))


def test_another_model_starts_from_its_own_defaults(capsys):
    assert parse("--experiment", "cnn_wflw", "--model.name", "resnet18").model.options == {}
    capsys.readouterr()
    config = parse("--experiment", "resnet18_wflw", "--model.name", "cnn", "--model.options.norm", "batch")
    assert config.model.options == models.complete("cnn", {"norm": "batch"})
    told = "model cnn in place of resnet18: its options start from their defaults\n"
    assert capsys.readouterr().err == told


def test_another_task_starts_from_its_own_defaults(capsys):
    config = parse("--experiment", "fan_wflw", "--task.name=coordinates", "--task.options.units", "unit")
    assert config.task.options == tasks.complete("coordinates", {"units": "unit"})
    assert "task coordinates in place of heatmaps" in capsys.readouterr().err


def test_the_same_name_again_keeps_the_options(capsys):
    assert parse("--experiment", "debug", "--model.name", "cnn") == experiment.load("debug")
    assert capsys.readouterr().err == ""


def test_another_model_follows_the_scheme_and_the_crop_of_the_data():
    data = ("--data.scheme", "ibug68", "--data.crop", "1.25")
    config = parse("--experiment", "debug", "--model.name", "lab", "--task.name", "boundaries", *data)
    assert config.model.options["scheme"] == "ibug68"


def test_differences_name_the_field_and_leave_out_what_does_not_change_numbers():
    ours = experiment.load("debug")
    theirs = dataclasses.replace(ours, seed=3, data=dataclasses.replace(ours.data, cache="device", data_dir="x"))
    assert config_lib.differences(ours, theirs) == ["seed: 0 here, 3 asked for"]


def test_config_stays_small_enough_to_be_read():
    """At most 54 fields: whoever adds one looks for one to drop.

    It was 52 before strong blur and little light (docs/studies/turned_faces.md), beside which none could be dropped.
    """
    values = json.loads(experiment.to_json(Config()))
    assert len(config_lib.flatten(values | {"model": {"name": 0, "input_size": 0, "options": 0}})) <= 54


def stored_long_ago(**options: object) -> str:
    """The JSON of a config of LAB that has options which were deleted since, with the values given."""
    document = json.loads(experiment.to_json(experiment.load("lab_300w")))
    document["model"]["options"] |= {"detach": False, "regressor_width": 16} | options
    document["task"]["options"] |= {"map_weight": 1.0, "landmark_weight": 1.0}
    return json.dumps(document)


def test_configs_stored_before_options_were_deleted_are_read():
    assert experiment.from_json(stored_long_ago()) == experiment.load("lab_300w")


def test_a_stored_value_that_no_longer_has_an_effect_is_refused():
    message = r"model.options.detach = True; this version of jaxlm has no such field, and does what False did"
    with pytest.raises(experiment.DeletedFieldError, match=message):
        experiment.from_json(stored_long_ago(detach=True))


MASK = dataclasses.replace(FIVE, name="mask", eye_corners=(0, 1), names=("a+b", "c", "d", "e", "f"))


def pack(folder, name: str, scheme: Scheme) -> str:
    """A pack of rendered faces whose points are called those of a scheme."""
    faces = synthetic_faces(2, "train", 32)
    chosen = slice(0, 98, 98 // scheme.num_points) if scheme.num_points < 49 else slice(0, scheme.num_points)
    points, visible = faces.points[:, chosen][:, : scheme.num_points], faces.visible[:, : scheme.num_points]
    faces = dataclasses.replace(faces, dataset=name, scheme=scheme, points=points, visible=visible)
    write_pack(folder / f"{name}.npz", {"train": faces})
    return str(folder / f"{name}.npz")


def test_the_scheme_is_that_of_the_prepared_set_where_none_is_given(tmp_path, capsys):
    given = ("--experiment", "debug", "--data.dataset", pack(tmp_path, "mask", MASK))
    config = parse(*given)
    assert load_scheme(config.data.scheme) == MASK
    assert "points: 5 of mask, as the prepared set has them" in capsys.readouterr().err
    assert experiment.from_json(experiment.to_json(config)) == config
    (tmp_path / "mask.toml").write_text(to_toml(MASK))
    asked = parse(*given, "--data.scheme", str(tmp_path / "mask.toml"))  # A run of the one goes on by the other.
    assert experiment.with_schemes_spelled_out(asked) == experiment.with_schemes_spelled_out(config)
    assert "points:" not in capsys.readouterr().err
    assert load_scheme(parse(*given[:3], "mask", "--data.data-dir", str(tmp_path)).data.scheme) == MASK


def test_an_experiment_keeps_its_scheme_where_the_points_can_be_read_in_it(tmp_path, capsys):
    whole = synthetic_faces(2, "train", 32)
    write_pack(tmp_path / "wflw.npz", {"train": whole})
    for name in ("wflw.npz", "absent.npz"):
        config = parse("--experiment", "cnn_300w", "--data.dataset", str(tmp_path / name))
        assert config.data.scheme == "ibug68"
    assert parse("--experiment", "debug", "--data.dataset", pack(tmp_path, "a", FIVE)).data.scheme == "five"
    given = ("--experiment", "debug", "--data.dataset", pack(tmp_path, "b", FIVE), "--data.scheme", "wflw98")
    assert parse(*given).data.scheme == "wflw98"  # As asked; that it does not fit is said where the faces are opened.
    assert capsys.readouterr().err.count("points:") == 1


def test_of_several_sets_each_has_its_scheme(tmp_path, capsys):
    ours, theirs, third = pack(tmp_path, "a", IBUG68), pack(tmp_path, "b", MASK), pack(tmp_path, "c", MASK)
    config = parse("--experiment", "cnn_300w", "--data.dataset", f"{ours}+{theirs}")
    assert load_scheme(config.data.scheme) == load_scheme("+".join(["ibug68", text_of(MASK)]))
    assert "points: 68 of ibug68 and 5 of mask, as the prepared sets have them" in capsys.readouterr().err
    mixed = parse("--experiment", "cnn_300w", "--data.dataset", f"{theirs}+{third}")
    assert load_scheme(mixed.data.scheme) == MASK  # One scheme for all stays one.
    apart = parse("--experiment", "cnt_sepbn_300w_ytf68", "--data.dataset", f"{theirs}+{third}")
    assert load_scheme(apart.data.scheme).num_points == 10
    assert load_scheme(parse("--experiment", "cnt_sepbn_300w_ytf68", "--data.dataset", theirs).data.scheme) == MASK


def test_options_that_repeat_the_scheme_follow_it(tmp_path):
    given = ("--experiment", "lab_300w", "--data.dataset", pack(tmp_path, "wflw", load_scheme("wflw98")))
    assert parse(*given).model.options["scheme"] == "ibug68"  # The conversion is known.
    given = ("--experiment", "lab_wflw", "--data.dataset", pack(tmp_path, "ibug", IBUG68))
    config = parse(*given)
    assert (config.data.scheme, config.model.options["scheme"]) == ("ibug68", "ibug68")
