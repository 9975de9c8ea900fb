"""The same data as files: report.html, .md, .csv, .tex and .json."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench import files, folders
from bench.report import diagnosis, html, panel, pictures, plots, ranking, studies, table
from bench.report.diagnosis import Finding
from bench.report.entries import Absent, Entry, Group
from bench.report.glossary import GLOSSARY

DEFAULT = ("html", "md", "csv")


class Report(NamedTuple):
    """What every format shows.

    folder    of the runs
    target    folder that the files go into
    findings  key of an entry -> its diagnosis
    """

    folder: Path
    target: Path
    entries: list[Entry]
    groups: list[Group]
    absent: list[Absent]
    findings: dict[str, list[Finding]]


def prepare(folder: Path, entries: list[Entry], absent: list[Absent], target: Path | None = None) -> Report:
    """Group the entries and look at their images, once for all formats.

    target  folder that the files go into; the folder of the runs by default
    """
    findings = {}
    for entry in entries:
        images = pictures.samples(entry.run)
        findings[entry.key] = diagnosis.diagnose(entry, None if images is None else pictures.look(images))
    groups = ranking.grouped(entries)
    named = {entry.key: entry for group in groups for entry in group.entries}
    shown = [named[entry.key] for entry in entries]
    return Report(folder, target or folder, shown, groups, absent + imageless(entries), findings)


def imageless(entries: list[Entry]) -> list[Absent]:
    """The runs whose images are not here, as in a clone of a repository: one line for all."""
    names = dict.fromkeys(entry.where for entry in entries if not (entry.run.path / "samples.npz").exists())
    reason = "samples.npz is not here; pictures are of the first samples, from grid.png"
    return [Absent(", ".join(names), reason)] if names else []


def write(folder: Path, entries: list[Entry], absent: list[Absent], formats: tuple[str, ...] = DEFAULT) -> list[Path]:
    """`save` what is to be prepared first."""
    return save(prepare(folder, entries, absent), formats)


def save(report: Report, formats: tuple[str, ...]) -> list[Path]:
    """`report.<format>` into its target, each of `formats`; html brings `figures/` with it. Their paths.

    Raises OSError if they cannot be written.
    """
    written = []
    for name in formats:
        path, text = report.target / f"report.{name}", FORMATS[name](report)
        files.write(path, lambda file, text=text: file.write(text.encode()))
        written.append(path)
    return written


def page(report: Report) -> str:
    """The HTML page; its figures go into `figures` as PNG and SVG."""
    found, missing = studies.read(report.folder)
    drawn = plots.draw(report.folder, report.groups, report.target)
    absent = report.absent + missing
    return html.render(report.folder, report.groups, absent, report.findings, figures=drawn, studies=found)


def frame(report: Report) -> pd.DataFrame:
    """All groups below each other, in full precision, with the diagnosis of each entry."""
    frames = [table.frame(group).astype(object) for group in report.groups]  # whole numbers stay so when joined
    if not frames:
        return pd.DataFrame(columns=["fingerprint", "rank", "kind"])
    joined = pd.concat(frames, ignore_index=True)
    words = {key: found[0].kind for key, found in report.findings.items()}
    joined.insert(4, "diagnosis", joined["key"].map(words))
    return joined.drop(columns="key")


def csv(report: Report) -> str:
    """One row per control, run and image set."""
    return frame(report).to_csv(index=False)


def tex(report: Report) -> str:
    """One booktabs table per protocol, which a comment names."""
    parts = []
    for group in report.groups:
        parts.append(f"% {group.protocol} ({group.fingerprint})\n{table.latex(table.printed(table.frame(group)))}")
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Everything that tables show, for machines; strict JSON, without what was not measured."""
    rows = [
        {key: value for key, value in row.items() if not pd.isna(value)} for row in frame(report).to_dict("records")
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
    content: dict[str, Any] = {"schema_version": 1, "rows": rows, "diagnoses": diagnoses, "not_shown": absent}
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def md(report: Report) -> str:
    """The tables, each entry with its diagnosis and sheets, and the glossary, as Markdown."""
    pages = ["# Report"]
    for group in report.groups:
        shown = table.markdown(table.printed(table.frame(group)))
        pages.append(f"## Protocol {group.fingerprint}\n\n{escaped(group.protocol)}\n\n{shown}")
        pages += [escaped(note) for note in group.notes]
        if len(found := panel.caught(group.controls)):
            pages.append(f"{panel.TITLE}:\n\n{table.markdown(found)}")
    if not report.groups:
        pages.append("No finished runs.")
    pages += [section(report, entry) for entry in report.entries]
    for study in folders.named(report.folder, "study.json"):
        name, where = study.parent.name, study.parent.relative_to(report.folder).as_posix()
        path = link(report, study.parent)
        pages.append(f"## Study: [{where}](<{path}/{name}.md>)\n\n![{where}](<{path}/{name}.png>)")
    if report.absent:
        lines = [f"- {escaped(f'{item.path}: {item.reason}')}" for item in report.absent]
        pages.append("## Not shown\n\n" + "\n".join(lines))
    pages.append("## Words\n\n" + "\n".join(f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items()))
    return "\n\n".join(pages) + "\n"


def link(report: Report, path: Path) -> str:
    """A place, as the files of the report lead to it."""
    return Path(os.path.relpath(path, report.target)).as_posix()


def section(report: Report, entry: Entry) -> str:
    """One entry in Markdown."""
    said = "\n".join(f"- **{finding.kind}**: {escaped(finding.because)}" for finding in report.findings[entry.key])
    sheets = [name for name in ("grid.png", "nearest.png") if (entry.run.path / name).exists()]
    shown = " ".join(f"![{name.removesuffix('.png')}](<{link(report, entry.run.path)}/{name}>)" for name in sheets)
    return f"## {escaped(entry.name)} (protocol {entry.fingerprint})\n\n{said}\n\n{shown}".rstrip()


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, markup included."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


FORMATS: dict[str, Callable[[Report], str]] = {"html": page, "md": md, "csv": csv, "tex": tex, "json": as_json}
