"""Run folders to entries: what is on disk, read once, checked once; what cannot be read is named, never raised."""

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import runs
from bench.runs import Run

SCHEMA_VERSION = 2  # the newest that is understood here
MALFORMED = (KeyError, TypeError, AttributeError, ValueError, IndexError)
OWN = re.compile(r"report\.\w+|\..*|study\.json")  # files of the tree that belong to no run
FOREIGN_SHOWN = 20
TYPES = dict.fromkeys(("options", "sampler", "spec", "card", "cost", "versions", "scoring"), dict)
TYPES |= dict.fromkeys(("out_of_band", "nfe", "peak_memory_bytes", "parameters", "seed"), int | float)
TYPES |= dict.fromkeys(("argv", "warnings"), list)


class Number(NamedTuple):
    """A score with its conditions; stderr and interval where there is one."""

    value: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Measured(NamedTuple):
    """What was measured on one set of images: a run's, or a control's.

    scores        name -> Number
    memorization  distance (pixels, shifted, guarded, features) -> name -> Number
    histogram     images per predicted class, 10 of them, or empty
    """

    scores: dict[str, Number]
    memorization: dict[str, dict[str, Number]]
    histogram: list[int]


class Absent(NamedTuple):
    """Something that the report does not show, and why."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """One set of images scored under one protocol: a run, or images that `bench score` was given.

    table     what image sets share with the protocols whose tables they join
    verdict   memorization in words: {"memorization": ..., "because": ...}; may be empty
    second    FID and KID in a second feature space: {"features": name, "fid": Number, "kid": Number}; may be empty
    facts     run.json as it is
    """

    run: Run
    key: str  # unique within a report, fit for an HTML id
    name: str
    seed: int
    fingerprint: str
    table: str
    protocol: str
    measured: Measured
    controls: dict[str, Measured]
    verdict: dict[str, str]
    second: dict[str, Any]
    facts: dict[str, Any]

    @property
    def is_run(self) -> bool:
        """Whether a denoiser generated the images here."""
        return "sampler" in self.facts

    @property
    def title(self) -> str:
        """Name, and the seed where it is not 0."""
        return f"{self.name} (seed {self.seed})" if self.seed else self.name

    def score(self, name: str) -> Number | None:
        """A score, or None where it was not measured."""
        return self.measured.scores.get(name)

    def band(self) -> tuple[float, float] | None:
        """The noise levels that the network was trained on, in [-1, 1] units; None where there is no network."""
        spec = self.facts.get("spec")
        if not isinstance(spec, dict) or not spec.get("weights"):
            return None
        high = spec.get("sigma_max")
        return float(spec.get("sigma_min") or 0), math.inf if high is None else float(high)


class Group(NamedTuple):
    """Entries whose numbers compare: same data, sampler, number of images, features and reference."""

    fingerprint: str
    protocol: str
    entries: list[Entry]
    controls: dict[str, Measured]


def collect(folder: Path) -> tuple[list[Entry], list[Absent]]:
    """Every scored set of images below `folder`, and everything that is not shown, each with its reason.

    Raises FileNotFoundError if there is no folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; `bench run --out {folder}` writes one")
    entries, absent, found = [], [], runs.find(folder)
    for run in found:
        here = run.path.as_posix()
        try:
            facts = run.read_json("run.json")
            check_version(facts, "run.json")
            files = sorted(run.path.glob("metrics-*.json"))
            if not files:
                absent.append(Absent(here, describe_status(run, facts)))
                continue
        except MALFORMED as error:
            absent.append(Absent(here, reason(error)))
            continue
        for file in files:
            try:
                entries.append(read(run, facts, file.name))
            except MALFORMED as error:
                absent.append(Absent(f"{here}/{file.name}", reason(error)))
    return unique(entries), absent + list(foreign(folder, found))


def check_version(content: dict[str, Any], name: str) -> None:
    """Raise ValueError if a file was written by a later version than this one."""
    version = content.get("schema_version")
    if not isinstance(version, int):
        raise ValueError(f"{name} has no schema_version; it was not written by `bench run`")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{name} has schema_version {version}, this version reads up to {SCHEMA_VERSION}; update bench"
        )


def check_types(facts: dict[str, Any]) -> None:
    """Raise ValueError if a field of run.json is not of its type; it may be missing or null."""
    for name, kind in TYPES.items():
        if not isinstance(value := facts.get(name), kind | None):
            raise ValueError(f"run.json has {type(value).__name__} for {name}, expected {kind}")
    for name, value in (facts.get("cost") or {}).items():
        if not isinstance(value, int | float | None):
            raise ValueError(f"run.json has {type(value).__name__} for {name}, expected a number")


def reason(error: Exception) -> str:
    """What is wrong with a file, in words."""
    return str(error) if type(error) is ValueError else f"not a run this version can read (at {error})"


def describe_status(run: Run, facts: dict[str, Any]) -> str:
    """Why a run has no numbers."""
    if facts.get("status") == "failed":
        return f"failed: {facts.get('error')}"
    if (run.path / "metrics.json").exists():
        return "scored by an earlier version; the same `bench run` command scores it anew"
    return "started, not finished; the same `bench run` command resumes it"


