"""What a ladder of runs says: each change in a sentence, the hypotheses, and the page of both."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.reporting.page.blocks import Block, Page, Picture, Span, spans
from bench.scoring.uncertainty import Estimate, paired_difference

# Std that 1000 naive steps leave when the denoiser removes exactly the noise; asserted in a test.
ORACLE = 0.417
SLACK = 0.03
NAIVE = {"K0L": "digits", "A11L": "photographs"}
H1 = (
    "H1: 1000 naive steps of a network for all noise levels, trained on {data}, "
    "leave noise of std {oracle}"
)
H2 = "H2: dividing the residual by its own std, alone, brings the images no nearer to digits"
H7 = "H7: a network trained with L1 is a worse prior than one trained with L2"
H8 = (
    "H8: KBNet, trained on digits at all noise levels, generates digits "
    "(mean confidence at least 0.9)"
)
TITLE = "The ladder: why a restoration network in a diffusion sampler gave no digits"
NOISE_LEFT = (
    "Noise left: median standard deviation of the white noise in the images; "
    "grey levels span -1 to 1."
)
INTERVALS = (
    "95 % intervals, paired by image. Nearer or further is said of KID, "
    "when its interval excludes 0."
)
VERDICTS = {-1: "nearer to digits", 0: "no measurable change", 1: "further from digits"}


class Outcome(NamedTuple):
    """What a rung gave: scores by name, features (N, d), one row per image, the first images."""

    scores: dict[str, Any]
    facts: dict[str, Any]
    features: np.ndarray
    rows: pd.DataFrame
    images: np.ndarray


class Finding(NamedTuple):
    """A hypothesis, whether it held, and the number that says so."""

    hypothesis: str
    holds: bool
    evidence: str


def findings(
    outcomes: dict[str, Outcome], kid_change: Callable[[str, str], Estimate]
) -> list[Finding]:
    """The hypotheses that these rungs decide. A rung that failed decides nothing."""
    decided = [naive_noise(outcomes[name], of) for name, of in NAIVE.items() if name in outcomes]
    if {"A0", "A1"} <= outcomes.keys():
        change, confidence = kid_change("A0", "A1"), confidence_change(outcomes, "A0", "A1")
        before = outcomes["A0"].scores["kid"]["value"]
        text = (
            f"KID {before:.3f} changes by {change.interval()}, "
            f"confidence by {confidence.interval()}"
        )
        decided.append(Finding(H2, change.sign() >= 0, text))
    if {"A12", "A10"} <= outcomes.keys():
        change = kid_change("A12", "A10")
        decided.append(
            Finding(H7, change.sign() > 0, f"KID x 1e3 changes by {change.interval(1e3, 1)}")
        )
    if "A12" in outcomes:
        confidence = outcomes["A12"].scores["confidence"]
        mean = Estimate(confidence["value"], confidence["stderr"])
        beside = kids(outcomes, ("A12", "R", "W", "A11"))
        text = f"confidence {mean.interval()}, {confidence['n']} images; {beside}"
        decided.append(Finding(H8, mean.value >= 0.9, text))
    return decided


def kids(outcomes: dict[str, Outcome], names: tuple[str, ...]) -> str:
    """KID of some rungs side by side: classifiers are sure of textures too, and do not suffice."""
    shown = [
        f"{name} {1e3 * outcomes[name].scores['kid']['value']:.1f}"
        for name in names
        if name in outcomes
    ]
    return f"KID x 1e3: {', '.join(shown)}"


def naive_noise(outcome: Outcome, data: str) -> Finding:
    """Whether the naive coupling left the noise that arithmetic predicts."""
    left = outcome.rows["noise_std"].to_numpy()
    low, high = median_interval(left)
    text = (
        f"median {np.median(left):.3f} [{low:.3f}, {high:.3f}] of {len(left)} images; "
        f"yes is within {SLACK}"
    )
    return Finding(
        H1.format(data=data, oracle=ORACLE), abs(np.median(left) - ORACLE) <= SLACK, text
    )


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a median, from the order statistics (binomial, normal approximation)."""
    n, ordered = len(values), np.sort(values)
    reach = 0.98 * np.sqrt(n)
    low, high = int(np.floor(n / 2 - reach)), int(np.ceil(n / 2 + reach))
    return float(ordered[max(0, low)]), float(ordered[min(n - 1, high)])


def confidence_change(outcomes: dict[str, Outcome], first: str, second: str) -> Estimate:
    """Mean change of the confidence from one rung to another, image by image."""
    return paired_difference(
        *(outcomes[name].rows["confidence"].to_numpy() for name in (first, second))
    )


def sentence(row: pd.Series) -> list[Span]:
    """What one rung did, in words."""
    name = Span(row["rung"], strong=True)
    if isinstance(row["failed"], str):
        return spans(name, f" ({row['change']}): failed, {row['failed']}.")
    kid, confidence = (
        Estimate(row[f"{key}_change"], row[f"{key}_change_stderr"]) for key in ("kid", "confidence")
    )
    return spans(
        name,
        f" ({row['change']}), against {row['against']}: {VERDICTS[kid.sign()]}. "
        f"KID x 1e3 by {kid.interval(1e3, 1)}, confidence by {confidence.interval()}.",
    )


def answer(finding: Finding) -> list[Span]:
    """A hypothesis, and whether it held."""
    held = Span("yes" if finding.holds else "no", strong=True)
    return spans(f"{finding.hypothesis}: ", held, f". {finding.evidence}.")


def page(frame: pd.DataFrame, answers: list[Finding]) -> Page:
    """The picture, the table, what each change did, and the hypotheses."""
    compared = frame[frame["kid_change"].notna() | frame["failed"].notna()]
    parts = [
        ("text", spans("The first images of each rung, from the same noise:")),
        ("picture", Picture("ladder.png", "samples")),
        ("table", cells(frame[frame["failed"].isna()])),
        ("text", spans(NOISE_LEFT)),
        ("heading", "What each change did"),
        ("text", spans(INTERVALS)),
        ("list", [sentence(row) for _, row in compared.iterrows()]),
        ("heading", "Hypotheses"),
        ("list", [answer(finding) for finding in answers]),
    ]
    return Page(TITLE, [Block(kind, content) for kind, content in parts if content])


def cells(done: pd.DataFrame) -> list[list[str]]:
    """The heading and the rows of the table of rungs."""
    columns = {
        "rung": done["rung"],
        "change": done["change"],
        "weights": done["weights"].replace("", "-"),
        "N x steps": [f"{row.n:.0f} x {row.steps:.0f}" for row in done.itertuples()],
        "out of band": [f"{share:.0%}" for share in done["out_of_band"]],
        "KID x 1e3": [
            f"{1e3 * row.kid:.1f} ± {1e3 * row.kid_stderr:.1f}" for row in done.itertuples()
        ],
        "confidence": [f"{value:.3f}" for value in done["confidence"]],
        "noise left": [f"{value:.3f}" for value in done["noise_std"]],
    }
    return [list(columns), *map(list, zip(*columns.values(), strict=True))]
