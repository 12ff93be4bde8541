"""Rows of results that stay where a process was ended."""

import json
import pathlib

import pytest

from jaxlm.runtime.row_log import Row, RowLog


def opened(file: pathlib.Path, model: int = 1) -> RowLog:
    def check(row: Row) -> None:
        if row.get("number") == 7:
            raise ValueError("7 is no number of ours")

    return RowLog(file, {"model": model}, check)


def filled(file: pathlib.Path) -> RowLog:
    log = opened(file)
    for item, rows in (("a", 2), ("b", 1)):
        for number in range(rows):
            log.add(item, {"of": item, "number": number})
        log.finish(item, {"good": True})
    return log


def test_rows_of_items_are_there_at_once_and_later(tmp_path: pathlib.Path):
    log = filled(tmp_path / "log.jsonl")
    log.add("c", {"of": "c", "number": 0})
    rows = [{"of": item, "number": number} for item, number in (("a", 0), ("a", 1), ("b", 0))]
    assert [*log.rows()] == [*rows, {"of": "c", "number": 0}]
    assert log.unfinished == "c"
    later = opened(tmp_path / "log.jsonl")
    assert [*later.rows()] == rows
    assert later.done == {"a": {"good": True}, "b": {"good": True}}
    assert later.ours
    assert later.unfinished is None
    later.add("d", {"of": "d", "number": 0})
    later.finish("d", {"good": False})
    later.close()
    assert '"c"' not in (tmp_path / "log.jsonl").read_text()
    assert [*opened(tmp_path / "log.jsonl").rows()] == [*rows, {"of": "d", "number": 0}]


def test_an_item_that_is_done_again_has_its_new_rows_alone(tmp_path: pathlib.Path):
    log = filled(tmp_path / "log.jsonl")
    log.add("a", {"of": "a", "number": 9})
    assert [row["number"] for row in log.rows()] == [0, 9]
    log.finish("a", {"good": False})
    for one in (log, opened(tmp_path / "log.jsonl")):
        assert [row["number"] for row in one.rows()] == [9, 0]
        assert one.done["a"] == {"good": False}


def test_rows_by_other_settings_stay_until_there_are_new_ones(tmp_path: pathlib.Path):
    file = tmp_path / "log.jsonl"
    filled(file).close()
    before = file.read_bytes()
    log = opened(file, 2)
    assert log.others
    assert not log.ours
    assert [*log.rows()] == []
    log.close()
    assert file.read_bytes() == before
    log.add("e", {"of": "e"})
    log.finish("e", {})
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"settings": {"model": 2}},
        {"of": "e"},
        {"done": "e"},
    ]


@pytest.mark.parametrize("tail", [b"{", b'{"of": "c"', b'{"of": "c"}'])
def test_what_was_cut_off_does_not_count(tmp_path: pathlib.Path, tail: bytes):
    file = tmp_path / "log.jsonl"
    filled(file).close()
    whole = file.read_bytes()
    file.write_bytes(whole + tail)
    log = opened(file)
    assert len([*log.rows()]) == 3
    log.add("c", {"of": "c"})
    assert file.read_bytes() == whole + b'{"of": "c"}\n'


@pytest.mark.parametrize("damage", [b"[]\n", b"\xff\n", b'{"done": 3}\n', b"\0\0\0\n", b"[" * 100_000 + b"\n"])
def test_a_damaged_line_is_named_and_nothing_behind_it_is_lost(tmp_path: pathlib.Path, damage: bytes):
    """A killed process damages no line but its last, and that one has no end."""
    file = tmp_path / "log.jsonl"
    filled(file).close()
    lines = file.read_bytes().splitlines(keepends=True)
    for number in (1, 3):
        damaged = b"".join([*lines[: number - 1], damage, *lines[number:]])
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"log\.jsonl, line {number} is damaged"):
            opened(file)
        assert file.read_bytes() == damaged


def test_a_row_that_is_none_of_ours_is_named(tmp_path: pathlib.Path):
    file = tmp_path / "log.jsonl"
    filled(file).close()
    file.write_text(file.read_text().replace('"number": 1', '"number": 7'))
    with pytest.raises(ValueError, match=r"log\.jsonl, line 3 is damaged \(7 is no number of ours\)"):
        opened(file)


def test_an_item_may_have_no_rows_any_more(tmp_path: pathlib.Path):
    log = filled(tmp_path / "log.jsonl")
    log.finish("a", {"good": False})
    log.close()
    for one in (log, opened(tmp_path / "log.jsonl")):
        assert [*one.first_rows()] == [("b", {"of": "b", "number": 0})]
        assert [*one.rows()] == [{"of": "b", "number": 0}]
        assert one.done["a"] == {"good": False}
