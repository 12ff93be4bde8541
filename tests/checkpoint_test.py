import dataclasses
import functools
import logging
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxlm import models
from jaxlm.checkpoints import CheckpointError, Checkpoints, MismatchError, directory_of, fingerprints, open_model, runs
from jaxlm.checkpoints.orbax_steps import Steps
from jaxlm.checkpoints.records import _checksum, make_record
from jaxlm.config import Config
from jaxlm.landmarks import load_scheme
from jaxlm.runtime import distributed
from tiny_landmarker import mean_face_model


def trees(value: float) -> tuple[dict, dict]:
    model = {"params": {"kernel": jnp.full((64, 128), value), "bias": jnp.arange(8.0)}, "batch_stats": {}}
    return model, {"step": jnp.asarray(int(value), jnp.int32), "opt_state": {"momentum": jnp.full((64, 128), -value)}}


def abstract(tree: dict, sharding: NamedSharding | None = None) -> dict:
    sharding = sharding or distributed.replicated(distributed.make_mesh())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def save_steps(directory: pathlib.Path, config: Config, steps: dict[int, float | None], keep: int = 2) -> None:
    with Checkpoints(directory, config, keep) as checkpoints:
        for step, error in steps.items():
            checkpoints.save(step, *trees(step), error=error)


def restore(directory: pathlib.Path, config: Config) -> tuple | None:
    with Checkpoints(directory, config, keep=2) as checkpoints:
        return checkpoints.restore(*map(abstract, trees(0)))


def steps_in(directory: pathlib.Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def data_files(directory: pathlib.Path, step: int) -> list[pathlib.Path]:
    """The files of a step that hold arrays, largest first."""
    files = [path for path in (directory / str(step)).rglob("d/*") if path.is_file()]
    return sorted(files, key=lambda path: path.stat().st_size, reverse=True)


def test_a_new_directory_has_nothing_to_restore(tmp_path, debug):
    assert restore(tmp_path / "checkpoints", debug) is None


def test_what_is_saved_comes_back(tmp_path, debug):
    save_steps(tmp_path, debug, {3: 0.1})
    step, model, state = restore(tmp_path, debug)
    assert step == 3
    for found, saved in zip((model, state), trees(3), strict=True):
        jax.tree.map(np.testing.assert_array_equal, found, saved)


def test_the_last_two_and_the_best_are_kept(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.4, 2: 0.2, 3: 0.3, 4: 0.25, 5: 0.26})
    assert steps_in(tmp_path) == [2, 4, 5]


def test_the_best_is_remembered_by_the_next_process_and_steps_without_metrics_do_not_pile_up(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.2, 2: 0.3})
    save_steps(tmp_path, debug, {3: None, 4: None, 5: 0.25, 6: 0.4})
    assert steps_in(tmp_path) == [1, 5, 6]


def test_the_best_is_found_whatever_its_number_was_called(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.2, 2: 0.3})
    for step in (1, 2):
        file = tmp_path / str(step) / "metrics" / "metrics"
        file.write_text(file.read_text().replace('"error"', '"nme"'))
    assert Steps(tmp_path).best == 1
    save_steps(tmp_path, debug, {3: 0.4, 4: 0.5})
    assert steps_in(tmp_path) == [1, 3, 4]


DAMAGES = ["flip", "truncate", "remove", "remove_index", "remove_item", "remove_record", "change_record", "empty_step"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_step_is_set_aside_and_the_one_before_it_is_used(tmp_path, debug, damage, caplog):
    save_steps(tmp_path, debug, {1: 0.2, 2: 0.1})
    largest = data_files(tmp_path, 2)[0]
    if damage == "flip":
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 0x10
        largest.write_bytes(data)
    elif damage == "truncate":
        largest.write_bytes(largest.read_bytes()[:-20])
    elif damage == "remove":
        largest.unlink()
    elif damage == "remove_index":
        (tmp_path / "2" / "model" / "manifest.ocdbt").unlink()
    elif damage == "remove_item":
        shutil.rmtree(tmp_path / "2" / "state")
    elif damage == "remove_record":
        shutil.rmtree(tmp_path / "2" / "record")
    elif damage == "change_record":
        (file,) = (path for path in (tmp_path / "2" / "record").rglob("*") if b"seed" in path.read_bytes())
        file.write_bytes(file.read_bytes().replace(b'"seed\\": 0', b'"seed\\": 7'))
        assert b"7" in file.read_bytes()
    else:
        shutil.rmtree(tmp_path / "2")
        (tmp_path / "2").mkdir()
    with caplog.at_level(logging.WARNING):
        step, model, _ = restore(tmp_path, debug)
    assert step == 1
    np.testing.assert_array_equal(model["params"]["kernel"], trees(1)[0]["params"]["kernel"])
    assert "step 2 is damaged and set aside" in caplog.text
    assert [path.name.split("-")[0] for path in (tmp_path / "damaged").iterdir()] == ["2"]
    save_steps(tmp_path, debug, {2: 0.05})  # The run goes on and saves the step anew.
    assert restore(tmp_path, debug)[0] == 2


@pytest.mark.parametrize("content", ["{", "", "[]", '{"error": "low"}', "{}", '{"error": 1, "nme": 2}', "\xff"])
def test_a_step_whose_metrics_are_damaged_is_set_aside(tmp_path, debug, content, caplog):
    directory = directory_of(tmp_path)
    save_steps(directory, debug, {1: 0.2, 2: 0.1})
    file = directory / "2" / "metrics" / "metrics"
    file.write_bytes(content.encode("latin1"))
    assert Steps(directory).best == 1
    assert f"{file} is damaged" in caplog.text
    assert restore(directory, debug)[0] == 1
    assert "step 2 is damaged and set aside" in caplog.text
    (aside,) = (directory / "damaged").iterdir()
    assert (aside / "model").is_dir()


def test_a_run_whose_only_step_was_set_aside_does_not_start_anew_unasked(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.2})
    (tmp_path / "1" / "metrics" / "metrics").write_text("{")
    with pytest.raises(CheckpointError, match=r"none of the steps \[1\] can be read"):
        restore(tmp_path, debug)
    assert restore(tmp_path, debug) is None


