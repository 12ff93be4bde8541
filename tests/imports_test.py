"""Any module can be the first; jaxlm never imports TensorFlow, data_pipelines never JAX; tables need numpy alone."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def modules(folder: str, prefix: str = "") -> list[str]:
    """The modules in a folder of the repository, by the names that code imports them by."""
    files = sorted((ROOT / folder).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return [prefix + name for name in names]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level packages in a fresh process after importing `names`."""
    code = f"import importlib, sys; [importlib.import_module(n) for n in {names!r}]; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


# Imports each module in a process of its own, forked from one that holds what others wrote and of ours nothing but the
# packages that the module lies in: Python imports those before it, whatever comes first. Writes what went wrong, or an
# empty text, by module.
IMPORT_FIRST = """
import gc, importlib, json, os, sys, traceback, warnings
warnings.simplefilter("ignore")  # JAX warns of forks, since it has threads.
import chex, cv2, flax.linen, jax, matplotlib.figure, optax, orbax.checkpoint, scipy.io, tqdm, tyro

gc.disable()  # It would look through all of these in each process, and so have their memory copied.
file, *modules = sys.argv[1:]
sys.pycache_prefix, sys.dont_write_bytecode = file + ".compiled", False  # Compiled by the first alone.

def import_first(module):
    if os.fork():
        os.wait()
        return
    wrong = ""
    try:
        importlib.import_module(module)
    except BaseException:
        wrong = traceback.format_exc(limit=-4)
    with open(file, "a") as outcomes:
        outcomes.write(json.dumps([module, wrong]) + "\\n")
    for inside in modules if not wrong else ():
        if inside.rpartition(".")[0] == module:
            import_first(inside)
    os._exit(0)

for module in modules:
    if module.rpartition(".")[0] not in modules:
        import_first(module)
"""
DATA_PIPELINES = modules("data_pipelines", prefix="jaxlm.")
MODULES = modules("jaxlm") + DATA_PIPELINES + modules("experiments", prefix="jaxlm.")


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong in importing modules first, by their names; empty where nothing did."""
    file = tmp_path_factory.mktemp("imports") / "outcomes.jsonl"
    subprocess.run([sys.executable, "-c", IMPORT_FIRST, str(file), *MODULES], cwd=ROOT, check=True)
    return dict(json.loads(line) for line in file.read_text().splitlines())


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported_first(module: str, wrong: dict[str, str]):
    if "No module named 'apache_beam'" in wrong.get(module, ""):
        pytest.skip("needs Apache Beam")
    assert module in wrong, "its process or its package failed"
    assert not wrong[module], wrong[module]


def test_jaxlm_loads_no_tensorflow():
    assert not {"tensorflow", "tensorflow_datasets"} & loaded_by(modules("jaxlm"))


def test_training_and_predicting_start_without_what_draws_and_what_stores():
    """They take longer than all else but JAX and Flax."""
    slow = {"tensorflow", "tensorboardX", "matplotlib", "orbax", "scipy"}
    assert not slow & loaded_by(["jaxlm.train", "jaxlm.predict"])


def test_data_pipelines_load_no_jax_and_tensorflow_only_when_asked():
    """The builder needs TFDS, and what it imports when asked to, Apache Beam."""
    others = {"jaxlm.data_pipelines.builder", "jaxlm.data_pipelines.beam_records"}
    assert not {"jax", "tensorflow", "apache_beam"} & loaded_by(sorted({*DATA_PIPELINES} - others))


def test_the_builder_loads_no_jax():
    assert not {"jax", "apache_beam"} & loaded_by(["jaxlm.data_pipelines.builder"])


@pytest.mark.parametrize("module", ["jaxlm.landmarks", "jaxlm.landmarks.geometry"])
def test_both_sides_tables_need_numpy_alone(module: str):
    assert not {"jax", "cv2", "tensorflow", "flax"} & loaded_by([module])


def test_landmarks_and_drawing_load_no_jax():
    assert not {"jax", "flax"} & loaded_by(modules("jaxlm/landmarks") + modules("jaxlm/drawing"))


def test_compiled_programs_are_kept_in_the_users_cache_folder(tmp_path: pathlib.Path):
    code = (
        "import jaxlm, jax, jax.numpy as jnp; jax.config.update('jax_persistent_cache_min_compile_time_secs', 0);"
        " jax.jit(jnp.tanh)(jnp.ones(3)).block_until_ready(); print(jax.config.jax_compilation_cache_dir)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    for chosen, where in (
        ({}, tmp_path / "jaxlm"),
        ({"JAX_COMPILATION_CACHE_DIR": f"{tmp_path}/own"}, tmp_path / "own"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment | {"XDG_CACHE_HOME": str(tmp_path)} | chosen,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(str(where))
        assert any(where.rglob("*-cache"))


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({}, None),
        ({"JAX_NUM_CPU_DEVICES": "1"}, None),
        ({"JAX_NUM_CPU_DEVICES": "2"}, "16"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}, "16"),
        ({"JAX_NUM_CPU_DEVICES": "2", "NPROC": "3"}, "3"),
    ],
)
def test_only_virtual_devices_get_more_threads_than_cores(settings: dict[str, str], threads: str | None):
    ours = ("NPROC", "XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | settings
    command = [sys.executable, "-c", "import jaxlm, os; print(os.environ.get('NPROC'))"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(threads)
