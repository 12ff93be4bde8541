"""What a command may write over: a file of the kind that it writes itself, and never one that it reads."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable

from jaxlm.files.writing import check_can_write


def check_output(
    out: pathlib.Path, kind: str, is_kind: Callable[[pathlib.Path], bool], inputs: Iterable[pathlib.Path] = ()
) -> None:
    """Checks the name of a file to write, before the work for it begins. Devices and pipes may always be written.

    Args:
      out: The file to write.
      kind: What the command writes, for messages: `a bundle`.
      is_kind: Whether a file is that.
      inputs: Files that the command reads.

    Raises:
      OSError: `out` is a folder, or a file of another kind, or one of `inputs`, or cannot be written.
    """
    if out.is_dir():
        raise IsADirectoryError(f"--out {out} is a folder; name a file in it")
    if out.is_file() or not out.exists():
        check_can_write(out)
    if not out.is_file():
        return
    for path in inputs:
        if path.exists() and path.samefile(out):
            raise FileExistsError(f"--out {out} is read by this command, and would be lost; name another file")
    try:
        ours = is_kind(out)
    except ValueError:  # Damaged, or nothing of the sort.
        ours = False
    if not ours:
        raise FileExistsError(f"{out} is there already and is not {kind}; name another --out, or move it away")
