"""The same data as files: report.html, .md, .csv, .tex, .json, and the figures."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench import files
from bench.report import diagnosis, html, pictures, plots, studies, tables
from bench.report.collect import Absent, Entry, groups
from bench.report.glossary import GLOSSARY

FORMATS = ("html", "md", "csv", "tex", "json")
DEFAULT = ("html", "md", "csv")


def write(folder: Path, entries: list[Entry], absent: list[Absent], formats: tuple[str, ...] = DEFAULT) -> list[Path]:
    """`report.<format>` into `folder`, each of `formats`; html brings `figures/` with it. Their paths.

    Raises OSError if they cannot be written.
    """
    written = []
    for name in formats:
        path = folder / f"report.{name}"
        text = WRITERS[name](folder, entries, absent)
        files.write(path, lambda file, text=text: file.write(text.encode()))
        written.append(path)
    return written


def page(folder: Path, entries: list[Entry], absent: list[Absent]) -> str:
    """The HTML page; its figures go into `folder/figures` as PNG and SVG."""
    found, missing = studies.read(folder)
    drawn = plots.draw(folder, groups(entries), save=folder / "figures" if entries else None)
    return html.render(folder, groups(entries), absent + missing, figures=drawn, studies=found)


def frame(folder: Path, entries: list[Entry], absent: list[Absent]) -> pd.DataFrame:
    """All groups below each other, in full precision, with the diagnosis of each entry."""
    words = {entry.key: found[0].kind for entry, found in diagnosed(entries)}
    frames = [tables.frame(group) for group in groups(entries)]
    joined = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["fingerprint", "rank", "kind"])
    if "key" in joined:
        joined.insert(4, "diagnosis", joined["key"].map(words))
    return joined.drop(columns="key", errors="ignore")


def csv(folder: Path, entries: list[Entry], absent: list[Absent]) -> str:
    """One row per control, run and image set."""
    return frame(folder, entries, absent).to_csv(index=False)


def tex(folder: Path, entries: list[Entry], absent: list[Absent]) -> str:
    """One booktabs table per protocol, which a comment names."""
    parts = [
        f"% {g.protocol} ({g.fingerprint})\n{tables.latex(tables.printed(tables.frame(g)))}" for g in groups(entries)
    ]
    return "\n\n".join(parts) + "\n"


def as_json(folder: Path, entries: list[Entry], absent: list[Absent]) -> str:
    """Everything that tables show, for machines; strict JSON."""
    content = {
        "schema_version": 1,
        "rows": [plain(row) for row in frame(folder, entries, absent).to_dict("records")],
        "diagnoses": {
            f"{entry.run.path.as_posix()}#{entry.fingerprint}": [finding._asdict() for finding in found]
            for entry, found in diagnosed(entries)
        },
        "not_shown": [item._asdict() for item in absent],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what was not measured."""
    return {key: value for key, value in row.items() if not pd.isna(value)}


def diagnosed(entries: list[Entry]) -> list[tuple[Entry, list[diagnosis.Finding]]]:
    """What is wrong with each entry."""
    looked = [(entry, pictures.samples(entry.run)) for entry in entries]
    return [
        (entry, diagnosis.diagnose(entry, None if found is None else pictures.look(found))) for entry, found in looked
    ]


def md(folder: Path, entries: list[Entry], absent: list[Absent]) -> str:
    """The tables, each entry with its diagnosis and sheets, and the glossary, as Markdown."""
    pages = ["# Report"]
    for group in groups(entries):
        table = tables.markdown(tables.printed(tables.frame(group)))
        pages.append(f"## Protocol {group.fingerprint}\n\n{group.protocol}\n\n{table}")
    if not entries:
        pages.append("No finished runs.")
    for entry, found in diagnosed(entries):
        path = entry.run.path.relative_to(folder).as_posix()
        said = "\n".join(f"- **{finding.kind}**: {escaped(finding.because)}" for finding in found)
        sheets = [name for name in ("grid.png", "nearest.png") if (entry.run.path / name).exists()]
        shown = " ".join(f"![{name.removesuffix('.png')}]({path}/{name})" for name in sheets)
        pages.append(f"## {escaped(entry.title)} (protocol {entry.fingerprint})\n\n{said}\n\n{shown}".rstrip())
    for study in sorted(folder.rglob("study.json")):
        name, path = study.parent.name, study.parent.relative_to(folder).as_posix()
        pages.append(f"## Study: [{name}]({path}/{name}.md)\n\n![{name}]({path}/{name}.png)")
    if absent:
        pages.append("## Not shown\n\n" + "\n".join(f"- {escaped(f'{item.path}: {item.reason}')}" for item in absent))
    pages.append("## Words\n\n" + "\n".join(f"- **{word}**: {meaning}" for word, meaning in GLOSSARY.items()))
    return "\n\n".join(pages) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, markup included."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


WRITERS = {"html": page, "md": md, "csv": csv, "tex": tex, "json": as_json}
