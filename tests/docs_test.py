"""The pages: blocks marked `run` do, other commands can be parsed, links lead somewhere, CONTRIBUTING's toys work."""

import importlib
import pathlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import jax
import numpy as np
import pytest

from jaxlm import __main__ as console
from jaxlm import experiment, models, tasks
from jaxlm.data_pipelines import prepare, source, sources, synthetic
from jaxlm.data_pipelines.input import open_faces
from jaxlm.landmarks import IBUG68
from jaxlm.prediction.tables.coco import write_coco
from parsing import parse

ROOT = pathlib.Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [*GUIDES, CONTRIBUTING, *sorted((ROOT / "docs" / "studies").glob("*.md"))]
PAGES += [ROOT / "experiments" / "README.md", ROOT / "benchmarks" / "README.md", ROOT / "benchmarks" / "NOTES.md"]


class Block(NamedTuple):
    """A fenced block: its line in the page, the words behind the fence, and its text."""

    line: int
    words: list[str]
    text: str

    @property
    def runs(self) -> bool:
        return self.words[1:] == ["run"]


def blocks(page: pathlib.Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return [Block(text.count("\n", 0, one.start()) + 1, one[1].split(), one[2]) for one in found]


def commands(block: Block) -> list[str]:
    """The command lines of a block; a line that ends in a backslash goes on in the next."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def is_ours(line: str) -> bool:
    """Whether a line has a command of jaxlm, perhaps behind those that start it on several machines."""
    words = shlex.split(line, comments=True)
    return "jaxlm" in words[:-1] and words[0] not in ("git", "ls")


def arguments_of(line: str) -> list[str]:
    """What follows `jaxlm` in a line that `is_ours`."""
    words = shlex.split(line, comments=True)
    return words[words.index("jaxlm") + 1 :]


def is_command(module: str) -> bool:
    """Whether a module can be run."""
    file = ROOT / (module.removeprefix("jaxlm.") if "data_pipelines" in module else module).replace(".", "/")
    return file.with_suffix(".py").exists() and "__main__" in file.with_suffix(".py").read_text()


# For trainings on these pages: the whole network takes long to compile.
NARROW = ("--model.options.widths", "4", "8", "--model.options.head-width", "8")


def run(line: str) -> None:
    """Runs a command line; those of jaxlm and `python -m` in this process, and trainings of a narrow network."""
    words = shlex.split(line, comments=True)
    words += NARROW if words[:2] == ["jaxlm", "train"] else ()
    if words[0] == "jaxlm":
        assert not console.main(words[1:]), line
    elif words[:2] == ["python", "-m"]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", words[2:])
            runpy.run_module(words[2], run_name="__main__")
    else:
        subprocess.run(["bash", "-c", line], check=True)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """The working directory, as a clone after a shortened `make quickstart`, and what the pages call the user's own."""
    folder = tmp_path_factory.mktemp("clone")
    for entry in ("jaxlm", "data_pipelines", "experiments", "benchmarks", "tests"):
        (folder / entry).symlink_to(ROOT / entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(source, "CHUNK", 1000)  # Worker processes would take longer than the few faces.
        run("jaxlm prepare synthetic --train-faces 48 --test-faces 8 --frame-size 64 --data-dir data")
        run("jaxlm train --experiment quickstart --workdir runs/quickstart --epochs 1")
        for page in GUIDES:
            for block in blocks(page):
                write_example(block)
        write_coco(pathlib.Path("corrected.json"), list, {}, IBUG68)
        yield folder


def write_example(block: Block) -> None:
    """Writes a block that shows a file: one that begins with `# PATH`, the scheme in TOML, and annotations."""
    path = re.match(r"# (\S+\.(py|toml))\n", block.text)
    if path:
        pathlib.Path(path[1]).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(path[1]).write_text(block.text)
    elif block.words == ["toml"]:
        pathlib.Path("mask.toml").write_text(block.text)
    elif block.words == ["xml"] or (block.words == ["json"] and "annotations" in block.text):
        pathlib.Path(f"faces.{block.words[0]}").write_text(block.text)


RUNNING = [page for page in GUIDES if any(block.runs for block in blocks(page))]


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.stem)
def test_blocks_marked_run_do(page: pathlib.Path, clone: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(clone)
    for block in blocks(page):
        if block.words == ["bash", "run"]:
            for line in commands(block):
                run(line)
        elif block.runs:
            assert block.words[0] == "python", f"{page}:{block.line}"
            exec(compile(block.text, f"{page}:{block.line}", "exec"), {})


def test_plain_orbax_restores_what_jaxlm_restores(clone: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(clone)
    plain, ours = [block for block in blocks(ROOT / "docs" / "checkpoints.md") if block.words == ["python", "run"]][:2]
    assert "jaxlm" not in plain.text
    restored, opened = {}, {}
    exec(plain.text, restored)
    exec(ours.text, opened)
    assert restored["run"].latest_step() == opened["trained"].step
    jax.tree.map(np.testing.assert_array_equal, restored["model"], jax.device_get(opened["trained"].variables))


SHOWN = [
    pytest.param(line, id=f"{page.stem}:{block.line}:{number}")
    for page in GUIDES
    for block in blocks(page)
    if block.words == ["bash"]
    for number, line in enumerate(commands(block))
    if is_ours(line)
]


@pytest.mark.parametrize("line", SHOWN)
def test_commands_that_are_shown_alone_can_be_parsed(
    line: str, clone: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(clone)
    try:
        parse(arguments_of(line), monkeypatch)
    except SystemExit:
        pytest.fail(f"{line}\n{capsys.readouterr().err}")


def claims() -> list[list[str]]:
    """The rows of the tables of docs/fidelity.md, without those that name columns."""
    lines = (ROOT / "docs" / "fidelity.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [row for row in rows if row[0] != "claim" and not set(row[0]) <= set("-")]


CLAIMED = [pytest.param(row[1].strip("`"), id=f"{number}") for number, row in enumerate(claims())]


@pytest.mark.parametrize("command", CLAIMED)
def test_every_claim_has_a_command_that_exists(
    command: str, clone: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(clone)
    if command.startswith("pytest "):
        assert not [file for file in command.split()[1:] if not (ROOT / file).is_file()]
    elif command.startswith("python -m "):
        assert is_command(command.split()[2])
    else:
        assert command.startswith("jaxlm ")
        try:
            parse(arguments_of(command), monkeypatch)
        except SystemExit:
            pytest.fail(f"{command}\n{capsys.readouterr().err}")


def test_every_claim_says_how_it_stands():
    for row in claims():
        assert len(row) == 3, row
        assert re.match(r"(held|once|small|open)\b", row[2], re.IGNORECASE), row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: pathlib.Path):
    text = page.read_text()
    modules = set(re.findall(r"python -m ((?:jaxlm|data_pipelines|benchmarks)\.[a-z_]+)", text))
    lines = [line for block in blocks(page) if block.words[:1] == ["bash"] for line in commands(block) if is_ours(line)]
    lines += [code for code in re.findall(r"`([^`\n]+)`", text) if re.match("jaxlm [a-z]", code)]
    modules |= {console.module_of(arguments_of(line)[0]) for line in lines}
    assert not [module for module in sorted(modules) if not is_command(module)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: pathlib.Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


def headings(page: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.replace("`", "").lower()).strip().replace(" ", "-") for line in lines}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def toy(name: str) -> str:
    """The file that CONTRIBUTING.md shows whose text has `name` in it."""
    (text,) = [block.text for block in blocks(CONTRIBUTING) if block.words == ["python"] and name in block.text]
    return text


def test_the_toy_detector_is_known(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "tiny.py").write_text(toy("class Tiny"))
    (tmp_path / "tiny_synthetic.py").write_text(toy('name="tiny"'))
    monkeypatch.syspath_prepend(tmp_path)
    for table in (models.DETECTORS, models.MODELS):
        monkeypatch.setitem(table, "tiny", importlib.import_module("tiny").Tiny)
    config = experiment.spell_out(importlib.import_module("tiny_synthetic").config())
    experiment.check(config)
    model = models.build("tiny", 98, config.model.options, config.dtype)
    outputs, _ = model.init_with_output(jax.random.key(0), jax.numpy.zeros((2, 64, 64, 3)), train=True)
    assert tasks.build(config.task, config.model).points(outputs).shape == (2, 98, 2)


def test_the_toy_format_is_found_and_prepared(
    clone: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "formats").mkdir()
    (tmp_path / "formats" / "dots.py").write_text(toy("class Dots"))
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path / "formats")])
    (tmp_path / "photos").mkdir()
    for number in range(3):
        face = synthetic.render(0, number, 96)
        cv2.imwrite(f"photos/face{number}.jpg", face.image[..., ::-1])
        np.savetxt(f"photos/face{number}.dots", face.points[[96, 97, 54, 76, 82]])
    prepare.main(["dots", "--source", "photos", "--pack", "dots.npz"])
    assert open_faces("dots.npz", "train", ".").points.shape == (3, 5, 2)
