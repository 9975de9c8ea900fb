"""Commands about results: the report, images made elsewhere, differences."""

import functools
import itertools
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.app import (
    finish,
    say,
    show,
    terminal,
)
from bench.cli.flags import (
    FORMATS,
    DataDir,
    Dataset,
    Device,
    Features,
    FeaturesWeights,
    Json,
    MaxBytes,
    Out,
    argument,
    flag,
    one_of,
    place,
    setting,
    switch,
    title,
    word,
)
from denoisers.errors import UsageError, concerning, listed


# A third of it is its flags.
def report(
    folder: Annotated[Path, argument(read=place, shown="FOLDER", help="Folder of runs.")] = Path(
        "results"
    ),
    format_: Annotated[
        str,
        flag("--format", read=word, shown=",".join(FORMATS), help="Files to write, some of these."),
    ] = "html,md,csv",
    out: Annotated[
        Path | None,
        flag(
            "--out",
            read=place,
            shown="FOLDER",
            help="For the files; by default the folder of runs.",
        ),
    ] = None,
    data_dir: DataDir = None,
    open_: Annotated[bool, switch("--open", help="Show report.html in the browser.")] = False,
    json_: Annotated[
        bool, switch("--json", help="Print all as one JSON document; write nothing.")
    ] = False,
) -> None:
    """Print one table per protocol for all runs below a folder, and write the report: one page, to look at or send.

    Control sets that smaller runs did not measure are measured first, for each number of images
    once.
    """
    from bench import machine, reporting
    from bench.reporting import exports, reading
    from bench.scoring import control_scores

    with concerning("--format"):
        chosen = tuple(dict.fromkeys(map(one_of(FORMATS), format_.split(","))))
    if open_ and "html" not in chosen:
        raise UsageError(f"shows report.html; add html to --format {format_}", "--open")
    target = out or folder
    measure = functools.partial(
        control_scores.later, data_dir=data_dir, say=say, progress=terminal.bar
    )
    prepared = reading.read(folder, measure, target, terminal.bar)
    if json_:
        terminal.result(exports.as_json(prepared).rstrip())
        return
    # Before anything is written.
    terminal.result(reporting.tables(prepared.entries, prepared.absent, prepared.groups))
    machine.check_writable(target)
    for path in exports.save(prepared, chosen, terminal.bar):
        terminal.result(path)
    say(reporting.summary(prepared.entries, prepared.absent))
    if open_:
        typer.launch(str((target / "report.html").resolve()))


def score(
    path: Annotated[
        Path,
        argument(
            read=place, shown="PATH", help="npz with arr_0, folder of PNGs, or file saved by torch."
        ),
    ],
    name: Annotated[
        str | None,
        flag(
            "--name",
            read=title,
            shown="NAME",
            help="In tables and paths; the file's own by default.",
        ),
    ] = None,
    num: Annotated[int | None, setting("num", "The first so many images; all by default.")] = None,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    features: Features = None,
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    out: Out = Path("results"),
    json_: Json = False,
    max_bytes: MaxBytes = None,
) -> None:
    """Score images made elsewhere, so that a GAN, a VAE or another tool's samples stand in the same table.

    They join every table of as many images scored in the same way.
    """
    from bench.scoring import record

    options = {"dataset_name": dataset, "data_dir": data_dir, "extractor_name": features}
    options |= {"extractor_weights": features_weights, "device": device}
    show(
        *record.score_path(
            path, name=name, num=num, **options, out=out, say=say, progress=terminal.bar
        ),
        json_,
    )
    finish("report", out)


def compare(
    runs: Annotated[
        list[Path],
        argument(
            read=place,
            shown="RUN...",
            help="Names or folders of runs; a folder of results, results by default.",
        ),
    ],
    features: Annotated[
        str | None,
        flag(
            "--features",
            read=word,
            shown="NAME",
            help="Extractor, where runs are scored with several.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Say which differences between runs are real: paired bootstrap intervals, p-values, ties.

    Runs that differ in their seed alone count as one. A folder of results says where to look names
    up; alone, it stands for all that it holds. Examples:

    bench compare unet ideal

    bench compare results/reference

    p is corrected for all rows (Holm). A tie: corrected p above 5 %, or a difference inside the
    held-out floor.
    """
    from bench import reporting
    from bench.scoring import compare as compare_
    from bench.scoring import selection

    with concerning("RUN..."):
        found = selection.load(runs, features, say)
        if len(found) < 2:
            raise UsageError(
                f"two or more are compared; found {listed([run.name for run in found])}"
            )
        frame = compare_.compare(found)
    if json_:
        terminal.result(frame.to_json(orient="records", indent=2))
        return
    for first, second in itertools.combinations(found, 2):
        say(compare_.pairing(first, second))
    terminal.result(reporting.markdown(compare_.shown(frame)))
