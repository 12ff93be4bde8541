"""Where evaluations go: each protocol has a folder of its own, and names stay below the workdir."""

import json
import pathlib

import pytest

from jaxlm.evaluation.folders import free_folder

FACES = {"points": "0123"}


def write(folder: pathlib.Path, protocol: dict[str, str], **more: object) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"protocol": protocol, "rows": []} | more))


def test_another_protocol_goes_to_another_folder_and_the_same_one_to_its_own(tmp_path: pathlib.Path):
    first, second = {"data": "wflw, test: 2500 faces"}, {"data": "wflw, test: 2400 faces"}
    assert free_folder(tmp_path, "wflw-test", first, FACES) == tmp_path / "wflw-test"
    write(tmp_path / "wflw-test", first)
    assert free_folder(tmp_path, "wflw-test", first, FACES) == tmp_path / "wflw-test"
    assert free_folder(tmp_path, "wflw-test", second, FACES) == tmp_path / "wflw-test-2"
    write(tmp_path / "wflw-test-2", second)
    assert free_folder(tmp_path, "wflw-test", second, FACES) == tmp_path / "wflw-test-2"
    assert free_folder(tmp_path, "wflw-test", first | second | {"flip test": "yes"}, FACES) == tmp_path / "wflw-test-3"


def test_other_faces_behind_the_same_name_go_to_another_folder(tmp_path: pathlib.Path):
    write(tmp_path / "mine-test", {"data": "mine"}, faces=FACES)
    assert free_folder(tmp_path, "mine-test", {"data": "mine"}, FACES) == tmp_path / "mine-test"
    assert free_folder(tmp_path, "mine-test", {"data": "mine"}, {"points": "4567"}) == tmp_path / "mine-test-2"


def test_damaged_results_stay_where_they_are(tmp_path: pathlib.Path):
    (tmp_path / "wflw-test").mkdir()
    (tmp_path / "wflw-test" / "metrics.json").write_text('{"protocol": ')
    assert free_folder(tmp_path, "wflw-test", {}, FACES) == tmp_path / "wflw-test-2"


@pytest.mark.parametrize(
    ("title", "folder"),
    [
        ("/etc/evil-test", "_etc_evil-test"),
        ("../../evil-test", "_.._evil-test"),
        ("wflw-train[:100]+test-flip", "wflw-train[_100]+test-flip"),
        ("", "_"),
    ],
)
def test_names_of_sets_never_lead_out_of_the_workdir(tmp_path: pathlib.Path, title: str, folder: str):
    assert free_folder(tmp_path, title, {}, FACES) == tmp_path / folder
