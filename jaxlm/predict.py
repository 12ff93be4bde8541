"""Landmarks of faces in photos: python -m jaxlm.predict PHOTO... --box X1 Y1 X2 Y2 --workdir DIR --out DIR

Writes predictions.json, a list with the file, and for each face its box, points [N, 2] and confidences (null where the
model has none); and a PNG of each photo with its points. Boxes and points are (x, y) in pixels of the photo, upright as
its EXIF data say, counted from 0. With `--boxes FILE.csv`, columns name, x1, y1, x2, y2, photos hold any number of
faces. The model is that of a run (`--workdir`) or one that `python -m jaxlm.convert` wrote (`--weights`). Photos and
boxes that cannot be used are reported and passed over, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxlm import checkpoint, geometry, inference, models, photos, pictures, reinitialisation, tasks
from jaxlm.config import ModelConfig, TaskConfig
from jaxlm.landmarks import load_scheme
from jaxlm.models.dpr import GLSR, GSR, locate_in_photos
from jaxlm.scheme import Scheme
from jaxlm.weights import load_weights

_COLUMNS = ("name", "x1", "y1", "x2", "y2")

# A photo uint8 [H, W, 3] and a box [4] -> what a model says of the face, without the leading axis, in photo pixels.
Locate = Callable[[np.ndarray, np.ndarray], inference.Predictions]


class Detector(NamedTuple):
    """A model ready for photos, and the scheme of its points."""

    locate: Locate
    scheme: Scheme


def of_run(workdir: pathlib.Path, head: str | None = None) -> Detector:
    """The best checkpoint of a training run, with one of its heads; see `checkpoint.load_model`.

    Raises:
      CheckpointError: There is no run, or none of its checkpoints can be read.
      ValueError: There is no such head.
    """
    trained = checkpoint.load_model(workdir, head=head)
    config = trained.config
    locate = in_crops(trained.model, trained.task, trained.variables, config.model.input_size, config.data.crop)
    return Detector(locate, load_scheme(config.data.scheme))


def of_weights(file: pathlib.Path) -> Detector:
    """A converted model; those of DPR see the photo itself through the box, as the released code has it.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The file holds no weights, those of no landmark model, or not what its model needs.
    """
    variables, metadata = load_weights(file)
    name = metadata.get("model")
    if name not in models.MODELS or "scheme" not in metadata:
        raise ValueError(
            f"{file} holds weights of {name}, which predict no landmarks; known: {', '.join(models.MODELS)}"
        )
    scheme = load_scheme(metadata["scheme"])
    model = models.build(name, scheme.num_points, metadata["options"], jnp.float32)
    check_variables(file, model, variables, metadata["input_size"])
    if isinstance(model, GSR | GLSR):
        return Detector(in_photos(model, variables), scheme)
    size = metadata["input_size"]
    task = tasks.build(TaskConfig(), ModelConfig(name, size, metadata["options"]))
    return Detector(in_crops(model, task, variables, size, metadata["crop"]), scheme)


def check_variables(file: pathlib.Path, model: nn.Module, variables: Mapping[str, Any], size: int) -> None:
    """Raises ValueError where variables are not those of a model that sees crops of `size` pixels."""
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    wanted = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), image)
    needed, found = (
        {path: leaf.shape for path, leaf in traverse_util.flatten_dict(dict(tree), sep="/").items()}
        for tree in (wanted, variables)
    )
    bad = sorted(path for path in needed | found if needed.get(path) != found.get(path))
    if bad:
        raise ValueError(
            f"{file}: {len(bad)} arrays are missing, left over or of another shape than {type(model).__name__} needs,"
            f" the first is {bad[0]}"
        )


def in_crops(model: nn.Module, task: tasks.Reader, variables: Any, size: int, crop: float) -> Locate:
    """Predicts in crops of `size` pixels and `crop` sides of the box made square, cut as prepared frames are."""
    step = jax.jit(functools.partial(inference.predict_step, model=model, task=task, size=size))

    def locate(photo: np.ndarray, box: np.ndarray) -> inference.Predictions:
        image, to_crop = photos.cut_crop(photo, box, size, crop)
        predicted = jax.tree.map(lambda leaf: np.asarray(leaf)[0], step(variables, image[None], np.eye(2, 3)))
        return predicted._replace(points=geometry.transform(predicted.points, geometry.invert(to_crop)))

    return locate


def in_photos(model: GSR | GLSR, variables: Any) -> Locate:
    """Predicts with DPR through the box as it is, not made square."""

    def locate(photo: np.ndarray, box: np.ndarray) -> inference.Predictions:
        outputs = locate_in_photos(model, variables, *reinitialisation.photo_batch([photo], [box]))
        degenerate = reinitialisation.is_degenerate(outputs.theta)
        return inference.Predictions(np.asarray(outputs.points[0]), None, np.asarray(degenerate[0]))

    return locate


def read_boxes(file: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """Boxes [x1, y1, x2, y2] by the name of their photo, from a CSV file with the columns name, x1, y1, x2, y2.

    Raises:
      OSError: The file cannot be read.
      ValueError: A column is missing, or a value is no number; the message names file and line.
    """
    boxes: dict[str, list[np.ndarray]] = {}
    with open(file, newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines, skipinitialspace=True)
        missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"{file}:1: the columns are {', '.join(_COLUMNS)}; {', '.join(missing)} not found")
        for row in rows:
            try:
                box = np.asarray([float(row[column]) for column in _COLUMNS[1:]])
            except (TypeError, ValueError):
                raise ValueError(f"{file}:{rows.line_num}: x1, y1, x2 and y2 must be four numbers") from None
            boxes.setdefault(row["name"], []).append(box)
    return boxes


def locate_faces(
    path: pathlib.Path, boxes: Sequence[np.ndarray], detector: Detector
) -> tuple[dict[str, Any], np.ndarray, list[str]]:
    """The faces of one photo.

    Returns:
      The photo's entry of predictions.json, the photo with the points drawn, and what is wrong with boxes left out.

    Raises:
      PhotoError: The photo cannot be read.
    """
    photo = photos.read_photo(path)
    picture, faces, problems = photo, [], []
    for box in boxes:
        try:
            photos.check_box(photo, box)
        except photos.PhotoError as error:
            problems.append(f"{path}: {error}")
            continue
        predicted = detector.locate(photo, box)
        if predicted.degenerate:
            print(f"warning: {path}: {inference.DEGENERATE % (1, 1)}", file=sys.stderr)
        confidence = None if predicted.confidence is None else predicted.confidence.tolist()
        faces.append({"box": box.tolist(), "points": predicted.points.tolist(), "confidence": confidence})
        picture = pictures.draw_face(picture, predicted.points, detector.scheme)
    return {"file": str(path), "faces": faces}, picture, problems


def predict(
    files: Sequence[pathlib.Path], boxes: Mapping[str, Sequence[np.ndarray]], detector: Detector, out: pathlib.Path
) -> list[str]:
    """Writes OUT/predictions.json and OUT/STEM.png for each photo; returns a line for each thing that went wrong.

    `boxes` holds those of each photo by its path as given, or by its file name.

    Raises:
      ValueError: Two pictures would have one name.
      OSError: The folder cannot be written.
    """
    stems = [file.stem for file in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(f"two photos would both become {out / twice[0]}.png; take a different --out for each")
    out.mkdir(parents=True, exist_ok=True)
    entries, problems = [], []
    for file in files:
        found = boxes.get(str(file), boxes.get(file.name, ()))
        if not found:
            problems.append(f"{file}: there is no box for this photo")
            continue
        try:
            entry, picture, more = locate_faces(file, found, detector)
        except photos.PhotoError as error:
            problems.append(str(error))
            continue
        entries.append(entry)
        problems += more
        pictures.save_image(out / f"{file.stem}.png", picture)
    (out / "predictions.json").write_text(json.dumps(entries) + "\n")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 where every face of every photo was found."""
    parser = argparse.ArgumentParser(prog="python -m jaxlm.predict", description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", type=pathlib.Path, metavar="PHOTO")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument(
        "--box",
        nargs=4,
        type=float,
        action="append",
        metavar=("X1", "Y1", "X2", "Y2"),
        help="first and last pixel of a face, for a single photo; may be repeated",
    )
    place.add_argument("--boxes", type=pathlib.Path, metavar="FILE.csv", help="columns name, x1, y1, x2, y2")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--workdir", type=pathlib.Path, help="of a training run")
    model.add_argument("--weights", type=pathlib.Path, metavar="FILE.npz", help="of python -m jaxlm.convert")
    parser.add_argument("--head", help="of a run on several data sets: the name of one (default: the first)")
    parser.add_argument("--out", required=True, type=pathlib.Path, metavar="DIR")
    arguments = parser.parse_args(argv)
    if arguments.box and len(arguments.photos) > 1:
        parser.error("--box is for a single photo; give the boxes of several in a table, --boxes FILE.csv")
    try:
        if arguments.boxes:
            boxes = read_boxes(arguments.boxes)
        else:
            boxes = {str(arguments.photos[0]): [np.asarray(box) for box in arguments.box]}
        detector = of_run(arguments.workdir, arguments.head) if arguments.workdir else of_weights(arguments.weights)
        problems = predict(arguments.photos, boxes, detector, arguments.out)
    except (ValueError, OSError, checkpoint.CheckpointError) as error:
        parser.exit(1, f"error: {error}\n")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"Wrote {arguments.out / 'predictions.json'} and a picture of each photo")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
