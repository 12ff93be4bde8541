"""A data format is one file in data_pipelines/sources: it is found by its name, and told what it lacks."""

import importlib
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare, source, sources
from jaxlm.data_pipelines.input import open_faces, open_splits
from jaxlm.data_pipelines.sources import find_sources
from jaxlm.landmarks import FIVE
from jaxlm.landmarks.geometry import transform
from tiny_archives import ring, write_300w, write_annotated, write_photo, write_wflw

ROOT = Path(__file__).parents[1]
WHOLE = '''
import dataclasses
from pathlib import Path
from jaxlm.data_pipelines.sources.wflw import WFLW


@dataclasses.dataclass(frozen=True)
class Format:
    """Photos with landmarks."""

    source: Path
    name = "mine"
    scheme = "five"
    box = "drawn"

    def read(self, on_bad):
        return {}

    def to_record(self, label, frame_size, margin):
        raise NotImplementedError
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder whose files are formats beside those of the house."""
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(f"{sources.__name__}.{file.stem}", None)
        vars(sources).pop(file.stem, None)


def test_every_file_is_a_command_of_its_name():
    files = sorted(path.stem for path in Path(sources.__file__).parent.glob("*.py") if path.stem != "__init__")
    assert list(find_sources()) == files
    assert {"wflw", "ibug300w", "points_table", "synthetic"} <= set(files)


def test_a_new_file_is_found_without_any_other_entry(folder, capsys):
    (folder / "toy_format.py").write_text(WHOLE)
    assert find_sources()["toy_format"].name == "mine"
    with pytest.raises(SystemExit):
        prepare.main(["--help"])
    assert "toy_format" in capsys.readouterr().out


def test_the_whole_format_that_the_documentation_shows_works(folder, tmp_path_factory, capsys):
    lines = inspect.getdoc(source.Source).splitlines()
    start, stop = lines.index("    import dataclasses"), lines.index("Attributes:")
    (folder / "text_files.py").write_text(textwrap.dedent("\n".join(lines[start:stop])))
    photos = tmp_path_factory.mktemp("photos")
    for name in ("a", "b"):
        write_photo(photos / f"{name}.jpg")
        (photos / f"{name}.txt").write_text("".join(f"{x} {y}\n" for x, y in ring(5).round(3)))
    (photos / "c.txt").write_text("1 2\n")
    command = ["text_files", "--source", str(photos), "--frame-size", "32", "--pack", str(photos / "pack.npz")]
    with pytest.raises(SystemExit, match=r"c\.txt: 2 numbers instead of 10"):
        prepare.main(command)
    prepare.main([*command, "--skip-bad"])
    faces = open_faces(str(photos / "pack.npz"), "train", "")
    assert (faces.names, faces.scheme) == (("a", "b"), FIVE)
    found = transform(faces.points[0], faces.to_source[0])
    np.testing.assert_allclose(found, ring(5), rtol=0, atol=1e-3)  # Of three decimals.
    capsys.readouterr()
    with pytest.raises(SystemExit):
        prepare.main(["text_files", "--help"])
    assert "Folder of the photos and text files." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", r"toy\.py defines 0 classes with a method read"),
        (WHOLE + WHOLE.replace("Format", "Other"), r"toy\.py defines 2 classes .*\(Format, Other\)"),
        (WHOLE.replace("@dataclasses.dataclass(frozen=True)", ""), r"toy\.py: Format is no dataclass"),
        (WHOLE.replace("to_record", "record").replace("box", "boxes"), r"toy\.py: Format lacks to_record, box"),
    ],
)
def test_a_file_that_defines_no_format_is_told_by_name(folder, code, message):
    (folder / "toy.py").write_text(code)
    importlib.invalidate_caches()
    with pytest.raises(ImportError, match=message):
        find_sources()
    with pytest.raises(SystemExit, match=message):
        prepare.main(["wflw", "--help"])


def contents(faces):
    arrays = {key: getattr(faces, key) for key in ("points", "visible", "attributes", "to_source", "yaw")}
    words = (faces.dataset, faces.split, faces.scheme, faces.frame_size, faces.margin, faces.box)
    return arrays, (*words, faces.names, faces.groups, faces.read_encoded(np.arange(len(faces))))


def test_a_pack_alone_holds_what_that_of_a_set_holds(tmp_path, capsys):
    archives = {"wflw": write_wflw(tmp_path / "wflw"), "ibug300w": write_300w(tmp_path / "300w"), "synthetic": None}
    for name, archive in archives.items():
        options = ["--source", str(archive)] if archive else ["--train-faces", "3", "--test-faces", "2"]
        command = [name, *options, "--frame-size", "32", "--margin", "1.5"]
        prepare.main(
            [*command, "--data-dir", str(tmp_path / "data"), "--pack", str(tmp_path / "both.npz"), "--overwrite"]
        )
        capsys.readouterr()
        prepare.main([*command, "--pack", str(tmp_path / f"{name}.npz"), "--overwrite"])
        assert f"Pack: {tmp_path / name}.npz" in capsys.readouterr().out
        assert (tmp_path / f"{name}.png").exists()
        ours, theirs = (open_splits(str(tmp_path / f"{file}.npz"), "") for file in (name, "both"))
        assert list(ours) == list(theirs)
        for split in ours:
            (arrays, words), (other_arrays, other_words) = contents(ours[split]), contents(theirs[split])
            assert words == other_words
            for key, array in arrays.items():
                assert array.dtype == other_arrays[key].dtype
                np.testing.assert_array_equal(array, other_arrays[key])


def test_a_pack_that_is_there_is_replaced_once_the_new_one_is_whole(tmp_path, capsys):
    archive, pack = write_300w(tmp_path / "300w"), tmp_path / "faces.npz"
    command = ["ibug300w", "--source", str(archive), "--frame-size", "32", "--pack", str(pack)]
    prepare.main(command)
    (archive / "afw" / "12_2.jpg").unlink()
    with pytest.raises(SystemExit, match=r"12_2\.pts: its image .* is missing"):
        prepare.main(command)
    assert len(open_faces(str(pack), "train", "")) == 2
    prepare.main([*command, "--skip-bad"])
    printed = capsys.readouterr().out
    assert "faces.npz is there already, a pack of ibug300w; it is replaced" in printed
    assert "Skipped 1 bad faces" in printed
    assert len(open_faces(str(pack), "train", "")) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["300w", "faces.npz", "faces.png"]


def test_something_is_to_be_written(tmp_path, capsys):
    for options, message in {(): "give --data-dir DIR, --pack", ("--pack", "a.npz", "--beam"): "--data-dir"}.items():
        with pytest.raises(SystemExit):
            prepare.main(["wflw", "--source", str(tmp_path), *options])
        assert message in capsys.readouterr().err


def run_without_tensorflow(tmp_path, *arguments):
    """Runs `prepare` where neither TensorFlow nor TFDS can be imported."""
    for name in ("tensorflow", "tensorflow_datasets", "absl"):
        (tmp_path / "hidden").mkdir(exist_ok=True)
        (tmp_path / "hidden" / f"{name}.py").write_text(f"raise ModuleNotFoundError('{name} is hidden')\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'hidden'}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "jaxlm.data_pipelines.prepare", *map(str, arguments)]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_a_pack_needs_no_tensorflow_and_a_set_says_what_to_install(tmp_path):
    write_annotated(tmp_path / "photos" / "a.jpg", ring(5))
    asked = ["points_table", "--source", tmp_path / "photos", "--name", "mine", "--scheme", "five", "--frame-size", 32]
    done = run_without_tensorflow(tmp_path, *asked, "--pack", tmp_path / "mine.npz")
    assert done.returncode == 0, done.stderr
    assert open_faces(str(tmp_path / "mine.npz"), "train", "").points.shape == (1, 5, 2)
    done = run_without_tensorflow(tmp_path, *asked, "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "needs TensorFlow Datasets" in done.stderr
    assert 'pip install "jaxlm[data]"' in done.stderr
