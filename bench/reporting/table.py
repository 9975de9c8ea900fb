"""Entries as tables: numbers in a frame, and the frame as text for a terminal, Markdown and LaTeX."""

import io
import textwrap
from itertools import chain
from typing import Any

import pandas as pd
from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.reporting.results import diagnosis, ranking
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Entry, Group, label
from bench.scoring.catalogue import MEMORIZATION, SCORES
from bench.scoring.schema import Score, ScoreSet
from bench.text import one_line

TERMINAL = 80  # columns
# A space between columns, and a line below the names.
UNDERLINED = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
WIDEST = 1000  # that a table becomes rather than cut a number
NAME_WIDTH = 16  # of a terminal table, at least; longer names continue on the next line
# The headings of the scores that the terminal shows, in their order; copies are those of pixels.
HEADED = [spec for spec in (*SCORES, *MEMORIZATION) if spec.heading]
COLUMNS = (
    *("", "denoiser", "N"),
    *(spec.heading for spec in HEADED),
    *("bits", "out", "late", "NFE", "s/im"),
)
BITS = "bits / pixel"  # in full


def frame(group: Group) -> pd.DataFrame:
    """One row per control and entry of a group, by rising KID, in full precision; what was not measured is missing.

    rank  a place within the group as text, "1" or "2=" for a tie; empty where no ranking was made
    kind  "control", "run" or "images"
    """
    rows = [
        control_row(label(name, group.dataset), measured)
        for name, measured in group.controls.items()
    ]
    rows += [entry_row(entry) for entry in group.entries]
    wide = pd.DataFrame(
        {name: column([row.get(name) for row in rows]) for name in dict.fromkeys(chain(*rows))}
    )
    wide.insert(
        0,
        "rank",
        [""] * len(group.controls) + [group.ranks.get(entry.key, "") for entry in group.entries],
    )
    wide.insert(0, "fingerprint", group.fingerprint)
    if "kid" in wide:
        wide = wide.sort_values("kid", kind="stable", na_position="last")
    return wide.reset_index(drop=True)


def column(values: list[Any]) -> pd.Series:
    """A column of a frame in which whole numbers stay what they are, also beside places where nothing was measured."""
    there = {type(value) for value in values if not pd.isna(value)}
    if int not in there:
        return pd.Series(values)
    fits = there == {int} and all(pd.isna(value) or abs(value) < 2**63 for value in values)
    return pd.Series(values, dtype="Int64" if fits else object)


def control_row(name: str, measured: ScoreSet) -> dict[str, Any]:
    """A control: scores without cost."""
    return {"kind": "control", "name": name, **flat(measured)}


def entry_row(entry: Entry) -> dict[str, Any]:
    """A run or image set: scores, memorization, cost."""
    facts = entry.facts
    cost = facts.get("cost") or {}
    return {
        "kind": "run" if entry.is_run else "images",
        "name": entry.name,
        "seed": entry.seed,
        **flat(entry.measured),
        **named("bits", entry.bits),
        "memorization": entry.verdict.get("memorization"),
        "out_of_band": facts.get("out_of_band"),
        "unconverged": unconverged(entry),
        "nfe": facts.get("nfe"),
        "seconds_per_image": cost.get("seconds_per_image"),
        "peak_memory_bytes": facts.get("peak_memory_bytes") if entry.is_run else None,
        "parameters": facts.get("parameters"),
        "path": entry.where,
        "key": entry.key,
    }


def unconverged(entry: Entry) -> float | None:
    """Share of the images whose sampler stops by itself and ran out of steps; None where none was counted."""
    count, num = entry.facts.get("unconverged"), (entry.facts.get("sampler") or {}).get("num")
    return count / num if count and isinstance(num, int) and num else None


def flat(measured: ScoreSet) -> dict[str, Any]:
    """Numbers in one level: name, name_stderr, name_low, name_high; memorization as distance_name."""
    counts = [number.n for number in measured.scores.values() if number.n]
    row: dict[str, Any] = {"n": max(counts, default=None)}
    scores = dict(measured.scores)
    for distance, found in measured.memorization.items():
        scores |= {f"{distance}_{name}": number for name, number in found.items()}
    for name, number in scores.items():
        row |= named(name, number)
    return row


def named(name: str, number: Score | None) -> dict[str, Any]:
    """A number in one level; nothing for none."""
    if number is None:
        return {}
    bounds = {f"{name}_low": number.low, f"{name}_high": number.high}
    return {name: number.value, f"{name}_stderr": number.stderr, **bounds}


def number_of(row: pd.Series, name: str) -> Score | None:
    """A score of a row of a frame, or None."""
    parts = [row.get(key) for key in (name, f"{name}_stderr", f"{name}_low", f"{name}_high")]
    there = (None if part is None or pd.isna(part) else part for part in parts)
    value, *rest = (
        part if part is None or isinstance(part, int) else float(part) for part in there
    )
    return None if value is None else Score(value, *rest)


def short(value: float | None, digits: int = 3) -> str:
    """Significant digits, without an exponent from 0.001 to a million; empty for what is missing."""
    if value is None or pd.isna(value):
        return ""
    if value == 0 or 10**digits <= abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".") if 1e-3 <= abs(value) < 1e6 else f"{value:.2g}"


