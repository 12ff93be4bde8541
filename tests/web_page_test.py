"""The folder of a page: what is in it, what it may load, what it replaces; and where its runtime comes from."""

import base64
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import tarfile

import numpy as np
import pytest

from html_page import Page
from jaxlm import export
from jaxlm.checkpoints import confidence, save_bundle
from jaxlm.interop import exporting, parity_faces
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.schemes import IBUG68
from jaxlm.prediction import doubts, web
from jaxlm.prediction.detectors import blazeface, search
from jaxlm.prediction.videos import one_euro, tracking
from jaxlm.prediction.web import mesh, npm
from tiny_landmarker import mean_face_model

PAGE = pathlib.Path(web.__file__).parent / "page"
LICENCE = "research use: none"


def packed(contents: dict[str, bytes]) -> bytes:
    """An archive as npm packs it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as members:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return file.getvalue()


ARCHIVE = packed({name: f"content of {name}".encode() for name in npm.FILES.values()})


@pytest.fixture(autouse=True, scope="module")
def small_runtime():
    """The archive above in place of that of npm, and few faces to compare points on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(npm, "INTEGRITY", base64.b64encode(hashlib.sha512(ARCHIVE).digest()).decode())
        patch.setattr(parity_faces, "COUNT", 2)
        yield


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("npm") / "runtime.tgz"
    file.write_bytes(ARCHIVE)
    return file


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("weights") / "mean_face.npz"
    save_bundle(file, mean_face_model())
    return file


