"""Writes a prepared set: the records that a source makes, as TFDS stores them."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import absl.logging
import tensorflow_datasets as tfds

from jaxlm.data_pipelines import overview, record
from jaxlm.data_pipelines.prepared import SCHEME_FILE, open_splits, set_folder, variant_name, write_labels
from jaxlm.data_pipelines.preparing.findings import Findings
from jaxlm.data_pipelines.preparing.stamps import stamp_of, write_stamp
from jaxlm.data_pipelines.selection import join
from jaxlm.data_pipelines.source import OnBad, Source, good_records
from jaxlm.drawing import pictures
from jaxlm.landmarks import is_built_in
from jaxlm.landmarks.scheme import to_toml

if TYPE_CHECKING:
    import apache_beam as beam

BUCKETS = 64
"""Number of temporary files that gather a set too large for memory before it is written."""


class FaceBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]  # No stubs.
    """Writes the faces of a source as TFDS records that can be read by index without TensorFlow.

    Sets differ in their sources only, so one class serves all; an instance takes the source's name. A set lands in
    DATA_DIR/NAME/256px/1.1.0, its faces in the order of the source.
    """

    VERSION = tfds.core.Version(record.VERSION)
    code_path = None  # Otherwise TFDS looks for checksums of downloads, with a package that it does not install.

    def __init__(
        self,
        source: Source,
        splits: Mapping[str, Sequence[Any]],
        data_dir: Path,
        frame_size: int,
        margin: float,
        on_bad: OnBad,
        findings: Findings,
        beam: bool = False,
    ) -> None:
        """Prepares nothing yet; `download_and_prepare` does.

        Args:
          source: Where the faces come from.
          splits: The labels that the source has read.
          data_dir: Folder of all prepared sets.
          frame_size: Width and height of a frame in pixels.
          margin: Side of the region a frame shows, in sides of the face box made square.
          on_bad: Called with the error of each face that cannot be used; what it raises ends the preparation.
          findings: Gets the origin of each face.
          beam: Make the records on Apache Beam, by the options in TFDS's download config; `on_bad` is then called
            when all other faces are written.
        """
        self.name = source.name
        self._source = source
        self._splits = splits
        self._findings = findings
        self._frame_size = frame_size
        self._margin = margin
        self._on_bad = on_bad
        self._beam = beam
        self._told: dict[str, Path] = {}
        self._shared = data_dir.absolute()
        description = f"{source.name}: frames of {frame_size} x {frame_size} pixels that show {margin:g} x the face box"
        config = tfds.core.BuilderConfig(name=variant_name(frame_size, margin), description=description)
        super().__init__(data_dir=data_dir, config=config, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        scheme = self._source.scheme
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.builder_config.description,
            features=record.features(self._frame_size, scheme.num_points),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(
                scheme=scheme.name if is_built_in(scheme) else SCHEME_FILE,
                frame_size=self._frame_size,
                margin=self._margin,
                box=self._source.box,
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del dl_manager
        return {split: self._generate_examples(split, labels) for split, labels in self._splits.items()}

    def _generate_examples(
        self, split: str, labels: Sequence[Any]
    ) -> Iterator[tuple[int, dict[str, Any]]] | beam.PTransform:
        return self._on_beam(split, len(labels)) if self._beam else self._on_this_machine(split, labels)

    def _on_beam(self, split: str, count: int) -> beam.PTransform:
        from jaxlm.data_pipelines import beam_records

        file = self._shared / f"bad_faces_{split}.json"
        self._told[split] = file
        return beam_records.Examples(self._source, split, count, self._frame_size, self._margin, file)

    def _process_pipeline_result(self, pipeline_result: beam.runners.runner.PipelineResult) -> None:
        """TFDS calls this when the pipeline is done."""
        from jaxlm.data_pipelines import beam_records

        del pipeline_result
        for split, file in self._told.items():
            for error in beam_records.read_bad_faces(file):
                self._on_bad(error)
            beam_records.note(self._findings, split, file)

    def _on_this_machine(self, split: str, labels: Sequence[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
        made = good_records(self._source, split, labels, self._frame_size, self._margin, self._on_bad)
        for index, each in enumerate(self._findings.noting(split, made)):
            yield sort_key(index, len(labels)), record.encode(each)


def sort_key(index: int, count: int) -> int:
    """The key by which TFDS sorts face `index` of at most `count`.

    TFDS splits a set of more than 1 GB into temporary files by the leading bits of its 128-bit keys, and sorts each
    file in memory. Keys 0, 1, 2, ... would all go to one file, and the whole set would have to fit into memory.
    """
    return (index * BUCKETS // count << 122) + index


def write_set(
    source: Source,
    splits: Mapping[str, Sequence[Any]],
    data_dir: Path,
    frame_size: int,
    margin: float,
    on_bad: OnBad,
    findings: Findings,
    beam_options: Sequence[str] | None = None,
) -> None:
    """Builds a set in a folder of its own, with its labels and contact sheet, and moves it into place when it is whole.

    Args:
      source: Where the faces come from.
      splits: The labels that the source has read.
      data_dir: Folder of all prepared sets.
      frame_size: Width and height of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square.
      on_bad: Called with the error of each face that cannot be used; what it raises ends the preparation.
      findings: Gets the origin of each face.
      beam_options: Options NAME=VALUE of a pipeline on Apache Beam; None works on this machine.

    Raises:
      ValueError: Not one face of a split can be used.
    """
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns that its configuration is custom.
    tfds.disable_progress_bar()
    folder = set_folder(data_dir, source.name, frame_size, margin)
    unfinished = data_dir / f".incomplete-{source.name}-{folder.parent.name}"
    stamp = stamp_of(source, splits)
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        beam = beam_options is not None
        builder = FaceBuilder(source, splits, unfinished, frame_size, margin, on_bad, findings, beam)
        config = None if beam_options is None else _beam_config(beam_options)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS talks of downloads.
            builder.download_and_prepare(download_config=config)
        if not is_built_in(source.scheme):
            (builder.data_path / SCHEME_FILE).write_text(to_toml(source.scheme), encoding="utf-8")
        write_labels(builder.data_path)
        write_stamp(builder.data_path, stamp)
        faces = join(list(open_splits(source.name, unfinished).values()))
        pictures.save_image(builder.data_path / "contact_sheet.png", overview.contact_sheet(faces))
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            folder.replace(unfinished / "replaced")  # Deleting takes longer, and a kill would leave half a set.
        Path(builder.data_dir).replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _beam_config(options: Sequence[str]) -> tfds.download.DownloadConfig:
    """The config for TFDS of a pipeline with options NAME=VALUE."""
    from apache_beam.options.pipeline_options import PipelineOptions

    return tfds.download.DownloadConfig(beam_options=PipelineOptions([f"--{option}" for option in options]))
