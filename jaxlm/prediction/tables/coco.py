"""What was found in photos as COCO keypoints, which labelling tools read and `jaxlm prepare coco` reads again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxlm.files import replacing_text
from jaxlm.landmarks import Scheme, photos
from jaxlm.prediction.sources import counted, printable
from jaxlm.prediction.tables.entries import Entry, FoundFace, rounded
from jaxlm.runtime.progress import say

_FACE, _VISIBLE = 1, 2  # The category of all faces, and the visibility of all points.


def write_coco(
    path: pathlib.Path, entries: Callable[[], Iterable[Entry]], files: Mapping[str, str], scheme: Scheme
) -> None:
    """Writes the photos among the entries, and says from which folder their names count; frames of videos are left out.

    A photo has its width and height, where its file is still there. A face has its points, all as visible, their
    bounding box and, where the model gives confidence, the mean of it as `score`. A checksum in `info` tells later
    whether people have changed the file; see `is_as_written`.

    Args:
      path: The file to write.
      entries: Gives the entries, each time it is called.
      files: Absolute path of each entry's file.
      scheme: Scheme of the points.
    """
    kept = [entry.file for entry in entries() if entry.frame is None]
    folder = _common_folder([files[name] for name in kept])
    category = {
        "id": _FACE,
        "name": "face",
        "supercategory": "person",
        "keypoints": scheme.names or [str(point) for point in range(scheme.num_points)],
        "skeleton": [[one + 1, two + 1] for one, two in scheme.edges],
    }
    images = (_image(number, files[name], folder) for number, name in enumerate(kept, start=1))
    with replacing_text(path) as file:
        checksum = hashlib.sha256()
        for text in _body(category, images, _annotations(entries())):
            checksum.update(text.encode())
            file.write(text)
        file.write(_end(checksum.hexdigest()))
    frames = sum(entry.frame is not None for entry in entries())
    start = f", whose names count from {printable(folder)}" if folder else ""
    left = f"; {counted(frames, 'frame')} of videos are left out" if frames else ""
    say(f"{path}: {counted(len(kept), 'photo')}{start}{left}")


def is_as_written(path: pathlib.Path) -> bool:
    """Whether a file is as `write_coco` left it: nobody has corrected it, and no earlier version wrote it."""
    content = path.read_bytes()
    body = content[: -len(_end(hashlib.sha256().hexdigest()))]
    return content == body + _end(hashlib.sha256(body).hexdigest()).encode()


def _body(
    category: dict[str, Any], images: Iterable[dict[str, Any]], annotations: Iterable[dict[str, Any]]
) -> Iterator[str]:
    yield '{"licenses": []'
    for key, rows in {"categories": [category], "images": images, "annotations": annotations}.items():
        yield f',\n"{key}": ['
        for number, row in enumerate(rows):
            yield ",\n" * (number > 0) + json.dumps(row, ensure_ascii=False)
        yield "]"


def _end(checksum: str) -> str:
    return f',\n"info": {json.dumps({"description": "jaxlm predict", "sha256": checksum})}}}\n'


def _common_folder(paths: Iterable[str]) -> str:
    """The deepest folder with all of the files; "" where there is none, as for files of several drives."""
    with contextlib.suppress(ValueError):
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    return ""


def _image(number: int, path: str, folder: str) -> dict[str, Any]:
    name = pathlib.PurePath(os.path.relpath(path, folder) if folder else path).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        name = printable(name)
    image: dict[str, Any] = {"id": number, "file_name": name}
    with contextlib.suppress(photos.PhotoError):
        width, height = photos.read_size(path)
        image |= {"width": width, "height": height}
    return image


def _annotations(entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    number = image = 0
    for entry in entries:
        if entry.frame is None:
            image += 1
            for face in entry.faces:
                number += 1
                yield _annotation(number, image, face)


def _annotation(number: int, image: int, face: FoundFace) -> dict[str, Any]:
    low, high = face.points.min(0), face.points.max(0)
    keypoints = [value for x, y in rounded(face.points) for value in (x, y, _VISIBLE)]
    score = {} if face.confidence is None else {"score": round(float(np.mean(face.confidence)), 3)}
    return {
        "id": number,
        "image_id": image,
        "category_id": _FACE,
        "keypoints": keypoints,
        "num_keypoints": len(face.points),
        "bbox": rounded(np.concatenate([low, high - low])),
        "area": round(float(np.prod(high - low)), 3),
        "iscrowd": 0,
        **score,
    }
