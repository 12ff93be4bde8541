"""The kinds of files that people hand in: how to make one, how to mutate it, and what reads it."""

import dataclasses
import json
import pathlib
import pickle
import types
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from fuzz_mutations import mutate_bytes, mutate_json, mutate_npz, mutate_text
from jaxlm import experiment
from jaxlm.checkpoints import save_bundle
from jaxlm.checkpoints.bundle import load_bundle
from jaxlm.data_pipelines import renders
from jaxlm.data_pipelines.faces import Faces
from jaxlm.data_pipelines.input import open_splits, write_pack
from jaxlm.data_pipelines.preparing.findings import Findings
from jaxlm.data_pipelines.sources.aflw2000 import AFLW2000, read_poses
from jaxlm.data_pipelines.sources.annotation_pickle import AnnotationPickle
from jaxlm.data_pipelines.sources.coco import Coco
from jaxlm.data_pipelines.sources.ibug300w import IBUG300W
from jaxlm.data_pipelines.sources.imglab import Imglab
from jaxlm.data_pipelines.sources.lapa import LaPa
from jaxlm.data_pipelines.sources.points_table import PointsTable
from jaxlm.data_pipelines.sources.synthetic import Synthetic
from jaxlm.data_pipelines.sources.wflw import WFLW
from jaxlm.landmarks import FIVE, load_scheme, photos
from jaxlm.landmarks.face_checks import find_faults
from jaxlm.landmarks.scheme import to_toml
from jaxlm.models import load_weights, save_weights
from jaxlm.prediction.box_tables import read_boxes
from jaxlm.runtime.progress import read_metrics
from jaxlm.studies import report_runs
from jaxlm.studies.comparison import find_file, read_study
from tiny_archives import LISTS, ring, write_300w, write_aflw2000, write_lapa, write_photo, write_wflw
from tiny_faces import synthetic_faces
from tiny_landmarker import mean_face_model


class NonsenseError(AssertionError):
    """A reader accepted what the checks of faces refuse."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
      make: Makes a folder that holds a good file, and gives the file.
      mutate: Changes its bytes by a random generator.
      read: Reads the file; raises NonsenseError where it accepts what it should not.
      share: Part of the mutations that it gets, where a reader is slow.
    """

    make: Callable[[pathlib.Path], pathlib.Path]
    mutate: Callable[..., bytes]
    read: Callable[[pathlib.Path], Any]
    share: float = 1.0


def refuse(error: Exception) -> None:
    raise error


def read_source(source: Any) -> None:
    """Reads all labels, makes the records of the first two, and looks at what was accepted."""
    for labels in source.read(refuse).values():
        for label in labels[:2]:
            record = source.to_record(label, 32, 2.0)
            frame = np.array([[0.0, 0.0, 1e3, 1e3]])
            if next(find_faults(label.points[None], label.seen[None], frame * 0 + label.box[None]), None):
                raise NonsenseError(f"{label.where}: {label.points.min()} to {label.points.max()}")
            if not np.isfinite(record.points[record.visible]).all() or not np.isfinite(record.to_source).all():
                raise NonsenseError(f"{label.where}: points of the record")


def read_faces(splits: dict[str, Faces]) -> None:
    """Looks at the labels of opened faces, and decodes two of them."""
    for faces in splits.values():
        points = np.einsum("nij,npj->npi", faces.to_source[:, :, :2], faces.points) + faces.to_source[:, None, :, 2]
        shown = points[faces.visible]
        if faces.visible.dtype != bool or not np.isfinite(faces.to_source).all() or not (np.abs(shown) < 1e6).all():
            raise NonsenseError(f"{faces.dataset}: points {shown.min()} to {shown.max()}")
        assert len(faces.names) == len(faces.groups) == len(faces.points)
        faces.images(np.arange(min(2, len(faces))))


def check_weights(variables: Any) -> None:
    for array in jax_leaves(variables):
        if np.asarray(array).dtype.kind not in "iuf" or not np.isfinite(array).all():
            raise NonsenseError("weights that are no finite numbers")


def jax_leaves(tree: Any) -> list[Any]:
    return [leaf for child in tree.values() for leaf in jax_leaves(child)] if isinstance(tree, dict) else [tree]


def make_wflw(folder: pathlib.Path) -> pathlib.Path:
    return write_wflw(folder, num_train=2, num_test=1) / LISTS / "list_98pt_rect_attr_train.txt"


def make_table(folder: pathlib.Path) -> pathlib.Path:
    write_photo(folder / "a.jpg")
    write_photo(folder / "b.jpg")
    header = ",".join(f"x{i},y{i}" for i in range(5))
    rows = "".join(f"{name}.jpg,{','.join(map(str, ring(5).reshape(-1)))}\n" for name in "ab")
    (folder / "points.csv").write_text(f"name,{header}\n{rows}")
    return folder / "points.csv"