@pytest.fixture(scope="module")
def site(weights: pathlib.Path, archive: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A page by the command."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("page")
    (folder / "card.json").write_text(json.dumps({"licence": LICENCE}))
    options = ["--format", "web", "--out", f"{folder / 'site'}", "--runtime", f"{archive}"]
    export.main(["--weights", f"{weights}", "--card", f"{folder / 'card.json'}", *options])
    return folder / "site"


def files_of(site: pathlib.Path) -> dict[str, int]:
    return {path.relative_to(site).as_posix(): path.stat().st_size for path in site.rglob("*") if path.is_file()}


def kept_by_the_worker(site: pathlib.Path) -> tuple[str, list[str]]:
    line = (site / "service_worker.js").read_text().splitlines()[0]
    kept = json.loads(line.removeprefix("const SITE = ").removesuffix(";"))
    return kept["version"], kept["files"]


def test_the_page_says_what_it_holds(site: pathlib.Path):
    settings, there = json.loads((site / "model.json").read_text()), files_of(site)
    assert settings["files"] == {name: there[name] for name in there.keys() - {"model.json", "service_worker.js"}}
    assert settings["input"]["shape"] == ["any", 16, 16, 3]
    assert settings["card"]["licence"] == LICENCE
    assert settings["margin"] == mean_face_model().config.data.crop
    assert (site / "blazeface.onnx").read_bytes() == blazeface.WEIGHTS
    assert (site / "runtime" / "ort.wasm").read_bytes() == b"content of package/dist/ort-wasm-simd-threaded.wasm"


def test_the_worker_keeps_all_that_the_page_loads(site: pathlib.Path):
    _, kept = kept_by_the_worker(site)
    assert {*kept} == {"./", *files_of(site)} - {"service_worker.js", "runtime/ThirdPartyNotices.txt"}


def test_the_page_refers_to_files_beside_it_alone(site: pathlib.Path):
    there = {*files_of(site)}
    page = Page((site / "index.html").read_text())
    assert {*page.references} <= there
    assert not page.tags & {"style", "iframe", "object", "base"}
    for script in site.glob("*.js"):
        assert {place.removeprefix("./") for place in re.findall(r'from "(.*)"', script.read_text())} <= there
    ours = [file for file in site.iterdir() if file.suffix in (".html", ".css", ".js", ".svg")]
    addresses = {found for file in ours for found in re.findall(r"[a-z]+://[^\s\"'`]+", file.read_text())}
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_a_policy_keeps_the_page_from_all_other_servers():
    text = (PAGE / "index.html").read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert text.index("Content-Security-Policy") < text.index("<link")
    assert {*rules} == {"default-src", "script-src", "object-src", "base-uri", "form-action"}
    assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=|\sstyle=", text)  # The policy forbids them.


def test_another_page_takes_the_place_of_an_earlier_one(
    site: pathlib.Path,
    weights: pathlib.Path,
    archive: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
):
    site = pathlib.Path(shutil.copytree(site, tmp_path / "site"))
    before, _ = kept_by_the_worker(site)
    settings = json.loads((site / "model.json").read_text())
    (site / "old.js").write_text("// Of a page of an earlier version.")
    (site / "model.json").write_text(json.dumps({**settings, "files": {**settings["files"], "old.js": 1}}))
    (site / "CNAME").write_text("of the user")
    web.open_and_write(weights, site, archive=archive)
    after, _ = kept_by_the_worker(site)
    assert after != before  # The card is another.
    assert (site / "CNAME").exists()
    assert not (site / "old.js").exists()
    assert f"Wrote {site}, " in capsys.readouterr().out
    web.open_and_write(weights, site, archive=archive)
    assert kept_by_the_worker(site)[0] == after


def refused(
    weights: pathlib.Path, archive: pathlib.Path, out: pathlib.Path, monkeypatch: pytest.MonkeyPatch, match: str
) -> None:
    monkeypatch.setattr(exporting, "write_checked", lambda *arguments: pytest.fail("the page was begun"))
    with pytest.raises((OSError, ValueError), match=match):
        web.open_and_write(weights, out, archive=archive)


def test_files_of_others_stay(
    weights: pathlib.Path, archive: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "index.html").write_text("of the user")
    refused(weights, archive, tmp_path, monkeypatch, "index.html is there already and is no file of a page")
    refused(weights, archive, tmp_path / "index.html", monkeypatch, "is a file; a page is a folder")
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.json").write_text('{"files": {"../index.html": 1}}')
    refused(weights, archive, other, monkeypatch, "names the file ../index.html, which is not in its folder")
    (other / "model.json").unlink()
    (other / "page.css").symlink_to(tmp_path / "index.html")
    refused(weights, archive, other, monkeypatch, "page.css is a link")
    assert (tmp_path / "index.html").read_text() == "of the user"


def test_the_archive_must_be_the_one_that_is_meant(tmp_path: pathlib.Path):
    file = tmp_path / "other.tgz"
    file.write_bytes(ARCHIVE[:-1])
    with pytest.raises(ValueError, match=r"other\.tgz is not the archive that `npm pack onnxruntime-web@\S+` writes"):
        npm.runtime_files(file)
    with pytest.raises(FileNotFoundError):
        npm.runtime_files(tmp_path / "missing.tgz")


@pytest.fixture
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The archive's place in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    (tmp_path / "bin").mkdir()
    return tmp_path / "cache" / "jaxlm" / f"{npm.PACKAGE.replace('@', '-')}.tgz"


def place_npm(tmp_path: pathlib.Path, script: str) -> None:
    """An npm that does what a script of the shell says."""
    file = tmp_path / "bin" / "npm"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_npm_is_asked_once(cache: pathlib.Path, archive: pathlib.Path, tmp_path: pathlib.Path, capsys):
    place_npm(tmp_path, f'[ "$1 $2" = "pack {npm.PACKAGE}" ] && cp {archive} {cache.name}')
    first = npm.runtime_files()
    assert first["runtime/ort.js"] == b"content of package/dist/ort.wasm.bundle.min.mjs"
    place_npm(tmp_path, "exit 1")
    assert npm.runtime_files() == first
    assert capsys.readouterr().out.count("Fetching") == 1
    cache.write_bytes(b"damaged")
    with pytest.raises(OSError, match="npm does not give"):
        npm.runtime_files()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network down' >&2; exit 1",
            r"npm does not give .*ENOTFOUND",
        ),
        ("exit 0", "npm does not give"),
        (f"echo else > {npm.PACKAGE.replace('@', '-')}.tgz", "has another checksum"),
    ],
    ids=["offline", "nothing", "another"],
)
def test_what_npm_does_not_give_is_told(cache: pathlib.Path, tmp_path: pathlib.Path, script: str, message: str):
    place_npm(tmp_path, script)
    with pytest.raises(OSError, match=message):
        npm.runtime_files()
    assert not cache.exists()


