"""Prepares a data set: `python -m data_pipelines.prepare NAME --source DIR --data-dir DIR`; see --help.

Cuts a frame of every face, over all cores, and writes a TFDS set that needs no TensorFlow to read. The set is built in
a folder of its own and moved into place when it is whole, so an interrupted run leaves no half-written set: run the
same command again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import absl.logging
import numpy as np
import tyro

from jaxlm.data_pipelines.faces import YAW_BINS, Faces, join, subset_masks
from jaxlm.data_pipelines.prepared import SCHEME_FILE, SPLIT_UNIONS, open_splits, set_folder, write_labels, write_pack
from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.source import BadFaceError, Source
from jaxlm.data_pipelines.sources.aflw2000 import AFLW2000
from jaxlm.data_pipelines.sources.annotation_pickle import AnnotationPickle
from jaxlm.data_pipelines.sources.catalogue import AFLW2K3D, The300WLP
from jaxlm.data_pipelines.sources.face_synthetics import FaceSynthetics
from jaxlm.data_pipelines.sources.ibug300w import IBUG300W
from jaxlm.data_pipelines.sources.points_table import PointsTable
from jaxlm.data_pipelines.sources.styled import Styled
from jaxlm.data_pipelines.sources.synthetic import Synthetic
from jaxlm.data_pipelines.sources.wflw import WFLW
from jaxlm.drawing import pictures
from jaxlm.landmarks import load_scheme

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

SHEET_FACES = 24

TYRO = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.CascadeSubcommandArgs,
    tyro.conf.FlagCreatePairsOff,
)

AnySource = (
    Annotated[WFLW, tyro.conf.subcommand("wflw")]
    | Annotated[IBUG300W, tyro.conf.subcommand("ibug300w")]
    | Annotated[PointsTable, tyro.conf.subcommand("points_table")]
    | Annotated[FaceSynthetics, tyro.conf.subcommand("face_synthetics")]
    | Annotated[AFLW2000, tyro.conf.subcommand("aflw2000")]
    | Annotated[AFLW2K3D, tyro.conf.subcommand("aflw2k3d")]
    | Annotated[The300WLP, tyro.conf.subcommand("the300w_lp")]
    | Annotated[AnnotationPickle, tyro.conf.subcommand("annotation_pickle")]
    | Annotated[Synthetic, tyro.conf.subcommand("synthetic")]
    | Annotated[Styled, tyro.conf.subcommand("styled")]
)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to prepare a set.

    Attributes:
      data_dir: Folder of all prepared sets; this one lands in its NAME/256px/1.1.0.
      frame_size: Width and height of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square; with 2 the box fills the central
        half.
      skip_bad: Leave out faces that cannot be used, and list them at the end, instead of stopping at the first.
      overwrite: Prepare the set again although it is there; the old one stays until the new one is whole.
      pack: Also write all frames and labels as one .npz file, for machines without TensorFlow.
      beam: Make the records on Apache Beam, on many machines that share the folders; see requirements-beam.txt.
      beam_options: Of the pipeline, for example runner=FlinkRunner flink_master=HOST:8081.
    """

    data_dir: Path
    frame_size: int = 256
    margin: float = 2.0
    skip_bad: bool = False
    overwrite: bool = False
    pack: Path | None = None
    beam: bool = False
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.beam and not importlib.util.find_spec("apache_beam"):
            raise ValueError("--beam needs Apache Beam: pip install -r requirements-beam.txt")
        if self.beam_options and not self.beam:
            raise ValueError("--beam-options are for --beam")
        if self.frame_size < 1 or self.margin <= 0:
            raise ValueError("--frame-size and --margin must be greater than 0")
        if self.pack and self.pack.suffix != ".npz":
            raise ValueError(f"--pack {self.pack}: the name of a pack ends in .npz")


@dataclasses.dataclass(frozen=True)
class Request:
    """Prepares a data set of faces with landmarks.

    Attributes:
      source: The data set.
      preparation: How to prepare it.
    """

    source: AnySource
    preparation: Options


