"""Schemes by their names, from a user's file, and from our own files' text; and conversions of one to another."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from typing import Any

import numpy as np

from jaxlm.files import parse_json, read_toml
from jaxlm.landmarks.scheme import Scheme, parse, side_by_side, to_table
from jaxlm.landmarks.scheme_slips import check_slips
from jaxlm.landmarks.schemes import CONVERSIONS, SCHEMES, is_built_in


def split_names(text: str) -> list[str]:
    """The names that `text` joins with +; the path of an existing file is one name, even with a + in it."""
    return [text] if os.path.exists(text) else text.split("+")


def spell_out(name: str) -> str:
    """The same name of schemes without paths: the path of a .toml file is replaced by the scheme's `text_of`.

    Raises:
      ValueError, FileNotFoundError: See `load_scheme`.
    """
    return "+".join(text_of(load_scheme(part)) if part.endswith(".toml") else part for part in split_names(name))


def text_of(scheme: Scheme) -> str:
    """The text of which `load_scheme` makes the scheme again, without a file: its name, or its tables as JSON."""
    if all(part in SCHEMES for part in scheme.name.split("+")) and load_scheme(scheme.name) == scheme:
        return scheme.name
    return json.dumps(to_table(scheme)).replace("+", "\\u002b")  # As + joins names.


def load_scheme(name: str) -> Scheme:
    """The scheme of a built-in name or of a user's .toml file; several names, joined with +, give one scheme of all.

    Text from outside (config, command line, metadata of a pack) is loaded once, and the `Scheme` is passed on.

    A file holds `name`, then `count` or `names`, and any of `flip` (pairs of points that change places when the face
    is mirrored), `eye_corners` (two points), `pupils` (two lists of points), `edges` (lists of points, each drawn as a
    line), `mean_face` (its points, from 0 to 1) and the tables `parts` and `boundaries` (lists of points). JSON text of
    the same tables may stand in place of a path; see `text_of`.

    Raises:
      ValueError: No scheme has that name, the file's tables contradict each other or hold slips (see
        `scheme_slips.check_slips`), or they have the name of a built-in scheme and other points.
      FileNotFoundError: The .toml file does not exist.
    """
    if name in SCHEMES:
        return SCHEMES[name]
    names = split_names(name)
    if len(names) > 1:
        return side_by_side([load_scheme(part) for part in names])
    if name.startswith("{") or not name.endswith(".toml"):
        return scheme_of_text(name)
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: no such scheme file")
    tables = read_toml(name, dict)
    scheme = parse_tables(tables, name)
    check_slips(tables, name)
    return scheme


def scheme_of_text(text: str) -> Scheme:
    """The scheme of a text that `text_of` wrote, from a file of others: it names built-in schemes or holds tables.

    Raises:
      ValueError: It is something else, such as a path, which is not followed.
    """
    if text in SCHEMES:
        return SCHEMES[text]
    names = text.split("+")
    if len(names) > 1:
        return side_by_side([scheme_of_text(part) for part in names])
    if text.startswith("{"):
        return parse_tables(parse_json(text, dict, "the tables of a scheme"), "the tables of a scheme")
    near = difflib.get_close_matches(text, SCHEMES, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(f"unknown landmark scheme {text[:200]!r}{hint} Known: {', '.join(SCHEMES)}, or a .toml file.")


def parse_tables(tables: Any, where: str) -> Scheme:
    """The scheme of tables, as `scheme.parse` gives it.

    Raises:
      ValueError: See `scheme.parse`; or it has the name of a built-in scheme, and other points, mirror or eyes.
    """
    scheme = parse(tables, where)
    known = SCHEMES.get(scheme.name, scheme)
    ours, theirs = ((s.flip, s.eye_corners, s.pupils) for s in (known, scheme))
    if ours != theirs:
        raise ValueError(
            f"{where}: {scheme.name} is the name of a built-in scheme of {known.num_points} points, whose `flip`,"
            " `eye_corners` or `pupils` are others; give yours another name"
        )
    # Files that were written before the points of built-in schemes had names.
    same = not scheme.names and dataclasses.replace(scheme, names=known.names) == known
    return known if same else scheme


def conversion(source: Scheme, target: Scheme) -> np.ndarray:
    """Indices [M] that pick the points of scheme `target` out of points in scheme `source`.

    Raises:
      ValueError: No such conversion is known.
    """
    if source == target:
        return np.arange(source.num_points)
    names = (source.name, target.name)
    if names not in CONVERSIONS or not (is_built_in(source) and is_built_in(target)):
        known = ", ".join(f"{a} -> {b}" for a, b in CONVERSIONS)
        raise ValueError(f"points of scheme {source.name} cannot be read as {target.name}; known conversions: {known}")
    return np.asarray(CONVERSIONS[names])
