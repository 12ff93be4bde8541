"""Preparing sets on Apache Beam's local runner, where it is installed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import open_faces
from tiny_archives import ring, wflw_line, write_wflw

GOOD = wflw_line("0--Parade/photo_0.jpg", ring(98))
EMPTY_BOX = wflw_line("0--Parade/photo_0.jpg", ring(98), box=(30, 20, 30, 20))
NO_PHOTO = wflw_line("0--Parade/absent.jpg", ring(98))


def run(source: Path, data_dir: Path, *options: str) -> None:
    prepare.main(["wflw", "--source", str(source), "--data-dir", str(data_dir), "--frame-size", "32", *options])


def test_where_beam_is_absent_the_message_names_its_requirements(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run(tmp_path, tmp_path / "data", "--beam")
    assert "--beam needs Apache Beam: pip install" in capsys.readouterr().err


def test_options_of_beam_want_beam(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path, tmp_path / "data", "--beam-options", "direct_num_workers=2")
    assert "--beam-options are for --beam" in capsys.readouterr().err


def test_the_set_is_that_of_one_machine_in_the_same_order(tmp_path, capsys):
    pytest.importorskip("apache_beam")
    write_wflw(tmp_path / "wflw", [GOOD, EMPTY_BOX, GOOD, NO_PHOTO, *[GOOD] * 20])
    printed = []
    for name, options in (("one", ()), ("beam", ("--beam", "--beam-options", "direct_num_workers=1"))):
        run(tmp_path / "wflw", tmp_path / name, "--skip-bad", *options)
        printed.append(
            [
                line.strip()
                for line in capsys.readouterr().out.splitlines()
                if str(tmp_path / "wflw") in line or line.startswith(("Twice", "WARNING"))
            ]
        )
    assert printed[0] == printed[1]
    assert len(printed[0]) == 4
    one, beam = (open_faces("wflw", "train+test", tmp_path / name) for name in ("one", "beam"))
    assert one.names == beam.names
    assert len(one) == 25
    np.testing.assert_array_equal(one.points, beam.points)
    assert one.read_encoded(np.arange(len(one))) == beam.read_encoded(np.arange(len(one)))


def test_a_bad_face_leaves_no_set(tmp_path):
    pytest.importorskip("apache_beam")
    write_wflw(tmp_path / "wflw", [GOOD, EMPTY_BOX, GOOD, NO_PHOTO])
    with pytest.raises(SystemExit, match=r"line 2: the face box .* has zero size(.|\n)*--skip-bad"):
        run(tmp_path / "wflw", tmp_path / "data", "--beam")
    assert not list((tmp_path / "data").iterdir())
