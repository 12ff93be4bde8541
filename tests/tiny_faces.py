"""Rendered faces for the tests."""

import numpy as np

from jaxlm.data_pipelines import synthetic
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.record import encode_image
from jaxlm.landmarks import WFLW98


def synthetic_faces(count: int, split: str, size: int = 64) -> Faces:
    """Some rendered faces as `open_faces` gives them; two neighbours are one group."""
    faces = [synthetic.render(0 if split == "train" else 1, index, size) for index in range(count)]
    encoded = [encode_image(face.image) for face in faces]
    return Faces(
        dataset="synthetic",
        split=split,
        scheme=WFLW98,
        frame_size=size,
        margin=2.0,
        box="the generator's",
        points=np.stack([face.points for face in faces]),
        visible=np.stack([face.visible for face in faces]),
        attributes=np.stack([face.attributes for face in faces]),
        to_source=np.tile(np.eye(2, 3, dtype=np.float32) * max(1, 64 // size), (count, 1, 1)),  # No photo is smaller.
        yaw=np.full(count, np.nan, np.float32),
        boxes=np.full((count, 4), np.nan, np.float32),
        names=tuple(f"{split}/{index}" for index in range(count)),
        groups=tuple(f"{split}/{index // 2}" for index in range(count)),
        read_encoded=lambda indices: [encoded[index] for index in indices],
    )
