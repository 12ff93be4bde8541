"""The weights that come with jaxlm: a model of 68 points, `ibug68`, which commands know by the name `shipped`."""

from __future__ import annotations

import pathlib

from jaxlm.checkpoints.bundle import check_sha256

NAME = "shipped"
FILE = pathlib.Path(__file__).parents[1] / "prediction" / "weights_68.npz"
SHA256 = "96020066a754eb3007f03e20a8d02a09edf12ff43e957771792701b1a2a6c68a"


def weights() -> pathlib.Path:
    """The file of the weights.

    Raises:
      FileNotFoundError: This copy of jaxlm comes without it.
      ValueError: It is damaged.
    """
    if not FILE.exists():
        raise FileNotFoundError(f"this copy of jaxlm comes without {FILE.name}; name weights or a workdir")
    check_sha256(FILE, SHA256)
    return FILE
