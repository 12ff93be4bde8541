"""Makes records on Apache Beam, for sets too large for one machine; `builder` imports this only for --beam."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam

from jaxlm.data_pipelines import record
from jaxlm.data_pipelines.preparing.findings import Findings
from jaxlm.data_pipelines.source import BadFaceError, Source, checked_record

_GOOD, _BAD, _NOTED = "good", "bad", "noted"


class Examples(beam.PTransform):
    """Makes the examples of a split as pairs (index, example), and writes what is to be told to a file.

    The index is that of the face among the split's labels. TFDS sorts by it, so the set has the order of the source.

    Args:
      source: Where the faces come from; every worker reads the source's files itself.
      split: Name of the split.
      count: Number of labels in the split.
      frame_size: Width and height of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square.
      told: File of the bad faces, see `read_bad_faces`; `.noted` behind its name is that of `note`.
    """

    def __init__(self, source: Source, split: str, count: int, frame_size: int, margin: float, told: Path) -> None:
        super().__init__()
        self._make = MakeExamples(source, split, frame_size, margin)
        self._count = count
        self._told = told

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        indices = pipeline | beam.Create(range(self._count), reshuffle=True)
        made = indices | "Make" >> beam.ParDo(self._make).with_outputs(_BAD, _NOTED, main=_GOOD)
        for tag, file in ((_BAD, self._told), (_NOTED, _noted_beside(self._told))):
            _ = made[tag] | f"Gather {tag}" >> beam.combiners.ToList() | f"Write {tag}" >> beam.Map(_write, file=file)
        return made[_GOOD]


class MakeExamples(beam.DoFn):
    """Makes the examples of faces by their index; a bad face gives (index, text of the error) instead.

    What `findings` notes of a good face comes beside it.
    """

    def __init__(self, source: Source, split: str, frame_size: int, margin: float) -> None:
        self._source = source
        self._split = split
        self._frame_size = frame_size
        self._margin = margin

    def setup(self) -> None:
        # Labels do not travel with the transform, whose size runners limit.
        self._labels = self._source.read(lambda error: None)[self._split]
        self._scheme = self._source.scheme

    def process(self, index: int) -> Iterator[tuple[int, dict[str, Any]] | beam.pvalue.TaggedOutput]:
        try:
            made = checked_record(self._source, self._scheme, self._frame_size, self._margin, self._labels[index])
        except BadFaceError as error:
            yield beam.pvalue.TaggedOutput(_BAD, (index, str(error)))
        else:
            yield index, record.encode(made)
            if made.origin is not None:
                noted = (made.name, made.group, len(made.points), made.origin)
                yield beam.pvalue.TaggedOutput(_NOTED, (index, noted))


def _write(told: Sequence[tuple[int, Any]], file: Path) -> None:
    file.write_text(json.dumps(sorted(told)))


def _noted_beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.noted")


def read_bad_faces(file: Path) -> list[BadFaceError]:
    """The errors of a split's bad faces, in the order of its labels."""
    return [BadFaceError(text) for _, text in json.loads(file.read_text())]


def note(findings: Findings, split: str, file: Path) -> None:
    """Adds to `findings` what the workers noted of a split's faces."""
    for _, (name, group, points, origin) in json.loads(_noted_beside(file).read_text()):
        findings.add(split, name, group, points, record.Origin(*origin))
