"""A folder of runs to what is in it: entries to show, and all else by name, with the reason."""

import dataclasses
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench import folders, runs
from bench.reporting import table
from bench.reporting.page import cards
from bench.reporting.results import damage, diagnosis, kept, likelihoods, parse, stops
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Entry, Group
from bench.runs import Run
from bench.text import one_line
from denoisers.errors import UsageError

OWN = re.compile(r"report\.\w+|study\.json")  # files of the tree that belong to no run
SCORES = re.compile(r"metrics-.*\.json")
OWN_FOLDERS = {"gauge", "figures", "panel", "speed", likelihoods.FOLDER}
FOREIGN_SHOWN = 20


def collect(folder: Path) -> tuple[list[Entry], list[Absent]]:
    """Every scored set of images below `folder`, and what is not shown, each with its reason.

    Raises UsageError if there is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}; `bench run --out {folder}` writes one")
    entries: list[Entry] = []
    absent: list[Absent] = []
    runs_below = runs.find(folder)
    for run in runs_below:
        entries += scored(run, folder, absent)
    absent += [damage.line(*item) for item in foreign(folder, runs_below)]
    for attach in (likelihoods.attach, stops.attach):
        entries = attach(entries, folder, absent)
    return unique(entries), absent


def of_runs(some: Iterable[Run], folder: Path) -> list[Entry]:
    """The scored sets of images of some runs below a folder."""
    return unique([entry for run in some for entry in scored(run, folder, [])])


def scored(run: Run, folder: Path, absent: list[Absent]) -> list[Entry]:
    """A run under each of its scoring protocols; a line in `absent` for what is not shown of it."""
    where, measured, facts = one_line(relative(run.path, folder)), [], {}
    with damage.noted(absent, where, folder):
        facts = parse.plain(run.read_json("run.json"), "run.json")
        parse.check_version(facts, "run.json")
        if not run.complete:
            absent.append(damage.line(where, describe_status(run, facts)))
            return []
        for name in run.metrics:
            with damage.noted(absent, f"{where}/{name}", folder):
                measured.append(parse.read(run, facts, name, where))
    if not measured:
        return []
    beside = kept.of_run(run, where, folder, absent)
    entries = []
    for entry, content in measured:
        mine = kept.of_scoring(run, facts, content, where, folder, absent)
        whole = dataclasses.replace(entry, kept=beside._replace(**mine))
        with damage.noted(absent, f"{where}/metrics-{entry.fingerprint}.json", folder):
            rehearse(whole)
            entries.append(whole)
    return entries


def rehearse(entry: Entry) -> None:
    """Make of an entry alone what is made of all together, where it would take the others along.

    Raises whatever comes up.
    """
    cards.card(entry, diagnosis.diagnose(entry, entry.kept.look), pictured=False)
    table.printed(
        table.frame(Group(entry.fingerprint, entry.protocol, [entry], entry.controls, {}, []))
    )


def relative(path: Path, folder: Path) -> str:
    """A path below the folder of the report; the folder's own name for the folder itself."""
    return folder.resolve().name if path == folder else path.relative_to(folder).as_posix()


def describe_status(run: Run, facts: dict[str, Any]) -> str:
    """Why a run has no numbers."""
    if facts.get("status") == "failed":
        return f"failed: {facts.get('error')}"
    if os.path.lexists(run.path / "metrics.json"):
        return "scored by an earlier version; the same `bench run` command scores it anew"
    return "started, not finished; the same `bench run` command resumes it"


def unique(entries: list[Entry]) -> list[Entry]:
    """The same entries, each with a key of its own."""
    return [dataclasses.replace(entry, key=f"e{place}") for place, entry in enumerate(entries)]


def foreign(folder: Path, runs_below: list[Run]) -> Iterator[tuple[str, str]]:
    """Folders that cannot be read; the first files that belong to no run, study, gauge or report.

    Reports may lie below `folder` with figures and gauges of their own.
    """
    lost: list[tuple[Path, str]] = []
    below = folders.files(folder, lost=lambda path, why: lost.append((path, why)))
    yield from ((relative(path, folder), why) for path, why in lost)
    studies = {path.parent for path in below if path.name == "study.json"} - {folder}
    inside = {run.path for run in runs_below} | studies
    files = [path for path in below if inside.isdisjoint(path.parents)]
    files = [path for path in files if OWN_FOLDERS.isdisjoint(path.relative_to(folder).parts[:-1])]
    files = [path for path in files if not OWN.fullmatch(path.name)]
    headless = {path.parent for path in files if SCORES.fullmatch(path.name)}
    for path in sorted(headless):
        yield relative(path, folder), "holds the scores of a run, and no run.json"
    files = [path for path in files if headless.isdisjoint(path.parents)]
    for path in files[:FOREIGN_SHOWN]:
        yield relative(path, folder), f"{kind(path)}not part of a run"
    if len(files) > FOREIGN_SHOWN:
        yield folder.name, f"{len(files) - FOREIGN_SHOWN} further files that are not part of a run"


def kind(path: Path) -> str:
    """What is unusual about a file, before what else is said of it; empty of a usual one."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror}), "
    return "" if stat.S_ISREG(mode) else "a pipe, a device or a socket, "
