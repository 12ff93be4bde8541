"""The page on several runs: its numbers, its pictures, what it keeps apart, and how it looks to a real browser."""

import base64
import contextlib
import dataclasses
import html
import io
import json
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from html_page import Page
from jaxlm import evaluate, report, train
from jaxlm.checkpoints import save_bundle
from jaxlm.drawing import pictures, report_page
from jaxlm.evaluation import box_sensitivity, inference, judged_faces
from jaxlm.evaluation.stored import StoredEvaluation, is_of
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.studies import report_runs, reporting
from jaxlm.studies.report_runs import Detection, Translation
from jaxlm.styles import translator_report
from runs import changed
from tiny_landmarker import mean_face_model, shifted
from tolerances import assert_float32_close

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Reported:
    """A run, whose folder's name wants escaping, with its own pack, and the page about it."""

    def __init__(self, folder: pathlib.Path, pack: pathlib.Path) -> None:
        self.pack, self.workdir, self.file = folder / "faces.npz", folder / "a <run> & more", folder / "report.html"
        shutil.copy(pack, self.pack)
        options = ["--experiment", "debug", "--data.dataset", str(self.pack), "--data.cache", "device", "--epochs", "1"]
        options += ["--model.options.widths", "4"]  # More take longer to compile.
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            train.main([*options, "--workdir", str(self.workdir)])
        self.printed = stdout.getvalue()
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            self.results = reporting.write_report([self.workdir], self.file, split="validation")
        self.progress, self.text = stderr.getvalue(), self.file.read_text()
        self.page = Page(self.text)

    @property
    def result(self) -> Detection:
        return self.results[0]

    @property
    def stored(self) -> list[dict]:
        """The rows that training wrote when it evaluated the same faces."""
        file = self.workdir / "evaluation" / "synthetic-validation" / "metrics.json"
        return json.loads(file.read_text())["rows"]


@pytest.fixture(scope="module")
def reported(pack: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reported]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_sensitivity, "SHIFTS", (0.0, 0.3))
        patch.setattr(box_sensitivity, "SCALES", (1.0, 1.4))
        yield Reported(tmp_path_factory.mktemp("report"), pack)


def test_the_numbers_are_those_of_the_evaluation(reported: Reported):
    full, *others = reported.stored
    errors, costs = reported.page.tables["Results"]
    shown = [f"{full['nme']:.3f}", f"{full['failure_rate']['10']:.2f}", f"{full['auc']['10']:.4f}"]
    assert errors == [["run", "NME %", "FR@10 %", "AUC@10"], ["a <run> & more", *shown]]
    model = report_runs.open_runs([reported.workdir])[0]
    parameters = sum(leaf.size for leaf in map(np.asarray, _leaves(model.trained.variables["params"])))
    row = dict(zip(*costs, strict=True))
    assert row["MB (float32)"] == f"{4 * parameters / 1e6:.1f}"
    assert (row["model"], row["input px"], row["step"]) == ("cnn", "32", str(model.trained.step))
    nme, failures, auc = reported.page.tables["Subsets"]
    assert nme[0][1:] == [f"{row['subset']} ({row['faces']})" for row in (full, *others)]
    assert nme[1][1:] == [f"{row['nme']:.3f}" for row in (full, *others)]
    assert failures[1][1:] == [f"{row['failure_rate']['10']:.2f}" for row in (full, *others)]
    assert auc[1][1:] == [f"{row['auc']['10']:.4f}" for row in (full, *others)]
    for line in reported.result.protocol.values():
        assert report_page.paragraph(line)[3:-4] in reported.text


