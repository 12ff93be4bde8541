"""The command jaxlm: what it lists, what it calls, one's own experiments, and what a wheel holds."""

import dataclasses
import functools
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import jaxlm
from jaxlm import __main__ as cli
from jaxlm import experiment, overrides, train
from jaxlm.config import DataConfig
from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.sources import synthetic
from jaxlm.runtime import commands
from jaxlm.training.loop import fit, make_synthetic_faces

ROOT = pathlib.Path(__file__).parents[1]
COMMANDS = [name for group in cli.COMMANDS.values() for name in group]
EXPERIMENT = "import dataclasses\nfrom jaxlm.experiments import debug\n\ndef config():\n"


@pytest.fixture
def project(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder of somebody's own, with an experiment."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.py").write_text(
        f"{EXPERIMENT}    return dataclasses.replace(debug.config(), epochs=7)\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_is_listed_with_a_line(capsys: pytest.CaptureFixture[str]):
    cli.main(["--help"])
    listed = re.findall(r"^  ([\w-]+) +\S.*$", capsys.readouterr().out, re.MULTILINE)
    files = {file.stem for file in (ROOT / "jaxlm").glob("*.py")}
    modules = files - {"__init__", "__main__", "config", "experiment", "overrides"}
    assert sorted(listed) == sorted([*(name.replace("_", "-") for name in modules), "prepare"])


def test_the_list_loads_nothing_that_is_slow():
    code = "import sys; from jaxlm import __main__ as cli; cli.main([]); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"jax", "numpy", "cv2", "tyro", "flax"} & set(done.stdout.splitlines()[-1].split())


def test_the_version_has_one_source(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"jaxlm {jaxlm.__version__}\n"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "jaxlm.__version__"}


def test_an_unknown_command_gets_a_suggestion(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["predcit"]) == 2
    assert "no command 'predcit'. Did you mean predict?" in capsys.readouterr().err


@pytest.mark.parametrize(("misspelt", "meant"), [("--workdri", "--workdir"), ("--datset=x", "--dataset")])
def test_a_misspelt_option_gets_a_suggestion(misspelt: str, meant: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", misspelt, "x"])
    assert f"no option {misspelt.partition('=')[0]}. Did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["points_tabel", "--pack", "x.npz"], "no format 'points_tabel'. Did you mean points_table?"),
        (["wflw", "--sorce", "x"], "wflw has no option --sorce. Did you mean --source?"),
        (["wflw", "--frame-siez=64"], "wflw has no option --frame-siez. Did you mean --frame-size?"),
    ],
)
def test_a_misspelt_format_or_option_of_it_gets_a_suggestion(arguments: list[str], message: str):
    with pytest.raises(SystemExit, match=re.escape(message)):
        cli.main(["prepare", *arguments])


def test_a_misspelt_set_gets_a_suggestion(tmp_path: pathlib.Path):
    with pytest.raises(FileNotFoundError, match=r"wlfw is not prepared in .*Did you mean wflw\?"):
        input_lib.open_faces("wlfw", "train", tmp_path)
    with pytest.raises(FileNotFoundError, match="Prepare it first: jaxlm prepare wflw"):
        input_lib.open_faces("wflw", "train", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"Prepare it first \(jaxlm prepare --help lists the formats\), or"):
        input_lib.open_faces("my_photos", "train", tmp_path)


