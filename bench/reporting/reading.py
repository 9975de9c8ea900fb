"""A folder of runs to a report of it, whatever format that is written in."""

from pathlib import Path

from bench.progress import SILENT, Progress
from bench.reporting import exports
from bench.reporting.exports import Report
from bench.reporting.results import completed
from bench.reporting.results.collection import collect
from bench.reporting.results.completed import Measure
from denoisers.errors import concerning


def read(
    folder: Path,
    measure: Measure,
    target: Path | None = None,
    progress: Progress = SILENT,
) -> Report:
    """All runs below a folder, with the control sets that smaller ones did not measure: see `completed`.

    Raises UsageError about FOLDER if there is none.
    """
    progress.stage("reading the runs")
    with concerning("FOLDER"):
        entries, absent = collect(folder)
    seconds = {"looking at the images": 0.02, "writing": 0.02}
    progress.expect({name: each * len(entries) for name, each in seconds.items()})
    entries = completed.completed(entries, measure, absent)
    progress.stage("looking at the images")
    return exports.prepare(folder, entries, absent, target)
