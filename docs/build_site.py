"""The pages as a site that opens without a network: python docs/build_site.py [--out build/site].

README, docs and whatever they link to are copied into one folder, laid out as here, so that each link
leads where it leads in the repository; a page for each wing of the Python side is added, made of its
docstrings; and mkdocs makes a site of it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "build" / "pages"
FIRST = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE")
LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)|(?:src|href)=[\"']?([^\"'\s>#?]+)")
OURS = "search/search_index.json"  # in a folder of ours, which may be built anew
REFERENCE = {
    "Four functions": [f"bench.api.{name}" for name in ("load", "sample", "score", "report")],
    "What they return": ["bench.api.Scores", "bench.api.Reported", "bench.scoring.schema.Score"],
    "Metrics": [
        "bench.metric.OfImages",
        *(
            f"bench.metrics.{name}"
            for name in ("FrechetDistance", "KernelDistance", "Overlap", "Memorization")
        ),
    ],
    "Denoisers": [
        *("denoisers.base.Denoiser", "denoisers.base.Spec"),
        *("denoisers.wrappers.VPDenoiser", "denoisers.wrappers.ResidualDenoiser"),
        "denoisers.splice.Splice",
    ],
    "Datasets": ["bench.data.datasets.load", "bench.data.dataset.Dataset"],
    "Weights": ["denoisers.weights.read", "denoisers.weights.save", "denoisers.exporting.export"],
    "Checks": ["bench.probes.conformance.conformance", "bench.probes.conformance.assert_conforms"],
}


def main() -> None:
    """Build it, and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    out = parser.parse_args().out.resolve()
    if out.exists() and not (out / OURS).is_file() and (out.is_file() or any(out.iterdir())):
        sys.exit(f"--out: {out} holds something else; name a new folder, as all in it is removed")
    shutil.rmtree(PAGES, ignore_errors=True)
    for path in needed():
        copy = PAGES / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        if path.suffix in (".md", ".ipynb"):
            copy.write_text(linking(path))
    (PAGES / "docs" / "reference.md").write_text(reference())
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    config = ROOT / "docs" / "mkdocs.yml"
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    words = [*command, "--config-file", config, "--site-dir", out]
    # There: a plug-in leaves its cache where it runs.
    subprocess.run(words, check=True, env=quiet, cwd=PAGES.parent)
    print(out / "index.html")


def needed() -> set[Path]:
    """The pages, and what can be reached from them by links, and from that."""
    found, left = set(), [ROOT / name for name in FIRST]
    left += [path for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb", ".js")]
    while left:
        path = left.pop()
        path = other_form(path) or path
        if path not in found:
            found.add(path)
            left += linked(path) if path.suffix in (".md", ".html") else []
    return found


def other_form(page: Path) -> Path | None:
    """The .html that lies beside a .md and would be written over by that page: the report."""
    other = page.with_suffix(".html")
    return other if page.suffix == ".md" and other.is_file() else None


def linking(page: Path) -> str:
    """A page with links to the .html where that is what the site has."""
    text = page.read_text()
    if page.suffix == ".ipynb":  # mkdocs looks for links in pages alone
        return re.sub(r"\]\(([\w-]+)\.md", r"](\1.html", text)
    for path in linked(page):
        if other := other_form(path):
            text = text.replace(
                f"{path.parent.name}/{path.name}", f"{path.parent.name}/{other.name}"
            )
    return text


def linked(page: Path) -> Iterator[Path]:
    """The files of this repository that a page links to."""
    for match in LINK.finditer(page.read_text()):
        target = match[1] or match[2]
        if not re.match(r"[a-z]+:", target):  # neither elsewhere nor in the page itself
            path = (page.parent / target).resolve()
            if path.is_file() and path.is_relative_to(ROOT):
                yield path


def reference() -> str:
    """A page that mkdocstrings fills."""
    parts = [
        "# Reference",
        "What can be imported, from its docstrings. The commands say theirs by `--help`.",
    ]
    parts += [
        "`bench.load` is short for `bench.api.load`; `sample`, `score` and `report` likewise."
    ]
    for title, names in REFERENCE.items():
        parts += [f"## {title}", *(f"::: {name}" for name in names)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
