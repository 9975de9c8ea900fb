"""The same data as files: report.html, .md, .csv, .tex and .json."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench import files
from bench.progress import SILENT, Advance, Progress
from bench.reporting import detection, table
from bench.reporting.figures import curves, pages, plots
from bench.reporting.figures.curves import Curve
from bench.reporting.figures.plots import Drawn
from bench.reporting.page import html, markdown, studies
from bench.reporting.page.glossary import GLOSSARY
from bench.reporting.page.markdown import Markdown
from bench.reporting.page.studies import Study
from bench.reporting.results import damage, diagnosis, ranking
from bench.reporting.results.damage import Absent
from bench.reporting.results.diagnosis import Finding
from bench.reporting.results.entries import Entry, Group
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
    read, missing = studies.read(folder, pages.inlined)
    gauged = curves.gauged(folder, missing, groups[0].dataset if groups else "")
    return Report(
        folder,
        target or folder,
        shown,
        groups,
        absent + missing + imageless(entries),
        findings,
        read,
        gauged,
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
    words = {key: findings[0].kind for key, findings in report.findings.items()}
    joined.insert(4, "diagnosis", joined["key"].map(words))
    return joined.drop(columns="key")


def csv(report: Report) -> str:
    """One row per control, run and image set."""
    whole = frame(report)
    cells = {
        cell(name): pd.Series([cell(value) for value in whole[name]], dtype=object)
        for name in whole
    }
    return pd.DataFrame(cells).to_csv(index=False)


def cell(value: Any) -> Any:
    """What may stand in a CSV file: an apostrophe goes before what a spreadsheet would calculate.

    Numbers, negative ones too, stay numbers.
    """
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def tex(report: Report) -> str:
    """One booktabs table per protocol, which a comment names."""
    parts = []
    for group in report.groups:
        said = one_line(f"% {group.protocol} ({group.fingerprint})")
        parts.append(f"{said}\n{latex(table.printed(table.frame(group)))}")
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
    boards = [
        {
            "group": group,
            "printed": table.printed(table.frame(group)),
            "caught": detection.caught(group.controls, group.dataset),
        }
        for group in report.groups
    ]
    sections = [
        {"entry": entry, "findings": report.findings[entry.key], "sheets": sheets(report, entry)}
        for entry in report.entries
    ]
    return markdown.render(
        "report.md",
        boards=boards,
        caught_title=detection.TITLE,
        sections=sections,
        studies=[study_links(report, study) for study in report.studies],
        absent=report.absent,
        glossary=GLOSSARY,
    )


def sheets(report: Report, entry: Entry) -> dict[str, Markdown]:
    """Name -> address of each sheet that an entry has."""
    there = {"grid": entry.kept.sheet, "nearest": entry.kept.pairs is not None}
    there |= {"mixed": entry.kept.mixed is not None}
    return {
        name: link(report, entry.run.path / f"{name}.png") for name, has in there.items() if has
    }


def study_links(report: Report, study: Study) -> dict[str, str]:
    """Folder of a study, and the addresses of its page in Markdown and of its first picture."""
    path = report.folder / study.where
    picture = link(report, path / study.picture) if study.picture else ""
    return {
        "where": study.where,
        "page": link(report, path / f"{path.name}.md"),
        "picture": picture,
    }


def link(report: Report, path: Path) -> Markdown:
    """A place, as the files of the report lead to it: a relative URL."""
    return markdown.address(Path(os.path.relpath(path, report.target)).as_posix())


def latex(text: pd.DataFrame) -> str:
    """A table of text in booktabs; of every cell each letter is itself, and no command."""
    shown = text.map(typeset).rename(columns=typeset)
    columns = "".join("l" if column in ("", "denoiser") else "r" for column in text.columns)
    return shown.to_latex(index=False, escape=False, column_format=columns).rstrip("\n")


def typeset(text: str) -> str:
    """Text in one line that LaTeX sets as it is."""
    return one_line(str(text)).translate(SPECIAL)


# pandas escapes the first ten of these alone; what follows a row's end may begin with the others.
SPECIAL = str.maketrans(
    {letter: f"\\{letter}" for letter in "%_&#${}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"[": "{[}", "*": "{*}", "±": r"$\pm$"}
)
# A cell that begins so is a formula to a spreadsheet.
FORMULA = re.compile("[=+@\uff0b\uff0d\uff1d\uff20-]|\\s")


FORMATS: dict[str, Callable[[Report], str]] = {
    "html": page,
    "md": md,
    "csv": csv,
    "tex": tex,
    "json": as_json,
}
