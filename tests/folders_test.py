"""Where evaluations go: each protocol has a folder of its own, and names stay below the workdir."""

import json
import pathlib

import pytest

from jaxlm.evaluation.folders import check_free, free_folder

FACES = {"points": "0123"}


def write(folder: pathlib.Path, protocol: dict[str, str], **more: object) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"protocol": protocol, "rows": []} | more))


def test_another_protocol_goes_to_another_folder_and_the_same_one_to_its_own(tmp_path: pathlib.Path):
    first, second = {"data": "wflw, test: 2500 faces"}, {"data": "wflw, test: 2400 faces"}
    assert free_folder(tmp_path, "wflw-test", {"protocol": first, "faces": FACES}) == tmp_path / "wflw-test"
    write(tmp_path / "wflw-test", first)
    assert free_folder(tmp_path, "wflw-test", {"protocol": first, "faces": FACES}) == tmp_path / "wflw-test"
    assert free_folder(tmp_path, "wflw-test", {"protocol": second, "faces": FACES}) == tmp_path / "wflw-test-2"
    write(tmp_path / "wflw-test-2", second)
    assert free_folder(tmp_path, "wflw-test", {"protocol": second, "faces": FACES}) == tmp_path / "wflw-test-2"
    third = {"protocol": first | second | {"flip test": "yes"}, "faces": FACES}
    assert free_folder(tmp_path, "wflw-test", third) == tmp_path / "wflw-test-3"


def test_other_faces_behind_the_same_name_go_to_another_folder(tmp_path: pathlib.Path):
    about = {"protocol": {"data": "mine"}, "faces": FACES}
    write(tmp_path / "mine-test", {"data": "mine"}, faces=FACES)
    assert free_folder(tmp_path, "mine-test", about) == tmp_path / "mine-test"
    assert free_folder(tmp_path, "mine-test", about | {"faces": {"points": "4567"}}) == tmp_path / "mine-test-2"


def test_results_of_other_weights_go_to_another_folder(tmp_path: pathlib.Path):
    about = {"protocol": {"data": "mine"}, "model": {"weights": "01"}}
    write(tmp_path / "mine-test", {"data": "mine"}, model={"weights": "01"})
    assert free_folder(tmp_path, "mine-test", about) == tmp_path / "mine-test"
    others = about | {"model": {"weights": "23"}}
    assert free_folder(tmp_path, "mine-test", others) == tmp_path / "mine-test-2"
    check_free(tmp_path / "mine-test" / "metrics.json", about)
    with pytest.raises(FileExistsError, match=r"metrics\.json holds other results, and stays; name another folder"):
        check_free(tmp_path / "mine-test" / "metrics.json", others)


def test_results_of_all_kinds_in_a_folder_are_of_the_same_faces_and_model(tmp_path: pathlib.Path):
    """An evaluation before more training, one after it, and the sensitivity of each."""
    before, after = {"step": "58", "weights": "01"}, {"step": "800", "weights": "23"}
    old, new = tmp_path / "mine-test", tmp_path / "mine-test-2"
    write(old, {}, faces=FACES, model=before)
    for models, folder in (([after], new), ([before], old), ([after, before], new), ([before, after], old)):
        about = {"protocol": {"NME": "mean"}, "faces": FACES, "models": dict(zip("ab", models, strict=False))}
        assert free_folder(tmp_path, "mine-test", about, "sensitivity.json") == folder
    new.mkdir()
    (new / "sensitivity.json").write_text(json.dumps({"protocol": {}, "faces": FACES, "models": {"a": after}}))
    evaluation = {"protocol": {}, "faces": FACES, "model": after}
    assert free_folder(tmp_path, "mine-test", evaluation) == new
    assert free_folder(tmp_path, "mine-test", evaluation | {"model": {"weights": "45"}}) == tmp_path / "mine-test-3"
    other_faces = evaluation | {"faces": {"points": "4567"}}
    assert free_folder(tmp_path, "mine-test", other_faces, "disentangle.json") == tmp_path / "mine-test-3"


def test_older_results_that_say_less_may_lie_beside(tmp_path: pathlib.Path):
    write(tmp_path / "mine-test", {"data": "mine"})
    about = {"protocol": {}, "faces": FACES, "models": {"a": {"weights": "01"}}}
    assert free_folder(tmp_path, "mine-test", about, "sensitivity.json") == tmp_path / "mine-test"


def test_damaged_results_stay_where_they_are(tmp_path: pathlib.Path):
    (tmp_path / "wflw-test").mkdir()
    (tmp_path / "wflw-test" / "metrics.json").write_text('{"protocol": ')
    assert free_folder(tmp_path, "wflw-test", {"protocol": {}}) == tmp_path / "wflw-test-2"


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
    assert free_folder(tmp_path, title, {"protocol": {}}) == tmp_path / folder
