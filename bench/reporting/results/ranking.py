"""Who is better than whom: places with ties, seeds taken together, what two extractors agree on, and what is unlike."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import names
from bench.reporting.results import damage
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Entry, Group, groups
from bench.scoring import compare, uncertainty
from bench.scoring.compare import Scored
from bench.scoring.schema import Score


def scored(entries: Sequence[Entry]) -> dict[str, Scored]:
    """Key of an entry -> its bootstrap values; numbers without an error can be shown, and not be ranked."""
    return {entry.key: entry.kept.scored for entry in entries if entry.kept.scored is not None}


def grouped(entries: list[Entry]) -> list[Group]:
    """Entries by protocol, ranked within it; and why one protocol's entries are not ranked with another's.

    A ranking that cannot be made is said in a note.
    """
    ranked = []
    for group in groups(entries):
        said: list[Absent] = []
        ranks: dict[str, str] = {}
        notes: list[str] = []
        with damage.noted(said, "ranking", Path()):
            runs = scored(group.entries)
            ranks = places(runs)
            notes = in_words(group.entries, runs)
        notes += [f"Not all can be ranked: {item.reason}." for item in said]
        if ranked and (fields := unlike(ranked[0].entries[0], group.entries[0])):
            notes.append(f"Not ranked with the first table: {fields}.")
        ranked.append(group._replace(ranks=ranks, notes=notes))
    return ranked


def places(runs: dict[str, Scored]) -> dict[str, str]:
    """Key of an entry -> its place by KID: "1", or "2=" where others cannot be told from it; see `compare.ranks`."""
    return dict(zip(runs, compare.ranks(list(runs.values())), strict=True)) if len(runs) > 1 else {}


def agreement(entries: Sequence[Entry], runs: dict[str, Scored]) -> tuple[str, float] | None:
    """Name of the second extractor, and Kendall's tau between the rankings by KID; None for fewer than three."""
    both = [
        entry
        for entry in entries
        if entry.key in runs and isinstance(entry.second.get("kid"), Score)
    ]
    tau = compare.concordance([runs[entry.key] for entry in both])
    return None if tau is None else (both[0].second["features"].split("@")[0], tau)


def in_words(entries: Sequence[Entry], runs: dict[str, Scored]) -> list[str]:
    """Sentences below a table: the second extractor, and runs that several seeds were made of."""
    said = []
    if agreed := agreement(entries, runs):
        name, tau = agreed
        text = f"Kendall's tau between this ranking by KID and the one in the features of {name} is {tau:.2f}"
        weak = " - below 0.8: the ranking depends on the extractor, do not rely on it."
        said.append(text + (weak if tau < compare.CONCORDANT else "."))
    return said + [seeds_in_words(name, same) for name, same in by_seed(entries, runs).items()]


def by_seed(entries: Sequence[Entry], runs: dict[str, Scored]) -> dict[str, list[Scored]]:
    """Name -> the runs of it that differ in the seed alone, where there are several; one made twice counts once."""
    found: dict[str, dict[int | None, Scored]] = {}
    facts = {}
    for entry in entries:
        if entry.is_run and entry.key in runs:
            made = json.dumps(
                [entry.facts.get(name) for name in compare.MADE], sort_keys=True, default=str
            )
            found.setdefault(made, {}).setdefault(entry.seed, runs[entry.key])
            facts[made] = {key: value for key, value in entry.facts.items() if key != "seed"}
    called = dict(zip(facts, names.distinct(list(facts.values())), strict=True))
    return {called[made]: list(seeds.values()) for made, seeds in found.items() if len(seeds) > 1}


def seeds_in_words(name: str, runs: list[Scored]) -> str:
    """FID and KID of several seeds together."""
    together = compare.combined(runs)
    parts = []
    for score, unit, label in (("fid", 1, "FID"), ("kid", 1e3, "KID x 1e3")):
        low, high = uncertainty.basic(together.values[score], together.replicates[score])
        spread = np.std([run.values[score] for run in runs], ddof=1)
        low, high, value, spread = (
            unit * part for part in (low, high, together.values[score], spread)
        )
        parts.append(
            f"{label} {value:.2f} [{low:.2f}, {high:.2f}], standard deviation between seeds {spread:.2f}"
        )
    return f"{name}, {len(runs)} seeds together: {'; '.join(parts)}."


def unlike(first: Entry, second: Entry) -> str:
    """Why two entries stand in different tables: the fields that differ."""
    counts = [
        max((number.n or 0 for number in entry.measured.scores.values()), default=0)
        for entry in (first, second)
    ]
    pairs = [("images", *counts)]
    for name, one, other in (
        ("", first.scoring, second.scoring),
        ("sampler ", first.facts.get("sampler") or {}, second.facts.get("sampler") or {}),
    ):
        pairs += [
            (name + key, one.get(key), other.get(key)) for key in sorted(one.keys() | other.keys())
        ]
    fields = [f"{name} {a} and {b}" for name, a, b in pairs if a != b and name != "sampler num"]
    return "; ".join(fields)
