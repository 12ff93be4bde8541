"""Landmarks as data: schemes, heads, boxes, affine maps, photos, tables. No JAX; data_pipelines uses this room, too.

In: names of schemes, files of photos, lists of people. Out: `Scheme`, `Head`, numpy arrays of points and boxes.
A name is loaded once, by `load_scheme`; functions take the `Scheme`. This page and the others need numpy alone, but for
photos.py, which needs OpenCV, so it is imported by itself.
"""

from jaxlm.landmarks.heads import Head, find_head, heads_of
from jaxlm.landmarks.loading import (
    conversion,
    load_scheme,
    parse_tables,
    scheme_of_text,
    spell_out,
    split_names,
    text_of,
)
from jaxlm.landmarks.scheme import Scheme
from jaxlm.landmarks.schemes import AFLW19, COFW29, FIVE, IBUG68, LAPA106, SCHEMES, WFLW98, is_built_in

__all__ = [
    "AFLW19",
    "COFW29",
    "FIVE",
    "IBUG68",
    "LAPA106",
    "SCHEMES",
    "WFLW98",
    "Head",
    "Scheme",
    "conversion",
    "find_head",
    "heads_of",
    "is_built_in",
    "load_scheme",
    "parse_tables",
    "scheme_of_text",
    "spell_out",
    "split_names",
    "text_of",
]
