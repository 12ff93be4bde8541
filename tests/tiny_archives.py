"""Small archives in the official layouts, drawn for the tests."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io

LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"


def write_photo(path: Path, width: int = 90, height: int = 70, seed: int = 0) -> None:
    """A smooth random photo."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.GaussianBlur(noise, (0, 0), 3))


def ring(count: int, centre: tuple[float, float] = (45.0, 35.0), radius: float = 15.0) -> np.ndarray:
    """Points [count, 2] on a circle."""
    angles = np.arange(count) * 2 * np.pi / count
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], axis=-1)


def wflw_line(image: str, points: np.ndarray, box=(30, 20, 60, 50), flags=(0, 0, 0, 0, 0, 0)) -> str:
    return " ".join([f"{value:.6f}" for value in points.reshape(-1)] + [str(v) for v in (*box, *flags)] + [image])


def write_wflw(source: Path, train: list[str] | None = None, num_train: int = 5, num_test: int = 3) -> Path:
    """An archive of WFLW: `train` replaces the lines of the training list."""
    for i in range(3):
        write_photo(source / "WFLW_images" / "0--Parade" / f"photo_{i}.jpg", seed=i)
    lines = [
        wflw_line(f"0--Parade/photo_{i % 3}.jpg", ring(98, (40.0 + i, 35.0)), flags=[int(i == j) for j in range(6)])
        for i in range(num_train + num_test)
    ]
    lists = source / LISTS
    lists.mkdir(parents=True)
    (lists / "list_98pt_rect_attr_train.txt").write_text("\n".join(train or lines[:num_train]) + "\n")
    (lists / "list_98pt_rect_attr_test.txt").write_text("\n".join(lines[num_train:]) + "\n")
    return source


def pts_text(points: np.ndarray) -> str:
    """A .pts file of points that count from 0."""
    rows = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points)
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}\n}}\n"


def write_annotated(path: Path, points: np.ndarray, seed: int = 0) -> None:
    """A photo and its .pts file; `path` is the photo's."""
    write_photo(path, seed=seed)
    path.with_suffix(".pts").write_text(pts_text(points))


def write_300w(source: Path) -> Path:
    """An archive of 300-W: two faces of one AFW photo, and one face in each test folder."""
    for i, name in enumerate(["afw/12_1.jpg", "afw/12_2.jpg", "helen/testset/34_1.jpg", "lfpw/testset/image_0001.png"]):
        write_annotated(source / name, ring(68, (40.0 + i, 33.0)), seed=i)
    write_annotated(source / "ibug" / "image_003_1.jpg", ring(68), seed=9)
    return source


def landmark_text(points: np.ndarray) -> str:
    """A landmark file of FaceSynthetics: the points, then two pupils."""
    return "".join(f"{x:.3f} {y:.3f}\n" for x, y in [*points, (40, 30), (50, 30)])


def write_face_synthetics(source: Path, count: int = 3) -> Path:
    """A folder of FaceSynthetics with images of 80 x 80."""
    for i in range(count):
        write_photo(source / f"{i:06d}.png", 80, 80, seed=i)
        (source / f"{i:06d}_ldmks.txt").write_text(landmark_text(ring(68, (40.0 + i, 35.0))))
    return source


def write_lapa(source: Path, splits: tuple[str, ...] = ("train", "val", "test")) -> Path:
    """An archive of LaPa: two faces of one photo and one of another in each split; no maps of parts."""
    for number, split in enumerate(splits):
        (source / split / "landmarks").mkdir(parents=True)
        for i, name in enumerate(("7_0", "7_1", "AFW_8_0")):
            write_photo(source / split / "images" / f"{name}.jpg", seed=10 * number + i)
            points = ring(106, (40.0 + i, 35.0))
            rows = "".join(f"{x:.6f} {y:.6f}\n" for x, y in points)
            (source / split / "landmarks" / f"{name}.txt").write_text(f"106\n{rows}")
    return source


def write_aflw2000(source: Path, yaws: list[float]) -> Path:
    """A folder of AFLW2000-3D: one face of each yaw, in degrees."""
    for i, yaw in enumerate(yaws):
        write_photo(source / f"image{i:05d}.jpg", 450, 450, seed=i)
        points = np.concatenate([ring(68, (220.0 + i, 230.0), 90.0), np.ones((68, 1))], axis=1)
        pose = np.deg2rad([[5.0, yaw, -5.0, 0, 0, 0, 0]])
        matrices = {"pt3d_68": points.T.astype(np.float32), "Pose_Para": pose.astype(np.float32)}
        scipy.io.savemat(source / f"image{i:05d}.mat", matrices, do_compression=True)
    return source


def write_300w_lp(source: Path, num_photos: int = 2, poses: tuple[float, ...] = (0.1, -1.0)) -> Path:
    """A folder of 300W-LP: each photo rendered at each yaw, in radians."""
    rng = np.random.default_rng(0)
    (source / "landmarks" / "AFW").mkdir(parents=True)
    sizes = {"Illum_Para": 10, "Color_Para": 7, "Tex_Para": 199, "Shape_Para": 199, "Exp_Para": 29}
    for photo in range(num_photos):
        fitted = {name: rng.normal(size=(1, size)) for name, size in sizes.items()}
        for i, yaw in enumerate(poses):
            stem = f"AFW_{photo}_{i}"
            write_photo(source / "AFW" / f"{stem}.jpg", 450, 450, seed=10 * photo + i)
            points = ring(68, (220.0, 230.0), 80.0 + i)
            pose = np.array([[0.0, yaw, 0, 0, 0, 0, 0]])
            matrices = {"pt2d": points.T, "roi": np.zeros((1, 4)), "Pose_Para": pose}
            scipy.io.savemat(source / "AFW" / f"{stem}.mat", fitted | matrices)
            landmarks = {"pts_2d": points + 5, "pts_3d": points}
            scipy.io.savemat(source / "landmarks" / "AFW" / f"{stem}_pts.mat", landmarks)
    return source
