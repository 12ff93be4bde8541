"""The order of the rooms: imports go one way, and each room stays small enough to be read."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# From what needs nothing to what needs all; a module imports its own room and rooms above it in this table.
ORDER = (
    "config",
    "files",
    "landmarks",
    "drawing",
    "data_pipelines",
    "runtime",
    "images",
    "models",
    "tasks",
    "experiment",
    "overrides",
    "checkpoints",
    "evaluation",
    "interop",
    "prediction",
    "styles",
    "training",
    "studies",
    "commands",
)
# What data_pipelines, which never loads JAX, may use of jaxlm.
WITHOUT_JAX = ("files", "landmarks", "drawing")
MOST_LINES, MOST_FILES = 250, 15


@functools.cache
def files() -> dict[str, pathlib.Path]:
    """The files of jaxlm and data_pipelines by the names that code imports them by."""
    found = {}
    for folder, prefix in ((ROOT / "jaxlm", "jaxlm"), (ROOT / "data_pipelines", "jaxlm.data_pipelines")):
        for file in folder.rglob("*.py"):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join((prefix, *parts)).removesuffix(".__init__")] = file
    return found


def room(module: str) -> str:
    """The entry of ORDER that a module belongs to; modules at the top of jaxlm are commands, but for three."""
    name = module.split(".")[1] if "." in module else "commands"
    return name if name in ORDER else "commands"


def imported(module: str) -> set[str]:
    """Modules of the project that a module imports, inside functions and for types, too."""
    names = set()
    for node in ast.walk(ast.parse(files()[module].read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: absolute imports, please"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return (names & files().keys()) - {module, "jaxlm"}


def test_imports_go_to_rooms_above_in_the_order():
    wrong = [
        f"{module} imports {other}"
        for module in files()
        for other in imported(module)
        if module != "jaxlm" and ORDER.index(room(other)) > ORDER.index(room(module))
    ]
    assert not wrong


def test_data_pipelines_use_rooms_without_jax_alone():
    theirs = {(module, other) for module in files() if room(module) == "data_pipelines" for other in imported(module)}
    assert not [pair for pair in theirs if room(pair[1]) not in (*WITHOUT_JAX, "data_pipelines")]


def test_commands_do_not_import_each_other():
    commands = {module for module in files() if room(module) == "commands" and module != "jaxlm"}
    assert not [(module, other) for module in commands - {"jaxlm.__main__"} for other in imported(module) & commands]


def test_no_module_imports_itself_by_way_of_others():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            # A room's __init__ is loaded with each of its modules and imports some of them; that is no circle.
            inside = {other for other in imported(module) if not module.startswith(f"{other}.")}
            for other in sorted(inside):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(files()):
        visit(module, ())


@pytest.mark.parametrize("folder", sorted({file.parent for file in files().values()} - {ROOT / "jaxlm"}), ids=str)
def test_a_room_says_what_it_is_and_can_be_read(folder: pathlib.Path):
    inside = [file for file in files().values() if file.parent == folder]
    assert len(inside) <= MOST_FILES
    opening = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert opening, f"{folder}/__init__.py says in three lines what the room is, and what enters and leaves it"


def test_no_file_is_long():
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files().values()}
    assert not {file: length for file, length in lengths.items() if length > MOST_LINES}
