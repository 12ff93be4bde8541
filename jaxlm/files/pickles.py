"""Reads pickles of plain values and numeric arrays without an unpickler: nothing that a pickle names is called.

`pickletools.genops` only splits the file into opcodes. A machine of our own builds lists, tuples, dicts, strings,
numbers, and the arrays, scalars and dtypes of numpy, as numpy pickles them in protocols 0 to 5. All else is refused.
"""

from __future__ import annotations

import pathlib
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxlm.files.documents import regular_size
from jaxlm.files.pickled_arrays import CALLS, NAMES, Dtype, Empty, Global, RefusedError, array_of_state, order_of

MOST_BYTES = 2**30
"""Size of the largest pickle that is read."""

MOST_VALUES = 50_000_000
"""Number of values that a pickle may hold, those that it holds several times by reference counted each time."""

MOST_LEVELS = 16
"""How deep lists may lie in lists."""

_PLAIN = (str, bytes, int, float, type(None))


class _Mark:
    """Where a group of values begins on the stack."""


def read_pickle(path: pathlib.Path) -> Any:
    """The content of a pickle: lists, tuples, dicts, strings, bytes, numbers, and arrays of numbers or strings.

    Raises:
      ValueError: The file is too large, no whole pickle, or holds or calls something else.
    """
    size = regular_size(path)
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; pickles of up to {MOST_BYTES:,} are read")
    try:
        value = _Machine().run(path.read_bytes())
        _check_bounds(value)
    except RefusedError as error:
        raise ValueError(
            f"{path} asks for {error}, which is refused: only lists, tuples, strings, numbers and numpy arrays are read"
        ) from None
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is not a readable pickle: {_first(error)}") from None
    return value


def _first(error: Exception) -> str:
    """The error in a line; what it quotes of the file is cut."""
    said = f"{error}".splitlines() or [""]
    return f"nothing is where {said[0]} should be" if isinstance(error, KeyError) else said[0][:200]


def _check_bounds(value: Any) -> None:
    """Raises ValueError where a value holds too much, counting what it holds twice twice, or something unfinished."""
    level, total = [value], 0
    for _ in range(MOST_LEVELS):
        inside: list[Any] = []
        for each in level:
            if isinstance(each, list | tuple):
                found: Any = each
            elif isinstance(each, dict):
                found = each.values()
            elif isinstance(each, np.ndarray):
                total, found = total + each.size, ()
            elif isinstance(each, str | bytes):
                total, found = total + len(each) // 16, ()
            elif isinstance(each, _PLAIN):
                continue
            else:
                raise ValueError(f"it holds {type(each).__name__.strip('_').lower()} without content")
            total += len(found)
            if total > MOST_VALUES:
                raise ValueError(f"it holds more than {MOST_VALUES:,} values")
            inside.extend(found)
        if not inside:
            return
        level = inside
    raise ValueError(f"its lists lie more than {MOST_LEVELS} deep in each other")


class _Machine:
    """The stack and the memo of one pickle; methods stand for opcodes, see `_HANDLERS`."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._bytes_left = 0

    def run(self, data: bytes) -> Any:
        """The value that the opcodes of `data` build."""
        self._bytes_left = 2 * len(data)  # A pickle holds the bytes of an array once; `_codecs.encode` copies them.
        handlers = _HANDLERS
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name == "STOP":
                break
            if name not in handlers:
                raise RefusedError(f"the opcode {name}")
            handlers[name](self, argument)
        (value,) = self._stack
        return value

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        return self._stack.pop()

    def remember(self, key: int | None) -> None:
        """Puts the top of the stack into the memo; without a key, behind what is there."""
        key = len(self._memo) if key is None else key
        value = self._memo[key] = self._stack[-1]
        if isinstance(value, Empty):
            value.keys.append(key)

    def recall(self, key: int) -> None:
        self._stack.append(self._memo[key])

    def push_int(self, value: int) -> None:
        if not -(2**63) <= value < 2**64:
            raise ValueError("an integer has more than 64 bits")
        self._stack.append(value)

    def since_mark(self) -> list[Any]:
        """The values above the last mark; they and the mark leave the stack."""
        stack, above = self._stack, []
        while (value := stack.pop()) is not _Mark:
            above.append(value)
        return above[::-1]

    def make_tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("a tuple has too few values")
        values = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self.push(values)

    def append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise ValueError(f"values are added to {type(target).__name__}")
        target.extend(values)

    def make_dict(self, values: list[Any]) -> None:
        self.push({})
        self.set_items(values)

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict or len(values) % 2 or not all(isinstance(key, str | int) for key in values[::2]):
            raise RefusedError("a dict whose keys are not strings or integers")
        target.update(zip(values[::2], values[1::2], strict=True))

    def name_global(self, name: str) -> None:
        current = name.replace("numpy.core.", "numpy._core.")  # Renamed with numpy 2.0.
        if current not in NAMES:
            raise RefusedError(name[:100])
        self.push(Global(current))

    def name_from_stack(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("the name of a class or function is not a string")
        self.name_global(f"{module}.{name}")

    def call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError(f"{type(function).__name__.strip('_')} is called")
        if function.name not in CALLS:
            raise RefusedError(f"a call of {function.name}")
        self.push(self._counted(CALLS[function.name](*arguments)))

    def _counted(self, made: Any) -> Any:
        """What a call made; raises ValueError where all calls made more than the bytes of the file can say."""
        if isinstance(made, np.ndarray):
            self._bytes_left -= made.nbytes
        elif isinstance(made, bytes | list):
            self._bytes_left -= len(made)
        if self._bytes_left < 0:
            raise ValueError("its arrays hold more than the file")
        return made

    def set_state(self) -> None:
        state, built = self._stack.pop(), self._stack[-1]
        if isinstance(built, Dtype):
            built.order = order_of(state)
        elif isinstance(built, Empty):
            # What was remembered as the empty array means this one; an honest pickle has it in no list yet.
            self._stack[-1] = array = self._counted(array_of_state(state))
            self._memo.update(dict.fromkeys(built.keys, array))
        else:
            raise ValueError(f"a state is given to {type(built).__name__}")


_NUMBERS = ("INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4")
_VALUES = (
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
)

_HANDLERS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
    **dict.fromkeys(_NUMBERS, lambda machine, value: machine.push_int(value)),
    **dict.fromkeys(_VALUES, lambda machine, value: machine.push(value)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.push(_Mark),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "DICT": lambda machine, _: machine.make_dict(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), lambda machine, key: machine.remember(key)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, key: machine.recall(key)),
    "GLOBAL": lambda machine, name: machine.name_global(name.replace(" ", ".")),
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.set_state(),
}
