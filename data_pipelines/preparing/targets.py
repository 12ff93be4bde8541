"""The files that `prepare` writes: only its own are replaced, and one process at a time writes a set."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.prepared import open_splits
from jaxlm.drawing import pictures
from jaxlm.files import check_can_write, write_whole
from jaxlm.files.folders import claimed

_HEADER = 33  # Bytes of a PNG file's signature and first chunk.
_MARK = b"tEXtSoftware\0jaxlm prepare"
_ADVICE = "give --pack another name, or --overwrite"


@contextlib.contextmanager
def alone_with(folder: Path, data_dir: Path) -> Iterator[None]:
    """While entered, no other process prepares the set of `folder` in `data_dir`.

    Raises:
      BlockingIOError: Another process does.
    """
    name, variant = folder.parent.parent.name, folder.parent.name
    lock = f".{name}-{variant}.lock"
    busy = f"another process prepares {name}/{variant} in {data_dir}; wait until it ends, or take another --data-dir"
    with claimed(data_dir, lock, busy):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                (data_dir / lock).unlink()


def check_pack(pack: Path, overwrite: bool, sheet: Path | None = None, source: Path | None = None) -> None:
    """Checks the names of files to write, before the work for them, and tells where an earlier pack is replaced.

    Args:
      pack: The pack to write.
      overwrite: Whether other files may be replaced; photos never are.
      sheet: The contact sheet to write beside it, if any.
      source: The folder of the photos.

    Raises:
      OSError: The pack cannot be written.
      ValueError: The pack or the contact sheet would replace a file that is none of ours.
    """
    check_can_write(pack)
    is_other = sheet is not None and sheet.exists() and _MARK not in _first_bytes(sheet)
    if is_other and sheet is not None and source is not None and source.resolve() in sheet.resolve().parents:
        raise ValueError(
            f"{sheet} is there already, where the pack's contact sheet goes; it lies in --source, of which --overwrite"
            " replaces no file: give --pack another name"
        )
    if overwrite:
        return
    held = None
    if pack.exists():
        try:
            held = next(iter(open_splits(str(pack), "").values())).dataset
        except ValueError as error:
            raise ValueError(f"{pack} is there already and is no whole pack ({error}); {_ADVICE}") from None
    if is_other:
        raise ValueError(f"{sheet} is there already, where the pack's contact sheet goes; {_ADVICE}")
    if held is not None:
        print(f"{pack} is there already, a pack of {held}; it is replaced")


def write_sheet(sheet: Path, image: np.ndarray) -> None:
    """Writes a contact sheet RGB uint8 [H, W, 3] as PNG, marked as ours."""
    data = pictures.encode(".png", image)
    chunk = (len(_MARK) - 4).to_bytes(4, "big") + _MARK + zlib.crc32(_MARK).to_bytes(4, "big")
    write_whole(sheet, data[:_HEADER] + chunk + data[_HEADER:])


def _first_bytes(file: Path) -> bytes:
    if not file.is_file():
        return b""
    with file.open("rb") as opened:
        return opened.read(_HEADER + 100)
