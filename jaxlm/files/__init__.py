"""Files: what others hand in is read without trust, what we write appears only when it is whole. No JAX, no OpenCV.

In: paths, and the schema that a file must keep. Out: plain values and numeric arrays, or a ValueError that names the
file. Nothing that a file holds is run, imported, unpickled or followed as a path.
"""

from jaxlm.files.archives import Archive, Member, read_array
from jaxlm.files.documents import as_schema, parse_json, read_json, read_toml, regular_size
from jaxlm.files.elements import Element, read_elements
from jaxlm.files.outputs import check_output
from jaxlm.files.patterns import matching
from jaxlm.files.pickles import read_pickle
from jaxlm.files.writing import (
    check_can_write,
    check_place,
    remove_unfinished,
    replacing,
    replacing_text,
    unfinished_beside,
    write_json,
    write_whole,
)

__all__ = [
    "Archive",
    "Element",
    "Member",
    "as_schema",
    "check_can_write",
    "check_output",
    "check_place",
    "matching",
    "parse_json",
    "read_array",
    "read_elements",
    "read_json",
    "read_pickle",
    "read_toml",
    "regular_size",
    "remove_unfinished",
    "replacing",
    "replacing_text",
    "unfinished_beside",
    "write_json",
    "write_whole",
]
