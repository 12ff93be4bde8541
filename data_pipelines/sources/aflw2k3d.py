"""AFLW2000-3D from the TFDS catalogue, downloaded before: `tfds build aflw2k3d`."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

from jaxlm.data_pipelines.cutting import LANDMARK_BOX, cut_face, decode_photo
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.source import BadFaceError, OnBad
from jaxlm.data_pipelines.sources.aflw2000 import split_validation
from jaxlm.data_pipelines.tfrecords import Example, face_label, find_examples, parse, told
from jaxlm.landmarks import IBUG68, Scheme


@dataclasses.dataclass(frozen=True)
class AFLW2K3D:
    """AFLW2000-3D from the TFDS catalogue, without yaws; prefer `aflw2000` if you have the .mat files.

    Attributes:
      source: Data folder of TFDS, often ~/tensorflow_datasets.
    """

    source: Path

    name: typing.ClassVar[str] = "aflw2k3d"
    scheme: typing.ClassVar[Scheme] = IBUG68
    box: typing.ClassVar[str] = LANDMARK_BOX

    def read(self, on_bad: OnBad) -> dict[str, list[Example]]:
        """The faces of `validation` and `test`; both splits have the same faces as those of `aflw2000`.

        Raises:
          FileNotFoundError: The set has not been downloaded.
          ValueError: The set's files are damaged, or not TFRecords.
        """
        examples, images = [], []
        for example in find_examples(self.source, self.name):
            try:
                features = parse(example)
                with told(example):
                    images.append(features.one("image"))
            except BadFaceError as error:
                on_bad(error)
                continue
            examples.append(example)
        return split_validation(examples, images)

    def to_record(self, label: Example, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one example; see `cutting.cut_face`."""
        features = parse(label)
        with told(label):
            image, landmarks = features.one("image"), features.floats("landmarks_68_3d_xy_normalized")
        face = face_label(label, f"{self.name}/{label.number:06d}", landmarks)
        return cut_face(face, decode_photo(image, face.image, face.where), frame_size, margin)
