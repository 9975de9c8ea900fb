"""A folder of runs to what is in it: entries that can be shown, and everything else by name, with the reason."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import folders, runs
from bench.report import parse
from bench.report.entries import Absent, Entry
from bench.runs import Run
from denoisers.errors import UsageError

OWN = re.compile(r"report\.\w+|study\.json")  # files of the tree that belong to no run
OWN_FOLDERS = {"gauge", "figures"}
FOREIGN_SHOWN = 20


def collect(folder: Path) -> tuple[list[Entry], list[Absent]]:
    """Every scored set of images below `folder`, and everything that is not shown, each with its reason.

    Raises UsageError if there is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; `bench run --out {folder}` writes one")
    entries, absent, found = [], [], runs.find(folder)
    for run in found:
        where = relative(run.path, folder)
        try:
            facts = run.read_json("run.json")
            parse.check_version(facts, "run.json")
            if not run.complete:
                absent.append(Absent(where, describe_status(run, facts)))
                continue
        except parse.MALFORMED as error:
            absent.append(Absent(where, reason(error, folder)))
            continue
        for file in run.metrics:
            try:
                entries.append(parse.read(run, facts, file, where))
            except parse.MALFORMED as error:
                absent.append(Absent(f"{where}/{file}", reason(error, folder)))
    return unique(entries), absent + list(foreign(folder, found))


def reason(error: Exception, folder: Path) -> str:
    """What is wrong with a file, in words, without the path of the machine it is on."""
    said = str(error).replace(f"{folder}/", "")
    return said if type(error) in (ValueError, UsageError) else f"not a run this version can read (at {said})"


def relative(path: Path, folder: Path) -> str:
    """A path below the folder of the report; the folder's own name for the folder itself."""
    return folder.resolve().name if path == folder else path.relative_to(folder).as_posix()


def describe_status(run: Run, facts: dict[str, Any]) -> str:
    """Why a run has no numbers."""
    if facts.get("status") == "failed":
        return f"failed: {facts.get('error')}"
    if (run.path / "metrics.json").exists():
        return "scored by an earlier version; the same `bench run` command scores it anew"
    return "started, not finished; the same `bench run` command resumes it"


def unique(entries: list[Entry]) -> list[Entry]:
    """The same entries, each with a key of its own."""
    return [dataclasses.replace(entry, key=f"e{place}") for place, entry in enumerate(entries)]


def foreign(folder: Path, found: list[Run]) -> Iterator[Absent]:
    """Files below `folder` that belong to no run, study, gauge or report; the first few by name.

    Reports may lie below `folder` with figures and gauges of their own.
    """
    below = folders.files(folder)
    studies = {path.parent for path in below if path.name == "study.json"} - {folder}
    inside = {run.path for run in found} | studies
    files = [path for path in below if path.is_file() and inside.isdisjoint(path.parents)]
    files = [path for path in files if OWN_FOLDERS.isdisjoint(path.relative_to(folder).parts[:-1])]
    files = [path for path in files if not OWN.fullmatch(path.name)]
    for path in files[:FOREIGN_SHOWN]:
        yield Absent(relative(path, folder), "not part of a run")
    if len(files) > FOREIGN_SHOWN:
        yield Absent(folder.name, f"{len(files) - FOREIGN_SHOWN} further files that are not part of a run")
