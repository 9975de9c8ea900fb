"""The page: one file, offline, every string escaped, nothing but its own script allowed to run."""

import base64
import functools
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import bench
from bench import names
from bench.reporting import detection, table, words
from bench.reporting.page import cards, leaderboard
from bench.reporting.page.cards import Card
from bench.reporting.page.glossary import GLOSSARY
from bench.reporting.page.leaderboard import Column, Row
from bench.reporting.page.studies import Study
from bench.reporting.results import damage, diagnosis, pictures
from bench.reporting.results.damage import Absent
from bench.reporting.results.diagnosis import Finding
from bench.reporting.results.entries import Entry, Group, in_order
from bench.reporting.results.pictures import Thumbnails

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


class Board(NamedTuple):
    """The leaderboard of a group, and which controls each statistic tells from held-out digits."""

    group: Group
    columns: list[Column]
    rows: list[Row]
    caught: pd.DataFrame


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
    made = drawn_cards(groups, findings, absent, folder)
    boards = leaderboards(groups, made)
    pages = environment()
    style, script = (pages.loader.get_source(pages, name)[0] for name in ("page.css", "page.js"))
    return pages.get_template("page.html").render(
        folder=folder.resolve().name,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=bench.__version__,
        boards=boards,
        ranking=leaderboard.RANKED,
        explained=list(dict.fromkeys(column for board in boards for column in board.columns)),
        panel_title=detection.TITLE,
        cards=made,
        thumbnails=thumbnails(made, absent, folder),
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


def drawn_cards(
    groups: list[Group], findings: dict[str, list[Finding]], absent: list[Absent], folder: Path
) -> list[Card]:
    """A card of each entry, in the order of the tables; the first of them with their pictures."""
    entries = {entry.key: entry for group in groups for entry in in_order(group)}
    made = []
    for place, entry in enumerate(entries.values()):
        card = cards.card(entry, findings[entry.key], pictured=False)
        if place < PICTURED:
            with damage.noted(absent, f"{entry.where}, its pictures", folder):
                card = cards.card(entry, findings[entry.key], pictured=True)
        made.append(card)
    return made


def thumbnails(made: list[Card], absent: list[Absent], folder: Path) -> dict[str, Thumbnails]:
    """Key of an entry -> its first images, of all entries that have some."""
    small = {}
    for entry in (card.entry for card in made):
        if entry.kept.images is not None:
            with damage.noted(absent, f"{entry.where}, its thumbnails", folder):
                small[entry.key] = pictures.thumbnails(entry.kept.images)
    return small


def leaderboards(groups: list[Group], made: list[Card]) -> list[Board]:
    """The table of each group."""
    found = {card.entry.key: (card.findings[0].kind, card.findings[0].verdict) for card in made}
    frames = [table.frame(group) for group in groups]
    return [
        Board(
            group,
            leaderboard.columns(frame),
            leaderboard.rows(frame, found),
            detection.caught(group.controls, group.dataset),
        )
        for group, frame in zip(groups, frames, strict=True)
    ]


@functools.cache
def environment() -> Environment:
    """Where templates are compiled, once."""
    pages = Environment(
        loader=PackageLoader("bench.reporting.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {
        "short": table.short,
        "whole": table.whole,
        "percent": table.percent,
        "of": words.said,
    }
    return pages


def verdicts(made: list[Card]) -> dict[str, list[Verdict]]:
    """The answer: who generates, who memorizes, who does neither, each with the reason."""
    by_verdict: dict[str, list[Verdict]] = {}
    for card, where in zip(made, conditions([card.entry for card in made]), strict=True):
        first = card.findings[0]
        because = "; ".join(finding.because for finding in card.findings[:2])
        if card.outside and first.verdict == diagnosis.FAILS:
            because += f". {card.outside}"
        line = Verdict(card.entry.key, card.entry.name, where, first.kind, first.verdict, because)
        by_verdict.setdefault(first.verdict, []).append(line)
    order = (diagnosis.GENERATES, diagnosis.MEMORIZES, diagnosis.FAILS, diagnosis.UNTOLD)
    return {verdict: by_verdict[verdict] for verdict in order if verdict in by_verdict}


def conditions(entries: list[Entry]) -> list[str]:
    """What each was made and scored under, in words; no two entries of one name read alike.

    The number of images and of steps, what else of sampler, grid and features is not the same for
    all, and the fingerprint of its protocol where that is still not enough.
    """
    said = {}
    for made_here in (True, False):
        same = [entry for entry in entries if entry.is_run == made_here]
        rows = [(entry.facts.get("sampler") or {}) | {"features": entry.features} for entry in same]
        more = names.differences(
            [{"sampler": row} for row in rows], ("sampler",), apart_from=COUNTED
        )
        for entry, row, apart in zip(same, rows, more, strict=True):
            counts = [number.n for number in entry.measured.scores.values() if number.n]
            steps = [f"{row['steps']} steps"] if row.get("steps") else []
            said[entry.key] = ", ".join([f"{max(counts, default='?')} images", *steps, *apart])
    for same in names.alike([f"{entry.name} {said[entry.key]}" for entry in entries]):
        for entry in (entries[place] for place in same):
            said[entry.key] += f", protocol {entry.fingerprint}"
    return [said[entry.key] for entry in entries]
