"""Prepared faces, packs and batches."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxlm.data_pipelines import prepare
from jaxlm.data_pipelines.input import (
    Faces,
    batch_indices,
    eval_batches,
    hold_out,
    open_faces,
    train_batches,
    write_pack,
)
from jaxlm.data_pipelines.record import VERSION, decode_image, encode_image
from jaxlm.landmarks import IBUG68, WFLW98, conversion
from tiny_archives import write_300w, write_wflw

REPOSITORY = Path(__file__).parents[1]


def make_faces(count=23, size=8):
    """Faces in memory; each frame has one grey value, which tells the first 25 faces apart."""
    rng = np.random.default_rng(0)
    encoded = [encode_image(np.full((size, size, 3), 10 * i % 256, np.uint8)) for i in range(count)]
    return Faces(
        dataset="toy",
        split="train",
        scheme=WFLW98,
        frame_size=size,
        margin=2.0,
        box="drawn",
        points=(size * rng.random((count, 98, 2))).astype(np.float32),
        visible=rng.random((count, 98)) < 0.5,
        attributes=rng.random((count, 6)) < 0.5,
        to_source=(np.eye(2, 3) * 64 / size + rng.random((count, 1, 3)) * [0, 0, 9]).astype(np.float32),
        yaw=rng.uniform(-90, 90, count).astype(np.float32),
        boxes=rng.random((count, 4)).astype(np.float32),
        names=tuple(f"face_{i}" for i in range(count)),
        groups=tuple(f"photo_{i // 2}" for i in range(count)),
        read_encoded=lambda indices: [encoded[i] for i in indices],
    )


def assert_same_faces(one, two):
    for field in dataclasses.fields(Faces):
        if field.name not in ("read_encoded", "where"):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert one.read_encoded(np.arange(len(one))) == two.read_encoded(np.arange(len(two)))


def assert_same_batches(one, two):
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Prepared: wflw at 32 and at 48 pixels, 300-W, and a pack of wflw."""
    folder = tmp_path_factory.mktemp("prepared")
    wflw, ibug = write_wflw(folder / "wflw_source"), write_300w(folder / "300w_source")
    options = ["--data-dir", str(folder / "data"), "--frame-size"]
    prepare.main(["wflw", "--source", str(wflw), *options, "32", "--pack", str(folder / "wflw.npz")])
    prepare.main(["wflw", "--source", str(wflw), *options, "48"])
    prepare.main(["ibug300w", "--source", str(ibug), *options, "32"])
    return folder / "data"


def test_a_pack_equals_the_set(data_dir):
    for split in ("train", "test", "train+test"):
        prepared = open_faces("wflw/32px", split, data_dir)
        packed = open_faces(str(data_dir.parent / "wflw.npz"), split, "unused")
        assert len(packed) == {"train": 5, "test": 3, "train+test": 8}[split]
        assert_same_faces(prepared, packed)


def test_a_name_that_fits_several_variants_is_an_error(data_dir):
    assert open_faces("wflw/48px", "test", data_dir).images(np.array([0])).shape == (1, 48, 48, 3)
    with pytest.raises(ValueError, match="several variants; name one of wflw/32px, wflw/48px"):
        open_faces("wflw", "train", data_dir)


