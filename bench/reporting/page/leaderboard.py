"""The leaderboard of a page: what its cells show, what they sort by, the intervals to draw."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from bench.reporting import table
from bench.reporting.page import drawings
from bench.reporting.page.drawings import Strip
from bench.scoring.catalogue import BY_KEY, SCORES, ScoreSpec
from bench.scoring.schema import Score

RANKED = "kid"  # the score that decides the order of a table


class Column(NamedTuple):
    """A column of the leaderboard.

    `unit` is where the scale of its strips turns logarithmic; None: no strips.
    """

    key: str
    title: str
    help: str
    text: Callable[[Score], str]
    unit: float | None = None


class Cell(NamedTuple):
    """What stands in a cell; `sort` is empty where nothing was measured."""

    text: str
    sort: float | str = ""
    strip: Strip | None = None


class Row(NamedTuple):
    """A control, run or image set. `key` is that of its card; empty for a control."""

    kind: str
    key: str
    rank: str
    name: str
    diagnosis: str
    verdict: str
    cells: list[Cell]


def plain(number: Score) -> str:
    """Three digits."""
    return table.short(number.value)


def decimals(number: Score) -> str:
    """Three decimals: shares, and what has their size."""
    return f"{number.value:.3f}"


def share(number: Score) -> str:
    """In percent, with the interval where there is one."""
    digits = 0 if number.value in (0, 1) or number.value >= 0.1 else 1
    text = table.percent(number.value, digits)
    return (
        text if number.low is None else f"{text} [{100 * number.low:.1f}, {100 * number.high:.1f}]"
    )


def whole_percent(number: Score) -> str:
    """In percent."""
    return table.percent(number.value)


def mebibytes(number: Score) -> str:
    """Bytes in MiB."""
    return f"{number.value / 2**20:.0f}"


def millions(number: Score) -> str:
    """A count in millions."""
    return table.short(number.value / 1e6, 2) if number.value else "0"


FORMATS = {
    "digits": plain,
    "decimals": decimals,
    "thousandths": table.thousandths,
    "share": share,
}


def column_of(spec: ScoreSpec, prefix: str = "") -> Column:
    """The column of a score."""
    ends = {"higher": " Higher is better.", "lower": " Lower is better.", None: ""}
    text = FORMATS[spec.format]
    return Column(prefix + spec.key, spec.title, spec.help + ends[spec.better], text, spec.unit)


BITS = Column(
    "bits",
    table.BITS,
    "What a held-out digit costs as a code, by the squared errors of the denoiser at all noise levels (I-MMSE). "
    "Lower is better.",
    table.with_error,
)
# Beside KID: who generates badly may have a good likelihood, and the other way round.
HEAD = [spec for spec in SCORES if spec.leaderboard]
KID = 1 + [spec.key for spec in HEAD].index("kid")
COLUMNS = (
    *map(column_of, HEAD[:KID]),
    BITS,
    *map(column_of, HEAD[KID:]),
    column_of(BY_KEY["copy_rate"], "pixels_"),
    Column(
        "out_of_band",
        "out of band",
        "Share of the steps at noise levels it was not trained on.",
        whole_percent,
    ),
    Column(
        "unconverged",
        "unconverged",
        "Share of the images whose sampler ran out of steps.",
        whole_percent,
    ),
    Column(
        "nfe", "NFE", "Calls of the denoiser per image.", lambda calls: table.whole(calls.value)
    ),
    Column(
        "seconds_per_image",
        "s / image",
        "Wall time.",
        lambda seconds: table.short(seconds.value, 2),
    ),
    Column("peak_memory_bytes", "MiB", "Most memory used.", mebibytes),
    Column("parameters", "parameters", "In millions.", millions),
)


def columns(frame: pd.DataFrame) -> list[Column]:
    """The columns in which something stands, that of the ranking first: a phone has room for it."""
    filled = [
        column for column in COLUMNS if column.key in frame and frame[column.key].notna().any()
    ]
    return sorted(filled, key=lambda column: column.key != RANKED)


def rows(frame: pd.DataFrame, words: dict[str, tuple[str, str]]) -> list[Row]:
    """The rows of a group's frame, in its order.

    words  key of an entry -> (diagnosis, verdict)
    """
    drawn = [cells(frame, column) for column in columns(frame)]
    lines = []
    for place, (_, row) in enumerate(frame.iterrows()):
        key = row.get("key")
        key = key if isinstance(key, str) else ""
        said = words.get(key, ("", ""))
        lines.append(
            Row(
                row["kind"],
                key,
                row["rank"],
                row["name"],
                *said,
                [column[place] for column in drawn],
            )
        )
    return lines


def cells(frame: pd.DataFrame, column: Column) -> list[Cell]:
    """One column, with strips on a common scale."""
    numbers = [table.number_of(row, column.key) for _, row in frame.iterrows()]
    none = [None] * len(numbers)
    strips = none if column.unit is None else drawings.strips(numbers, column.unit)
    pairs = zip(numbers, strips, strict=True)
    return [
        Cell("")
        if number is None
        else Cell(column.text(number), number.value, strip if number.low is not None else None)
        for number, strip in pairs
    ]
