"""The same data as files: report.html, .md, .csv, .tex and .json."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pandas as pd

from bench import files
from bench.progress import SILENT, Advance, Progress
from bench.report import detection, table
from bench.report.figures import plots
from bench.report.figures.plots import Curve, Drawn
from bench.report.page import html, studies
from bench.report.page.glossary import GLOSSARY
from bench.report.page.studies import Study
from bench.report.results import damage, diagnosis, ranking
from bench.report.results.damage import Absent
from bench.report.results.diagnosis import Finding
from bench.report.results.entries import Entry, Group
from bench.text import one_line, printable
from denoisers.errors import listed

DEFAULT = ("html", "md", "csv")


class Report(NamedTuple):
    """What every format shows.

    folder    of the runs
    target    folder that the files go into
    findings  key of an entry -> its diagnosis
    studies   below the folder of the runs
    curves    of denoisers that were gauged, below the folder of the runs
    figures   of the page, which `save` draws
    """

    folder: Path
    target: Path
    entries: list[Entry]
    groups: list[Group]
    absent: list[Absent]
    findings: dict[str, list[Finding]]
    studies: list[Study]
    curves: list[Curve]
    figures: list[Drawn]


def prepare(
    folder: Path, entries: list[Entry], absent: list[Absent], target: Path | None = None
) -> Report:
    """Group the entries and read what belongs to none of them, once for all formats.

    target  folder that the files go into; the folder of the runs by default
    """
    findings = {entry.key: diagnosis.diagnose(entry, entry.kept.look) for entry in entries}
    groups = ranking.grouped(entries)
    named = {entry.key: entry for group in groups for entry in group.entries}
    shown = [named[entry.key] for entry in entries]
    found, missing = studies.read(folder)
    curves = plots.gauged(folder, missing)
    return Report(
        folder,
        target or folder,
        shown,
        groups,
        absent + missing + imageless(entries),
        findings,
        found,
        curves,
        figures=[],
    )


def imageless(entries: list[Entry]) -> list[Absent]:
    """The runs whose images are not here, as in a clone of a repository: one line for all."""
    names = dict.fromkeys(
        entry.where for entry in entries if not os.path.lexists(entry.run.path / "samples.npz")
    )
    reason = "samples.npz is not here; pictures are of the first samples, from grid.png"
    return [damage.line(listed(list(names)), reason)] if names else []


def write(
    folder: Path, entries: list[Entry], absent: list[Absent], formats: tuple[str, ...] = DEFAULT
) -> list[Path]:
    """`save` what is to be prepared first."""
    return save(prepare(folder, entries, absent), formats)


def save(report: Report, formats: tuple[str, ...], progress: Progress = SILENT) -> list[Path]:
    """`report.<format>` into its target, each of `formats`; html brings `figures/` with it.

    Their paths.

    Raises OSError if they cannot be written.
    """
    drawing = plots.WORK if "html" in formats else 0
    advance = progress.stage("writing", drawing + len(formats))
    if drawing:
        report = illustrated(report, advance)
    written = []
    for name in formats:
        path, text = report.target / f"report.{name}", printable(FORMATS[name](report))
        files.write(path, lambda file, text=text: file.write(text.encode()))
        written.append(path)
        advance(1)
    return written


def illustrated(report: Report, advance: Advance) -> Report:
    """With figures, which are written as PNG and SVG too; `advance` takes `plots.WORK` in all."""
    absent = list(report.absent)
    figures = plots.draw(
        report.folder,
        report.groups,
        report.target,
        curves=report.curves,
        absent=absent,
        advance=advance,
    )
    return report._replace(figures=figures, absent=absent)


def page(report: Report) -> str:
    """The HTML page."""
    return html.render(
        report.folder,
        report.groups,
        list(report.absent),
        report.findings,
        figures=report.figures,
        studies=report.studies,
    )


def frame(report: Report) -> pd.DataFrame:
    """All groups below each other, in full precision, with the diagnosis of each entry."""
    # Whole numbers stay so when joined.
    frames = [table.frame(group).astype(object) for group in report.groups]
    if not frames:
        return pd.DataFrame(columns=["fingerprint", "rank", "kind"])
    joined = pd.concat(frames, ignore_index=True)
    words = {key: found[0].kind for key, found in report.findings.items()}
    joined.insert(4, "diagnosis", joined["key"].map(words))
    return joined.drop(columns="key")


def csv(report: Report) -> str:
    """One row per control, run and image set."""
    found = frame(report)
    cells = {
        cell(name): pd.Series([cell(value) for value in found[name]], dtype=object)
        for name in found
    }
    return pd.DataFrame(cells).to_csv(index=False)


def cell(value: Any) -> Any:
    """What may stand in a CSV file: text that a spreadsheet would take for a formula begins with an apostrophe.

    Numbers, negative ones too, stay numbers.
    """
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def tex(report: Report) -> str:
    """One booktabs table per protocol, which a comment names."""
    parts = []
    for group in report.groups:
        said = one_line(f"% {group.protocol} ({group.fingerprint})")
        parts.append(f"{said}\n{table.latex(table.printed(table.frame(group)))}")
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Everything that tables show, for machines; strict JSON, without what was not measured."""
    rows = [
        {key: value for key, value in row.items() if not pd.isna(value)}
        for row in frame(report).to_dict("records")
    ]
    diagnoses = [
        {
            "path": entry.where,
            "fingerprint": entry.fingerprint,
            "name": entry.name,
            "verdict": report.findings[entry.key][0].verdict,
            "findings": [finding._asdict() for finding in report.findings[entry.key]],
        }
        for entry in report.entries
    ]
    absent = [item._asdict() for item in report.absent]
    content: dict[str, Any] = {
        "schema_version": 1,
        "rows": rows,
        "diagnoses": diagnoses,
        "not_shown": absent,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def md(report: Report) -> str:
    """The tables, each entry with its diagnosis and sheets, and the glossary, as Markdown."""
    pages = ["# Report"]
    for group in report.groups:
        shown = table.markdown(table.printed(table.frame(group)).map(escaped))
        pages.append(
            f"## Protocol {escaped(group.fingerprint)}\n\n{escaped(group.protocol)}\n\n{shown}"
        )
        pages += [escaped(note) for note in group.notes]
        if len(found := detection.caught(group.controls)):
            pages.append(
                f"{detection.TITLE}:\n\n{table.markdown(found.map(escaped).rename(columns=escaped))}"
            )
    if not report.groups:
        pages.append("No finished runs.")
    pages += [section(report, entry) for entry in report.entries]
    for study in report.studies:
        where, path = escaped(study.where), report.folder / study.where
        page, picture = (link(report, path / f"{path.name}.{kind}") for kind in ("md", "png"))
        pages.append(f"## Study: [{where}](<{page}>)\n\n![{where}](<{picture}>)")
    if report.absent:
        lines = [f"- {escaped(f'{item.path}: {item.reason}')}" for item in report.absent]
        pages.append("## Not shown\n\n" + "\n".join(lines))
    pages.append(
        "## Words\n\n" + "\n".join(f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items())
    )
    return "\n\n".join(pages) + "\n"


def link(report: Report, path: Path) -> str:
    """A place, as the files of the report lead to it: a relative URL, whatever folders are called."""
    return quote(os.fsencode(Path(os.path.relpath(path, report.target)).as_posix()), safe="/=@,+~")


def section(report: Report, entry: Entry) -> str:
    """One entry in Markdown."""
    said = "\n".join(
        f"- **{finding.kind}**: {escaped(finding.because)}"
        for finding in report.findings[entry.key]
    )
    there = {"grid.png": entry.kept.sheet, "nearest.png": entry.kept.pairs is not None}
    shown = " ".join(
        f"![{name.removesuffix('.png')}](<{link(report, entry.run.path / name)}>)"
        for name, it in there.items()
        if it
    )
    return f"## {escaped(entry.name)} (protocol {escaped(entry.fingerprint)})\n\n{said}\n\n{shown}".rstrip()


# What Markdown reads as more than a letter: inside words '_' is one, and a link needs no brackets.
MARKUP = re.compile(
    r"(?i)[\\`*\[\]~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\w):(?=//)|(?<=www)\.|^[#+-](?=\s)"
)
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
FORMULA = re.compile("[=+@\uff0b\uff0d\uff1d\uff20-]|\\s")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in one line, markup included."""
    marked = MARKUP.sub(r"\\\g<0>", one_line(text))
    return re.sub("[&<>]", lambda found: ENTITIES[found[0]], marked)


FORMATS: dict[str, Callable[[Report], str]] = {
    "html": page,
    "md": md,
    "csv": csv,
    "tex": tex,
    "json": as_json,
}
