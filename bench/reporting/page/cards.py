"""One card per entry: what is wrong with it, its images, their way, and how to make it again."""

import math
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bench.reporting import table, words
from bench.reporting.page import drawings
from bench.reporting.results import diagnosis, pictures
from bench.reporting.results.diagnosis import Finding
from bench.reporting.results.entries import Entry
from bench.reporting.results.kept import CHAINS, Kept
from bench.scoring.catalogue import DISTANCES, MEMORIZATION, SCORES
from bench.scoring.schema import Score

SHOWN = 96  # samples of a card
PAIRS = 16


class Pair(NamedTuple):
    """A sample beside its nearest training image."""

    picture: str
    id: int
    nearest: int
    d1: float
    ratio: float


class Strips(NamedTuple):
    """The ten noise levels, real digits noised to them, and samples on the way down them."""

    sigmas: list[str]
    forward: str
    backward: str
    chains: int


class Card(NamedTuple):
    """What the page shows of one entry; a part that is missing is empty or None."""

    entry: Entry
    findings: list[Finding]
    outside: str
    warnings: list[str]
    samples: str
    pairs: list[Pair]
    mixed: str
    strips: Strips | None
    panels: list[drawings.Panel]
    bars: list[drawings.Bar]
    scores: list[tuple[str, Score, Score | None]]
    facts: list[tuple[str, str]]
    card: list[tuple[str, str]]
    commands: list[str]


def card(entry: Entry, findings: list[Finding], *, pictured: bool) -> Card:
    """A card, with or without its pictures and plots.

    Files that could not be read leave a warning.
    """
    kept = entry.kept if pictured else Kept()
    warnings = warn(entry, findings)
    if pictured and kept.images is None:
        warnings.append(
            "neither samples.npz nor grid.png can be read: no check looked at the images themselves"
        )
    if pictured and kept.trace is None and entry.is_run:
        warnings.append("no trace: trace.csv cannot be read")
    return Card(
        entry=entry,
        findings=findings,
        outside=diagnosis.outside(entry),
        warnings=warnings,
        samples=pictures.sheet(kept.images[:SHOWN], 16) if kept.images is not None else "",
        pairs=pairs(kept),
        mixed="" if kept.mixed is None else pictures.data_uri(Image.fromarray(kept.mixed)),
        strips=None if kept.trajectory is None else strips(kept.trajectory),
        panels=[]
        if kept.trace is None or not entry.is_run
        else drawings.panels(kept.trace, entry.band()),
        bars=drawings.bars(entry.measured.histogram, diagnosis.held_out(entry).histogram),
        scores=scores(entry),
        facts=facts(entry),
        card=weight_card(entry),
        commands=commands(entry),
    )


def commands(entry: Entry) -> list[str]:
    """What was typed to generate the images and, where that was something else, to score them."""
    typed = (facts.get("argv") for facts in (entry.facts, entry.scored))
    return list(dict.fromkeys("bench " + shlex.join(map(str, argv)) for argv in typed if argv))


def warn(entry: Entry, findings: list[Finding]) -> list[str]:
    """What a reader should know before believing the numbers."""
    said = [str(line) for line in entry.facts.get("warnings") or []]
    confidence = entry.score("confidence")
    if findings[0].verdict == diagnosis.FAILS and confidence is not None and confidence.value > 0.9:
        sure = f"a mean confidence of {confidence.value:.3f} is no proof of digits: "
        said.append(words.said(f"{sure}KID and precision decide", entry.dataset))
    for done, facts in (("made", entry.facts), ("scored", entry.scored)):
        if "-dirty" in str(facts.get("commit")):
            said.append(f"{done} from a working tree with uncommitted changes ({facts['commit']})")
    if entry.dataset.partition("@")[0] == "mnist5k":
        said.append("of the 5 000 embedded digits, not of the full MNIST")
    return said