def whole(value: float | None) -> str:
    """A count, in full, or a mean of counts; empty for what is missing."""
    if value is None or pd.isna(value):
        return ""
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def percent(value: float | None, digits: int = 0) -> str:
    """A share in percent; empty for what is missing."""
    return "" if value is None or pd.isna(value) else f"{value:.{digits}%}"


def thousandths(number: Score | None) -> str:
    """A KID in thousandths with its standard error; empty for what is missing."""
    if number is None:
        return ""
    value, error = 1e3 * number.value, None if number.stderr is None else 1e3 * number.stderr
    digits = 1 if abs(value) < 1000 else 0
    return f"{value:z.{digits}f}" + ("" if error is None else f" ±{error:.{digits}f}")


def with_error(number: Score | None) -> str:
    """Three decimals and one standard error; empty for what is missing."""
    if number is None:
        return ""
    return f"{number.value:.3f}" + ("" if number.stderr is None else f" ±{number.stderr:.3f}")


def text_of(score: Score, form: str) -> str:
    """A score in one of the formats of the catalogue, without its interval."""
    if form == "thousandths":
        return thousandths(score)
    if form == "share":
        return percent(score.value, 0 if score.value in (0, 1) else 1)
    return short(score.value)


def cells(row: pd.Series) -> list[str]:
    """A row of a frame as the cells of COLUMNS."""
    named = {
        spec: number_of(row, f"pixels_{spec.key}" if spec in MEMORIZATION else spec.key)
        for spec in HEADED
    }
    return [
        row["rank"],
        row["name"],
        whole(row["n"]),
        *("" if score is None else text_of(score, spec.format) for spec, score in named.items()),
        with_error(number_of(row, "bits")),
        percent(row.get("out_of_band")),
        percent(row.get("unconverged")),
        whole(row.get("nfe")),
        short(row.get("seconds_per_image"), 2),
    ]


def printed(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame as the text that tables show, of the controls the first; a column without anything is left out."""
    floors = {label("held_out", dataset) for dataset in ("mnist", "other")}
    shown = frame[(frame["kind"] != "control") | frame["name"].isin(floors)]
    text = pd.DataFrame([cells(row) for _, row in shown.iterrows()], columns=COLUMNS)
    return text[[column for column in text if text[column].any()]]


def markdown(table: pd.DataFrame) -> str:
    """A table of text that reads as well in a terminal as in a rendered page."""
    lines = [list(table.columns), *table.to_numpy().tolist()]
    lines = [[one_line(str(cell)).replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def terminal(table: pd.DataFrame) -> str:
    """A table of text for 80 columns: numbers stand to the right, names continue on the next line."""
    grid = Table(box=UNDERLINED, show_edge=False, pad_edge=False, padding=0)
    for name in table.columns:
        if name == "denoiser":
            grid.add_column(Text(name), min_width=NAME_WIDTH)
        else:
            grid.add_column(Text(name), justify="right", no_wrap=True)
    for row in table.to_numpy().tolist():
        grid.add_row(*(Text(one_line(cell)) for cell in row))
    output = io.StringIO()
    console = Console(file=output, color_system=None, width=WIDEST)
    # Numbers are never cut: a table of many columns is as wide as they are.
    console.print(grid, width=max(TERMINAL, console.measure(grid).minimum), crop=False)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def tables(entries: list[Entry], absent: list[Absent], groups: list[Group] | None = None) -> str:
    """What `bench report` prints: a table per protocol, then what is not shown; `groups` of the entries, if known."""
    parts = []
    for group in ranking.grouped(entries) if groups is None else groups:
        head = textwrap.fill(one_line(f"Protocol {group.fingerprint}: {group.protocol}"), TERMINAL)
        notes = [textwrap.fill(one_line(note), TERMINAL) for note in group.notes]
        parts.append("\n\n".join([head, terminal(printed(frame(group))), verdicts(group), *notes]))
    if not parts:
        parts.append("No finished runs.")
    if absent:
        parts.append(
            "Not shown:\n\n"
            + "\n".join(f"- {one_line(f'{item.path}: {item.reason}')}" for item in absent)
        )
    return "\n\n".join(parts) + "\n"


def verdicts(group: Group) -> str:
    """The answer for each entry of a group, in a sentence, as its card says it; in the order of the table."""
    ordered = sorted(
        group.entries, key=lambda entry: kid.value if (kid := entry.score("kid")) else float("inf")
    )
    said = [
        diagnosis.in_words(entry, diagnosis.diagnose(entry, entry.kept.look)) for entry in ordered
    ]
    return "\n".join(
        textwrap.fill(one_line(line), TERMINAL, subsequent_indent="  ") for line in said
    )


def summary(entries: list[Entry], absent: list[Absent]) -> str:
    """What a report shows, and how much it does not, in one line."""
    shown = f"{len(entries)} result{'s' * (len(entries) != 1)} shown"
    return (
        f"{shown}, {len(absent)} not shown or damaged, with the reasons above" if absent else shown
    )