def read(run: Run, facts: dict[str, Any], name: str) -> Entry:
    """A run, or image set, under one scoring protocol. Raises one of MALFORMED for files that say something else."""
    content = run.read_json(name)
    check_version(content, name)
    check_types(facts)
    seed, fingerprint = int(facts.get("seed") or 0), str(content["fingerprint"])
    entry = Entry(
        run=run,
        key="",
        name=describe(facts),
        seed=seed,
        fingerprint=fingerprint,
        table=str(content.get("table") or fingerprint),
        protocol=protocol(facts, content["scoring"]),
        measured=measured(content),
        controls={str(key): measured(value) for key, value in (content.get("controls") or {}).items()},
        verdict={str(k): str(v) for k, v in (content.get("verdict") or {}).items()},
        second={key: number(v) or str(v) for key, v in (content.get("second") or {}).items()},
        facts=facts,
    )
    if not entry.measured.scores:
        raise ValueError(f"{name} holds no scores")
    entry.band()  # said here, not while the page is drawn
    return entry


def measured(content: dict[str, Any]) -> Measured:
    """The numbers of a run or a control; whatever is null is left out."""
    kinds = (content.get("memorization") or {}).items()
    memorization = {kind: numbers(values) for kind, values in kinds}
    return Measured(
        numbers(content.get("scores") or {}), memorization, [int(n) for n in content.get("class_histogram") or []]
    )


def numbers(entries: dict[str, Any]) -> dict[str, Number]:
    """Name -> Number for those that are numbers."""
    return {str(name): found for name, entry in entries.items() if (found := number(entry)) is not None}


def number(entry: Any) -> Number | None:
    """{"value", "stderr", "ci95", "n"} as a Number; None where there is no finite value."""
    if not isinstance(entry, dict) or not isinstance(value := entry.get("value"), int | float):
        return None
    low, high = entry.get("ci95") or (None, None)
    stderr, low, high, n = map(finite, (entry.get("stderr"), low, high, entry.get("n")))
    found = Number(float(value), stderr, low, high, None if n is None else int(n))
    return found if math.isfinite(value) else None


def finite(value: Any) -> float | None:
    """A number; None where there is none. Raises TypeError for what is not a number."""
    return None if value is None or not math.isfinite(value) else float(value)


def describe(facts: dict[str, Any]) -> str:
    """Denoiser, weights and options in words; or the name of an image set."""
    if "denoiser" not in facts:
        return str(facts["name"])
    weights = re.sub("@[0-9a-f]{8}", "", str(facts.get("weights") or ""))
    options = "".join(f" {key}={value}" for key, value in (facts.get("options") or {}).items())
    return f"{facts['denoiser']} {weights}".rstrip() + options


def protocol(facts: dict[str, Any], scoring: dict[str, str]) -> str:
    """What the entries of a table share, in words."""
    data, features = (re.sub("@[0-9a-f]+", "", str(scoring.get(key, "?"))) for key in ("dataset", "features"))
    if "sampler" not in facts:
        return f"{data}, images that were given, features {features}"
    sampler = facts["sampler"]
    return (
        f"{data}, {sampler['num']} images, {sampler['steps']} steps, {describe_sampler(sampler)} "
        f"on the {sampler['grid']} grid, {describe_start(sampler)}features {features}"
    )


def describe_sampler(sampler: dict[str, Any]) -> str:
    """Name and settings, as in "ddpm (eta 1)". A sampler's own settings are the fractions among its facts."""
    own = {key: value for key, value in sampler.items() if isinstance(value, float) and key != "sigma_max"}
    settings = ", ".join(f"{key} {value:g}" for key, value in own.items())
    return f"{sampler['sampler']} ({settings})" if settings else str(sampler["sampler"])


def describe_start(sampler: dict[str, Any]) -> str:
    """What is unusual about a protocol, in words; empty if nothing is."""
    words = []
    if "start" in sampler or "sigma_max" in sampler:
        level = f" at sigma {sampler['sigma_max']:g}" if "sigma_max" in sampler else ""
        words.append(f"started from {sampler.get('start', 'noise')}{level}")
    if not sampler.get("clip", True):
        words.append("not clipped")
    return "".join(f"{word}, " for word in words)


def unique(entries: list[Entry]) -> list[Entry]:
    """The same entries, each with a key of its own."""
    return [dataclasses.replace(entry, key=f"e{place}") for place, entry in enumerate(entries)]


def groups(entries: list[Entry]) -> list[Group]:
    """Entries by protocol, the largest group first; image sets join every protocol that scores as they were scored."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.is_run:
            found.setdefault(entry.fingerprint, []).append(entry)
    for entry in entries:
        if not entry.is_run:
            hosts = [group for group in found.values() if group[0].is_run and group[0].table == entry.table]
            for group in hosts or [found.setdefault(f"images {entry.table}", [])]:
                group.append(entry)
    ranked = sorted(found.values(), key=lambda group: (-len(group), -(group[0].score("kid") or Number(0, n=0)).n))
    return [Group(group[0].fingerprint, group[0].protocol, group, group[0].controls) for group in ranked]


def in_order(group: Group) -> list[Entry]:
    """The entries as tables show them: by rising KID, those without one at the end."""
    kids = {entry.key: entry.score("kid") for entry in group.entries}
    return sorted(group.entries, key=lambda entry: math.inf if kids[entry.key] is None else kids[entry.key].value)


def foreign(folder: Path, found: list[Run]) -> Iterator[Absent]:
    """Files below `folder` that belong to no run, study, gauge or report; the first few by name."""
    studies = {path.parent for path in folder.rglob("study.json")} - {folder}
    inside = {run.path for run in found} | studies | {folder / "gauge", folder / "figures"}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and inside.isdisjoint(path.parents)]
    files = [path for path in files if not OWN.fullmatch(path.name)]
    for path in files[:FOREIGN_SHOWN]:
        yield Absent(path.as_posix(), "not part of a run")
    if len(files) > FOREIGN_SHOWN:
        yield Absent(folder.as_posix(), f"{len(files) - FOREIGN_SHOWN} further files that are not part of a run")
