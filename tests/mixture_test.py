"""Styled faces among the photos: what is mixed, what every batch holds, and that both data modes agree on it."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import experiment
from jaxlm.data_pipelines.input import (
    Faces,
    batch_indices,
    hold_out,
    open_faces,
    open_training,
    train_batches,
    write_pack,
)
from jaxlm.data_pipelines.record import encode_image
from jaxlm.data_pipelines.selection import mix
from jaxlm.landmarks import IBUG68
from jaxlm.runtime import distributed
from jaxlm.training import feeding, loop
from tiny_faces import synthetic_faces


def make_faces(count: int = 23) -> Faces:
    return synthetic_faces(count, "train", size=8)


def make_styled(faces, styles=3):
    """Every face in some styles, as `jaxlm.stylize` and `prepare` have them; each frame has the value 255 - style."""
    structures = np.repeat(np.arange(len(faces)), styles)
    size = faces.frame_size
    encoded = [encode_image(np.full((size, size, 3), 255 - style, np.uint8)) for style in range(styles)]
    return dataclasses.replace(
        faces.take(structures),
        dataset="styled",
        names=tuple(f"{faces.names[face]}#{i % styles}" for i, face in enumerate(structures)),
        read_encoded=lambda indices: [encoded[i % styles] for i in indices],
    )


def test_batches_without_styled_faces_are_those_of_photos_alone():
    for step in range(9):
        alone = batch_indices(23, 5, step, seed=3)
        np.testing.assert_array_equal(batch_indices(23, 5, step, 3, num_styled=0, styled_ratio=0.5), alone)
        np.testing.assert_array_equal(batch_indices(23, 5, step, 3, num_styled=7, styled_ratio=0), alone)


@pytest.mark.parametrize("batch_size", [6, 8, 13])
@pytest.mark.parametrize("ratio", [0.1, 1 / 3, 0.5, 8 / 9, 1.0])
def test_every_batch_holds_its_share_of_styled_faces(batch_size, ratio):
    share = round(ratio * batch_size)
    for step in range(20):
        indices = batch_indices(23, batch_size, step, 3, num_styled=40, styled_ratio=ratio)
        assert len(set(indices)) == batch_size
        assert set(indices) <= set(range(63))
        assert np.sum(indices >= 23) == share


def test_photos_and_styled_faces_have_epochs_and_permutations_of_their_own():
    # A batch has four of each kind: an epoch is 5 batches for 20 photos, and 3 for 12 styled faces.
    batches = [batch_indices(20, 8, step, 3, num_styled=12, styled_ratio=0.5) for step in range(15)]
    photos = [batch[batch < 20] for batch in batches]
    styled = [batch[batch >= 20] - 20 for batch in batches]
    for kind, count, steps in ((photos, 20, 5), (styled, 12, 3)):
        epochs = [np.concatenate(kind[start : start + steps]) for start in range(0, 15, steps)]
        for epoch in epochs:
            np.testing.assert_array_equal(np.sort(epoch), np.arange(count))
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    batches = np.stack([batch_indices(20, 8, step, 3, num_styled=20, styled_ratio=0.5) for step in range(5)])
    assert not np.array_equal(batches[batches < 20], batches[batches >= 20] - 20)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("batch_size", [8, 16, 32, 64])
def test_each_device_and_each_accumulated_part_has_its_share_of_both_kinds(batch_size, ratio):
    styled = batch_indices(64, batch_size, 5, 3, num_styled=64, styled_ratio=ratio) >= 64
    for devices in (1, 2, 4, 8):
        for parts in (1, 2, 4, 8):
            size = batch_size // (devices * parts)
            if size * ratio % 1 == 0 and size:
                # Device d has the d-th part of the batch, and the accumulated part p each `parts`-th row of it.
                shares = styled.reshape(devices, size, parts).sum(axis=1)
                np.testing.assert_array_equal(shares, size * ratio)


def test_too_few_styled_faces_for_their_share_is_an_error():
    with pytest.raises(ValueError, match="3 styled faces do not fill their share of a batch, 4 of 8; lower"):
        batch_indices(20, 8, 0, 3, num_styled=3, styled_ratio=0.5)


def test_styled_faces_of_photos_that_are_not_trained_on_are_left_out():
    faces = make_faces(60)
    training, validation = hold_out(faces, 30)
    assert len(validation)
    # A subset of the photos, for training with few labels, keeps its own styled faces alone.
    for photos in (training, training.take(np.arange(10))):
        mixed = mix(photos, make_styled(faces))
        assert mixed.names[: len(photos)] == photos.names
        assert (mixed.num_photos, mixed.num_styled) == (len(photos), len(mixed) - len(photos))
        structures = {name.split("#")[0] for name in mixed.names[len(photos) :]}
        groups = set(mixed.groups[len(photos) :])
        assert groups == set(photos.groups)
        assert not groups & set(validation.groups)
        assert structures == {name for name, group in zip(faces.names, faces.groups, strict=True) if group in groups}
    first = mixed.names.index(f"{mixed.names[0]}#2")
    np.testing.assert_array_equal(mixed.points[first], mixed.points[0])
    assert mixed.images(np.array([first]))[0, 0, 0, 0] == 255 - 2


def other_scheme(faces):
    return faces.in_scheme(IBUG68)


def larger_frames(faces):
    return dataclasses.replace(faces, frame_size=9)


def wider_frames(faces):
    return dataclasses.replace(faces, margin=1.5)


def other_groups(faces):
    return dataclasses.replace(faces, groups=tuple(f"someone_else_{i}" for i in range(len(faces))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_scheme, "styled have points of scheme ibug68, the photos of synthetic those of wflw98"),
        (larger_frames, "styled have frame_size 9 and the photos of synthetic 8"),
        (wider_frames, r"styled have margin 1\.5 and the photos of synthetic 2\.0"),
        (other_groups, "not one of the 69 styled faces of styled was rendered from the 23 photos of synthetic"),
    ],
)
def test_styled_faces_that_do_not_belong_to_the_photos_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        mix(make_faces(), change(make_styled(make_faces())))


def test_training_faces_are_photos_and_all_splits_of_the_styled_set(tmp_path):
    faces = make_faces()
    styled = make_styled(faces)
    write_pack(tmp_path / "toy.npz", {"train": faces})
    write_pack(tmp_path / "styled.npz", {"train": styled.take(np.arange(30)), "more": styled.take(np.arange(30, 69))})
    options = [str(tmp_path / "toy.npz"), "train", "", "ibug68", 30]
    plain, validation = open_training(*options)
    mixed, same_validation = open_training(*options, styled=str(tmp_path / "styled.npz"))
    assert validation.names == same_validation.names
    assert mixed.names[: mixed.num_photos] == plain.names
    np.testing.assert_array_equal(mixed.points[: mixed.num_photos], plain.points)
    assert mixed.num_styled == 3 * sum(group in plain.groups for group in faces.groups) > 0
    assert mixed.scheme == IBUG68
    assert mixed.points.shape[1] == validation.points.shape[1] == 68


def joined(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def test_mixed_batches_resume_and_are_shared_by_processes():
    faces = mix(make_faces(), make_styled(make_faces()))

    def batches(start, **process):
        return list(train_batches(faces, 8, 1, start, 9, styled_ratio=0.5, **process))

    straight = batches(0)
    for step, batch in enumerate(straight):
        np.testing.assert_array_equal(batch["index"], batch_indices(23, 8, step, 1, num_styled=69, styled_ratio=0.5))
        np.testing.assert_array_equal(batch["image"], faces.images(batch["index"]))
    parts = [batches(0, process_index=p, process_count=2) for p in range(2)]
    for part in parts:
        assert {np.sum(batch["index"] >= 23) for batch in part} == {4 // 2}
    for others in (batches(4), [joined(pair) for pair in zip(*parts, strict=True)][4:]):
        for ours, theirs in zip(straight[4:], others, strict=True):
            for key in ours:
                np.testing.assert_array_equal(ours[key], theirs[key])


def test_streaming_and_device_cache_feed_the_same_mixed_batches():
    faces = mix(make_faces(), make_styled(make_faces()))
    config = experiment.load("debug")
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, batch_size=8, styled_ratio=0.25))
    mesh = distributed.make_mesh()

    def step(state, batch):
        values = {"image": batch["image"].astype(jnp.float32).mean(axis=(1, 2, 3)), "points": batch["points"]}
        return state + 1, values

    streamed = feeding.stream(step, faces, config, mesh, distributed.replicated(mesh), 2, 6)
    cached = feeding.cached(step, faces, config, mesh, distributed.replicated(mesh))
    (_, ours), (_, theirs) = (advance(jnp.zeros(()), 2, 6) for advance in (streamed, cached))
    for step_number in range(2, 6):
        indices = batch_indices(23, 8, step_number, config.seed, num_styled=69, styled_ratio=0.25)
        np.testing.assert_array_equal(ours["points"][step_number - 2], faces.points[indices])
    for key in theirs:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_a_run_with_styled_faces_has_the_updates_of_one_without(debug, pack, tmp_path):
    write_pack(tmp_path / "styled.npz", {"train": make_styled(open_faces(str(pack), "train", ""))})
    data = dataclasses.replace(debug.data, styled=str(tmp_path / "styled.npz"), styled_ratio=0.5)
    plain, photos, validation = loop.prepare_run(debug)
    mixed, training, same_validation = loop.prepare_run(dataclasses.replace(debug, data=data))
    assert mixed.steps_per_epoch == plain.steps_per_epoch == len(photos) // debug.data.batch_size
    assert (training.num_photos, training.num_styled) == (len(photos), 3 * len(photos))
    assert not set(training.groups) & set(validation.groups)
    assert same_validation.names == validation.names


def test_a_share_outside_0_to_1_is_refused(debug):
    for ratio in (-0.1, 1.1):
        data = dataclasses.replace(debug.data, styled_ratio=ratio)
        with pytest.raises(ValueError, match=rf"data\.styled_ratio must be in 0\.\.1, not {ratio}"):
            experiment.check(dataclasses.replace(debug, data=data))
