"""Feeds mutated files to the readers: `python tests/fuzz.py --count 20000` prints a table, a row a format.

Readers run in child processes that may take 4 GB of memory and 20 s a file, so that a crash, a hang or a bomb is
counted and the next file is read. tests/fuzz_test.py reads some hundred files a format within the tests.
"""

import argparse
import collections
import logging
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from fuzz_formats import FORMATS, Format, NonsenseError

COLUMNS = ("accepted", "refused", "nonsense", "tracebacks", "crashes", "hangs", "memory", "unnamed")
SECONDS, BYTES = 20, 4 * 2**30


def judge(kind: Format, path: pathlib.Path, content: bytes) -> tuple[str, str]:
    """How a reader takes a file of that content: one of `COLUMNS`, and what it said."""
    path.write_bytes(content)
    try:
        kind.read(path)
    except NonsenseError as error:
        return "nonsense", str(error)
    except (ValueError, OSError) as error:
        said = f"{error} {getattr(error, 'filename', '')}"
        # A set is told by its folder, since a face of it is in several files.
        return ("refused" if path.name in said or str(path.parent) in said else "unnamed"), said
    except MemoryError:
        return "memory", traceback.format_exc()
    except Exception:
        return "tracebacks", traceback.format_exc()
    return "accepted", ""


def mutations(kind: Format, name: str, data: bytes, numbers: range) -> collections.abc.Iterator[tuple[int, bytes]]:
    """The mutations of a file by their numbers; each is a function of its format and number alone."""
    for number in numbers:
        yield number, kind.mutate(data, random.Random(f"{name} {number}"))


def make_in_child(kind: Format, folder: pathlib.Path) -> pathlib.Path:
    """Makes the good file in a process of its own: JAX, once at work in this one, would hang in its children."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, str(kind.make(folder)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        path = pathlib.Path(said.read())
    os.waitpid(child, 0)
    return path


def count_in_child(kind: Format, name: str, path: pathlib.Path, data: bytes, numbers: range) -> dict[str, int]:
    """Judges mutations in a child process, which is started anew behind each file that ends it."""
    counts: dict[str, int] = collections.Counter()
    start = numbers.start
    while start < numbers.stop:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
            for number, content in mutations(kind, name, data, range(start, numbers.stop)):
                signal.alarm(SECONDS)
                verdict, said = judge(kind, path, content)
                os.write(writer, f"{verdict}\n".encode())
                if verdict not in ("accepted", "refused"):
                    print(f"--- {name} {number}: {verdict}\n{said.strip()[-1500:]}", file=sys.stderr, flush=True)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as lines:
            verdicts = lines.read().split()
        counts.update(verdicts)
        start += len(verdicts)
        _, status = os.waitpid(child, 0)
        if status:
            hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
            print(
                f"--- {name} {start}: {'hang' if hung else f'ended with status {status}'}", file=sys.stderr, flush=True
            )
            counts["hangs" if hung else "crashes"] += 1
            start += 1
    return counts


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="mutations of all formats together")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation of each format")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # What readers pass over in a good file is no finding.
    each = -(-arguments.count // len(arguments.formats))
    print("| format | mutations | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * (len(COLUMNS) + 1))
    total: dict[str, int] = collections.Counter()
    for name in arguments.formats:
        with tempfile.TemporaryDirectory() as folder:
            path = make_in_child(FORMATS[name], pathlib.Path(folder))
            numbers = range(arguments.first, arguments.first + each)
            counts = count_in_child(FORMATS[name], name, path, path.read_bytes(), numbers)
        total.update(counts)
        print(f"| {name} | {each} | " + " | ".join(str(counts[column]) for column in COLUMNS) + " |", flush=True)
    print(f"| all | {sum(total.values())} | " + " | ".join(str(total[column]) for column in COLUMNS) + " |")


if __name__ == "__main__":
    main()