def _leaves(tree: dict) -> list:
    return [leaf for value in tree.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


def test_parts_and_box_errors_agree_with_the_nme(reported: Reported):
    evaluation = reported.result.evaluation
    errors = inference.point_errors(evaluation.predicted.points, evaluation.faces, WFLW98, evaluation.normaliser)
    assert_float32_close(errors.mean(axis=1), evaluation.nme, depth=98 + 10)
    ((head, row),) = reported.page.tables["Errors by point and part"]
    assert head[1:] == [part.replace("_", " ") for part in WFLW98.parts]
    assert row[1:] == [f"{100 * errors[:, points].mean():.2f}" for points in WFLW98.parts.values()]
    shift, scale = reported.page.tables["Box errors"]
    assert [shift[0], scale[0]] == [["run", "0 %", "30 %"], ["run", "100 %", "140 %"]]
    assert shift[1][1] == scale[1][1] == f"{reported.stored[0]['nme']:.2f}"
    assert float(shift[1][2]) > float(shift[1][1])


def test_long_steps_show_how_far_they_are(reported: Reported):
    faces = len(reported.result.names)
    assert f"{faces}/{faces} [" in reported.progress
    # Four shifts, one scale, and the box as it is.
    assert f"a <run> & more: box errors: 100%|##########| {6 * faces}/{6 * faces} [" in reported.progress


def test_the_page_needs_nothing_but_itself(reported: Reported):
    sections = [reference for reference in reported.page.references if reference.startswith("#part")]
    assert len(sections) == reported.text.count("<section") == 8
    assert all(reference.startswith("data:image/") for reference in set(reported.page.references) - set(sections))
    assert not {"script", "link", "iframe", "object"} & reported.page.tags
    assert "url(" not in reported.text
    assert "@import" not in reported.text
    assert not re.search(r"(https?|file)://", reported.text)
    assert "<run>" not in reported.text


def test_every_picture_can_be_read(reported: Reported):
    kinds = []
    for image in reported.page.images:
        kind, content = re.fullmatch(r"data:image/(png|svg\+xml);base64,(.+)", image).groups()
        content = base64.b64decode(content, validate=True)
        if kind == "png":
            assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).std() > 5
        else:
            drawing = xml.etree.ElementTree.fromstring(content)
            assert drawing.tag.endswith("}svg")
            assert len(drawing.findall(".//{*}path")) > 10
        kinds.append(kind)
    # Error curves, map of points, box errors, training curves, attention; the worst faces.
    assert (kinds.count("svg+xml"), kinds.count("png")) == (5, 1)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_shows_all_pictures_and_overflows_nowhere(reported: Reported, tmp_path: pathlib.Path):
    measured = """<script>window.onload = () => { document.body.dataset.found = JSON.stringify({
      images: [...document.images].map(image => image.naturalWidth),
      page: document.documentElement.scrollWidth, window: window.innerWidth,
      outside: performance.getEntriesByType("resource").filter(entry => !entry.name.startsWith("data:")).length
    }); }</script></body>"""
    copy, picture = tmp_path / "copy.html", tmp_path / "page.png"
    copy.write_text(reported.text.replace("</body>", measured))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [BROWSER, *options, "--window-size=1280,900", f"--screenshot={picture}", "--dump-dom", copy.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(html.unescape(re.search(r'data-found="([^"]+)"', done.stdout)[1]))
    assert len(found["images"]) == len(reported.page.images)
    assert min(found["images"]) > 100
    assert found["page"] <= found["window"]
    assert found["outside"] == 0
    assert cv2.imread(str(picture)).std() > 5


def renamed(result: Detection, name: str, **changes: object) -> Detection:
    """Another run, without what takes long to draw."""
    run = dataclasses.replace(result.run, name=name)
    return dataclasses.replace(result, run=run, **{"evaluation": None, **changes})


def compose(*results: report_runs.Result) -> tuple[str, Page]:
    text = reporting.compose([result.run for result in results], results, [], with_sensitivity=False)
    return text, Page(text)


def test_runs_of_one_protocol_share_tables_whose_best_values_stand_out(reported: Reported):
    better = renamed(reported.result, "better", rows=[dataclasses.replace(reported.result.rows[0], nme=1.5)])
    worse = renamed(reported.result, "worse", rows=[dataclasses.replace(reported.result.rows[0], nme=2.5)])
    text, page = compose(worse, better)
    assert [row[:2] for row in page.tables["Results"][0][1:]] == [["worse", "2.500"], ["better", "1.500"]]
    assert "<td class=best>1.500</td>" in text
    assert "<td class=best>2.500</td>" not in text
    assert 'class="warning"' not in text


def test_runs_of_different_protocols_stand_apart_under_a_warning(reported: Reported):
    protocol = {**reported.result.protocol, "NME": "mean over points and faces, by box distance"}
    ours = renamed(reported.result, "ours")
    text, page = compose(ours, renamed(ours, "other", protocol=protocol))
    warning = re.search(r'<div class="warning">(.+)</div>', text)[1]
    assert "must not be compared" in warning
    assert "other: NME: mean over points and faces, by box distance" in warning
    assert "ours: NME: mean over points and faces, by inter-ocular distance" in warning
    assert "class=best" not in text
    assert sum(title.endswith("Results") for title in page.tables) == 1
    assert text.count("Results</h2>") == 2
    fewer = renamed(ours, "fewer", names=ours.names[1:], nme=ours.nme[1:])
    assert "fewer: perhaps other faces" in compose(ours, fewer)[0]


def test_a_run_is_judged_by_the_faces_by_which_its_training_ended(
    reported: Reported, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
    """Although its set has a test split; both say so."""
    (result,) = reporting.write_report([reported.workdir], tmp_path / "r.html", with_sensitivity=False)
    metrics = reported.workdir / "evaluation" / "synthetic-validation" / "metrics.json"
    assert result.protocol["data"] == json.loads(metrics.read_text())["protocol"]["data"]
    assert f"judged by {result.protocol['data']}" in capsys.readouterr().out
    assert "Judged by validation, the faces held out, as jaxlm report does" in reported.printed
    (of_set,) = reporting.write_report(
        [reported.workdir], tmp_path / "r.html", str(reported.pack), with_sensitivity=False
    )
    assert "synthetic, test: 22 faces" in of_set.protocol["data"]


def test_a_run_that_learnt_from_all_faces_is_judged_by_a_test_split(reported: Reported):
    trained = reported.result.run.trained
    assert judged_faces.held_out_split(trained) == "validation"
    none_left = dataclasses.replace(trained, data=trained.data | {"number of faces held out": "0"})
    assert judged_faces.held_out_split(none_left) is None
    from_all = changed(trained.config, data={"validation_percent": 0})
    assert judged_faces.held_out_split(dataclasses.replace(trained, config=from_all, data={})) is None


def test_translators_have_sections_of_their_own(reported: Reported):
    ours = renamed(reported.result, "ours")
    trained = ours.run.trained
    config = dataclasses.replace(trained.config, model=dataclasses.replace(trained.config.model, name="vunet"))
    history = [{"step": 1, "split": "validation", "reconstruction": 0.5, "loss": 1.0}]
    run = dataclasses.replace(
        ours.run, name="styles", trained=dataclasses.replace(trained, config=config), history=history
    )
    values = dict.fromkeys(translator_report.ROWS, 0.5)
    grid = pictures.encode(".png", np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    text, page = compose(ours, Translation(run, {"data": "faces: 3"}, (), None, {}, values, grid))
    assert page.tables["Faces in other styles"][0][1][:4] == ["styles", "0.5000", "0.5000", "127.50"]
    assert [row[0] for row in page.tables["Results"][0]] == ["run", "ours"]
    assert "Training of detectors</h2>" in text
    assert "Training of translators</h2>" in text
    assert "must not be compared" not in text


def test_without_its_faces_a_run_shows_its_last_evaluation(reported: Reported, tmp_path: pathlib.Path):
    away, out = reported.pack.with_suffix(".away"), tmp_path / "report.html"
    reported.pack.rename(away)
    try:
        report.main(["--workdir", str(reported.workdir), "--out", str(out)])
        bare = shutil.copytree(reported.workdir, tmp_path / "bare", ignore=shutil.ignore_patterns("evaluation"))
        report.main(["--workdir", str(bare), "--out", str(tmp_path / "bare.html")])
    finally:
        away.rename(reported.pack)
    page = Page(out.read_text())
    assert page.tables["Results"][0] == reported.page.tables["Results"][0]
    assert page.tables["Subsets"] == reported.page.tables["Subsets"]
    assert "Errors by point and part" not in page.tables
    assert "The faces of some runs are not at hand. Their numbers" in out.read_text()
    assert len(page.images) == 3
    assert "they were never evaluated" in (tmp_path / "bare.html").read_text()
    assert len(Page((tmp_path / "bare.html").read_text()).images) == 1


def test_an_evaluation_of_other_weights_is_not_shown(pack: pathlib.Path, tmp_path: pathlib.Path, monkeypatch):
    """Files of one name in two folders share a folder of results, and a run's steps do."""
    monkeypatch.chdir(tmp_path)
    faces = shutil.copy(pack, tmp_path / "faces.npz")
    for folder, fraction in (("a", 0.0), ("b", 0.1)):
        pathlib.Path(folder).mkdir()
        save_bundle(f"{folder}/model.npz", shifted(mean_face_model("wflw98", "faces.npz"), fraction))
        evaluate.main(["--weights", f"{folder}/model.npz", "--split", "test"])
    pathlib.Path(faces).unlink()
    results = reporting.write_report([pathlib.Path("a/model.npz"), pathlib.Path("b/model.npz")], tmp_path / "r.html")
    assert [result.folder.name for result in results] == ["synthetic-test", "synthetic-test-2"]
    assert results[0].rows[0].nme < results[1].rows[0].nme
    for folder, weights in (("a", "23"), ("b", "45")):
        file = pathlib.Path("runs/model/evaluation") / ("synthetic-test" if folder == "a" else "synthetic-test-2")
        content = json.loads((file / "metrics.json").read_text())
        content["model"]["weights"] = weights
        (file / "metrics.json").write_text(json.dumps(content))
    assert reporting.write_report([pathlib.Path("a/model.npz")], tmp_path / "r.html") == []
    assert "they were never evaluated with these weights" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("run", "step", "head", "ours"),
    [
        ("runs/a, step 7", "7", "", True),
        ("runs/a, step 7", "8", "", False),
        ("runs/a, step 7, head wflw", "7", "wflw", True),
        ("runs/a, step 7, head wflw", "7", "300w", False),
        ("model.npz", "7", "", False),
    ],
)
def test_of_older_evaluations_the_step_must_fit(run: str, step: str, head: str, ours: bool):
    evaluation = StoredEvaluation({"run": run})
    assert is_of(evaluation, {"step": step, "head": head, "weights": "01"}) == ours


def test_faces_of_equal_names_and_other_labels_stand_apart(reported: Reported):
    ours = renamed(reported.result, "ours")
    assert len(report_runs.groups([ours, renamed(ours, "same")])) == 1
    assert len(report_runs.groups([ours, renamed(ours, "other", identity={"points": "01"})])) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split", "tset"], "no split tset"),
        (["--dataset", "nothing", "--data-dir", "nowhere"], "not prepared"),
        (["--out", "no/such/folder/report.html"], "its folder does not exist"),
        (["--workdir", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_wrong_arguments_end_with_an_explanation(reported: Reported, arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        report.main(["--workdir", str(reported.workdir), *arguments])
    assert caught.value.code == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_runs_are_called_by_what_tells_them_apart():
    paths = [pathlib.Path(path) for path in ("/runs/a/seed0", "/runs/b/seed0", "/runs/b/seed1")]
    assert report_runs.short_names(paths) == ["a/seed0", "b/seed0", "seed1"]
    assert report_runs.short_names(paths[1:]) == ["seed0", "seed1"]
