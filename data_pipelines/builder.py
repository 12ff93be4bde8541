"""The TFDS builder of every prepared set: writes the records that a source makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow_datasets as tfds
import tqdm

from jaxlm.data_pipelines import record
from jaxlm.data_pipelines.prepared import variant_name
from jaxlm.data_pipelines.source import BadFaceError, OnBad, Source, records
from jaxlm.landmarks import load_scheme

if TYPE_CHECKING:
    import apache_beam as beam

BUCKETS = 64
"""Files that a set too large for memory is gathered in before it is written."""


class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the faces of a source as TFDS records that can be read by index without TensorFlow.

    One class serves all sets, since they differ in their sources only; the instance takes the source's name. A set
    lands in DATA_DIR/NAME/256px/1.1.0, its faces in the order of the source.
    """

    VERSION = tfds.core.Version(record.VERSION)
    code_path = None  # Beside it TFDS would look for checksums of downloads, with a package it does not install.

    def __init__(
        self, source: Source, data_dir: Path, frame_size: int, margin: float, on_bad: OnBad, beam: bool = False
    ) -> None:
        """Prepares nothing yet; see `download_and_prepare`.

        Args:
          source: Where the faces come from.
          data_dir: Folder of all prepared sets.
          frame_size: Width and height of a frame in pixels.
          margin: Side of the region a frame shows, in sides of the face box made square.
          on_bad: Called with the error of each face that cannot be used; what it raises ends the preparation.
          beam: Make the records on Apache Beam, by the options in TFDS's download config, and tell of bad faces when
            all others are written.
        """
        self.name = source.name
        self._source = source
        self._frame_size = frame_size
        self._margin = margin
        self._on_bad = on_bad
        self._beam = beam
        self._bad_faces: list[Path] = []
        self._shared = data_dir.absolute()
        description = f"{source.name}: frames of {frame_size} x {frame_size} pixels that show {margin:g} x the face box"
        config = tfds.core.BuilderConfig(name=variant_name(frame_size, margin), description=description)
        super().__init__(data_dir=data_dir, config=config, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        scheme = self._source.scheme
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.builder_config.description,
            features=record.features(self._frame_size, load_scheme(scheme).num_points),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(
                scheme=Path(scheme).name,
                frame_size=self._frame_size,
                margin=self._margin,
                box=self._source.box,
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager
        splits = self._source.read(self._on_bad)
        return {split: self._generate_examples(split, labels) for split, labels in splits.items()}

    def _generate_examples(
        self, split: str, labels: Sequence[Any]
    ) -> Iterator[tuple[int, dict[str, Any]]] | beam.PTransform:
        return self._on_beam(split, len(labels)) if self._beam else self._on_this_machine(split, labels)

    def _on_beam(self, split: str, count: int) -> beam.PTransform:
        from jaxlm.data_pipelines import beam_records

        file = self._shared / f"bad_faces_{split}.json"
        self._bad_faces.append(file)
        return beam_records.Examples(self._source, split, count, self._frame_size, self._margin, file)

    def _process_pipeline_result(self, pipeline_result: beam.runners.runner.PipelineResult) -> None:
        """TFDS calls this when the pipeline is done."""
        from jaxlm.data_pipelines import beam_records

        del pipeline_result
        for file in self._bad_faces:
            for error in beam_records.read_bad_faces(file):
                self._on_bad(error)

    def _on_this_machine(self, split: str, labels: Sequence[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        written = 0
        with records(self._source, labels, self._frame_size, self._margin) as results:
            for result in tqdm.tqdm(results, desc=split, total=len(labels), unit=" faces"):
                if isinstance(result, BadFaceError):
                    self._on_bad(result)
                else:
                    yield sort_key(written, len(labels)), record.encode(result)
                    written += 1
        if not written:
            raise ValueError(f"split {split} of {self.name}: not one of its {len(labels)} faces can be used")


def sort_key(index: int, count: int) -> int:
    """The key under which TFDS sorts face `index` of at most `count`.

    TFDS gathers a set of more than 1 GB in files by the leading part of its 128-bit keys, and then sorts each file in
    memory. Keys that merely count would all go to one file, hence the whole set into memory.
    """
    return (index * BUCKETS // count << 122) + index