def test_an_error_that_is_no_number_is_never_the_best(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.2, 2: float("nan")})
    assert Steps(tmp_path).best == 1


def test_a_renamed_step_is_set_aside(tmp_path, debug, caplog):
    save_steps(tmp_path, debug, {20: 0.2, 42: 0.1})
    (tmp_path / "42").rename(tmp_path / "30")
    assert restore(tmp_path, debug)[0] == 20
    assert "step 30 is no step of this run and set aside: StrayStepError: it was saved as step 42" in caplog.text
    assert steps_in(tmp_path) == [20]


def test_a_step_of_another_run_is_set_aside_before_it_takes_the_place_of_the_best(tmp_path, debug, caplog):
    """Its config and its faces are the same; only the id of the run tells it."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    save_steps(ours, debug, {2: 0.3, 3: 0.4})
    save_steps(theirs, debug, {1: 0.1})
    shutil.copytree(theirs / "1", ours / "1")
    assert restore(ours, debug)[0] == 3
    assert "step 1 is no step of this run and set aside: StrayStepError: another run saved it" in caplog.text
    save_steps(ours, debug, {4: 0.5, 5: 0.5})
    assert steps_in(ours) == [2, 4, 5]


def test_a_stray_step_is_not_taken_for_the_model(tmp_path, debug, caplog):
    model = mean_face_model()
    variables = jax.tree.map(jnp.asarray, model.variables)
    for run in ("ours", "theirs"):
        with Checkpoints(directory_of(tmp_path / run), model.config, 2) as checkpoints:
            checkpoints.save(5, variables, {"step": jnp.asarray(5)}, 0.2)
            checkpoints.save(6, variables, {"step": jnp.asarray(6)}, 0.1)
    steps = directory_of(tmp_path / "ours")
    (steps / "6").rename(steps / "3")
    shutil.copytree(directory_of(tmp_path / "theirs") / "6", steps / "6")
    assert open_model(tmp_path / "ours").step == 5
    for step, why in ((3, "it was saved as step 6"), (6, "another run saved it")):
        with pytest.raises(CheckpointError, match=f"no checkpoint can be read: step {step}: StrayStepError: {why}"):
            open_model(tmp_path / "ours", step=step)


def test_steps_of_runs_without_an_id_are_taken(tmp_path, debug, monkeypatch):
    """As an older jaxlm wrote them; what is saved from then on has one."""

    def older(step: int, run: str, *rest: object) -> dict:
        record = make_record(step, run, *rest)
        kept = {key: value for key, value in record.items() if key not in ("step", "run", "checksum")}
        return kept | {"checksum": _checksum(kept)}

    with monkeypatch.context() as patch:
        patch.setattr(runs, "make_record", older)
        save_steps(tmp_path, debug, {1: 0.2, 2: 0.1})
    (tmp_path / "run.json").unlink()
    assert restore(tmp_path, debug)[0] == 2
    save_steps(tmp_path, debug, {3: 0.3})
    (tmp_path / "run.json").unlink()  # Of its steps the id is known, too.
    assert restore(tmp_path, debug)[0] == 3
    assert steps_in(tmp_path) == [2, 3]


def test_flipped_bytes_anywhere_in_the_arrays_are_noticed(tmp_path, debug):
    rng = np.random.default_rng(0)
    values = {"kernel": jnp.asarray(rng.normal(size=(64, 128)), jnp.float32)}
    model, state = {"params": values, "batch_stats": {}}, {"step": jnp.asarray(1)}
    with Checkpoints(tmp_path / "saved", debug, 2) as checkpoints:
        checkpoints.save(1, model, state)
    for trial in range(8):
        directory = tmp_path / f"trial{trial}"
        shutil.copytree(tmp_path / "saved", directory)
        largest = data_files(directory, 1)[0]
        data = bytearray(largest.read_bytes())
        for position in rng.integers(0, len(data), 8):
            data[position] ^= int(rng.integers(1, 256))
        largest.write_bytes(data)
        with Checkpoints(directory, debug, 2) as checkpoints, pytest.raises(CheckpointError, match="none of the steps"):
            checkpoints.restore(abstract(model), abstract(state))


def test_left_overs_of_a_killed_deletion_and_a_killed_save_do_no_harm(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.2, 2: 0.1})
    shutil.copytree(tmp_path / "1", tmp_path / "deleting" / "1")
    half_saved = tmp_path / "3.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "2", half_saved)
    shutil.rmtree(half_saved / "state")
    assert restore(tmp_path, debug)[0] == 2
    assert not any((tmp_path / "deleting").glob("*"))
    save_steps(tmp_path, debug, {3: 0.05})
    assert restore(tmp_path, debug)[0] == 3


SCHEME = """
name = "mask"
names = ["left_eye", "right_eye", "chin"]
flip = [[0, 1]]
eye_corners = [0, 1]
"""


def test_a_run_keeps_its_scheme_whatever_becomes_of_the_file(tmp_path, debug, monkeypatch):
    """It can be opened from anywhere, and only with the same scheme it goes on."""
    file = tmp_path / "mask.toml"
    file.write_text(SCHEME)
    config = dataclasses.replace(debug, data=dataclasses.replace(debug.data, scheme=str(file)))
    network = models.build(config.model.name, 3, config.model.options, jnp.float32)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    shapes = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), images)
    model, state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), dict(shapes)), {"step": jnp.asarray(1)}
    with Checkpoints(directory_of(tmp_path), config, 2) as checkpoints:
        checkpoints.save(1, model, state)
    learnt = load_scheme(str(file))
    file.write_text(SCHEME.replace("[[0, 1]]", "[[0, 2]]"))
    assert open_model(tmp_path).scheme == learnt
    with (
        Checkpoints(directory_of(tmp_path), config, 2) as checkpoints,
        pytest.raises(MismatchError, match=r"data.scheme: flip of the scheme mask changed since"),
    ):
        checkpoints.restore(abstract(model), abstract(state))
    file.unlink()
    assert open_model(tmp_path).scheme == learnt


def test_another_config_is_refused_and_its_differences_are_shown(tmp_path, debug):
    save_steps(tmp_path, debug, {1: 0.2})
    with pytest.raises(MismatchError, match="seed: 0 here, 5 asked for"):
        restore(tmp_path, dataclasses.replace(debug, seed=5))
    assert steps_in(tmp_path) == [1]
    assert restore(tmp_path, dataclasses.replace(debug, fsdp=2))[0] == 1


def test_a_split_array_is_saved_and_comes_back_on_another_split(tmp_path, debug):
    mesh = distributed.make_mesh(fsdp=4)
    split = NamedSharding(mesh, PartitionSpec(None, "fsdp"))
    kernel = jnp.arange(64.0 * 128).reshape(64, 128)
    with Checkpoints(tmp_path, debug, 2) as checkpoints:
        checkpoints.save(1, {"params": jax.device_put(kernel, split)}, {"step": jnp.asarray(1)})
    one_device = NamedSharding(jax.make_mesh((1,), ("data",), devices=jax.devices()[:1]), PartitionSpec())
    for sharding in (one_device, NamedSharding(distributed.make_mesh(fsdp=2), PartitionSpec("fsdp"))):
        with Checkpoints(tmp_path, debug, 2) as checkpoints:
            _, model, _ = checkpoints.restore(
                abstract({"params": kernel}, sharding),
                abstract({"step": jnp.asarray(1)}, NamedSharding(sharding.mesh, PartitionSpec())),
            )
        assert model["params"].sharding == sharding
        np.testing.assert_array_equal(model["params"], kernel)


def test_fingerprints_do_not_depend_on_the_split_and_change_with_any_word():
    values = jax.random.normal(jax.random.key(0), (8, 16))
    split = jax.device_put(values, NamedSharding(distributed.make_mesh(fsdp=4), PartitionSpec("fsdp", None)))
    whole = int(fingerprints(values))
    assert int(fingerprints(split)) == whole
    words = np.asarray(values).view(np.uint32)
    for place in np.ndindex(words.shape):
        changed = words.copy()
        changed[place] ^= 1
        assert int(fingerprints(changed.view(np.float32))) != whole
    swapped = np.asarray(values)[::-1]
    assert int(fingerprints(swapped)) != whole


def test_no_run_and_no_such_step_are_said_so(tmp_path, debug):
    with pytest.raises(CheckpointError, match="no training run here"):
        open_model(tmp_path)
    save_steps(directory_of(tmp_path), debug, {1: 0.2})
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 7; there are \[1\]"):
        open_model(tmp_path, step=7)
