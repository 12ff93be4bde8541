"""Writes the folder of a page that finds landmarks in a browser: networks, their runtime, and the page's own files."""

from __future__ import annotations

import hashlib
import importlib.resources
import importlib.util
import json
import pathlib
import tempfile

from jaxlm.checkpoints import Trained
from jaxlm.files import check_place, read_json, write_whole
from jaxlm.files.folders import make_folder
from jaxlm.interop import export_description, exporting
from jaxlm.prediction.detectors import blazeface
from jaxlm.prediction.web import mesh, npm

FORMAT = "web"
"""The name of this kind of export."""

MODEL = "model.json"
"""What the page knows of its model, and the sizes of its files."""

_NETWORK, _DETECTOR, _WORKER, _NOTICES = "model.onnx", "blazeface.onnx", "service_worker.js", "ThirdPartyNotices.txt"


def open_and_write(
    path: pathlib.Path,
    out: pathlib.Path,
    dataset: str | None = None,
    card: pathlib.Path | None = None,
    step: int | None = None,
    head: str | None = None,
    precision: str = "float16",
    accept: bool = False,
    archive: pathlib.Path | None = None,
) -> None:
    """Writes the page of a run or a file; see `exporting.open_and_export` and `write_site` for all else."""
    write_site(exporting.open_detector(path, card, step, head), out, dataset, precision, accept, archive)


def write_site(
    detector: Trained,
    out: pathlib.Path,
    dataset: str | None = None,
    precision: str = "float16",
    accept: bool = False,
    archive: pathlib.Path | None = None,
) -> None:
    """Writes the page's folder. An earlier page in it is replaced, and other files in it stay.

    Args:
      detector: The detector.
      out: The folder.
      dataset: The faces on which the points of the network's file are compared with ours.
      precision: Of the network; see `exporting.write_checked` for it and `dataset`.
      accept: Write the page whatever its precision costs.
      archive: The archive of the runtime; see `npm.runtime_files`.

    Raises:
      OSError: A file in the folder is none of a page, or the folder cannot be written; or see `npm.runtime_files`.
      ValueError, ImportError: See `exporting.write_checked` and `npm.runtime_files`.
    """
    exporting.check_precision("onnx", precision, accept)
    files = {**_own_files(), **npm.runtime_files(archive), _DETECTOR: blazeface.WEIGHTS, **_notices()}
    earlier = _files_of(out)
    _check_place(out, {*files, _NETWORK, MODEL}, earlier)
    if "blazeface" not in detector.boxes:
        print("this model has no calibration for the boxes of blazeface, so they are taken as they are")
    with tempfile.TemporaryDirectory() as folder:
        network = pathlib.Path(folder, _NETWORK)
        outputs, found = exporting.write_checked(detector, "onnx", network, dataset, precision, accept, str(out))
        description = export_description.describe_program(detector, network, "onnx", outputs, precision, found)
        files[_NETWORK] = network.read_bytes()
    sizes = {name: len(content) for name, content in files.items() if name != _WORKER}
    settings = {**description, "margin": detector.config.data.crop, "mesh": mesh.mesh_of(detector.scheme)}
    files[MODEL] = json.dumps({**settings, "files": sizes}, indent=1).encode()
    # The worker comes last: browsers that find another one load all files anew.
    files[_WORKER] = _naming(files) + files.pop(_WORKER)
    _replace(out, files, earlier)
    size = sum(map(len, files.values()))
    print(f"Wrote {out}, {len(files)} files ({size / 1e6:.1f} MB); see it by python -m http.server --directory {out}")


def _replace(out: pathlib.Path, files: dict[str, bytes], earlier: set[str]) -> None:
    """Writes files into a folder, and removes those of an earlier page that the new one does not have."""
    for name, content in files.items():
        make_folder((out / name).parent)
        write_whole(out / name, content)
    for name in earlier - {*files}:
        (out / name).unlink(missing_ok=True)


def _own_files() -> dict[str, bytes]:
    folder = importlib.resources.files(__package__) / "page"
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}


def _notices() -> dict[str, bytes]:
    """The notices of what ONNX Runtime holds of others, which come with the Python package and not with npm's."""
    found = importlib.util.find_spec("onnxruntime")
    file = pathlib.Path(found.origin).with_name(_NOTICES) if found and found.origin else None
    return {f"runtime/{_NOTICES}": file.read_bytes()} if file and file.is_file() else {}


def _files_of(out: pathlib.Path) -> set[str]:
    """The files of the page that lies in a folder, by what it says of itself; none where there is no page."""
    try:
        files = read_json(out / MODEL, dict).get("files")
    except (OSError, ValueError):
        return set()
    return {MODEL, _WORKER, *files} if isinstance(files, dict) else set()


def _check_place(out: pathlib.Path, names: set[str], earlier: set[str]) -> None:
    """Raises OSError where files of a page cannot be written into a folder, or others' files are in their way."""
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out {out} is a file; a page is a folder, so name one")
    for name in sorted(names | earlier):
        file = out / name
        if out not in file.parents or ".." in file.parts[len(out.parts) :]:
            raise ValueError(f"{out / MODEL} names the file {name}, which is not in its folder; move it away")
        check_place(out, file)
        if name not in earlier and file.exists():
            raise FileExistsError(f"{file} is there already and is no file of a page; name another --out")


def _naming(files: dict[str, bytes]) -> bytes:
    """The line before the service worker that names the files to keep, and their version."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode() + content)
    kept = ["./", *(name for name in files if name not in (_WORKER, f"runtime/{_NOTICES}"))]
    return f"const SITE = {json.dumps({'version': digest.hexdigest()[:16], 'files': kept})};\n".encode()
