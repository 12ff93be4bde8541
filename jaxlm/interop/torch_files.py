"""Files of PyTorch as named arrays, whatever way they were saved and whatever lies beside the tensors in them.

PyTorch is needed to read them. No code in a file is run, and no class or function that it names is imported: PyTorch's
own safe loader makes the tensors, and objects of all other classes are stood in for by their attributes.
"""

from __future__ import annotations

import io
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

# The keys under which training scripts save the tensors.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
# What DataParallel and torch.compile put before names.
_PREFIXES = re.compile(r"^(?:module\.|_orig_mod\.)+")
# What the safe loader is left to decide on: it knows the ways in which tensors are stored.
_LEFT_TO_PYTORCH = re.compile(r"(torch(?!\.nn\.modules\.|\.jit\.)|collections|_codecs|builtins|__builtin__)\.")
# Bytes that a compressed entry may become; PyTorch compresses only small ones.
_MOST_UNPACKED = 2**26
# How many pickles lie before the tensors in files of PyTorch before 1.6, with that of the contents.
_LEGACY_PICKLES = 4


class ConversionError(ValueError):
    """A checkpoint does not give the model asked for."""


class _StandIn:
    """An object of a class that is not PyTorch's own: its attributes alone."""

    def __new__(cls, *arguments: Any, **settings: Any) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch file by name, without what lies beside them and the prefixes of wrapped models.

    They may lie under one of `_WRAPPERS`, beside an epoch, the optimiser's state, arguments and the like; or be those
    of a whole model, saved as such or as a program (TorchScript).

    Raises:
      ImportError: PyTorch is not installed.
      FileNotFoundError: There is no such file.
      ConversionError: The file has no named tensors, or is damaged.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError('reading checkpoints needs PyTorch: pip install "jaxlm[convert]"') from error
    try:
        with _without_program(path) as file:
            known: list[Any] = [(_StandIn, name) for name in _named(file) if not _LEFT_TO_PYTORCH.match(name)]
            file.seek(0)
            with torch.serialization.safe_globals([*known, *_lists_of_programs()]):
                contents = torch.load(file, map_location="cpu", weights_only=True)
        state = _unwrapped(contents, torch.Tensor)
    except FileNotFoundError:
        raise
    except Exception as error:  # Damaged files raise many types, and PyTorch's advice is to run what is in them.
        raise ConversionError(
            f"{path} is no file of tensors, or a damaged one ({type(error).__name__}); nothing in it was run"
        ) from error
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        keys = ", ".join(_WRAPPERS)
        raise ConversionError(f"{path} holds no state dict: named tensors, by themselves or under one of {keys}")
    return {_PREFIXES.sub("", name): tensor.detach().float().numpy() for name, tensor in state.items()}


def merge(states: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The tensors of several checkpoints, by the path of their file, together.

    Raises:
      ConversionError: Two files have a tensor of one name.
    """
    merged: dict[str, np.ndarray] = {}
    for path, state in states.items():
        common = merged.keys() & state.keys()
        if common:
            raise ConversionError(f"{path} and a file before it both have a tensor {min(common)}; give each file once")
        merged |= state
    return merged


def _without_program(path: str | os.PathLike[str]) -> IO[bytes]:
    """The file, or, of a program, what a file of its tensors alone would be."""
    if not zipfile.is_zipfile(path):
        return open(path, "rb")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(name.endswith("/constants.pkl") for name in names):
            return open(path, "rb")
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as tensors:
            for name in names:
                if not re.match(r"[^/]*/(code/|constants)", name):
                    tensors.writestr(name, _read(archive, name))
    copy.seek(0)
    return copy


def _named(file: IO[bytes]) -> set[str]:
    """The classes and functions that the pickles in a file name, as PyTorch writes them."""
    if not zipfile.is_zipfile(file):
        pickles: list[IO[bytes] | bytes] = [file] * _LEGACY_PICKLES
        file.seek(0)
    else:
        with zipfile.ZipFile(file) as archive:
            pickles = [_read(archive, name) for name in archive.namelist() if name.endswith("/data.pkl")]
    opcodes = (opcode for stored in pickles for opcode in pickletools.genops(stored))
    return {str(argument).replace(" ", ".") for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry of a file of PyTorch; raises ValueError where a small file would become a large one."""
    entry = archive.getinfo(name)
    if entry.file_size > max(entry.compress_size, _MOST_UNPACKED):
        raise ValueError(f"{name} is compressed, and of {entry.file_size} bytes")
    return archive.read(name)


def _unwrapped(contents: Any, kind: type) -> Any:
    """The named tensors, of type `kind`, among the contents of a file; something else where there are none."""
    while isinstance(contents, Mapping) and (inner := [contents[name] for name in _WRAPPERS if name in contents]):
        contents = inner[0]
    return dict(_tensors_within(contents, kind)) if isinstance(contents, _StandIn) else contents


def _tensors_within(module: _StandIn, kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and tensors of a module and of those within it, as its state dict would have them."""
    attributes = vars(module)
    if "_modules" in attributes:  # Of a program they are attributes like others.
        attributes = {**attributes["_parameters"], **attributes["_buffers"], **attributes["_modules"]}
    for name, value in attributes.items():
        if isinstance(value, kind):
            yield prefix + name, value
        elif isinstance(value, _StandIn):
            yield from _tensors_within(value, kind, f"{prefix}{name}.")


def _lists_of_programs() -> list[tuple[type, str]]:
    """What programs call to make lists of one kind of value."""
    return [(list, f"torch.jit._pickle.build_{kind}list") for kind in ("int", "double", "bool", "tensor")]
