"""What is legal in a set and yet may be a slip: points beyond the photo, faces twice, photos in two splits."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator

from jaxlm.data_pipelines.cutting import TURNED
from jaxlm.data_pipelines.record import Origin, Record


class Findings:
    """Gathers the origins of faces while a set is prepared; `lines` tells what people should know of them.

    Nothing of it is an error. A face that its photo cuts has points beyond the border. Published sets hold faces and
    photos twice, and must be prepared as they are for their numbers to be comparable.
    """

    def __init__(self) -> None:
        self._faces: list[tuple[str, str, str, int, Origin]] = []

    def noting(self, split: str, records: Iterable[Record]) -> Iterator[Record]:
        """The records of a split, each noted as it passes."""
        for record in records:
            if record.origin is not None:
                self.add(split, record.name, record.group, len(record.points), record.origin)
            yield record

    def add(self, split: str, name: str, group: str, points: int, origin: Origin) -> None:
        """Notes a face of `points` points."""
        self._faces.append((split, name, group, points, origin))

    def lines(self) -> list[str]:
        """A line for each thing that was found."""
        return [*self._beyond(), *self._twice(), *self._leaks()]

    def _beyond(self) -> Iterator[str]:
        outside = [(name, origin.outside) for _, name, _, _, origin in self._faces if origin.outside]
        if outside:
            total = sum(points for *_, points, _ in self._faces)
            yield (
                f"Outside: {sum(count for _, count in outside)} of {total} points, of {len(outside)} faces, lie beyond"
                f" the borders of their photos and are kept, {outside[0][0]} first."
            )
        turned = [name for _, name, _, _, origin in self._faces if origin.turned]
        if turned:
            yield f"Turned: {len(turned)} of these faces, {turned[0]} first: {TURNED}."
        astray = [name for _, name, _, _, origin in self._faces if origin.astray]
        if astray:
            yield (
                f"Boxes: {len(astray)} faces, {astray[0]} first, have most of their points outside of their face box,"
                " whose values are x1 y1 x2 y2."
            )

    def _twice(self) -> Iterator[str]:
        """Faces, and photos in several groups, that one split has more than once."""
        faces: dict[tuple[str, str, str], list[str]] = collections.defaultdict(list)
        groups: dict[tuple[str, str], dict[str, str]] = collections.defaultdict(dict)
        for split, name, group, _, origin in self._faces:
            faces[split, origin.photo, origin.face].append(name)
            groups[split, origin.photo].setdefault(group, name)
        same = [(split, names) for (split, *_), names in faces.items() if len(names) > 1]
        if same:
            extra = sum(len(names) - 1 for _, names in same)
            split, names = same[0]
            yield (
                f"Twice: {extra} faces repeat another of their split, the same points in the same photo, as"
                f" {names[0]} and {names[1]} in {split}; each counts every time."
            )
        apart = [(split, list(names.values())) for (split, _), names in groups.items() if len(names) > 1]
        if apart:
            split, names = apart[0]
            yield (
                f"Groups: {len(apart)} photos are in several groups, as {names[0]} and {names[1]} in {split}; faces"
                " held out from training may show photos that it sees."
            )

    def _leaks(self) -> Iterator[str]:
        """Photos and faces that stand in two splits."""
        photos: dict[str, dict[str, str]] = collections.defaultdict(dict)
        faces: dict[tuple[str, str], dict[str, str]] = collections.defaultdict(dict)
        for split, name, _, _, origin in self._faces:
            photos[origin.photo].setdefault(split, name)
            faces[origin.photo, origin.face].setdefault(split, name)
        pairs: dict[tuple[str, str], list[tuple[str, str]]] = collections.defaultdict(list)
        for names in photos.values():
            for one, two in itertools.combinations(names, 2):
                pairs[one, two].append((names[one], names[two]))
        for (one, two), examples in pairs.items():
            equal = sum(one in names and two in names for names in faces.values())
            points = f", {equal} faces with the same points" if equal else ""
            yield (
                f"WARNING: {one} and {two} share {len(examples)} photos{points}: {examples[0][0]} in {one} is"
                f" {examples[0][1]} in {two}. Errors on faces that were trained on are too low."
            )
