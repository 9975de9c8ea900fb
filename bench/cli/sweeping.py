"""The command that makes many runs as one job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import choices
from bench.cli.app import finish, parse_options, resumable, say, terminal
from bench.cli.flags import (
    DENOISER,
    BatchSize,
    Compiling,
    DataDir,
    Device,
    Dtype,
    Features,
    FeaturesWeights,
    MaxBytes,
    Options,
    ShardOf,
    WorkerCount,
    argument,
    choice,
    flag,
    named,
    place,
    setting,
    word,
)
from denoisers.errors import UsageError, concerning

if TYPE_CHECKING:
    from bench.sweep import Outcome


# Two thirds of it are its flags.
def sweep(
    file: Annotated[
        Path | None,
        argument(
            read=place, shown="[FILE]", help="YAML that says all of it; or say it with flags."
        ),
    ] = None,
    denoiser: Annotated[
        list[str] | None,
        flag("--denoiser", read=named, shown="NAME", help=f"Repeatable. {DENOISER}"),
    ] = None,
    weights: Annotated[
        list[str] | None,
        flag(
            "--weights",
            read=named,
            shown="CARD|PATH",
            help="A card or a file, for every denoiser; repeatable.",
            default="the denoiser's own",
        ),
    ] = None,
    option: Options = None,
    protocol: Annotated[
        str | None,
        choice(
            choices.PROTOCOLS,
            "Number of images, and sampler.",
            "--protocol",
            default="standard",
        ),
    ] = None,
    num: Annotated[int | None, setting("num", "Images.", "by --protocol")] = None,
    sampler: Annotated[
        list[str] | None,
        flag(
            "--sampler",
            read=named,
            shown="NAME",
            help="Of `bench list samplers`, or file.py:attr; repeatable.",
            default="ddpm",
        ),
    ] = None,
    steps: Annotated[
        int | None, setting("steps", "Steps of each sampler.", "by --protocol")
    ] = None,
    grid: Annotated[
        str | None, choice(choices.GRIDS, "Noise levels.", "--grid", default="ddpm")
    ] = None,
    seed: Annotated[
        str | None,
        flag("--seed", read=word, shown="0..2|0,3", help="Seeds of the noise.", default="0"),
    ] = None,
    dataset: Annotated[
        str | None,
        flag(
            "--dataset",
            read=named,
            shown="NAME|PATH",
            help="As `bench run` takes it.",
            default="mnist",
        ),
    ] = None,
    data_dir: DataDir = None,
    features: Features = None,
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    compile_: Compiling = "auto",
    batch_size: BatchSize = None,
    workers: WorkerCount = "auto",
    max_bytes: MaxBytes = None,
    out: Annotated[Path, flag("--out", read=place, shown="FOLDER", help="Folder of runs.")] = Path(
        "results"
    ),
    shard: ShardOf = None,
) -> None:
    """Run every denoiser with each of its weights, options, samplers and seeds; again to resume, and for the table.

    What is there stays. Examples:

    bench sweep --denoiser unet --denoiser gaussian --seed 0..2

    bench sweep sweep.yaml --shard 0/4
    """
    from bench import machine, ranks
    from bench import sweep as job
    from bench.cells import cells, read
    from bench.shards import Shard
    from bench.shelf import Shelf

    said = {"denoisers": denoiser, "samplers": sampler, "seeds": seed, "protocol": protocol}
    said |= {"num": num, "steps": steps, "grid": grid}
    given = {key: value for key, value in said.items() if value is not None}
    own = {"weights": weights, "options": parse_options(option or [])}
    world = ranks.world()
    if shard and world.size > 1:
        raise UsageError("divides a sweep, as torchrun does; choose one of them", "--shard")
    if file is None:
        given["denoisers"] = [{"name": name, **own} for name in denoiser or []]
        with concerning("--denoiser"):
            every, data = cells(given), dataset
    else:
        check_alone([*given, *(key for key, value in own.items() if value)])
        with concerning("FILE"):
            content = read(file)
            every, data = cells(content), choose_dataset(content.get("dataset"), dataset)
    machine.check_writable(out)
    settings = {
        "extractor_name": features,
        "extractor_weights": features_weights,
        "device": world.device(device),
        "dtype_name": dtype,
        "compiling": compile_,
        "batch_size": batch_size,
        "worker_count": workers,
        "out": out,
    }
    part = Shard(world.rank, world.size) if world.size > 1 else shard
    terminal.bar.stage("preparing")
    with resumable(), ranks.together(world):
        shelf = Shelf(data or "mnist", data_dir)
        outcome = job.sweep(every, shelf, settings, part, say=say, progress=terminal.bar)
        if world.size > 1:  # all are done then, and the first knows what failed at others
            for failed in ranks.gathered(outcome.failed):
                outcome.failed |= failed
    if not world.leads:
        return
    tell(outcome, out)
    if outcome.failed:
        raise typer.Exit(1)


def check_alone(said: list[str]) -> None:
    """Raise UsageError for flags that say what the file says."""
    if said:
        flags = {
            "denoisers": "denoiser",
            "samplers": "sampler",
            "seeds": "seed",
            "options": "option",
        }
        first = flags.get(said[0], said[0])
        raise UsageError("is said in the file, where there is one; leave it out", f"--{first}")


def choose_dataset(said: object, flagged: str | None) -> str | None:
    """What a file says of its dataset, or the flag. Raises UsageError if both do, or the file says no name."""
    if said is None:
        return flagged
    if not isinstance(said, str):
        raise UsageError(f"dataset is {str(said)[:100]!r}; expected a name or a path")
    if flagged is not None and flagged != named(said):
        raise UsageError(f"says {said}, and --dataset {flagged}; say it once")
    return named(said)


def tell(outcome: "Outcome", out: Path) -> None:
    """The table of the runs that have their scores; how many have not, and why those failed that did."""
    from bench import reporting

    scored = outcome.scored
    marks = {mark for _, mark in scored}  # a run may have scores by other protocols, too
    runs = {run.path: run for run, _ in scored}  # two cells may be one run
    entries = reporting.of_runs(runs.values(), out)
    terminal.result(reporting.tables([each for each in entries if each.fingerprint in marks], []))
    for number, why in sorted(outcome.failed.items()):
        say(f"failed: {outcome.cells[number]}: {why}")
    number = len(outcome.cells)
    if left := number - len(scored) - len(outcome.failed):
        say(f"{left} of {number} runs wait for other shards; the same command shows all, once done")
    finish("report", out)
