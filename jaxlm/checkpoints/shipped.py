"""The weights that come with jaxlm, by name: `ibug68`, which is also called `shipped`, and `wflw98`."""

from __future__ import annotations

import pathlib
from typing import NamedTuple

from jaxlm.checkpoints.bundle import check_sha256

NAME = "shipped"
"""What commands know the default among the weights by."""


class Shipped(NamedTuple):
    """A file of weights and its SHA-256, hexadecimal."""

    file: pathlib.Path
    sha256: str


_FOLDER = pathlib.Path(__file__).parents[1] / "prediction"
_68 = Shipped(_FOLDER / "weights_68.npz", "69b1d49cb938a17e5333495dda49da6b98c1f0a3fe6564307ac45e138eb9690a")
_98 = Shipped(_FOLDER / "weights_98.npz", "283f677a8716da5d4ab83b440d156b9de6b5588ca56fb2826a50e594f9844741")

MODELS = {NAME: _68, "ibug68": _68, "wflw98": _98}
"""The weights by the names that are taken in place of a path. But for `NAME`, it is that of the points' scheme."""

POINTS = {68: "ibug68", 98: "wflw98"}
"""The names of weights by the number of their points."""


def weights(name: str = NAME) -> pathlib.Path:
    """The file of the weights of a name.

    Raises:
      FileNotFoundError: This copy of jaxlm comes without it.
      ValueError: It is damaged.
    """
    file, sha256 = MODELS[name]
    if not file.exists():
        raise FileNotFoundError(f"this copy of jaxlm comes without {file.name}; name weights or a workdir")
    check_sha256(file, sha256)
    return file
