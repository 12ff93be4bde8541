"""The weights that come with jaxlm: a model of 68 points, `ibug68`, which commands know by the name `shipped`."""

from __future__ import annotations

import pathlib

from jaxlm.checkpoints.bundle import check_sha256

NAME = "shipped"
FILE = pathlib.Path(__file__).parents[1] / "prediction" / "weights_68.npz"
SHA256 = "02dd80e1d7069ff9c1e62530db379f4b7c286cab3f5f92938afb401fdf4cfd52"


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
