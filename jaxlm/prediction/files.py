"""The folder of the predict command's results: what is found is kept at once, and goes on after an end of any kind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlm
from jaxlm.files import check_place
from jaxlm.files.folders import claimed, make_folder
from jaxlm.landmarks import Scheme
from jaxlm.prediction.landmarker import Landmarker
from jaxlm.prediction.sources import (
    COCO,
    CSV,
    JSON,
    LOCK,
    LOG,
    has_table,
    is_there,
    picture_names,
    picture_path,
    printable,
    real_name,
)
from jaxlm.prediction.tables.coco import is_as_written, write_coco
from jaxlm.prediction.tables.entries import (
    Entry,
    check_row,
    from_json,
    is_csv,
    is_json,
    to_json,
    write_csv,
    write_json,
)
from jaxlm.runtime.progress import say
from jaxlm.runtime.row_log import RowLog


def settings_of(landmarker: Landmarker) -> dict[str, Any]:
    """What points depend on beside photos and boxes, as JSON has it: those of two models are not to be mixed."""
    trained = landmarker.trained
    digest = hashlib.sha256(repr((trained.config, trained.head, trained.step, trained.confidence)).encode())
    for place, leaf in jax.tree_util.tree_leaves_with_path(trained.variables):
        values = np.asarray(leaf)
        digest.update(f"{place} {values.shape} {values.dtype}".encode() + values.tobytes())
    return {
        "jaxlm": jaxlm.__version__,
        "model": digest.hexdigest(),
        "scheme": landmarker.scheme.name,
        "flip_test": landmarker.flip_test,
    }


class Done(NamedTuple):
    """What is known of a file whose entries are written.

    Attributes:
      state: What tells whether the file, or what is asked of it, has changed, as JSON has it.
      picture: Its picture, as a path from the folder of results; None where that could not be written.
      good: Whether nothing was wrong.
    """

    state: Any
    picture: str | None
    good: bool


def check_no_others(files: Sequence[pathlib.Path], out: pathlib.Path) -> None:
    """Raises FileExistsError where a folder without our log holds others' files by the names of tables or pictures."""
    if (out / LOG).exists():
        return
    tables = {JSON: is_json, CSV: is_csv}
    taken = [table for table, is_ours in tables.items() if is_there(out, table) and not is_ours(out / table)]
    if not has_table(out):
        pictures = (f"{name}{ending}" for name in picture_names(files) for ending in (".jpg", ".mp4"))
        taken += [picture for picture in pictures if is_there(out, picture)]
    if taken:
        raise FileExistsError(f"{out / taken[0]} is there, and is no result; move it away, or take another --out")


class Results:
    """The results in a folder, inside of `with`: those of each file are written at once, and the tables at the end.

    `predictions.jsonl` has what was found so far (see `RowLog`), also after the process was killed. At the end, however
    that comes, the tables `predictions.json`, `predictions.csv` and, where asked, `predictions_coco.json` are written
    from it. Where nothing was found, they stay.

    Attributes:
      done: The files with results, by their absolute paths.
      replaces: Whether the first entry replaces earlier results, which are by other settings or by unknown ones.
    """

    def __init__(self, folder: pathlib.Path, settings: Mapping[str, Any], scheme: Scheme, coco: bool = False) -> None:
        """Nothing is read before the object is entered.

        Args:
          folder: Folder of the results.
          settings: What the results depend on beside the files, as JSON has it.
          scheme: Scheme of the points.
          coco: Whether COCO keypoints are written, too; those that are there are kept up to date in any
            case, unless somebody has changed them.
        """
        self._folder, self._settings, self._scheme, self._coco = folder, settings, scheme, coco
        self._claim = contextlib.ExitStack()
        self._names: dict[str, str] = {}
        self.done: dict[str, Done] = {}
        self.replaces = False

    def __enter__(self) -> Results:
        """Makes the folder and reads what is there.

        Raises:
          OSError: It cannot be made, read or written; a link or no regular file has the name of one of its files;
            another process writes to it.
          ValueError: The log holds rows that are no results of this model.
        """
        make_folder(self._folder)
        for name in (LOG, JSON, CSV, COCO):
            check_place(self._folder, self._folder / name)
        busy = f"another process writes results to {self._folder}; take another --out"
        self._claim.enter_context(claimed(self._folder, LOCK, busy))
        self._claim.callback(self._remove_lock)
        try:
            self._log = RowLog(self._folder / LOG, self._settings, self._check)
            unknown = not self._log.ours and has_table(self._folder)
        except BaseException:
            self._claim.close()
            raise
        first = {real_name(item): real_name(row["file"]) for item, row in self._log.first_rows()}
        self._names = {name: item for item, name in first.items()}
        for item, said in ((real_name(name), said) for name, said in self._log.done.items()):
            good = said.get("good") is True and item in first  # Rows that somebody took away are to be found again.
            self.done[item] = Done(said.get("state"), picture_path(said.get("picture")), good)
        self.replaces = self._log.others or unknown
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # What ended the work may be a full disk, which may have no room for the tables; the log has the entries.
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                if item := self._log.unfinished:  # What it has stays until it is done again.
                    path = real_name(item)
                    before = self.done.get(path)
                    self.finish(path, Done(None, before.picture if before else None, False))
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                self._log.close()
            with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
                if self.done or not (self._folder / JSON).exists():
                    self._write_tables()
        finally:
            self._claim.close()

    def _remove_lock(self) -> None:
        with contextlib.suppress(OSError):
            (self._folder / LOCK).unlink()

    def name_of(self, path: pathlib.Path) -> str:
        """What a file is called: as given; by its absolute path where another, of another working directory, is so."""
        item = os.path.abspath(path)
        return str(path) if self._names.get(str(path), item) == item else item

    def add(self, path: pathlib.Path, entry: Entry) -> None:
        """Writes the faces of a photo or of a frame of the file `path`; raises OSError where it cannot."""
        item, name = os.path.abspath(path), self.name_of(path)
        self._names[name] = item
        self._log.add(printable(item), to_json(entry._replace(file=name)))

    def finish(self, path: str, done: Done) -> None:
        """Says that all entries of a file are there; they stand for those that it had before."""
        self._log.finish(printable(path), {**done._asdict(), "picture": done.picture and printable(done.picture)})
        self.done[path] = done

    @property
    def unfinished(self) -> bool:
        """Whether there are entries of a file that is not finished."""
        return self._log.unfinished is not None

    def _write_tables(self) -> None:
        sure = any(face.confidence is not None for entry in self._entries() for face in entry.faces)
        write_json(self._folder / JSON, self._entries())
        probable = any(face.probabilities is not None for entry in self._entries() for face in entry.faces)
        write_csv(self._folder / CSV, self._entries(), self._scheme.num_points, sure, probable)
        coco = self._folder / COCO
        if coco.exists() and not is_as_written(coco):
            say(
                f"{coco} has been changed since it was written, or is of an earlier version, so it stays without these"
                " results; move it away, and --format coco writes it anew",
                error=True,
            )
        elif self._coco or coco.exists():
            files = {name: os.path.abspath(name) for name in {entry.file for entry in self._entries()}} | self._names
            write_coco(coco, self._entries, files, self._scheme)

    def _entries(self) -> Iterator[Entry]:
        return map(from_json, self._log.rows())

    def _check(self, row: Mapping[str, Any]) -> None:
        check_row(row, self._scheme.num_points)
