"""The data formats that can be prepared, one file each: sources/NAME.py is the command `jaxlm prepare NAME`.

In: the files of a data set as published. Out: the labels of its faces by split, and a record of each face.
A file is found by its name, without any other entry; `data_pipelines.source.Source` shows a whole one.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import Any, cast

from jaxlm.data_pipelines.source import Source

_METHODS = ("read", "to_record")
_FIELDS = ("name", "scheme", "box")


def find_sources() -> dict[str, type[Source]]:
    """The class of each format by the name of its file, sorted.

    Raises:
      ImportError: A file does not define one source.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: source_class(importlib.import_module(f"{__name__}.{name}")) for name in names}


def source_class(module: ModuleType) -> type[Source]:
    """The one class of a module that has the methods and fields of a source.

    Raises:
      ImportError: There is none, or more than one, or it lacks something.
    """
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    found = [value for value in own if isinstance(value, type) and hasattr(value, "read")]
    if len(found) != 1:
        names = f" ({', '.join(cls.__name__ for cls in found)})" if found else ""
        raise ImportError(
            f"{module.__file__} defines {len(found)} classes with a method read{names}, and a format is one;"
            " data_pipelines/source.py shows a whole one"
        )
    cls = found[0]
    if not dataclasses.is_dataclass(cls):
        raise ImportError(f"{module.__file__}: {cls.__name__} is no dataclass, whose fields are its options")
    fields = {field.name for field in dataclasses.fields(cls)}
    missing = [name for name in (*_METHODS, *_FIELDS) if not hasattr(cls, name) and name not in fields]
    if missing:
        raise ImportError(f"{module.__file__}: {cls.__name__} lacks {', '.join(missing)}; see data_pipelines/source.py")
    return cast(type[Source], cls)


def check_spelling(arguments: Sequence[str], options: type) -> None:
    """Raises ValueError with the nearest known one where the format, or an option of it, is misspelt.

    Args:
      arguments: A command line, the format first.
      options: The dataclass of the options that all formats have.
    """
    formats = find_sources()
    if not arguments or arguments[0].startswith("-"):
        return
    name, *words = arguments
    if "" in words:
        raise ValueError(f"an empty value behind {arguments[words.index('')]!r}; is a variable not set?")
    if name not in formats:
        near = difflib.get_close_matches(name, formats, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"no format {name!r}.{hint} Known: {', '.join(formats)}.")
    fields = [
        field.name for kind in (formats[name], options) for field in dataclasses.fields(cast(Any, kind)) if field.init
    ]
    known = ["--help", *(f"--{field.replace('_', '-')}" for field in fields)]
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        near = difflib.get_close_matches(option, known, n=1)
        if option.startswith("--") and option not in known and near:
            raise ValueError(f"{name} has no option {option}. Did you mean {near[0]}?")
