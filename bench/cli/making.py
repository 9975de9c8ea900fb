"""Commands that take long: studies and trainings."""

from pathlib import Path
from typing import Annotated

from bench.bounds import BOUNDS, EMA, EPOCHS, SEEDS, TRAINING_SEED, file_name
from bench.cli import choices
from bench.cli.app import finish, parse_options, resumable, say, terminal
from bench.cli.flags import (
    DENOISER,
    LEVELS,
    STUDIES,
    DataDir,
    Dataset,
    Device,
    Dtype,
    MaxBytes,
    Options,
    Seed,
    argument,
    choice,
    flag,
    listed_numbers,
    listed_words,
    named,
    noise_levels,
    number,
    one_of,
    place,
    setting,
)
from denoisers.errors import UsageError

ROUNDS = ", ".join(f"{name} {rounds}" for name, rounds in choices.EPOCHS.items())


# Two thirds of it are its flags.
def study(
    name: Annotated[str, argument(read=one_of(STUDIES), shown="NAME", help=" | ".join(STUDIES))],
    denoiser: Annotated[
        str | None,
        flag("--denoiser", read=named, shown="NAME", help=DENOISER, default="ladder: its own"),
    ] = None,
    weights: Annotated[
        list[str] | None,
        flag(
            "--weights",
            read=named,
            shown="CARD|PATH",
            help="A card or a file; convergence: repeatable, of one network after more and more epochs.",
            default="the denoiser's own",
        ),
    ] = None,
    option: Options = None,
    reference: Annotated[
        str | None,
        flag(
            "--reference",
            read=named,
            shown="NAME",
            help="band: a denoiser that is known to generate.",
            default="unet",
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        flag(
            "--photographs",
            read=place,
            shown="FOLDER",
            help="cross: what patches are cut from.",
            default="restoration/train below --data-dir or $BENCH_DATA",
        ),
    ] = None,
    members: Annotated[
        object,
        flag(
            "--members",
            read=listed_words,
            shown="SAMPLER/GRID,...",
            help="samplers: which; a grid may be karras:RHO.",
            default="five samplers on four grids",
        ),
    ] = None,
    calls: Annotated[
        object,
        flag(
            "--calls",
            read=listed_numbers,
            shown=f"{BOUNDS['steps']},...",
            help="samplers, convergence: calls of the denoiser for each image.",
            default="20,50; 5,10,20,50,100,250,1000",
        ),
    ] = None,
    num: Annotated[
        int | None,
        setting(
            "num",
            "Images per run; rungs of 1000 steps have 64.",
            "ladder, band: 256; cross: 1000; others: 2000",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        number(SEEDS, "samplers: how many seeds, from --seed on.", "--seeds", default="1"),
    ] = None,
    seed: Seed = 0,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Annotated[
        Path,
        flag(
            "--out",
            read=place,
            shown="FOLDER",
            help="The study goes into a folder of its name in it.",
        ),
    ] = Path("results"),
    max_bytes: MaxBytes = None,
) -> None:
    """Run a series of experiments that differ in one thing each, and say what each change did; again to resume.

    ladder: from a restoration network called as in the failed experiment to one that generates
    digits.

    samplers: which sampler and grid suit a denoiser, against the standard protocol.

    band: at which noise levels a denoiser stops being a prior, and what each band costs.

    cross: two networks that learnt digits or natural patches, each asked for both: prior or
    architecture?

    convergence: quality against the calls of a denoiser, and against the epochs of its training.
    """
    import importlib

    from bench import machine

    own = {
        "denoiser": denoiser,
        "weights": weights,
        "options": parse_options(option) if option else None,
        "reference": reference,
        "photos": photos,
        "members": members,
        "calls": calls,
        "seeds": seeds,
    }
    given = {key: value for key, value in own.items() if value is not None}
    check_own(name, given)
    if name != "convergence" and weights is not None:
        given["weights"] = single(weights)
    machine.check_writable(out / name)
    shared = {"seed": seed, "dataset": dataset, "data_dir": data_dir, "device": device}
    shared |= {"dtype": dtype} | ({} if num is None else {"num": num})
    run = getattr(importlib.import_module(f"bench.studies.{name}"), name)
    with resumable():
        path = run(out / name, **given, **shared, say=say, progress=terminal.bar)
    terminal.result(path.read_text().rstrip())
    terminal.result(path)
    finish("report", out)


def check_own(name: str, given: dict[str, object]) -> None:
    """Raise UsageError for a flag that a study does not take, or for want of its denoiser."""
    taken = STUDIES[name]
    for key in (key for key in given if key not in taken):
        others = [study for study, flags in STUDIES.items() if key in flags]
        flag_ = {"options": "--option", "photos": "--photographs"}.get(key, f"--{key}")
        *first, last = others
        studies = f"{', '.join(first)} and {last}" if first else last
        raise UsageError(f"is for {studies}; {name} takes none", flag_)
    if "denoiser" in taken and "denoiser" not in given:
        raise UsageError(f"is missing; {name} studies one denoiser", "--denoiser")


def single(weights: list[str]) -> str:
    """The one card or file. Raises UsageError for several."""
    if len(weights) > 1:
        raise UsageError(f"takes one card or file; found {len(weights)}", "--weights")
    return weights[0]


# Two thirds of it are its flags.
def train(
    network: Annotated[
        str, argument(read=one_of(choices.EPOCHS), shown="NETWORK", help=" | ".join(choices.EPOCHS))
    ],
    name: Annotated[
        str | None, flag("--name", read=file_name, shown="NAME", help="Of the card and the files.")
    ] = None,
    weights: Annotated[
        str | None,
        flag(
            "--weights",
            read=named,
            shown="CARD|PATH",
            help="To start from, instead of from scratch.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        flag(
            "--dataset",
            read=named,
            shown="NAME|PATH",
            help="The images that are learnt.",
            default="kbnet photographs, classifier cifar10, others mnist",
        ),
    ] = None,
    out: Annotated[
        Path, flag("--out", read=place, shown="FOLDER", help="For weights, card and checkpoint.")
    ] = Path("weights"),
    epochs: Annotated[
        int | None, number(EPOCHS, "Rounds over the data.", "--epochs", default=ROUNDS)
    ] = None,
    batch_size: Annotated[
        int | None,
        setting("batch-size", "Images of a step.", "unet 256, kbnet 32, lenet 128, classifier 256"),
    ] = None,
    ema: Annotated[
        float | None,
        number(
            EMA,
            "Highest decay of the average of the weights.",
            "--ema",
            default="unet (1 + i) / (10 + i) at step i, others 0.999",
        ),
    ] = None,
    seed: Annotated[int, number(TRAINING_SEED, "Of weights, order and noise.", "--seed")] = 0,
    source: Annotated[
        str | None,
        flag("--data", read=named, shown="natural|mnist|FOLDER", help="kbnet: the images."),
    ] = None,
    sigma: Annotated[
        str | None,
        flag(
            "--sigma",
            read=noise_levels,
            shown=LEVELS,
            help="kbnet: noise in grey levels, 25, 0-50 or all.",
        ),
    ] = None,
    loss: Annotated[str | None, choice(("l1", "l2"), "kbnet: what is minimised.", "--loss")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    max_bytes: MaxBytes = None,
) -> None:
    """Train a network from scratch, or continue where an interrupted training stopped.

    The ranks of torchrun share every batch.
    """
    from bench import machine, ranks
    from bench import recipes as train_

    world = ranks.world()
    chosen = machine.choose_device(world.device(device, alone=True))
    terminal.bar.stage("training")
    options = {
        "name": name,
        "weights": weights,
        "dataset": dataset,
        "out": out,
        "epochs": epochs,
        "batch_size": batch_size,
        "ema": ema,
        "seed": seed,
        "data_dir": data_dir,
    }
    with resumable(), ranks.together(world):
        path = train_.train(
            network, **options, device=chosen, source=source, sigma=sigma, loss=loss, report=say
        )
    if not world.leads:
        return
    terminal.result(path.with_suffix(".json").read_text().rstrip())
    say(path)