def test_unknown_sets_splits_and_files_say_what_there_is(data_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cofw is not prepared in .* \(there: ibug300w/32px, wflw/32px, wflw"):
        open_faces("cofw", "train", data_dir)
    with pytest.raises(ValueError, match="no split val; it has train, common, challenging"):
        open_faces("ibug300w", "val", data_dir)
    with pytest.raises(ValueError, match=r"no split common\+challenging; it has train, test"):
        open_faces("wflw/32px", "full", data_dir)
    with pytest.raises(FileNotFoundError, match="no such file"):
        open_faces(str(tmp_path / "none.npz"), "train", data_dir)
    for content in (b"", b"no zip", (data_dir.parent / "wflw.npz").read_bytes()[:900]):
        (tmp_path / "broken.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"broken\.npz is not a pack"):
            open_faces(str(tmp_path / "broken.npz"), "train", data_dir)


def test_a_pack_with_a_flipped_byte_is_noticed(data_dir, tmp_path):
    data = bytearray((data_dir.parent / "wflw.npz").read_bytes())
    data[data.index(b"\xff\xd8\xff") + 300] ^= 1
    (tmp_path / "flipped.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"flipped\.npz is damaged"):
        open_faces(str(tmp_path / "flipped.npz"), "train", "")


def test_a_pack_of_an_earlier_version_is_refused_by_name(tmp_path):
    file = tmp_path / "toy.npz"
    write_pack(file, {"train": make_faces()})
    arrays = dict(np.load(file))
    arrays["metadata"] = np.array(str(arrays["metadata"]).replace(f'"{VERSION}"', '"1.0.0"'))
    np.savez(file, **arrays)
    with pytest.raises(ValueError, match=r"toy\.npz is a pack of an earlier version; prepare the set again"):
        open_faces(str(file), "train", "")


def test_writing_a_pack_needs_its_ending_and_replaces_the_old_one_whole(tmp_path):
    faces = make_faces()
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        write_pack(tmp_path / "toy.zip", {"train": faces})
    for count in (23, 4):
        write_pack(tmp_path / "toy.npz", {"train": faces.take(np.arange(count))})
    assert len(open_faces(str(tmp_path / "toy.npz"), "train", "")) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["toy.npz"]


def test_take_keeps_labels_and_frames_together():
    faces = make_faces()
    chosen = np.array([7, 2, 20])
    taken = faces.take(chosen).take(np.array([2, 0]))
    assert taken.names == ("face_20", "face_7")
    assert taken.groups == ("photo_10", "photo_3")
    np.testing.assert_array_equal(taken.points, faces.points[[20, 7]])
    assert [image.mean() for image in taken.images(np.arange(2))] == [200, 70]


def test_points_are_read_in_another_scheme():
    faces = make_faces()
    as_68 = faces.in_scheme(IBUG68)
    chosen = conversion(WFLW98, IBUG68)
    np.testing.assert_array_equal(as_68.points, faces.points[:, chosen])
    np.testing.assert_array_equal(as_68.visible, faces.visible[:, chosen])
    assert as_68.scheme == IBUG68
    with pytest.raises(ValueError, match="known conversions"):
        as_68.in_scheme(WFLW98)


def test_hold_out_keeps_groups_whole_and_ignores_order():
    faces = make_faces(200)
    train, validation = hold_out(faces, 30)
    assert sorted(train.names + validation.names) == sorted(faces.names)
    assert not set(train.groups) & set(validation.groups)
    assert 0.2 < len(validation) / 200 < 0.4
    _, shuffled = hold_out(faces.take(np.random.default_rng(1).permutation(200)[:150]), 30)
    assert set(shuffled.groups) <= set(validation.groups)
    assert set(validation.names) & set(shuffled.names) == set(shuffled.names)


def test_hold_out_of_nothing_and_of_everything():
    faces = make_faces()
    assert [len(part) for part in hold_out(faces, 0)] == [23, 0]
    assert [len(part) for part in hold_out(faces, 100)] == [0, 23]


def test_every_epoch_is_a_permutation_of_its_own():
    epochs = [np.concatenate([batch_indices(23, 5, 4 * epoch + i, seed=3) for i in range(4)]) for epoch in range(3)]
    for epoch in epochs:
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(23))
    assert not np.array_equal(epochs[0], epochs[1])
    left_over = [set(range(23)) - set(epoch) for epoch in epochs]
    assert len(set(map(frozenset, left_over))) > 1


def test_batches_are_a_pure_function_of_step_and_seed():
    straight = [batch_indices(23, 5, step, seed=3) for step in range(12)]
    for step in (11, 4, 0, 7):
        np.testing.assert_array_equal(batch_indices(23, 5, step, seed=3), straight[step])
    assert not np.array_equal(batch_indices(23, 5, 0, seed=4), straight[0])
    expected = np.random.default_rng((3, 1)).permutation(23)[:5]
    np.testing.assert_array_equal(straight[4], expected)
    assert straight[0].dtype == np.int64


def test_too_few_faces_for_a_batch_is_an_error():
    with pytest.raises(ValueError, match="4 training faces do not fill a batch of 5; lower batch_size"):
        batch_indices(4, 5, 0, seed=0)


def test_train_batches_hold_the_faces_of_their_indices_and_resume():
    faces = make_faces()
    straight = list(train_batches(faces, 6, seed=1, start_step=0, stop_step=7))
    assert len(straight) == 7
    for step, batch in enumerate(straight):
        indices = batch_indices(23, 6, step, seed=1)
        np.testing.assert_array_equal(batch["index"], indices)
        np.testing.assert_array_equal(batch["points"], faces.points[indices])
        np.testing.assert_array_equal(batch["visible"], faces.visible[indices])
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], 10 * indices)
        assert batch["mask"].all()
        dtypes = [batch[key].dtype.name for key in ("image", "points", "visible", "mask", "index")]
        assert dtypes == ["uint8", "float32", "bool", "bool", "int32"]
    assert_same_batches(train_batches(faces, 6, seed=1, start_step=4, stop_step=7), straight[4:])


def test_two_processes_make_one_processs_batches():
    faces = make_faces()
    for batches in (
        lambda **process: train_batches(faces, 6, 1, 2, 6, **process),
        lambda **process: eval_batches(faces, 6, **process),
    ):
        parts = [batches(process_index=p, process_count=2) for p in range(2)]
        joined = [
            {key: np.concatenate([part[key] for part in pair]) for key in pair[0]} for pair in zip(*parts, strict=True)
        ]
        assert_same_batches(joined, batches())
        with pytest.raises(ValueError, match="cannot be divided evenly among 4 processes"):
            next(batches(process_index=0, process_count=4))


@pytest.mark.parametrize("batch_size", [1, 5, 23, 30])
def test_eval_batches_hold_every_face_once_in_order(batch_size):
    faces = make_faces()
    batches = list(eval_batches(faces, batch_size))
    assert all(len(batch["image"]) == batch_size for batch in batches)
    mask = np.concatenate([batch["mask"] for batch in batches])
    index = np.concatenate([batch["index"] for batch in batches])
    np.testing.assert_array_equal(index[mask], np.arange(23))
    assert (index[~mask] == -1).all()
    points = np.concatenate([batch["points"] for batch in batches])
    np.testing.assert_array_equal(points[mask], faces.points)
    assert not points[~mask].any()
    images = np.concatenate([batch["image"] for batch in batches])
    np.testing.assert_array_equal(images[mask], np.stack(list(map(decode_image, faces.read_encoded(range(23))))))


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_the_input_module_loads_neither_tensorflow_nor_jax():
    code = "import sys, data_pipelines.input; print([m for m in ('tensorflow', 'jax') if m in sys.modules])"
    result = run_python(code)
    assert result.stdout.strip() == "[]", result.stderr


def test_sets_and_packs_are_read_where_tensorflow_is_not_installed(data_dir):
    code = f"""
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name == 'tensorflow' else find(name, *where)
from jaxlm.data_pipelines.input import eval_batches, open_faces
for name in ('wflw/32px', {str(data_dir.parent / "wflw.npz")!r}):
    batch = next(eval_batches(open_faces(name, 'train', {str(data_dir)!r}), 4))
    print(batch['image'].shape)
"""
    result = run_python(code)
    assert result.stdout.splitlines() == ["(4, 32, 32, 3)"] * 2, result.stderr
