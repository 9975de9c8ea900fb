"""`bench merge`: the chunks of shards, wherever they were made, joined and scored; nothing is generated."""

from pathlib import Path

from bench import chunks, facts, machine, runs, samples
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.runs import GENERATION, Run
from bench.sampling.plan import SamplingPlan
from bench.scoring import control_scores, extractors, record
from bench.scoring.reference import References
from denoisers.errors import UsageError, concerning

OWN = ("schema_version", "status", "id", "error")  # fields of run.json that a run sets as it begins


def merge(
    folder: Path,
    *,
    dataset_name: str | None = None,
    data_dir: Path | None = None,
    extractor_name: str | None = None,
    extractor_weights: Path | None = None,
    device: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> list[tuple[Run, str]]:
    """Join and score the runs below a folder whose images are all there; with the fingerprints of their scores.

    dataset_name  what they are scored against, by the name that `datasets.load` takes; None for
                  that of `run.json`, which must have a name

    Raises UsageError if there is no such run, or images of the only one are missing; where there
    are several, a line names those that are not whole.
    """
    device = machine.choose_device(device)
    with concerning("FOLDER"):
        waiting = [run for run in runs.find(folder) if is_waiting(run)]
        if not waiting:
            raise UsageError(f"{folder} holds no run whose images wait to be joined")
    merged = []
    for run in waiting:
        try:
            with concerning("FOLDER"):
                said, sampling = read(run)
            dataset = dataset_of(str(said.get("dataset")), dataset_name, data_dir)
            extractor = extractors.suiting(dataset, extractor_name, extractor_weights, device)
            with run.alone(say), concerning("FOLDER"):
                images = joined(run, said, sampling, dataset, say)
                rules = record.rules_of(dataset, extractor, sampling.num, sampling.to_json())
                record.finish(run, images, References(dataset), extractor, rules, say, progress)
        except UsageError as error:
            if len(waiting) == 1:
                raise
            say(f"not merged: {error}")
        else:
            merged.append((run, rules.fingerprint))
    return merged


def is_waiting(run: Run) -> bool:
    """Whether a run has images that are not joined, or not scored."""
    joined = (run.path / "samples.npz").is_file()
    return not run.complete and (joined or any((run.path / "chunks").glob("*.npz")))


def read(run: Run) -> tuple[dict[str, object], SamplingPlan]:
    """`run.json`, and how the images are sampled. Raises UsageError if it does not say."""
    said = run.read_json("run.json")
    facts.check(said)
    if not isinstance(said.get("sampler"), dict):
        raise UsageError(f"{run.path / 'run.json'} does not say how its images are sampled")
    return said, SamplingPlan.of(said["sampler"])


def dataset_of(wanted: str, name: str | None, data_dir: Path | None) -> Dataset:
    """The dataset that a run was begun for. Raises UsageError, naming the flag, if it is another, or not at hand."""
    if name is None:
        try:
            return control_scores.dataset_of(wanted, data_dir)
        except UsageError as error:
            raise UsageError(f"{error}; or name it with --dataset") from None
    dataset = datasets.load(name, data_dir)
    if dataset.id != wanted:
        raise UsageError(f"the images are of {wanted}; found {dataset.id}", "--dataset")
    return dataset


def joined(
    run: Run, said: dict[str, object], sampling: SamplingPlan, dataset: Dataset, say: Say
) -> dict[str, object]:
    """The images of a run. Raises UsageError if some are missing, which its shards make."""
    run.sweep()
    size = dataset.train.shape[1:]
    if (run.path / GENERATION).exists():
        images = samples.read(run, (sampling.num, *size), say)
        if images is not None:
            return images
    there = chunks.on_disk(run, sampling.num, sampling.steps, size, say)
    if left := chunks.absent(there, sampling.num):
        raise UsageError(
            f"{left} of {sampling.num} images of {run.path} are missing; "
            "the command that began it makes them, with --shard or without"
        )
    run.begin({key: value for key, value in said.items() if key not in OWN})
    return chunks.join(run, sampling, there)