@pytest.mark.parametrize("name", [*COMMANDS, "limited_data"])
def test_every_command_tells_how_it_is_used(name: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: jaxlm {name.replace('_', '-')} ")


def test_usage_shows_the_command_as_it_was_typed():
    assert commands.parser("limited-data", None).prog == "jaxlm limited-data"
    command = [sys.executable, "-m", "jaxlm.convert", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m jaxlm.convert ")


def test_one_look_of_help(capsys: pytest.CaptureFixture[str]):
    parser = commands.parser("x", "First line, which is filled.\n\n    a command, as it stands\n\n- a list")
    parser.add_argument("--faces", type=int, default=12, help="how many")
    parser.add_argument("--none", help="nothing by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of runs")
    parser.print_help()
    printed = capsys.readouterr().out
    assert "\n    a command, as it stands\n\n- a list\n" in printed
    assert "how many (default: 12)" in printed
    assert "of runs (default: 0 1)" in printed
    assert "nothing by default\n" in printed


@pytest.mark.parametrize("argv", [["--help"], ["--help", "--experiment", "debug"]], ids=["alone", "of debug"])
def test_training_shows_the_fields_that_people_change(argv: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        train.main(argv)
    printed = " ".join(capsys.readouterr().out.split())
    assert len(overrides.OFTEN_CHANGED) <= 22
    for field in overrides.OFTEN_CHANGED:
        assert f"--{field.replace('_', '-')} " in printed
    assert "--optim.name {sgd,adamw} the optimiser" in printed
    assert f"--epochs INT passes over the training faces (default: {3 if len(argv) > 1 else 10})" in printed
    assert "--augment.rotation" not in printed


def test_training_shows_all_fields_when_asked(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        train.main(["--experiment", "debug", "--help-all"])
    printed = capsys.readouterr().out
    assert "--augment.rotation" in printed
    assert "--model.options.widths" in printed


def test_ones_own_experiments_join_ours(project: pathlib.Path):
    assert {"mine", "debug", "quickstart"} <= set(experiment.names())
    assert experiment.load("mine").epochs == 7
    assert experiment.load("debug").epochs == 3
    (project / "experiments" / "debug.py").write_text((project / "experiments" / "mine.py").read_text())
    assert experiment.load("debug").epochs == 7, "of two with one name, one's own counts, and it may use ours"


def test_an_experiment_is_any_file(project: pathlib.Path):
    (project / "my").mkdir()
    (project / "my" / "base.py").write_text("EPOCHS = 5\n")
    (project / "my" / "exp.py").write_text(
        f"import base\n{EXPERIMENT}    return dataclasses.replace(debug.config(), epochs=base.EPOCHS)\n"
    )
    assert experiment.load("my/exp.py").epochs == 5
    assert experiment.load(str(project / "my" / "exp.py")).epochs == 5
    assert not [path for path in sys.path if path.endswith("my")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "exp.py: there is no such file"),
        ("def config(:\n", "exp.py: SyntaxError: "),
        (
            "import nothing\n",
            "exp.py, line 1: ModuleNotFoundError: No module named 'nothing'",
        ),
        ("settings = 3\n", "exp.py: the file of an experiment has a function config(), and this one has none"),
        ("def config():\n    return {}\n", "exp.py: config() returns a dict, not a jaxlm.config.Config"),
        ("def config():\n    return 1 / 0\n", "exp.py, line 2: ZeroDivisionError: division by zero"),
        (
            f"{EXPERIMENT}    model = dataclasses.replace(debug.config().model, name='cmn')\n"
            "    return dataclasses.replace(debug.config(), model=model)\n",
            "exp.py: unknown model 'cmn'",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_a_line(
    text: str | None, message: str, project: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    if text is not None:
        (project / "exp.py").write_text(text)
    with pytest.raises(SystemExit) as ended:
        train.main(["--experiment", "exp.py"])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"jaxlm train: error: {message}")


def test_the_wheel_holds_every_file_that_code_needs_and_puts_jaxlm_alone_on_the_path(tmp_path: pathlib.Path):
    """Built is what `pip install .` copies; the folders beside jaxlm/ come inside it."""
    steps = ["egg_info", f"--egg-base={tmp_path}", "build_py", f"--build-lib={tmp_path}/lib"]
    subprocess.run([sys.executable, "setup.py", "--quiet", *steps], cwd=ROOT, capture_output=True, check=True)
    built = {str(file.relative_to(tmp_path / "lib")) for file in (tmp_path / "lib").rglob("*") if file.is_file()}
    detector = {f"jaxlm/prediction/detectors/{name}" for name in ("blazeface.md", "blazeface_short_range.onnx")}
    page = {str(file.relative_to(ROOT)) for file in (ROOT / "jaxlm" / "prediction" / "web" / "page").iterdir()}
    weights = {f"jaxlm/prediction/weights_{name}" for name in ("68.npz", "98.npz", "98.md")}
    studies = {f"jaxlm/experiments/studies/{file.name}" for file in (ROOT / "experiments" / "studies").iterdir()}
    expected = {"jaxlm/py.typed", *weights, *detector, *page, *studies}
    for folder, inside in (("jaxlm", "."), ("data_pipelines", "jaxlm"), ("experiments", "jaxlm")):
        expected |= {str(pathlib.Path(inside, file.relative_to(ROOT))) for file in (ROOT / folder).rglob("*.py")}
    assert built == expected


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without TensorFlow and TensorFlow Datasets."""
    for name in ("tensorflow", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, name, None)


def test_rendered_faces_become_a_pack_that_their_name_opens(
    light: None, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    few = functools.partial(synthetic.Synthetic, train_faces=4, test_faces=2)
    monkeypatch.setattr(synthetic, "Synthetic", few)
    config = experiment.load("debug")
    make_synthetic_faces(dataclasses.replace(config, data=dataclasses.replace(config.data, data_dir=str(tmp_path))))
    assert (tmp_path / "synthetic.npz").exists()
    assert len(input_lib.open_faces("synthetic", "train", tmp_path)) == 4


def test_what_needs_tensorflow_says_how_to_install_it(light: None, pack: pathlib.Path, tmp_path: pathlib.Path):
    faces = input_lib.open_faces(str(pack), "train", tmp_path)
    message = r'--data.cache device keeps them in memory instead\) needs TensorFlow .*: pip install "jaxlm\[data\]"'
    with pytest.raises(ImportError, match=message):
        next(input_lib.train_batches(faces, 2, seed=0, start_step=0, stop_step=1))
    config = dataclasses.replace(experiment.load("debug"), data=DataConfig(dataset=str(pack)))
    with pytest.raises(ImportError, match=message):
        fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit, match=r'needs TensorFlow Datasets .*: pip install "jaxlm\[data\]"'):
        cli.main(["prepare", "synthetic", "--data-dir", str(tmp_path)])


def test_requirements_are_the_light_core_and_what_prepares_data():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["data"]]
    lines = (ROOT / "requirements.txt").read_text().replace('"', "'").splitlines()
    assert sorted(asked) == sorted(line for line in lines if not line.startswith("#"))


@pytest.mark.parametrize(
    "argv",
    [
        ["attention", "--workdir", "runs/a", "--faces", "0"],
        ["attention", "--workdir", "runs/a", "--faces=-3"],
        ["disentangle", "--workdir", "runs/a", "--judge", "runs/b", "--faces", "0"],
        ["limited-data", "--experiment", "a", "--translator", "b", "--workdir", "c", "--steps", "0"],
        ["limited-data", "--experiment", "a", "--translator", "b", "--workdir", "c", "--translator-steps", "0"],
        ["limited-data", "--experiment", "a", "--translator", "b", "--workdir", "c", "--styles", "0"],
    ],
)
def test_a_count_is_one_at_least(argv: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert "it must be 1 or more, not " in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["predict", "a.png", "--out", ""],
        ["predict", "", "--out", "o"],
        ["evaluate", "--workdir", "runs/a", "--dataset", ""],
        ["train", "--experiment", "debug", "--workdir="],
        ["train", "--experiment", "debug", "--init-from", ""],
    ],
)
def test_an_empty_value_is_no_value(argv: list[str], capsys: pytest.CaptureFixture[str]):
    """Of a variable that is not set; it would stand for the folder where the command is given."""
    with pytest.raises(SystemExit):
        cli.main(argv)
    assert "an empty value behind" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "--experiment", "debug", "--workdir", "gs://bucket/x"],
        ["train", "--experiment", "debug", "--workdir=gs://bucket/x"],
        ["evaluate", "--workdir", "gs://bucket/x"],
        ["predict", "a.png", "--out", "gs://bucket/x"],
    ],
)
def test_a_place_elsewhere_is_no_folder(
    argv: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        cli.main(argv)
    assert "gs://bucket/x is no path on this machine" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