def make_list(folder: pathlib.Path) -> pathlib.Path:
    write_photo(folder / "a.jpg")
    (folder / "list.txt").write_text(" ".join(map(str, ring(5).reshape(-1))) + " a.jpg\n")
    return folder / "list.txt"


def make_coco(folder: pathlib.Path) -> pathlib.Path:
    write_photo(folder / "a.jpg")
    face = [value for x, y in ring(5) for value in (x, y, 2)]
    annotation = {"image_id": 1, "category_id": 1, "keypoints": face, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 90, "height": 70}],
        "annotations": [{"id": number} | annotation for number in (1, 2)],
        "categories": [{"id": 1, "name": "face", "keypoints": list(FIVE.names), "skeleton": [[1, 3], [2, 3]]}],
    }
    (folder / "faces.json").write_text(json.dumps(content))
    return folder / "faces.json"


def make_imglab(folder: pathlib.Path) -> pathlib.Path:
    write_photo(folder / "a.jpg")
    parts = "".join(f"<part name='{number}' x='{x:.0f}' y='{y:.0f}'/>\n" for number, (x, y) in enumerate(ring(5)))
    box = f"<box top='20' left='30' width='30' height='30'>\n{parts}</box>\n"
    images = f"<images>\n<image file='a.jpg'>\n{box}{box}</image>\n</images>"
    (folder / "faces.xml").write_text(f"<?xml version='1.0'?>\n<dataset>\n{images}\n</dataset>\n")
    return folder / "faces.xml"


def make_boxes(folder: pathlib.Path) -> pathlib.Path:
    (folder / "boxes.csv").write_text("file,x1,y1,x2,y2\na.jpg,1,2,30,40\nb.jpg,5,6,70,80.5\n")
    return folder / "boxes.csv"


def make_pickle(folder: pathlib.Path) -> pathlib.Path:
    points = [ring(68, (30.0, 30.0), 12.0) + i for i in range(2)]
    for name in "ab":
        write_photo(folder / f"{name}.png", 64, 64)
    (folder / "annot.pkl").write_bytes(pickle.dumps([["a.png", "b.png"], [points[0], points[1].tolist()]], 4))
    return folder / "annot.pkl"


def make_pack(folder: pathlib.Path) -> pathlib.Path:
    write_pack(folder / "faces.npz", {"train": synthetic_faces(2, "train", 32)})
    return folder / "faces.npz"


def make_weights(folder: pathlib.Path) -> pathlib.Path:
    variables = {"params": {"a": {"kernel": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}}}
    save_weights(folder / "weights.npz", variables, {"model": "cnn", "options": {}})
    return folder / "weights.npz"


def make_bundle(folder: pathlib.Path) -> pathlib.Path:
    save_bundle(folder / "bundle.npz", mean_face_model().with_head(None))
    return folder / "bundle.npz"


def make_scheme(folder: pathlib.Path) -> pathlib.Path:
    own = dataclasses.replace(
        FIVE, name="own", eye_corners=(0, 1), mean_face=((0.5, 0.5),) * 5, boundaries={"a": (0, 1)}
    )
    (folder / "own.toml").write_text(to_toml(own))
    return folder / "own.toml"


def make_study(folder: pathlib.Path) -> pathlib.Path:
    (folder / "study.toml").write_text(find_file("dpr").read_text())
    return folder / "study.toml"


def make_set(folder: pathlib.Path, file: str) -> pathlib.Path:
    from jaxlm.data_pipelines.builder import write_set  # It loads TensorFlow.

    source = Synthetic(train_faces=2, test_faces=1)
    write_set(source, source.read(refuse), folder, 32, 2.0, refuse, Findings())
    (found,) = folder.glob(f"synthetic/*/*/{file}")
    return found


def read_set(path: pathlib.Path) -> None:
    read_faces(open_splits("synthetic", path.parents[3]))


def make_config(folder: pathlib.Path) -> pathlib.Path:
    (folder / "config.json").write_text(experiment.to_json(experiment.load("debug")))
    return folder / "config.json"


def read_config(path: pathlib.Path) -> None:
    try:
        experiment.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error  # As whoever reads a stored config says.