def pairs(kept: Kept) -> list[Pair]:
    """The samples most like a training image, most alike first.

    Empty without their distances or their sheet.
    """
    if kept.distances is None or kept.pairs is None:
        return []
    order = np.argsort(kept.distances["ratio"].to_numpy(), kind="stable")[
        : min(PAIRS, len(kept.pairs))
    ]
    return [
        Pair(pictures.sheet(kept.pairs[place], 2), int(row.id), int(row.nearest), row.d1, row.ratio)
        for place, row in enumerate(kept.distances.iloc[order].itertuples())
    ]


def strips(stored: Mapping[str, np.ndarray]) -> Strips:
    """Forward and backward strips of `Kept.trajectory`."""
    sigmas, forward, x, denoised = (stored[key] for key in ("sigma", "forward", "x", "denoised"))
    levels, count = len(sigmas), min(CHAINS, len(x))
    rows = [image for chain in range(count) for image in (*x[chain], *denoised[chain])]
    return Strips(
        [table.short(sigma, 2) for sigma in sigmas.tolist()],
        pictures.sheet(np.concatenate(list(forward[:2])), levels, levels=pictures.GREYS),
        pictures.sheet(np.stack(rows), levels, levels=pictures.GREYS),
        count,
    )


def scores(entry: Entry) -> list[tuple[str, Score, Score | None]]:
    """Every number that was measured, beside the held-out digits' own."""
    usual, mine = diagnosis.held_out(entry), entry.measured
    lines = [
        (spec.key, mine.scores[spec.key], usual.scores.get(spec.key))
        for spec in SCORES
        if spec.card and spec.key in mine.scores
    ]
    for distance in DISTANCES:
        theirs = usual.memorization.get(distance, {})
        values = mine.memorization.get(distance, {})
        lines += [
            (f"{spec.key}, {distance}", values[spec.key], theirs.get(spec.key))
            for spec in MEMORIZATION
            if spec.card and spec.key in values
        ]
    space = entry.second.get("features", "second features")
    lines += [
        (f"{name}, {space}", n, None) for name, n in entry.second.items() if isinstance(n, Score)
    ]
    return lines


def facts(entry: Entry) -> list[tuple[str, str]]:
    """What was run, where, at which cost; then how, when and with what it was scored."""
    known, scored, cost = entry.facts, entry.scored, entry.facts.get("cost") or {}
    sampler = known.get("sampler") or {}
    band = entry.band()
    rows = {
        "folder": entry.where,
        "source": known.get("source"),
        "protocol": f"{entry.fingerprint}: {entry.protocol}",
        "seed": known.get("seed"),
        "sampler": listed(sampler),
        "trained noise levels": band and levels(*band),
        "arithmetic": known.get("dtype"),
        "device": known.get("device"),
        "seconds": cost.get("seconds") and seconds(**cost),
        "started": known.get("started"),
        "commit": known.get("commit"),
        "versions": listed(known.get("versions") or {}),
        "preprocessing": scored.get("preprocessing"),
        "scored": scored.get("scored"),
        "scored by commit": scored.get("commit"),
        "scored with": listed(scored.get("versions") or {}),
    }
    rows |= {f"scoring: {key}": value for key, value in entry.scoring.items()}
    return [(key, str(value)) for key, value in rows.items() if value not in (None, "")]


def levels(low: float, high: float) -> str:
    """Noise levels in words."""
    return f"sigma {low:.3g} to {'infinity' if math.isinf(high) else f'{high:.4g}'}"


def seconds(seconds: float, seconds_in_denoiser: float | None = 0, **_: float) -> str:
    """How long a run took."""
    return f"{seconds:.4g}, of which {seconds_in_denoiser or 0:.4g} in the denoiser"


def listed(values: dict[str, Any]) -> str:
    """Keys and values in one line."""
    return ", ".join(f"{key} {value}" for key, value in values.items())


def weight_card(entry: Entry) -> list[tuple[str, str]]:
    """The card of the weights; empty for closed forms."""
    return [
        (str(key).replace("_", " "), said(value))
        for key, value in (entry.facts.get("card") or {}).items()
    ]


def said(value: Any) -> str:
    """A value of a card as a line."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {said(inner)}" for key, inner in value.items())
    return ", ".join(map(said, value)) if isinstance(value, list) else str(value)
