"""From images to a scored run on disk: those that a run has generated, and those made elsewhere."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from bench import files, machine, runs, sheets
from bench.bounds import LEAST
from bench.channels import without_channels
from bench.data import datasets, given, inspection
from bench.data.dataset import Dataset
from bench.files import Say
from bench.images import noise_std, to_float
from bench.progress import SILENT, Progress
from bench.runs import SCHEMA_VERSION, Run
from bench.samples import attempt, read_images, stored
from bench.scoring import durations, extractors, measure, scorecard
from bench.scoring.extractors import Extractor
from bench.scoring.reference import References
from bench.scoring.rules import ScoringRules, rules_in_words
from denoisers import reading
from denoisers.errors import UsageError, concerning
from denoisers.weights import sha256

# Of metrics-<fingerprint>.json.
PARTS = ("scores", "memorization", "class_histogram", "verdict", "second", "controls")
Draw = Callable[[BinaryIO], None]
# What is written before it, for the same fingerprint.
BESIDE = ("per_sample-{}.csv", "replicates-{}.npz")


def rules_of(
    dataset: Dataset, extractor: Extractor, num: int, sampler: Mapping[str, Any] | None
) -> ScoringRules:
    """How `num` images are scored against a dataset with an extractor; `sampler` as in `ScoringRules.of`."""
    scoring = rules_in_words(
        dataset.id,
        extractor.id,
        extractors.judges(dataset),
        second=extractors.load(extractors.second(extractor.name, dataset)).id,
        versions=measure.VERSIONS,
        standardised=extractor.standardised,
        on_black=dataset.on_black,
    )
    return ScoringRules.of(scoring, num, sampler, extractor.preprocessing)


def kept_scores(run: Run, samples: str, rules: ScoringRules, say: Say) -> dict[str, Any] | None:
    """The scores of the images with that digest by these `rules`; None if they must be made, or made again.

    They may have been scored otherwise. A line says what is there and does not fit.
    """
    name = rules.file
    if not (run.path / name).exists():
        return None
    try:
        scores = run.read_sealed_json(name)
        reason = misfit(
            run, scores, {"schema_version": SCHEMA_VERSION, **rules.to_json(), "samples": samples}
        )
    except UsageError as error:
        reason = files.why(error, run.path / name)
    if reason:
        say(f"{run.path / name} does not fit ({reason}); scored again")
        return None
    return scores


def misfit(run: Run, scores: dict[str, Any], expected: dict[str, Any]) -> str:
    """What scores have that those of the run would not, in words; nothing if all is well."""
    if absent := [key for key in (*PARTS, *expected, "files") if key not in scores]:
        return f"it holds no {', '.join(absent)}"
    for key, value in expected.items():
        if scores[key] != value:
            return (
                f"it is of another {key.replace('_', ' ')}"
                if key != "samples"
                else "it is of other images"
            )
    for name in (part.format(expected["fingerprint"]) for part in BESIDE):
        if not is_written(run, name, scores["files"]):
            return f"{name} is not there, or not the file that was written with it"
    return ""


def is_written(run: Run, name: str, digests: dict[str, str]) -> bool:
    """Whether a file of the run is the one with its digest."""
    path = run.path / name
    return path.is_file() and digests.get(name) == sha256(path)


def circumstances() -> dict[str, Any]:
    """With what the images are scored, by which command, and when; those of the generation are in run.json."""
    return {
        "versions": machine.versions(),
        "commit": machine.commit(),
        "argv": sys.argv[1:],
        "scored": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def finish(
    run: Run,
    samples: dict[str, np.ndarray],
    references: References,
    extractor: Extractor,
    rules: ScoringRules,
    say: Say,
    progress: Progress = SILENT,
) -> bool:
    """Score the images of `samples.npz`, write the sheets, and `metrics-<fingerprint>.json` last; whether it was made.

    What is there and as it was written stays: the sheets alone are drawn again where they alone are
    not. Whatever belongs to this scoring is in files of its fingerprint; all others are the same
    for every scoring.
    """
    whole = kept_scores(run, files.digest(samples), rules, say)
    before = None if whole is None else whole["files"]
    if whole is None:
        whole = scored(run, samples, references, extractor, rules, say, progress)
    mark = rules.fingerprint
    images = without_channels(samples["arr_0"])
    drawn = draw_sheets(run, images, references.dataset, mark, before, say)
    if run.read_json("run.json").get("status") != "finished":
        run.update(status="finished")
    if before is None or before != before | drawn:
        run.write_sealed_json(rules.file, whole | {"files": whole["files"] | drawn})
    return before is None


def scored(
    run: Run,
    samples: dict[str, np.ndarray],
    references: References,
    extractor: Extractor,
    rules: ScoringRules,
    say: Say,
    progress: Progress,
) -> dict[str, Any]:
    """All numbers of the images, with the digests of what is written beside them: see `finish`."""
    images = without_channels(samples["arr_0"])
    scores, replicates, rows = scorecard.scored(
        images, samples["noise_std"], references, extractor, say, progress
    )
    table, npz = (part.format(rules.fingerprint) for part in BESIDE)
    run.write(table, lambda file: rows.to_csv(file, index=False, float_format="%.6g"))
    run.write_npz(npz, **{name: values.astype("f4") for name, values in replicates.items()})
    of = {
        "samples": files.digest(samples),
        "files": {name: sha256(run.path / name) for name in (table, npz)},
    }
    return {"schema_version": SCHEMA_VERSION, **rules.to_json(), **of, **circumstances(), **scores}


def draw_sheets(
    run: Run,
    images: np.ndarray,
    dataset: Dataset,
    mark: str,
    digests: dict[str, str] | None,
    say: Say,
) -> dict[str, str]:
    """The samples, those nearest to training images, those least sure, drawn unless they are there; digests.

    Who is least sure is known only where a judge is.

    images   uint8, (N, H, W) or (N, H, W, 3), whose scores are filed under `mark`
    digests  of the files that were written with them; None if these are new
    """

    def rows() -> pd.DataFrame:
        return pd.read_csv(run.path / BESIDE[0].format(mark))

    def pairs(file: BinaryIO) -> None:
        near = rows()
        sheets.nearest(images, dataset.train[near["nearest"]], near["ratio"].to_numpy(), file)

    drawing: dict[str, Draw] = {
        "grid.png": lambda file: sheets.grid(images, file),
        "nearest.png": pairs,
        "mixed.png": lambda file: sheets.mixed(images, *measure.doubts(rows()), file),
    }
    if extractors.judges_of(dataset) is None:
        del drawing["mixed.png"]
    for name, draw in drawing.items():
        if digests is None or not is_written(run, name, digests):
            if digests is not None:
                say(f"{run.path / name} is not there, or not as it was written; drawn again")
            run.write(name, draw)
    return {name: sha256(run.path / name) for name in drawing}


# A third of it is what can be asked for.
def score_path(
    path: Path,
    *,
    name: str | None = None,
    num: int | None = None,
    dataset_name: str = "mnist",
    data_dir: Path | None = None,
    extractor_name: str | None = None,
    extractor_weights: Path | None = None,
    device: str = "auto",
    out: Path = Path("results"),
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> tuple[Run, str]:
    """Score images made elsewhere (see `given.read`) into a run folder; at once if that has been done.

    Returns the run and the fingerprint that its scores are filed under.

    name  in tables and paths; the file's own by default
    num   the first so many images; all by default

    Raises UsageError about the flag that is wrong.
    """
    device = machine.choose_device(device)
    if extractor_name is not None:
        extractors.family_of(extractor_name)  # or it is unknown, which is said at once
    machine.check_writable(out)
    dataset = datasets.load(dataset_name, data_dir)
    extractor = extractors.suiting(dataset, extractor_name, extractor_weights, device)
    images, doubts = given_images(path, num, dataset)
    for line in doubts:
        say(f"warning: {path}: {line}")
    facts = {
        "kind": "images",
        "name": name or path.stem,
        "source": path.name,
        "digest": hashlib.sha256(images.tobytes()).hexdigest()[:16],
        "num": len(images),
        "dataset": dataset.id,
        "warnings": doubts,
    }
    rules = rules_of(dataset, extractor, len(images), None)
    # The dataset counts, as its images are on nearest.png.
    short = runs.fingerprint([facts["digest"], dataset.id])
    run = Run(out / files.slug(facts["name"]) / f"images-n{len(images)}-{short}", out)
    with run.alone(say):
        run.sweep()
        mending = files.Told(say)
        samples = stored(images, noise_std(to_float(images, dataset.pad)).numpy())
        restore(run, facts, samples, mending)
        if not run.complete:
            progress.expect(durations.expected(dataset, extractor, len(images)))
        made = finish(run, samples, References(dataset), extractor, rules, mending, progress)
        if not (made or mending.anything):
            say(f"complete: {run.path}")
        return run, rules.fingerprint


def given_images(path: Path, num: int | None, dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """The first `num` images at a path, or all; and what is to be doubted of them. Raises UsageError."""
    with concerning("PATH"):
        images = given.read(path, dataset)
    if num is not None and not LEAST <= num <= len(images):
        raise UsageError(
            f"must lie in {LEAST}..{len(images)}, the images in {path}; found {num}", "--num"
        )
    with concerning("PATH"):
        return images[:num], inspection.inspect(images[:num], dataset, str(path))


def restore(run: Run, facts: dict[str, Any], samples: dict[str, np.ndarray], say: Say) -> None:
    """Write `run.json` and `samples.npz` of images made elsewhere, unless they are there; scores stay.

    The same images may have come from another file: where from stays as it was written first.
    """
    whole = run.begun(facts) | {"samples": files.digest(samples)}
    on_disk, why = attempt(run.path / "run.json", reading.json_object)
    fixed = whole.keys() - {"status", "source", "warnings"}
    if not why and any(on_disk.get(key) != whole[key] for key in fixed):
        why = "it is not as it was written"
    if why:
        if (run.path / "run.json").exists():
            say(f"{run.path / 'run.json'} does not fit ({why}); written again")
        run.write_json("run.json", whole)
    shape = without_channels(samples["arr_0"]).shape
    if read_images(run, shape, whole["samples"], say) is None:
        run.write_npz("samples.npz", **samples)
