"""Mutated files of every kind are read rightly or refused by name; `python tests/fuzz.py` reads any number of them."""

import time

import pytest

from fuzz import judge, mutations
from fuzz_formats import FORMATS

SECONDS = 60.0  # For one file, however busy the machine: more is a hang.


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_read_or_refused_by_name(name: str, tmp_path, request: pytest.FixtureRequest):
    kind = FORMATS[name]
    path = kind.make(tmp_path)
    data = path.read_bytes()
    assert judge(kind, path, data) == ("accepted", "")
    wrong = []
    for number, content in mutations(kind, name, data, range(int(kind.share * request.config.getoption("--count")))):
        start = time.perf_counter()
        verdict, said = judge(kind, path, content)
        if verdict not in ("accepted", "refused") or time.perf_counter() - start > SECONDS:
            wrong.append(f"{number}: {verdict}, {said}")
    assert not wrong, "\n\n".join(wrong[:10])
