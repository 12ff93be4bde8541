"""Synthetic faces: faces of the renderer, numbered and split."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from jaxlm.data_pipelines import synthetic
from jaxlm.data_pipelines.record import Record, encode_image
from jaxlm.data_pipelines.source import OnBad
from jaxlm.landmarks import WFLW98, Scheme


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Rendered faces, without any files.

    Attributes:
      train_faces: Number of training faces.
      test_faces: Number of test faces.
      seed: Seed of all faces.
    """

    train_faces: int = 6000
    test_faces: int = 1000
    seed: int = 0

    name: typing.ClassVar[str] = "synthetic"
    scheme: typing.ClassVar[Scheme] = WFLW98
    box: typing.ClassVar[str] = "the renderer's face box around the landmarks"

    def __post_init__(self) -> None:
        if self.train_faces < 1 or self.test_faces < 1:
            raise ValueError("--train-faces and --test-faces must be at least 1")

    def read(self, on_bad: OnBad) -> dict[str, range]:
        """The numbers of the faces in each split."""
        del on_bad
        return {
            "train": range(self.train_faces),
            "test": range(self.train_faces, self.train_faces + self.test_faces),
        }

    def to_record(self, label: int, frame_size: int, margin: float) -> Record:
        """Renders face number `label`; its frame is its own source photo."""
        face = synthetic.render(self.seed, label, frame_size, margin)
        return Record(
            image=encode_image(face.image),
            points=face.points.astype(np.float32),
            visible=face.visible,
            attributes=face.attributes,
            to_source=np.eye(2, 3, dtype=np.float32),
            name=f"face_{label:06d}",
            group=f"face_{label:06d}",
        )
