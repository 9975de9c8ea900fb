"""Where whatever is wrong with a results tree ends: in a line that names the file and the reason.

A results tree is other people's, or a crash's. One bad file costs its own run, or its own picture,
and nothing else. A fault of this code that a file provokes ends here too: its line says what was
raised, and with BENCH_DEBUG set the traceback is printed.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.text import one_line, printable
from denoisers.errors import UsageError, in_one_line

LONGEST = 400  # letters of a path or a reason


class Absent(NamedTuple):
    """Something that the report does not show, and why."""

    path: str
    reason: str


@contextmanager
def noted(absent: list[Absent], where: str, folder: Path) -> Iterator[None]:
    """Whatever goes wrong inside is a line about `where`, in `absent`, and no more.

    folder  of the report; paths are said as they are below it
    """
    try:
        yield
    except Exception as error:
        if os.environ.get("BENCH_DEBUG"):
            print(printable("".join(traceback.format_exception(error))), file=sys.stderr)
        absent.append(line(where, reason(error, folder)))


def line(where: str, why: str) -> Absent:
    """One thing that is not shown; a name or a reason, however strange, is one short line."""
    return Absent(one_line(where, LONGEST), one_line(why, LONGEST))


def reason(error: Exception, folder: Path) -> str:
    """What is wrong with a file, in words, without the path of the machine it is on."""
    if isinstance(error, UsageError):
        return str(error).replace(f"{folder}/", "").partition("; if it is meant, allow")[0]
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or in_one_line(error)}"
    if isinstance(error, MemoryError):
        return "cannot be read: there is not enough free memory for it"
    return f"cannot be shown ({in_one_line(error)}; BENCH_DEBUG=1 shows where)"