def prepare(source: Source, options: Options) -> Path:
    """Prepares a set, unless it is there, and prints what it holds.

    Returns:
      The folder of the set.

    Raises:
      BadFaceError: A face cannot be used, and `skip_bad` is off.
      FileNotFoundError: The source's files are missing.
    """
    folder = set_folder(options.data_dir, source.name, options.frame_size, options.margin)
    if folder.exists() and not options.overwrite:
        print(f"{source.name} is already prepared; --overwrite prepares it again.")
    else:
        skipped = build(source, options, folder)
        print("\n  ".join([f"Skipped {len(skipped)} bad faces.", *skipped]))
    splits = open_splits(f"{source.name}/{folder.parent.name}", options.data_dir)
    print(count_table(splits))
    print(f"Set: {folder}\nContact sheet: {folder / 'contact_sheet.png'}")
    if options.pack:
        write_pack(options.pack, splits)
        print(f"Pack: {options.pack}")
    return folder


def build(source: Source, options: Options, folder: Path) -> list[str]:
    """Builds the set in a folder of its own and moves it to `folder`.

    Returns:
      The errors of the faces left out.
    """
    import tensorflow_datasets as tfds

    from jaxlm.data_pipelines.builder import FaceBuilder

    skipped = []

    def on_bad(error: BadFaceError) -> None:
        if not options.skip_bad:
            raise error
        skipped.append(str(error))

    unfinished = options.data_dir / f".incomplete-{source.name}-{folder.parent.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    tfds.disable_progress_bar()
    try:
        builder = FaceBuilder(source, unfinished, options.frame_size, options.margin, on_bad, options.beam)
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS talks of downloads.
            builder.download_and_prepare(download_config=_beam_config(options.beam_options) if options.beam else None)
        if source.scheme.endswith(".toml"):
            shutil.copyfile(source.scheme, builder.data_path / SCHEME_FILE)
        write_labels(builder.data_path)
        faces = join(list(open_splits(source.name, unfinished).values()))
        pictures.save_image(builder.data_path / "contact_sheet.png", sheet_of(faces))
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        Path(builder.data_dir).replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return skipped


def _beam_config(options: Sequence[str]) -> tfds.download.DownloadConfig:
    """How TFDS is to run a pipeline with options NAME=VALUE."""
    import tensorflow_datasets as tfds
    from apache_beam.options.pipeline_options import PipelineOptions

    return tfds.download.DownloadConfig(beam_options=PipelineOptions([f"--{option}" for option in options]))


def sheet_of(faces: Faces) -> np.ndarray:
    """A picture of up to 24 frames, evenly spaced over the faces, with their landmarks drawn; RGB uint8 [H, W, 3]."""
    chosen = np.linspace(0, len(faces) - 1, min(len(faces), SHEET_FACES)).astype(int)
    return pictures.contact_sheet(faces.images(chosen), faces.points[chosen], load_scheme(faces.scheme))


def count_table(splits: Mapping[str, Faces]) -> str:
    """The number of faces in each split and, where there are attributes or yaws, in each subset."""
    rows = dict(splits)
    for name, union in SPLIT_UNIONS.items():
        if all(split in splits for split in union.split("+")):
            rows[name] = join([splits[split] for split in union.split("+")])
    everything = subset_masks(join(list(splits.values())))
    groups = [group for group in (ATTRIBUTES, YAW_BINS) if any(everything[name].any() for name in group)]
    columns = [name for group in groups for name in group]
    table = [("split", "faces", *columns)]
    for split, faces in rows.items():
        masks = subset_masks(faces)
        table.append((split, str(len(faces)), *(str(masks[name].sum()) for name in columns)))
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; errors of the input end it with their message."""
    logging.basicConfig(format="%(message)s")
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns that its configuration is custom.
    try:
        request = tyro.cli(Request, prog="python -m data_pipelines.prepare", args=arguments, config=TYRO)
        prepare(request.source, request.preparation)
    except BadFaceError as error:
        sys.exit(f"error: {error}\nNothing was written. Correct it, or leave such faces out with --skip-bad.")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted, nothing was written; run the same command again.")


if __name__ == "__main__":
    main()
