"""The command that generates and scores, and the one that joins what several of it have generated."""

import functools
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bench.bounds import WORK
from bench.cli import choices
from bench.cli.app import (
    complain,
    finish,
    parse_options,
    resumable,
    say,
    show,
    terminal,
    warn,
)
from bench.cli.flags import (
    OVERWRITE,
    BatchSize,
    Compiling,
    DataDir,
    Dataset,
    Denoiser,
    Device,
    Dtype,
    Features,
    FeaturesWeights,
    Json,
    MaxBytes,
    Options,
    Out,
    Seed,
    ShardOf,
    Weights,
    WorkerCount,
    argument,
    choice,
    flag,
    named,
    place,
    setting,
    switch,
)
from denoisers.errors import UsageError

if TYPE_CHECKING:
    from bench.runs import Run


# Two thirds of it are its flags.
def run(
    denoiser: Denoiser,
    weights: Weights = None,
    option: Options = None,
    protocol: Annotated[
        str, choice(choices.PROTOCOLS, "Number of images, and sampler.", "--protocol")
    ] = "standard",
    num: Annotated[
        int | None, setting("num", "Images.", "256, 2000 or 10000, by --protocol")
    ] = None,
    sampler: Annotated[
        str | None,
        flag(
            "--sampler",
            read=named,
            shown="NAME",
            help="Of `bench list samplers`, or file.py:attr.",
            default="ddpm",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        setting(
            "steps",
            f"Steps of the sampler, on the grid; times --num {WORK}.",
            "20, 50 or 1000, by --protocol",
        ),
    ] = None,
    grid: Annotated[
        str | None, choice(choices.GRIDS, "Noise levels.", "--grid", default="ddpm")
    ] = None,
    rho: Annotated[
        float | None,
        setting("rho", "karras grid: the steps are equal in sigma^(1/rho).", "7"),
    ] = None,
    sigma_max: Annotated[
        float | None,
        setting(
            "sigma-max",
            "Begin at this noise, of images in [-1, 1]; not below the grid.",
            "the grid's first",
        ),
    ] = None,
    start: Annotated[
        str | None,
        choice(choices.STARTS, "What lies under the first noise.", "--start", default="noise"),
    ] = None,
    clip: Annotated[
        bool | None,
        switch(
            "--clip/--no-clip",
            help="Clamp the estimate of x0 to [-1, 1] in every step.",
            default="clip",
        ),
    ] = None,
    eta: Annotated[
        float | None, setting("eta", "Share of fresh noise, 0 (DDIM) to 1 (DDPM).", "the sampler's")
    ] = None,
    churn: Annotated[
        float | None, setting("churn", "heun: noise added before each step, S_churn.", "0")
    ] = None,
    beta: Annotated[
        float | None, setting("beta", "ks: share of the noise that a step removes for good.", "0.5")
    ] = None,
    h0: Annotated[
        float | None, setting("h0", "ks: size of the first step, a share of the residual.", "0.01")
    ] = None,
    seed: Seed = 0,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    features: Features = None,
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    compile_: Compiling = "auto",
    batch_size: BatchSize = None,
    workers: WorkerCount = "auto",
    max_bytes: MaxBytes = None,
    out: Out = Path("results"),
    shard: ShardOf = None,
    overwrite: Annotated[
        str,
        choice(
            OVERWRITE,
            "What becomes of a run that is there; only-missing resumes it.",
            "--overwrite",
        ),
    ] = "only-missing",
    json_: Json = False,
) -> None:
    """Generate images with a denoiser, score them, and write a run folder; again to resume.

    Flags win over the protocol. Examples:

    bench run --denoiser unet

    bench run --denoiser unet --protocol quick --sampler ddim --seed 1
    """
    from bench import experiment, ranks, sharing
    from bench.sampling.plan import asked

    complain(denoiser)
    flags = {"sampler": sampler, "steps": steps, "grid": grid, "eta": eta, "num": num, "clip": clip}
    flags |= {
        "rho": rho,
        "sigma_max": sigma_max,
        "start": start,
        "churn": churn,
        "beta": beta,
        "h0": h0,
    }
    given = {key: value for key, value in flags.items() if value is not None}
    world = ranks.world()
    if shard and world.size > 1:
        raise UsageError("divides a run, as torchrun does; choose one of them", "--shard")
    if overwrite != "only-missing" and (shard or world.size > 1):
        raise UsageError(
            f"{overwrite} is not for several jobs in one folder; choose only-missing", "--overwrite"
        )
    terminal.bar.stage("preparing")
    plan = experiment.resolve(
        denoiser,
        asked(protocol, given),
        weights=weights,
        options=parse_options(option or []),
        seed=seed,
        dataset_name=dataset,
        data_dir=data_dir,
        extractor_name=features,
        extractor_weights=features_weights,
        device=world.device(device),
        dtype_name=dtype,
        compiling=compile_,
        batch_size=batch_size,
        worker_count=workers,
        out=out,
    )
    known = plan.facts.doubts
    warn(known)
    telling = {"say": say, "progress": terminal.bar}
    with resumable(), ranks.together(world):
        left = 0
        join: Callable[..., Run] = functools.partial(experiment.execute, overwrite=overwrite)
        if shard:
            join = sharing.join
            left = sharing.generate(plan, shard, **telling)
        elif world.size > 1:
            sharing.generate_with_ranks(plan, world, **telling)
        if left:
            say(
                f"shard {shard} is done; {left} of {plan.sampling.num} images are those of other shards. The last to "
                f"come joins them, or: bench merge {shlex.quote(str(plan.run.path))}"
            )
            return
        if not world.leads:
            sharing.help_(plan)
            return
        with plan.run.alone(say):
            with sharing.helped(plan, world):
                finished = join(plan, **telling)
            warn(
                [
                    line
                    for line in finished.read_json("run.json").get("warnings") or []
                    if line not in known
                ]
            )
            show(finished, plan.rules.fingerprint, json_)
    finish("report", out)


def merge(
    folder: Annotated[
        Path, argument(read=place, shown="FOLDER", help="A run, or a folder of runs.")
    ],
    dataset: Annotated[
        str | None,
        flag(
            "--dataset",
            read=named,
            shown="NAME|PATH",
            help="What is scored against, where it has no name of its own.",
            default="the runs' own",
        ),
    ] = None,
    data_dir: DataDir = None,
    features: Features = None,
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    max_bytes: MaxBytes = None,
) -> None:
    """Join and score what shards have generated, where the last of them could not, or chunks were gathered by hand.

    Nothing is generated: where images are missing it says how many.
    """
    from bench import merging

    options = {"dataset_name": dataset, "data_dir": data_dir, "extractor_name": features}
    options |= {"extractor_weights": features_weights, "device": device}
    merged = merging.merge(folder, **options, say=say, progress=terminal.bar)
    for run, fingerprint in merged:
        show(run, fingerprint, json_=False)
    finish("report", folder)
