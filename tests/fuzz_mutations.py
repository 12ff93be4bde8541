"""Seeded mutations of files: bytes, numbers and cells of text, values of JSON, members of archives."""

import io
import json
import random
import re
import zipfile

import numpy as np

NUMBERS = ("1e18", "-1e18", "1e308", "nan", "inf", "-inf", "-1", "0", "0.5", "9" * 400, "1e400", "2147483648", "x", "")
VALUES = (
    None,
    True,
    -1,
    0,
    0.5,
    10**9,
    10**30,
    1e18,
    float("nan"),
    float("inf"),
    "",
    "x" * 300,
    "../x",
    "/etc/x",
    [],
    {},
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """The bytes with some of them flipped, cut off, doubled, moved or replaced."""
    result = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        size = max(len(result), 1)
        start, length = draw.randrange(size), draw.choice((1, 2, 4, 8, 64, size // 3 + 1))
        kind = draw.randrange(7)
        if kind == 0:
            for _ in range(draw.choice((1, 1, 2, 8, 50))):
                if result:
                    result[draw.randrange(len(result))] = draw.randrange(256)
        elif kind == 1:
            del result[draw.randrange(size) :]
        elif kind == 2:
            result[start:start] = result[start : start + length]
        elif kind == 3:
            other = draw.randrange(size)
            result[start : start + length] = result[other : other + length]
        elif kind == 4:
            del result[start : start + length]
        elif kind == 5:
            result[start : start + length] = draw.choice((b"\xff", b"\0", b"\x80", b"\x7f")) * length
        else:
            result[start : start + 4] = draw.choice((2**31 - 1, 2**32 - 1, 10**9, 0)).to_bytes(4, "little")
    return bytes(result)


def mutate_text(data: bytes, draw: random.Random) -> bytes:
    """Text with numbers replaced, lines dropped, doubled or exchanged, odd characters put in; or with other bytes."""
    kind = draw.randrange(8)
    if kind < 3:
        places = list(_NUMBER.finditer(data))
        for place in sorted(draw.sample(places, min(len(places), draw.choice((1, 1, 2, 5)))), key=lambda m: -m.start()):
            data = data[: place.start()] + draw.choice(NUMBERS).encode() + data[place.end() :]
        return data
    if kind == 3:
        lines = data.split(b"\n")
        first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
        lines[first], lines[second] = lines[second], lines[first]
        return b"\n".join(lines + [lines[first]] * draw.randrange(3))
    if kind == 4:
        odd = draw.choice((b'"', b"\0", b",,,", b"\t", b";", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe4", b"\r", b"[" * 5000))
        start = draw.randrange(len(data) + 1)
        return data[:start] + odd + data[start:]
    if kind == 5:
        return data.decode("latin1").encode(draw.choice(("utf-16", "utf-8-sig", "utf-32")))
    return mutate_bytes(data, draw)


def mutate_json(data: bytes, draw: random.Random) -> bytes:
    """JSON with one value replaced by another, one key renamed or left out, or a value nested deep; or other bytes."""
    if draw.random() < 0.3:
        return mutate_text(data, draw)
    return json.dumps(mutate_value(json.loads(data), draw)).encode()


def mutate_value(value: object, draw: random.Random) -> object:
    """A value of JSON with one of the values in it changed."""
    places: list[tuple[dict | list, object]] = []

    def visit(parent: object) -> None:
        for key, child in parent.items() if isinstance(parent, dict) else enumerate(parent):
            places.append((parent, key))
            if isinstance(child, dict | list):
                visit(child)

    if not isinstance(value, dict | list) or not value:
        return draw.choice(VALUES)
    visit(value)
    parent, key = draw.choice(places)
    kind = draw.randrange(6)
    if kind == 0 and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif kind == 1:
        del parent[key]
    elif kind == 2:
        deep: object = parent[key]
        for _ in range(draw.choice((1, 2, 300))):
            deep = [deep]
        parent[key] = deep
    else:
        parent[key] = draw.choice(VALUES)
    return value


def mutate_npz(data: bytes, draw: random.Random) -> bytes:
    """An .npz archive with a member of other values, kind or shape, encrypted or left out; or other bytes."""
    kind = draw.randrange(5)
    if kind == 0:
        return mutate_bytes(data, draw)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(list(members))
    if kind == 1:
        members[name] = mutate_bytes(members[name], draw)
    elif kind == 2 and draw.random() < 0.2:
        del members[name]
    else:
        members[name] = mutate_npy(members[name], draw)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    result = bytearray(written.getvalue())
    if draw.random() < 0.05:
        result[result.index(b"PK\x01\x02") + 8] |= 1  # Encrypted, says the directory.
    return bytes(result)


def mutate_npy(data: bytes, draw: random.Random) -> bytes:
    """An array of other values, of another kind, or of another shape; JSON text in it is changed as JSON."""
    array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if array.dtype.kind == "U" and not array.ndim:
        changed = np.array(mutate_json(str(array).encode(), draw).decode("utf-8", "replace"))
    elif draw.random() < 0.4:
        kinds = (bool, str, object, np.int64, np.float16, np.float64, ">f4", np.uint8, complex)
        with np.errstate(all="ignore"):
            try:
                changed = array.astype(draw.choice(kinds))
            except ValueError:
                changed = array[:0]
    elif draw.random() < 0.3 and array.ndim:
        changed = draw.choice((array[:-1], array[..., None], array.T, np.concatenate([array, array]), array[:0]))
    else:
        changed = array.copy()
        wild = np.array([np.nan, np.inf, 1e18, -1e18, 1e308, -1, 0, 1e9])
        for _ in range(draw.choice((1, 3))):
            if changed.size and changed.dtype.kind in "iufb":
                with np.errstate(all="ignore"):
                    changed.flat[draw.randrange(changed.size)] = wild.astype(changed.dtype)[draw.randrange(len(wild))]
    written = io.BytesIO()
    np.save(written, changed, allow_pickle=True)
    return written.getvalue()
