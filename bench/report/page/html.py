"""The page: one file, offline, every string from a result escaped, nothing but its own script allowed to run."""

import base64
import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import bench
from bench import names
from bench.report import detection, table
from bench.report.page import cards, leaderboard
from bench.report.page.cards import Card
from bench.report.page.glossary import GLOSSARY
from bench.report.page.studies import Study
from bench.report.results import damage, diagnosis
from bench.report.results.damage import Absent
from bench.report.results.diagnosis import Finding
from bench.report.results.entries import Entry, Group, in_order

COUNTED = ("sampler.num", "sampler.steps")
PICTURED = 24  # cards with pictures; further ones have text only, so that the page stays small


class Verdict(NamedTuple):
    """One sentence of the answer."""

    key: str
    name: str
    where: str
    kind: str
    verdict: str
    because: str


def render(
    folder: Path,
    groups: list[Group],
    absent: list[Absent],
    findings: dict[str, list[Finding]],
    *,
    figures: list[Any],
    studies: list[Study],
) -> str:
    """The whole page.

    absent   takes a line for each card whose pictures cannot be made
    figures  of `plots`; their SVG was drawn there, with its strings escaped
    """
    entries = {entry.key: entry for group in groups for entry in in_order(group)}
    made = []
    for place, entry in enumerate(entries.values()):
        card = cards.card(entry, findings[entry.key], pictured=False)
        if place < PICTURED:
            with damage.noted(absent, f"{entry.where}, its pictures", folder):
                card = cards.card(entry, findings[entry.key], pictured=True)
        made.append(card)
    words = {card.entry.key: (card.findings[0].kind, card.findings[0].verdict) for card in made}
    pages = environment()
    style, script = (pages.loader.get_source(pages, name)[0] for name in ("page.css", "page.js"))
    return pages.get_template("page.html").render(
        folder=folder.resolve().name,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=bench.__version__,
        boards=[
            (group, leaderboard.columns(frame), leaderboard.rows(frame, words))
            for group, frame in framed(groups)
        ],
        panels=[detection.caught(group.controls) for group in groups],
        panel_title=detection.TITLE,
        cards=made,
        verdicts=verdicts(made),
        absent=absent,
        figures=figures,
        studies=studies,
        unpictured=max(0, len(made) - PICTURED),
        style=Markup(style),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        glossary=GLOSSARY,
    )


@functools.cache
def environment() -> Environment:
    """Where templates are compiled, once."""
    found = Environment(
        loader=PackageLoader("bench.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"short": table.short, "whole": table.whole, "percent": table.percent}
    return found


def framed(groups: list[Group]) -> list[tuple[Group, Any]]:
    """Each group with its frame."""
    return [(group, table.frame(group)) for group in groups]


def verdicts(made: list[Card]) -> dict[str, list[Verdict]]:
    """The answer: which denoisers generate, which memorize, which do neither, each with the reason."""
    found: dict[str, list[Verdict]] = {}
    for card, where in zip(made, conditions([card.entry for card in made]), strict=True):
        first = card.findings[0]
        because = "; ".join(finding.because for finding in card.findings[:2])
        if card.outside and first.verdict == diagnosis.FAILS:
            because += f". {card.outside}"
        said = Verdict(card.entry.key, card.entry.name, where, first.kind, first.verdict, because)
        found.setdefault(first.verdict, []).append(said)
    order = (diagnosis.GENERATES, diagnosis.MEMORIZES, diagnosis.FAILS, diagnosis.UNTOLD)
    return {verdict: found[verdict] for verdict in order if verdict in found}


def conditions(entries: list[Entry]) -> list[str]:
    """Of each, the number of images and of steps, and in what else its table is unlike those of the others."""
    found = {}
    for same in (
        [entry for entry in entries if entry.is_run],
        [entry for entry in entries if not entry.is_run],
    ):
        rows = [(entry.facts.get("sampler") or {}) | {"features": entry.features} for entry in same]
        more = names.differences(
            [{"sampler": row} for row in rows], ("sampler",), apart_from=COUNTED
        )
        for entry, row, words in zip(same, rows, more, strict=True):
            counts = [number.n for number in entry.measured.scores.values() if number.n]
            steps = [f"{row['steps']} steps"] if row.get("steps") else []
            found[entry.key] = ", ".join([f"{max(counts, default='?')} images", *steps, *words])
    return [found[entry.key] for entry in entries]
