"""Prepares a data set: `jaxlm prepare NAME --source DIR --data-dir DIR`; see --help.

A frame of every face is cut, on all cores. The faces become a set that TensorFlow Datasets reads (--data-dir), one
.npz file that needs no TensorFlow at all (--pack FILE.npz), or both. A set or a pack appears only when it is whole, so
an interrupted run leaves none: run the same command again.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union

import numpy as np
import tyro

from jaxlm.data_pipelines import overview
from jaxlm.data_pipelines.faces import Faces, faces_of_records
from jaxlm.data_pipelines.labelling.named_points import made_scheme
from jaxlm.data_pipelines.labelling.named_schemes import write_scheme_file
from jaxlm.data_pipelines.optional import load_tfds
from jaxlm.data_pipelines.prepared import check_pack_name, open_splits, set_folder, write_pack
from jaxlm.data_pipelines.preparing.findings import Findings
from jaxlm.data_pipelines.preparing.stamps import check_unchanged
from jaxlm.data_pipelines.preparing.stopping import told_signals
from jaxlm.data_pipelines.preparing.targets import alone_with, check_pack, write_sheet
from jaxlm.data_pipelines.selection import join
from jaxlm.data_pipelines.source import BadFaceError, OnBad, Source, good_records
from jaxlm.data_pipelines.sources import check_spelling, find_sources
from jaxlm.data_pipelines.stored.labels import MOST_FRAME
from jaxlm.landmarks import Scheme, load_scheme

MOST_MARGIN = 100.0

TYRO = (
    tyro.conf.OmitArgPrefixes,
    tyro.conf.OmitSubcommandPrefixes,
    tyro.conf.CascadeSubcommandArgs,
    tyro.conf.FlagCreatePairsOff,
)


@dataclasses.dataclass(frozen=True)
class Options:
    """How to prepare it.

    Attributes:
      data_dir: Folder of all prepared sets; this one lands in its NAME/256px/1.1.0. May be left out where --pack is
        given.
      frame_size: Width and height of a frame in pixels.
      margin: Side of the region a frame shows, in sides of the face box made square; with 2 the box fills the central
        half.
      skip_bad: Leave out faces that cannot be used, and list them at the end, instead of stopping at the first.
      overwrite: Prepare the set again although it is there; the old one stays until the new one is whole.
      pack: Write all frames and labels as one .npz file, for machines without TensorFlow; without --data-dir, nothing
        else is written.
      beam: Make the records on Apache Beam, on many machines that share the folders; pip install "jaxlm[beam]".
      beam_options: Options of the pipeline, for example runner=FlinkRunner flink_master=HOST:8081.
    """

    data_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    frame_size: int = 256
    margin: float = 2.0
    skip_bad: bool = False
    overwrite: bool = False
    pack: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    beam: bool = False
    beam_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.data_dir is None and self.pack is None:
            raise ValueError("give --data-dir DIR, --pack FILE.npz, or both")
        if self.beam and self.data_dir is None:
            raise ValueError("--beam writes a set; give its --data-dir")
        if self.beam and not importlib.util.find_spec("apache_beam"):
            raise ValueError('--beam needs Apache Beam: pip install "jaxlm[beam]"')
        if self.beam_options and not self.beam:
            raise ValueError("--beam-options are for --beam")
        if not 1 <= self.frame_size <= MOST_FRAME:
            raise ValueError(f"--frame-size must be 1 to {MOST_FRAME}, not {self.frame_size}")
        if not 0 < self.margin <= MOST_MARGIN:
            raise ValueError(f"--margin must be above 0 and at most {MOST_MARGIN}, not {self.margin}")
        if self.pack is not None:
            check_pack_name(self.pack)


def prepare(source: Source, options: Options) -> Path:
    """Prepares a set, a pack or both, unless it is there, and prints what it holds.

    Returns:
      The folder of the set; the pack where there is no `data_dir`.

    Raises:
      BadFaceError: A face cannot be used, and `skip_bad` is off.
      BlockingIOError: Another process prepares the same set.
      OSError: The source's files are missing, or the pack cannot be written.
      ImportError: There is a `data_dir`, and TensorFlow Datasets is not installed.
      ValueError: Not one face of a split can be used; another file has the name of the pack, of its contact sheet or
        of the scheme made of names; or the set is there, and its files have changed since.
    """
    made = made_scheme(source, options.pack, options.data_dir)
    if options.data_dir is not None:
        place = _prepare_set(source, options, options.data_dir)
    else:
        assert options.pack is not None  # Options refuses to have neither.
        place = _prepare_pack(source, options, options.pack)
    if made is not None:
        print("\n".join(write_scheme_file(*made)))
    return place


def _prepare_set(source: Source, options: Options, data_dir: Path) -> Path:
    load_tfds("preparing a set (--data-dir; a pack alone, --pack, does not)")
    if options.pack is not None:
        check_pack(options.pack, options.overwrite)
    folder = set_folder(data_dir, source.name, options.frame_size, options.margin)
    findings = Findings()
    if (folder / "dataset_info.json").exists() and not options.overwrite:
        print(f"{source.name} is already prepared, {check_unchanged(source, folder)}; --overwrite prepares it again.")
    elif folder.exists() and not (folder / "dataset_info.json").exists():
        raise ValueError(f"{folder} is there already and is no prepared set; move it away, or take another --data-dir")
    else:
        from jaxlm.data_pipelines.builder import write_set  # It needs TFDS.

        on_bad, skipped = _bad_faces(options)
        beam = options.beam_options if options.beam else None
        with alone_with(folder, data_dir):
            splits = source.read(on_bad)
            write_set(source, splits, data_dir, options.frame_size, options.margin, on_bad, findings, beam)
        _print_skipped(skipped)
    faces = open_splits(f"{source.name}/{folder.parent.name}", data_dir)
    _print_counts(faces, findings)
    print(f"Set: {folder}\nContact sheet: {folder / 'contact_sheet.png'}")
    if options.pack:
        write_pack(options.pack, faces)
        print(f"Pack: {options.pack}")
    return folder


def _prepare_pack(source: Source, options: Options, pack: Path) -> Path:
    sheet = pack.with_suffix(".png")
    check_pack(pack, options.overwrite, sheet, getattr(source, "source", None))
    size, margin = options.frame_size, options.margin
    on_bad, skipped = _bad_faces(options)
    splits, findings = {}, Findings()
    for split, labels in source.read(on_bad).items():
        made = good_records(source, split, labels, size, margin, on_bad)
        records = list(findings.noting(split, made))
        splits[split] = faces_of_records(records, source.name, split, source.scheme, size, margin, source.box)
    write_pack(pack, splits)
    write_sheet(sheet, overview.contact_sheet(join(list(splits.values()))))
    _print_skipped(skipped)
    _print_counts(splits, findings)
    print(f"Pack: {pack}\nContact sheet: {sheet}")
    return pack


def _bad_faces(options: Options) -> tuple[OnBad, list[str]]:
    """The function to call with the error of a bad face, and the list of errors that it fills with --skip-bad."""
    skipped: list[str] = []

    def on_bad(error: BadFaceError) -> None:
        if not options.skip_bad:
            raise error
        skipped.append(str(error))

    return on_bad, skipped


def _print_counts(splits: Mapping[str, Faces], findings: Findings) -> None:
    """Prints the table of faces, how many points have no place, and what people should know of the faces."""
    print(overview.count_table(splits))
    hidden = np.concatenate([np.isnan(faces.points).any(-1) for faces in splits.values()])
    if hidden.any():
        print(f"Hidden: {hidden.sum()} of {hidden.size} points, in {hidden.any(-1).sum()} faces, have no place.")
    for line in findings.lines():
        print(line)


def _print_skipped(errors: Sequence[str]) -> None:
    print("\n  ".join([f"Skipped {len(errors)} bad faces.", *errors]))


def parse_arguments(arguments: Sequence[str] | None = None, prog: str = "jaxlm prepare") -> tuple[Source, Options]:
    """The source and the options that a command line names; what is wrong with it ends the program."""
    try:
        check_spelling(list(sys.argv[1:] if arguments is None else arguments), Options)
    except ValueError as error:
        sys.exit(f"{prog}: error: {error}")
    commands = [Annotated[cls, tyro.conf.subcommand(name)] for name, cls in find_sources().items()]
    request: Any = dataclasses.make_dataclass(
        "Request",
        [("source", Union[tuple(commands)]), ("preparation", Options)],  # noqa: UP007
        namespace={"__doc__": _REQUEST},
    )
    parsed = tyro.cli(request, prog=prog, args=arguments, config=TYRO, registry=_schemes_as_text())
    return parsed.source, parsed.preparation


def _schemes_as_text() -> tyro.constructors.ConstructorRegistry:
    """Rules for tyro: an option of type `Scheme` is read by `load_scheme`."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Scheme] | None:
        if info.type is not Scheme:
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="SCHEME",
            instance_from_str=lambda texts: load_scheme(texts[0]),
            is_instance=lambda value: isinstance(value, Scheme),
            str_from_instance=lambda scheme: [scheme.name],
        )

    return registry


_REQUEST = """Prepares a data set of faces with landmarks.

Attributes:
  source: The data set.
  preparation: How to prepare it.
"""


def main(arguments: Sequence[str] | None = None, prog: str = "jaxlm prepare") -> None:
    """The command line, called `prog`; errors of the input end it with their message."""
    logging.basicConfig(format="%(message)s")
    try:
        with told_signals():
            prepare(*parse_arguments(arguments, prog))
    except BadFaceError as error:
        sys.exit(f"error: {error}\nNothing was written. Correct it, or leave such faces out with --skip-bad.")
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    except RuntimeError as error:  # What writes sets says so of a full disk, and of another process in the folder.
        sys.exit(f"error: the set could not be written: {str(error).strip().splitlines()[0][:300]}")


if __name__ == "__main__":
    main(prog=f"python -m {__spec__.name}")
