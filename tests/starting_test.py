"""How commands end that are stopped while they start, and whose standard streams are closed or are read no further."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from runs import ROOT

ASTRONAUT = ROOT / "tests" / "data" / "astronaut.png"
BY_MODULE = ["-m", "jaxlm.predict"]


@pytest.fixture(scope="module")
def by_script(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command as pip installs it."""
    script = tmp_path_factory.mktemp("bin") / "jaxlm"
    script.write_text("import sys\nfrom jaxlm.__main__ import main\nsys.exit(main())\n")
    return [str(script), "predict"]


@pytest.mark.parametrize("library", ["numpy", "jax._src.config"])
@pytest.mark.parametrize("way", ["module", "script"])
def test_ctrl_c_while_libraries_are_imported_ends_in_one_line(way: str, library: str, by_script: list[str]):
    command = [sys.executable, "-X", "importtime", *(BY_MODULE if way == "module" else by_script), "a.png"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    said = []
    for line in process.stderr:
        if not line.startswith("import time:"):
            said.append(line)
        elif line.split()[-1] == library:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert said == ["Stopped.\n"]


def test_ctrl_c_in_a_command_that_does_not_catch_it_ends_in_one_line():
    code = (
        "import sys; from jaxlm.runtime import starting; starting.set_up()\n"
        "def main(): import signal; signal.raise_signal(signal.SIGINT)\n"
        "try: main()\n"
        "except KeyboardInterrupt: raise KeyboardInterrupt('Interrupted.') from None"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-", "2>&1 | true", "2>/dev/full"])
def test_results_are_whole_whoever_reads_what_is_printed(tmp_path: pathlib.Path, closed: str):
    """Both photos are done, and the status is that of one without a face."""
    bad = tmp_path / "bad.png"
    bad.write_text("no photo")
    out = tmp_path / "out"
    line = f"'{sys.executable}' -m jaxlm.predict '{bad}' '{ASTRONAUT}' --detector whole --out '{out}' {closed}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert {file.name for file in out.iterdir()} == {
        "astronaut_landmarks.jpg",
        *(f"predictions.{ending}" for ending in ("csv", "json", "jsonl")),
    }


def test_help_may_be_read_in_part():
    line = f"'{sys.executable}' -m jaxlm.summary --experiment debug | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
