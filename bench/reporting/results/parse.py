"""run.json and metrics-<fingerprint>.json to an Entry: everything is checked here, nothing while a page is drawn."""

import re
from typing import Any

from bench.bounds import is_number
from bench.facts import check, check_types
from bench.names import describe
from bench.reporting.results.entries import Entry
from bench.reporting.results.kept import Kept
from bench.reporting.results.rows import LARGEST
from bench.runs import SCHEMA_VERSION, Run
from bench.scoring.rules import ScoringRules
from bench.scoring.schema import ScoreSet, objects, second_from_json
from bench.text import one_line
from denoisers.errors import UsageError

DEEPEST = 16  # levels of lists and objects; ours have 7
VALUES = 50_000  # in a file; ours have 2 000
LONGEST = 10_000  # letters of a text, 2 000 of a name
NAME = 2_000
# See record.finish.
SCORED = {"preprocessing": str, "versions": dict, "commit": str, "argv": list, "scored": str}


def plain(content: dict[str, Any], file: str) -> dict[str, Any]:
    """The same JSON with every text `printable` and in one line.

    Raises UsageError for more of it, or deeper, longer or larger, than any run has.
    """
    count = 0

    def clean(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if depth > DEEPEST:
            raise UsageError(f"{file} is nested deeper than {DEEPEST} levels")
        if count > VALUES:
            raise UsageError(f"{file} has more than {VALUES} values")
        if isinstance(value, str):
            if len(value) > LONGEST:
                raise UsageError(
                    f"{file} has a text of {len(value)} letters, expected {LONGEST} at most"
                )
            return one_line(value)
        if isinstance(value, dict):
            return {clean(key, depth): clean(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [clean(inner, depth + 1) for inner in value]
        if isinstance(value, int) and abs(value) >= 2**64:
            raise UsageError(
                f"{file} has a whole number of {value.bit_length()} bits, expected 64 at most"
            )
        if isinstance(value, float) and abs(value) > LARGEST:
            raise UsageError(f"{file} has the number {value:g}, expected {LARGEST:g} at most")
        return value

    return clean(content, 0)


def check_version(content: dict[str, Any], name: str) -> None:
    """Raise UsageError if a file was written by a later version than this one."""
    version = content.get("schema_version")
    if not is_number(version, int):
        raise UsageError(f"{name} has no schema_version; it was not written by `bench run`")
    if version > SCHEMA_VERSION:
        raise UsageError(
            f"{name} has schema_version {version}, this version reads up to {SCHEMA_VERSION}; update bench"
        )


def read(run: Run, facts: dict[str, Any], name: str, where: str) -> tuple[Entry, dict[str, Any]]:
    """A run, or image set, under one scoring protocol, without the `Kept` files; and the scores as JSON.

    name   of the file with the scores
    where  see `Entry`

    Raises UsageError, or whatever else code does that meets something else than it expects.
    """
    content = plain(run.read_json(name), name)
    check_version(content, name)
    check(facts)
    check_types(content, SCORED, name)
    rules = ScoringRules.from_json(content, name)
    called = describe(facts)
    if len(called) > NAME:
        raise UsageError(f"run.json gives a name of {len(called)} letters, expected {NAME} at most")
    entry = Entry(
        run=run,
        where=where,
        key="",
        name=called,
        seed=facts.get("seed"),
        fingerprint=rules.fingerprint,
        table=rules.table,
        protocol=protocol(facts, rules.scoring),
        scoring=rules.scoring,
        scored={key: content[key] for key in SCORED if content.get(key)},
        measured=ScoreSet.from_json(content),
        controls={
            key: ScoreSet.from_json(value) for key, value in objects(content, "controls").items()
        },
        verdict=verdict(content),
        second=second_from_json(content),
        facts=facts,
        kept=Kept(),
    )
    if not entry.measured.scores:
        raise UsageError(f"{name} holds no scores")
    return entry, content


def verdict(content: dict[str, Any]) -> dict[str, str]:
    """Memorization in words; empty where nothing was said. Raises UsageError."""
    said = content.get("verdict")
    if not said:
        return {}
    words = ("memorization", "because")
    if not isinstance(said, dict) or not all(isinstance(said.get(word), str) for word in words):
        raise UsageError("a verdict without memorization and because")
    return {word: said[word] for word in words}


def protocol(facts: dict[str, Any], scoring: dict[str, str]) -> str:
    """What the entries of a table share, in words."""
    data, features = (
        re.sub("@[0-9a-f]+", "", str(scoring.get(key, "?"))) for key in ("dataset", "features")
    )
    if "sampler" not in facts:
        return f"{data}, images that were given, features {features}"
    sampler = facts["sampler"]
    return (
        f"{data}, {sampler['num']} images, {sampler['steps']} steps, {describe_sampler(sampler)} "
        f"on the {describe_grid(sampler)}, {describe_start(sampler)}features {features}"
    )


def describe_sampler(sampler: dict[str, Any]) -> str:
    """Name and settings, as in "ddpm (eta 1)".

    A sampler's own settings are the fractions among its facts.
    """
    own = {
        key: value
        for key, value in sampler.items()
        if isinstance(value, float) and key not in ("sigma_max", "rho")
    }
    settings = ", ".join(f"{key} {value:g}" for key, value in own.items())
    return f"{sampler['sampler']} ({settings})" if settings else str(sampler["sampler"])


def describe_grid(sampler: dict[str, Any]) -> str:
    """The grid of a run with its setting, if it is not the grid's own: "karras grid (rho 3)"."""
    setting = f" (rho {sampler['rho']:g})" if "rho" in sampler else ""
    return f"{sampler['grid']} grid{setting}"


def describe_start(sampler: dict[str, Any]) -> str:
    """What is unusual about a protocol, in words; empty if nothing is."""
    words = []
    if "start" in sampler or "sigma_max" in sampler:
        level = f" at sigma {sampler['sigma_max']:g}" if "sigma_max" in sampler else ""
        words.append(f"started from {sampler.get('start', 'noise')}{level}")
    if not sampler.get("clip", True):
        words.append("not clipped")
    return "".join(f"{word}, " for word in words)
