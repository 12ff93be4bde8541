"""Your own faces: images with landmarks in a table, in a list, or in one .pts file for each image."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import re
import typing
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, make_record, parse_flags, parse_places
from jaxlm.data_pipelines.labelling.photo_names import check_group_by, check_groups, check_name, face_name, group_of
from jaxlm.data_pipelines.source import BadFaceError, OnBad, passing_bad
from jaxlm.data_pipelines.sources.ibug300w import find_image, images_by_stem, read_pts_values
from jaxlm.landmarks import Scheme
from jaxlm.landmarks.geometry import box_around
from jaxlm.landmarks.hidden import NONE, find_repeated, hide_points, parse_mark
from jaxlm.landmarks.point_columns import find_columns
from jaxlm.landmarks.tables import Line, files_with_ending, read_lines, read_table, shorten

_LOG = logging.getLogger(__name__)

TABLE_ENDINGS = (".csv", ".tsv")


@dataclasses.dataclass(frozen=True)
class PointsTable:
    """Images with landmarks of any scheme.

    Attributes:
      source: Folder of the images.
      name: Name of the prepared set: letters, digits and _.
      scheme: A built-in landmark scheme, or a .toml file that defines one.
      annotations: The landmarks. A .csv or .tsv file has a header, and its rows hold the image's name in `source` and
        x0, y0, x1, y1, ... counted from 0, in the order that the header says; columns `split` and v0, v1, ... (whether
        a point is visible) are optional. A .txt file has no header, and its lines hold x0 y0 x1 y1 ... counted from 0,
        then the image's name; AVS (ICCV 2019) has such lists. A folder holds .pts files, counted from 1. By default,
        the .pts files lie beside the images.
      group_by: Regular expression that is matched at the start of an image's name. Images with the same first group,
        as in '(.*)_', are of one person or photo, and stay together when the set is split. By default, every image is
        a group of its own; in a .txt list, images with equal points are one group, since they are one face in several
        styles. So photos and their styled faces, prepared as two sets, share groups (--data.styled).
      hidden: What stands for a hidden point, beside NaN and empty cells: its two values, as in '-1 -1' or '0 0';
        `negative`, as in MERL-RAV, for every point with two negative values; or `none`, where such values are places
        outside of the photo. Hidden points get no place.
    """

    source: Path
    name: str
    scheme: Scheme
    annotations: Path | None = None
    group_by: str | None = None
    hidden: str | None = None

    box: typing.ClassVar[str] = LANDMARK_BOX

    to_record = staticmethod(make_record)

    def __post_init__(self) -> None:
        check_name("--name", self.name)
        check_group_by(self.group_by)
        parse_mark(self.hidden)

    def read(self, on_bad: OnBad) -> dict[str, list[Label]]:
        """The annotated faces of each split; without a column `split`, all are in `train`.

        Raises:
          FileNotFoundError: There are no annotations.
          ValueError: The table's header is not understood or does not fit the scheme; there are no faces, or not one of
            them can be used.
        """
        path = self.annotations or self.source
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder of annotations")
        bad: list[BadFaceError] = []

        def noted(error: BadFaceError) -> None:
            bad.append(error)
            on_bad(error)

        splits: dict[str, list[Label]] = {}
        spellings: dict[str, tuple[str, str]] = {}
        photos: dict[str, Counter[str]] = {}
        for split, label in self._read_file(path, noted):
            known, where = spellings.setdefault(split.casefold(), (split, label.where))
            if known != split:
                raise ValueError(f"{label.where}: the split {split!r} is {known!r} in {where}; spell it one way")
            named = dataclasses.replace(label, name=face_name(label.name, photos.setdefault(split, Counter())))
            splits.setdefault(split, []).append(named)
        if self.hidden != NONE:
            self._check_marks([label for labels in splits.values() for label in labels])
        check_groups([label.group for labels in splits.values() for label in labels], self.group_by)
        if not splits and bad:
            raise ValueError(f"not one of the {len(bad)} faces can be used; the first: {bad[0]}")
        if not splits and path.is_file():
            raise ValueError(f"{path} holds no faces")
        if not splits:
            raise FileNotFoundError(
                f"{path} holds no usable annotations; give --annotations a .csv, a .txt or .pts files"
            )
        return splits

    def _check_marks(self, labels: Sequence[Label]) -> None:
        """Raises ValueError where faces share a place far from their other points; see `find_repeated`."""
        found = find_repeated([label.points for label in labels])
        if found is not None:
            place, faces = found
            first = labels[faces[0]]
            index = int(np.argmax((first.points == place).all(-1)))
            x, y = place + self._first_pixel
            raise ValueError(
                f"{first.where}: point {index} is ({x:g}, {y:g}), far from the others, and so in {len(faces)} faces;"
                f" it may mark a hidden point: --hidden '{x:g} {y:g}', or --hidden none if it is a place"
            )

    @property
    def _first_pixel(self) -> int:
        """What the annotations call the first pixel, 0 or 1."""
        return int((self.annotations or self.source).is_dir())

    def _read_file(self, path: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        if path.is_dir():
            return self._read_pts_files(path, on_bad)
        ending = path.suffix.lower()
        if ending in TABLE_ENDINGS:
            return self._read_table(path, on_bad)
        if ending == ".txt":
            return self._read_list(path, on_bad)
        raise ValueError(f"{path}: annotations are a .csv or .tsv table, a .txt list, or a folder of .pts files")

    def _read_pts_files(self, folder: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        below = sum(path.suffix.lower() == ".pts" for path in folder.glob("*/**/*"))
        if below:
            _LOG.warning("%s: left out: %d .pts files in folders below it; each is a set of its own", folder, below)
        images = images_by_stem(self.source)
        for path in files_with_ending(folder, ".pts"):
            with passing_bad(on_bad):
                image = find_image(path, images)
                places = read_pts_values(path, self.scheme.num_points, parse_places)
                yield "train", self._label(image.name, places, None, str(path), image.name)

    def _read_table(self, path: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        table = read_table(path)
        columns = find_columns(table, self.scheme)
        for row in table.rows:
            with passing_bad(on_bad):
                cells = table.cells(row)
                split = "train" if columns.split is None else cells[columns.split].strip()
                if not re.fullmatch(r"\w{1,100}", split):
                    raise BadFaceError(
                        f"{row.where}: the split {shorten(split)!r} needs a name of at most 100 letters, digits and _"
                    )
                visible = None
                if columns.visible is not None:
                    visible = parse_flags([cells[column] for column in columns.visible], row.where)
                order = columns.points.reshape(-1)
                known = None if visible is None else np.repeat(visible, 2)
                places = parse_places([cells[column] for column in order], row.where, known)
                image = cells[columns.name]
                yield split, self._label(image, places.reshape(-1, 2), visible, row.where, image)

    def _read_list(self, path: Path, on_bad: OnBad) -> Iterator[tuple[str, Label]]:
        lines = read_lines(path)
        self._check_ends(path, lines)
        for line in lines:
            with passing_bad(on_bad):
                tokens, image = self._split_line(line)
                places = parse_places(tokens, line.where).reshape(-1, 2)
                yield "train", self._label(image, places, None, line.where, None)

    def _split_line(self, line: Line) -> tuple[Sequence[str], str]:
        """The coordinates and the image's name in a line of a .txt list."""
        words, count = line.text.split(), self.scheme.num_points
        if len(words) != 2 * count + 1:
            text = shorten(line.text.strip())
            hint = f"; it reads {text!r}; a table with a header and delimiters is a .csv file" if len(words) < 3 else ""
            raise BadFaceError(
                f"{line.where}: {len(words)} values instead of {2 * count + 1} (x and y of {count} points, the"
                f" image){hint}"
            )
        return words[:-1], words[-1]

    def _check_ends(self, path: Path, lines: Sequence[Line]) -> None:
        """Raises ValueError where the images of a list stand in front of the points, or may do so.

        Names that are numbers look like coordinates. They are at that end where there are more different ones.
        """
        words = [line.text.split() for line in lines]
        firsts, lasts = {each[0] for each in words}, {each[-1] for each in words}
        in_front = bool(firsts) and all(os.path.isfile(self.source / word) for word in firsts)
        behind = all(os.path.isfile(self.source / word) for word in lasts)
        if in_front and not (behind and len(lasts) > len(firsts)):
            raise ValueError(
                f"{path}: every line begins with the name of an image, as in {shorten(lines[0].text)!r}; a list has it"
                " behind the points. Give images names with endings, or write a .csv with a header"
            )

    def _label(
        self, image: str, places: np.ndarray, visible: np.ndarray | None, where: str, group: str | None
    ) -> Label:
        """The face of an image; it is in `group`, or that of equal points, where there is no --group-by.

        Args:
          image: Name of the image.
          places: Values of the points [N, 2] as they are written, NaN where there is none.
          visible: bool [N], what the annotations say; None where they say nothing.
          where: File and line.
          group: Name of the group; None for that of equal points.
        """
        if not image.strip():
            raise BadFaceError(f"{where}: the image's name is empty")
        if image != image.strip() and not os.path.exists(self.source / image):
            raise BadFaceError(f"{where}: the image's name {image!r} begins or ends with a blank")
        try:
            points = hide_points(places, visible, self.hidden) - self._first_pixel
        except ValueError as error:
            raise BadFaceError(f"{where}: {error}") from None
        seen = ~np.isnan(points).any(-1)
        if not seen.any():
            raise BadFaceError(f"{where}: all of its points are hidden")
        if group is None:
            group = hashlib.sha256(points.tobytes()).hexdigest()[:16]
        if self.group_by is not None:
            group = group_of(image, self.group_by, where)
        return Label(
            image=self.source / image,
            points=points,
            box=box_around(points[seen], BOX_SCALE),
            where=where,
            name=image,
            group=group,
            visible=seen,
        )