def make_rows(folder: pathlib.Path) -> pathlib.Path:
    rows = [{"step": step, "split": "train", "loss": 0.5} for step in range(5)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "metrics.jsonl"


def make_evaluation(folder: pathlib.Path, file: str) -> pathlib.Path:
    results = folder / "evaluation" / "a-test"
    results.mkdir(parents=True)
    row = {"subset": "full", "faces": 2, "nme": 5.0, "failure_rate": {"10": 0.0}, "auc": {"10": 0.5}}
    document = {"protocol": {"run": "r, step 1", "data": "a, test: 2 faces", "NME": "by box"}, "rows": [row]}
    (results / "metrics.json").write_text(json.dumps(document))
    np.savez(results / "predictions.npz", names=np.array(["a", "b"]), nme=np.float32([0.05, 0.06]))
    cv2.imwrite(str(results / "worst.png"), np.zeros((4, 4, 3), np.uint8))
    return results / file


def read_evaluation(path: pathlib.Path) -> None:
    run = types.SimpleNamespace(folder=path.parents[2], translates=False, name="run", trained=mean_face_model())
    report_runs._stored(run, None)


SETTINGS = renders.Settings("a", "train", "data", 1.0, "runs/a", 3, 1, "transfer", 1, "", 0)


def make_renders(folder: pathlib.Path, file: str) -> pathlib.Path:
    renders.write_renders(
        folder, SETTINGS, renders.make_manifest(SETTINGS, ["a", "b"], ["b", "a"], np.array([[0], [1]]))
    )
    return folder / file


def make_photo(folder: pathlib.Path, ending: str) -> pathlib.Path:
    write_photo(folder / f"photo{ending}", 60, 50)
    return folder / f"photo{ending}"


def make_pts(folder: pathlib.Path) -> pathlib.Path:
    return write_300w(folder) / "ibug" / "image_003_1.pts"


def make_lapa(folder: pathlib.Path) -> pathlib.Path:
    return write_lapa(folder, ("train",)) / "train" / "landmarks" / "7_1.txt"


def make_mat(folder: pathlib.Path) -> pathlib.Path:
    return write_aflw2000(folder, [5.0]) / "image00000.mat"


def make_poses(folder: pathlib.Path) -> pathlib.Path:
    np.save(folder / "poses.npy", np.array([5.0, -30.0]))
    return folder / "poses.npy"


def in_set(file: str, mutate: Callable[..., bytes]) -> Format:
    return Format(lambda folder: make_set(folder, file), mutate, read_set, 0.5)


FORMATS = {
    "WFLW list": Format(make_wflw, mutate_text, lambda path: read_source(WFLW(path.parents[2])), 0.5),
    "LaPa": Format(make_lapa, mutate_text, lambda path: read_source(LaPa(path.parents[2])), 0.5),
    ".pts": Format(make_pts, mutate_text, lambda path: read_source(IBUG300W(path.parents[1])), 0.5),
    "points table": Format(
        make_table, mutate_text, lambda path: read_source(PointsTable(path.parent, "a", FIVE, path))
    ),
    "points list": Format(make_list, mutate_text, lambda path: read_source(PointsTable(path.parent, "a", FIVE, path))),
    "COCO": Format(make_coco, mutate_json, lambda path: read_source(Coco(path.parent, path))),
    "imglab": Format(make_imglab, mutate_text, lambda path: read_source(Imglab(path.parent, path))),
    "boxes": Format(make_boxes, mutate_text, read_boxes),
    "annot.pkl": Format(
        make_pickle, mutate_bytes, lambda path: read_source(AnnotationPickle(path.parent, image_size=64))
    ),
    "pack": Format(make_pack, mutate_npz, lambda path: read_faces(open_splits(str(path), ""))),
    "weights": Format(make_weights, mutate_npz, lambda path: check_weights(load_weights(path)[0])),
    "bundle": Format(make_bundle, mutate_npz, lambda path: check_weights(dict(load_bundle(path).variables)), 0.3),
    "scheme": Format(make_scheme, mutate_text, lambda path: load_scheme(str(path))),
    "study": Format(make_study, mutate_text, read_study),
    "features.json": in_set("features.json", mutate_json),
    "dataset_info.json": in_set("dataset_info.json", mutate_json),
    "metadata.json": in_set("metadata.json", mutate_json),
    "labels.npz": in_set("labels.npz", mutate_npz),
    "records": in_set("synthetic-train*", mutate_bytes),
    "config.json": Format(make_config, mutate_json, read_config),
    "metrics.jsonl": Format(make_rows, mutate_text, read_metrics),
    "metrics.json": Format(lambda folder: make_evaluation(folder, "metrics.json"), mutate_json, read_evaluation),
    "predictions.npz": Format(lambda folder: make_evaluation(folder, "predictions.npz"), mutate_npz, read_evaluation),
    "manifest": Format(
        lambda folder: make_renders(folder, "manifest.csv"),
        mutate_text,
        lambda path: renders.read_manifest(path.parent),
    ),
    "renders.json": Format(
        lambda folder: make_renders(folder, "renders.json"),
        mutate_json,
        lambda path: renders.read_settings(path.parent),
    ),
    "JPEG": Format(lambda folder: make_photo(folder, ".jpg"), mutate_bytes, photos.read_photo),
    "PNG": Format(lambda folder: make_photo(folder, ".png"), mutate_bytes, photos.read_photo),
    ".mat": Format(make_mat, mutate_bytes, lambda path: read_source(AFLW2000(path.parent)), 0.3),
    "poses": Format(make_poses, mutate_bytes, lambda path: read_poses(path, 2)),
}
