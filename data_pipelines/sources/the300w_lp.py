"""300W-LP from the TFDS catalogue, downloaded before: `tfds build the300w_lp`."""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from pathlib import Path

import numpy as np

from jaxlm.data_pipelines.cutting import LANDMARK_BOX, cut_face, decode_photo
from jaxlm.data_pipelines.record import Record
from jaxlm.data_pipelines.source import OnBad
from jaxlm.data_pipelines.sources.aflw2000 import wrap_degrees
from jaxlm.data_pipelines.tfrecords import Example, face_label, find_examples, parse, told
from jaxlm.landmarks import IBUG68, Scheme


@dataclasses.dataclass(frozen=True)
class The300WLP:
    """300W-LP (Zhu et al., CVPR 2016) from the TFDS catalogue: photos of 300-W, turned to large poses by a 3-D model.

    Attributes:
      source: Data folder of TFDS, often ~/tensorflow_datasets.
    """

    source: Path

    name: typing.ClassVar[str] = "the300w_lp"
    scheme: typing.ClassVar[Scheme] = IBUG68
    box: typing.ClassVar[str] = LANDMARK_BOX

    def read(self, on_bad: OnBad) -> dict[str, list[Example]]:
        """All faces in `train`.

        Raises:
          FileNotFoundError: The set has not been downloaded.
          ValueError: The set's files are damaged, or not TFRecords.
        """
        del on_bad
        return {"train": find_examples(self.source, self.name)}

    def to_record(self, label: Example, frame_size: int, margin: float) -> Record:
        """Cuts the frame of one example; see `cutting.cut_face`.

        The landmarks are the projected 3-D ones, like those of AFLW2000-3D. The catalogue has no names that would say
        which faces were rendered from one photo. But these share one fitted shape, so a group is the faces of one
        shape. INFERRED.
        """
        features = parse(label)
        with told(label):
            landmarks, shape, pose = (features.floats(key) for key in ("landmarks_3d", "shape_params", "pose_params"))
            image, yaw = features.one("image"), float(pose[1]) if len(pose) > 1 else np.nan
        face = dataclasses.replace(
            face_label(label, f"{self.name}/{label.number:06d}", landmarks),
            group=hashlib.sha256(shape.tobytes()).hexdigest()[:16],
            yaw=wrap_degrees(np.rad2deg(yaw)),
        )
        return cut_face(face, decode_photo(image, face.image, face.where), frame_size, margin)
