"""From images to a scored run on disk: those that a run has generated, and those made elsewhere."""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench import control_scores, data, features, figures, files, imported, inspection, machine, protocol, score
from bench.bounds import LEAST
from bench.data import Dataset, to_float
from bench.features import Extractor
from bench.files import Say
from bench.noise import level
from bench.reference import Reference
from bench.runs import SCHEMA_VERSION, Run
from denoisers.errors import UsageError, concerning
from denoisers.weights import sha256

PARTS = ("scores", "memorization", "class_histogram", "verdict", "second", "controls")  # of metrics-<fingerprint>.json
BESIDE = ("per_sample-{}.csv", "replicates-{}.npz")  # what is written before it, for the same fingerprint


def protocol_of(dataset: Dataset, extractor: Extractor, num: int, sampler: dict[str, Any] | None) -> dict[str, Any]:
    """How images are scored, with the fingerprints of the protocol and of the table that they may stand in.

    sampler  how they were made; None if that is not ours to know. Images made elsewhere join every table of theirs.
    """
    second = features.load(features.second(extractor.name))
    rules = protocol.scoring(
        dataset.id,
        extractor.id,
        features.judge(),
        second=second.id,
        versions=score.VERSIONS,
        standardised=extractor.standardised,
    )
    table = protocol.table(num, rules)
    mark = table if sampler is None else protocol.fingerprint([sampler, rules])
    return {"scoring": rules, "fingerprint": mark, "table": table, "preprocessing": extractor.preprocessing}


def is_scored(run: Run, rules: dict[str, Any], say: Say) -> bool:
    """Whether the images have been scored by these `rules`; they may have been scored otherwise.

    A line says what is there and does not fit.
    """
    name = f"metrics-{rules['fingerprint']}.json"
    if not (run.path / name).exists():
        return False
    try:
        reason = misfit(run, run.read_json(name), rules)
    except (ValueError, TypeError, AttributeError) as error:  # it is no JSON, or says something else
        reason = files.why(error, run.path / name)
    if reason:
        say(f"{run.path / name} does not fit ({reason}); scored again")
    return not reason


def misfit(run: Run, scores: dict[str, Any], rules: dict[str, Any]) -> str:
    """What scores have that those of the run by these rules would not, in words; nothing if all is well."""
    if absent := [key for key in (*PARTS, *rules) if key not in scores]:
        return f"it holds no {', '.join(absent)}"
    expected = {"schema_version": SCHEMA_VERSION, **rules, "samples": run.read_json("run.json").get("samples")}
    for key, value in expected.items():
        if scores.get(key, value) != value:  # those of earlier versions do not say which images they are of
            return f"it is of another {key.replace('_', ' ')}" if key != "samples" else "it is of other images"
    table, npz = (part.format(rules["fingerprint"]) for part in BESIDE)
    if run.read_npz(npz) is None:
        return f"{npz} cannot be read"
    for name in (table, npz):
        path = run.path / name
        if not path.is_file() or scores.get("files", {}).get(name) not in (None, sha256(path)):
            return f"{name} is not there, or not the file that was written with it"
    return ""


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
    images: np.ndarray,
    noise_std: np.ndarray,
    dataset: Dataset,
    extractor: Extractor,
    rules: dict[str, Any],
    say: Say,
) -> None:
    """Score uint8 images (N, H, W), write the sheets, and `metrics-<fingerprint>.json` last.

    Whatever belongs to this scoring is in files of its fingerprint; all others are the same for every scoring.

    rules  as `protocol_of` gives them
    """
    second = features.load(features.second(extractor.name))
    against = Reference(dataset, extractor, say)
    controls = control_scores.measured(against, len(images), control_scores.names(len(images)), say)
    say("scoring")
    scores, replicates, rows = score.score(images, noise_std, against, Reference(dataset, second, say), controls)
    mark = rules["fingerprint"]
    table, npz = (part.format(mark) for part in BESIDE)
    run.write(table, lambda file: rows.to_csv(file, index=False, float_format="%.6g"))
    run.write_npz(npz, **{name: values.astype("f4") for name, values in replicates.items()})
    run.write("grid.png", lambda file: figures.grid(images, file))
    neighbours = dataset.train[rows["nearest"]]
    run.write("nearest.png", lambda file: figures.nearest(images, neighbours, rows["ratio"].to_numpy(), file))
    of = {"samples": run.update(status="finished").get("samples")}
    of |= {"files": {name: sha256(run.path / name) for name in (table, npz)}}
    whole = {"schema_version": SCHEMA_VERSION, **rules, **of, **circumstances(), **scores}
    run.write_json(f"metrics-{mark}.json", whole)


def score_path(
    path: Path,
    *,
    name: str | None = None,
    num: int | None = None,
    dataset_name: str = "mnist",
    data_dir: Path | None = None,
    extractor_name: str = "lenet-a",
    extractor_weights: Path | None = None,
    device: str = "auto",
    out: Path = Path("results"),
    say: Say = lambda line: None,
) -> tuple[Run, str]:
    """Score images made elsewhere (see `imported.read`) into a run folder; at once if that has been done.

    Returns the run and the fingerprint that its scores are filed under.

    name  in tables and paths; the file's own by default
    num   the first so many images; all by default

    Raises UsageError about the flag that is wrong.
    """
    extractor = features.load(extractor_name, extractor_weights, machine.choose_device(device))
    machine.check_writable(out)
    dataset = data.load(dataset_name, data_dir)
    with concerning("PATH"):
        images = imported.read(path, dataset)
    if num is not None and not LEAST <= num <= len(images):
        raise UsageError(f"must lie in {LEAST}..{len(images)}, the images in {path}; found {num}", "--num")
    images = images[:num]
    with concerning("PATH"):
        doubts = inspection.inspect(images, dataset, str(path))
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
    rules = protocol_of(dataset, extractor, len(images), None)
    short = protocol.fingerprint([facts["digest"], dataset.id])  # nearest.png shows images of the dataset
    run = Run(out / files.slug(facts["name"]) / f"images-n{len(images)}-{short}")
    with run.alone(say):
        run.sweep()
        if run.read_samples(images.shape, say) is not None and is_scored(run, rules, say):
            say(f"complete: {run.path}")
            return run, rules["fingerprint"]
        if not run.readable:
            run.begin(facts)
        noise_std = level(to_float(images, dataset.pad)).numpy()
        run.write_samples(images, noise_std)
        finish(run, images, noise_std, dataset, extractor, rules, say)
        run.clear_chunks()
        return run, rules["fingerprint"]
