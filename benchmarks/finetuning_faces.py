"""The faces of the fine-tuning study: 12 of 300-W's points, and 30 points of rendered faces that 300-W lacks."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from jaxlm.data_pipelines import input as input_lib
from jaxlm.data_pipelines.cutting import BOX_SCALE, LANDMARK_BOX, Label, make_record
from jaxlm.data_pipelines.faces import Faces, faces_of_records
from jaxlm.data_pipelines.source import BadFaceError
from jaxlm.data_pipelines.sources.ibug300w import IBUG300W
from jaxlm.data_pipelines.sources.synthetic import Synthetic
from jaxlm.landmarks import IBUG68, WFLW98, Scheme, conversion, text_of
from jaxlm.landmarks.geometry import box_around

# Chin, tip and wings of the nose, corners of the eyes, corners and middle of the mouth.
TWELVE = (8, 30, 31, 35, 36, 39, 42, 45, 48, 51, 54, 57)
# Every other point of the face contour, the lower rims of the brows, the middles of the lids, the pupils.
THIRTY = tuple(sorted(set(range(WFLW98.num_points)) - set(conversion(WFLW98, IBUG68).tolist())))

JUDGES = "test"
"""The split that judges; the others, `seed0` and so on, each hold the pool in an order of their own."""

_FRAME, _MARGIN = 256, 2.0
_HELD_OUT = 10  # Per cent of 300-W's photos: those that the shipped weights were not trained on.
_LARGEST = 1000
_SEEDS = 3


def part_of(scheme: Scheme, points: Sequence[int], name: str) -> Scheme:
    """The scheme of some points of another one, which mirror onto each other."""
    place = {point: index for index, point in enumerate(points)}
    corners, pupils = scheme.eye_corners, scheme.pupils
    has_pupils = pupils is not None and all(point in place for pupil in pupils for point in pupil)
    return Scheme(
        name=name,
        flip=tuple(place[scheme.flip[point]] for point in points),
        eye_corners=tuple(place[corner] for corner in corners) if corners and set(corners) <= set(place) else None,
        pupils=tuple(tuple(place[point] for point in pupil) for pupil in pupils) if has_pupils else None,
        names=tuple(scheme.names[point] for point in points),
    )


_TWELVE = part_of(IBUG68, TWELVE, "twelve")
_THIRTY = part_of(WFLW98, THIRTY, "thirty")

SCHEMES = {"300w12": text_of(_TWELVE), "rendered30": text_of(_THIRTY)}
"""The text of each set's scheme, by the name of its pack."""


def photographed(source: pathlib.Path) -> tuple[Faces, Faces]:
    """Faces of 300-W with 12 points, to train on and to judge by; boxes and frames are made from the 12.

    Raises:
      FileNotFoundError, BadFaceError: See `IBUG300W.read` and `make_record`.
    """

    def reduced(label: Label) -> Label:
        points = label.points[list(TWELVE)]
        return dataclasses.replace(label, points=points, box=box_around(points, BOX_SCALE))

    def on_bad(error: BadFaceError) -> None:
        raise error

    labels = IBUG300W(source).read(on_bad)["train"]
    records = [make_record(reduced(label), _FRAME, _MARGIN) for label in labels]
    faces = faces_of_records(records, "300w12", "train", _TWELVE, _FRAME, _MARGIN, LANDMARK_BOX)
    return input_lib.hold_out(faces, _HELD_OUT)


def rendered(count: int, judges: int) -> tuple[Faces, Faces]:
    """Rendered faces with 30 points, to train on and to judge by."""
    source = Synthetic(train_faces=count, test_faces=judges)
    parts = []
    for split, numbers in source.read(lambda error: None).items():
        records = [source.to_record(number, _FRAME, _MARGIN) for number in numbers]
        whole = faces_of_records(records, "rendered30", split, WFLW98, _FRAME, _MARGIN, source.box)
        points, visible = whole.points[:, THIRTY], whole.visible[:, THIRTY]
        parts.append(dataclasses.replace(whole, scheme=_THIRTY, points=points, visible=visible))
    return parts[0], parts[1]


def write(pack: pathlib.Path, pool: Faces, judges: Faces) -> None:
    """Writes a pack of the judges and, for seeds 0 to 2, of 1,000 faces of the pool in an order that the seed draws.

    The first 20 of a split are a part of its first 50, and so on.
    """
    splits = {
        f"seed{seed}": pool.take(np.random.default_rng(seed).permutation(len(pool))[:_LARGEST])
        for seed in range(_SEEDS)
    }
    splits[JUDGES] = judges
    input_lib.write_pack(pack, {name: dataclasses.replace(faces, split=name) for name, faces in splits.items()})
