"""Which controls each statistic catches: what it is worth, on the data and at the number of images at hand."""

import pandas as pd

from bench.reporting.results.entries import label
from bench.scoring import catalogue
from bench.scoring.schema import Score, ScoreSet

TITLE = "Which controls each statistic tells from held-out digits"
HELD_OUT = "held_out"
# Statistic -> whether it rises or falls as images come nearer to the training set.
NEARER = {spec.key: catalogue.nearer(spec) for spec in catalogue.MEMORIZATION if spec.detects}
# Score -> whether it rises or falls as images become worse.
WORSE = {spec.key: -spec.direction for spec in catalogue.SCORES if spec.detects}
SURE = 3.0  # |C_T|, which has no interval; its standard deviation under the null is 1 at most


def caught(controls: dict[str, ScoreSet], dataset: str = "") -> pd.DataFrame:
    """One row per statistic, one column per control but the held-out one: "yes" where it is told from held-out images.

    Told: its 95 % interval lies beyond that of held-out images, towards nearer (memorization) or
    worse (quality). Empty if there are no held-out images to tell from, or nothing else.
    """
    if HELD_OUT not in controls or len(controls) == 1:
        return pd.DataFrame()
    null = controls[HELD_OUT]
    rows = []
    for space, statistics in null.memorization.items():
        for name in statistics.keys() & NEARER.keys():
            rows.append(
                (name, space, [c.memorization.get(space, {}).get(name) for c in controls.values()])
            )
    rows.sort(key=lambda row: (list(null.memorization).index(row[1]), list(NEARER).index(row[0])))
    rows += [
        (name, "quality", [c.scores.get(name) for c in controls.values()])
        for name in WORSE
        if name in null.scores
    ]
    table = []
    for name, kind, numbers in rows:
        direction = NEARER[name] if kind != "quality" else WORSE[name]
        by_control = dict(zip(controls, numbers, strict=True))
        cells = {
            label(control, dataset): "yes" if told(number, by_control[HELD_OUT], direction) else ""
            for control, number in by_control.items()
            if control != HELD_OUT
        }
        table.append({"": kind, "statistic": name, **cells})
    return pd.DataFrame(table)


def told(number: Score | None, null: Score | None, direction: int) -> bool:
    """Whether a number lies beyond the null's in a direction, with the intervals that there are."""
    if number is None or null is None:
        return False
    if null.low is None:
        return direction * number.value > SURE
    # FID: both are raised alike by their number of images, which the interval has corrected.
    if number.low is None:
        return direction * (number.value - null.value) > 1.96 * (null.stderr or 0)
    return number.low > null.high if direction > 0 else number.high < null.low
