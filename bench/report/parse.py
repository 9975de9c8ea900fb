"""run.json and metrics-<fingerprint>.json to an Entry: everything is checked here, nothing while a page is drawn."""

import math
import re
from typing import Any

from bench.names import describe
from bench.report.entries import Entry, Measured, Number
from bench.runs import SCHEMA_VERSION, Run

MALFORMED = (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError)
TYPES = dict.fromkeys(("options", "sampler", "spec", "card", "cost", "versions"), dict)
TYPES |= dict.fromkeys(("out_of_band", "nfe", "peak_memory_bytes", "parameters", "unconverged"), int | float)
TYPES |= dict.fromkeys(("argv", "warnings"), list) | {"seed": int}
SCORED = {"preprocessing": str, "versions": dict, "commit": str, "argv": list, "scored": str}  # see scoring.finish


def check_version(content: dict[str, Any], name: str) -> None:
    """Raise ValueError if a file was written by a later version than this one."""
    version = content.get("schema_version")
    if not isinstance(version, int):
        raise ValueError(f"{name} has no schema_version; it was not written by `bench run`")
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{name} has schema_version {version}, this version reads up to {SCHEMA_VERSION}; update bench"
        )


def check_types(facts: dict[str, Any], types: dict[str, Any], file: str) -> None:
    """Raise ValueError if a field is not of its type; it may be missing or null."""
    for name, kind in types.items():
        if not isinstance(value := facts.get(name), kind | None):
            expected = "a number" if kind == int | float else kind.__name__
            raise ValueError(f"{file} has {type(value).__name__} for {name}, expected {expected}")


def check_run(facts: dict[str, Any]) -> None:
    """`check_types` of run.json."""
    check_types(facts, TYPES, "run.json")
    for name, value in (facts.get("cost") or {}).items():
        if not isinstance(value, int | float | None):
            raise ValueError(f"run.json has {type(value).__name__} for {name}, expected a number")


def read(run: Run, facts: dict[str, Any], name: str, where: str) -> Entry:
    """A run, or image set, under one scoring protocol. Raises one of MALFORMED for files that say something else.

    name   of the file with the scores
    where  see `Entry`
    """
    content = run.read_json(name)
    check_version(content, name)
    check_run(facts)
    check_types(content, SCORED, name)
    fingerprint = str(content["fingerprint"])
    entry = Entry(
        run=run,
        where=where,
        key="",
        name=describe(facts),
        seed=facts.get("seed"),
        fingerprint=fingerprint,
        table=str(content.get("table") or fingerprint),
        protocol=protocol(facts, content["scoring"]),
        scoring=dict(content["scoring"]),
        scored={key: content[key] for key in SCORED if content.get(key)},
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
    stderr, low, high = map(finite, (entry.get("stderr"), low, high))
    n = None if finite(entry.get("n")) is None else int(entry["n"])
    found = Number(float(value), stderr, low, high, n)
    return found if math.isfinite(value) else None


def finite(value: Any) -> float | None:
    """A number; None where there is none. Raises TypeError for what is not a number."""
    return None if value is None or not math.isfinite(value) else float(value)


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