def test_without_npm_one_is_told_what_to_do(cache: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    with pytest.raises(OSError, match=r"npm is not installed; .* --runtime onnxruntime-web-"):
        npm.runtime_files()


def test_the_option_of_the_page_is_no_other_formats(weights: pathlib.Path, tmp_path: pathlib.Path, capsys):
    options = ["--format", "onnx", "--out", f"{tmp_path / 'x.onnx'}", "--runtime", "x.tgz"]
    with pytest.raises(SystemExit, match="2"):
        export.main(["--weights", f"{weights}", *options])
    assert "--runtime is for --format web" in capsys.readouterr().err


def test_a_mesh_joins_neighbours():
    """Four corners and a point near the middle, which is joined to all of them."""
    face = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.5, 0.4))
    scheme = Scheme("square", (1, 0, 3, 2, 4), mean_face=face)
    assert mesh.mesh_of(scheme) == ((0, 1), (0, 3), (0, 4), (1, 2), (1, 4), (2, 3), (2, 4), (3, 4))
    assert mesh.mesh_of(Scheme("bare", (1, 0, 3, 2, 4))) == ()


def test_a_mesh_of_a_face_is_whole():
    """Euler: 3 n - 3 - h edges, where h points lie on the hull; no point is left out, none is joined to itself."""
    edges, count = np.asarray(mesh.mesh_of(IBUG68)), IBUG68.num_points
    sides = np.bincount(edges.ravel(), minlength=count)
    assert (sides >= 2).all()
    assert (edges[:, 0] < edges[:, 1]).all()
    hull = 3 * count - 3 - len(edges)
    assert 3 <= hull <= 17 + 10  # The jaw and the brows.


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        *(("search.js", name, getattr(search, f"_{name}")) for name in ("PORTRAIT", "SHARED", "LEAST_TILE", "SURE")),
        *(("search.js", name, getattr(search, f"_{name}")) for name in ("SURE_ROLL", "AROUND")),
        *(("search.js", name, getattr(search, f"_{name}")) for name in ("SAME_FACE", "SAME_HEAD", "SAME_ROLL")),
        ("search.js", "LEVELS", [*search._LEVELS[: search._DEFAULT_LEVELS]]),
        ("blazeface.js", "SIZE", blazeface.SIZE),
        ("blazeface.js", "GRIDS", [list(grid) for grid in blazeface._GRIDS]),
        ("blazeface.js", "LEAST_SCORE", blazeface._LEAST_SCORE),
        ("confidence.js", "CLIP", confidence._CLIP),
        ("confidence.js", "UNSURE_POINT", doubts.UNSURE_POINT),
        ("confidence.js", "UNSURE_FACE", doubts.UNSURE_FACE),
        ("one_euro.js", "MIN_CUTOFF", one_euro.MIN_CUTOFF),
        ("one_euro.js", "BETA", one_euro.BETA),
        ("one_euro.js", "SPEED_CUTOFF", one_euro._SPEED_CUTOFF),
        ("tracking.js", "LANDMARK_BOX", [*tracking._LANDMARK_BOX]),
        ("tracking.js", "MIN_SIDE", tracking._MIN_SIDE),
    ],
)
def test_numbers_of_the_page_are_those_of_python(file: str, name: str, value: object):
    found = re.search(rf"^(?:export )?const {name} = (.*);$", (PAGE / file).read_text(), re.MULTILINE)
    assert json.loads(found[1]) == value
