"""Commands that take long: studies and trainings."""

from pathlib import Path
from typing import Annotated

from bench.bounds import EMA, EPOCHS, TRAINING_SEED, file_name
from bench.cli import choices
from bench.cli.app import finish, resumable, say, terminal
from bench.cli.flags import (
    LEVELS,
    STUDIES,
    DataDir,
    Dataset,
    Device,
    Dtype,
    MaxBytes,
    Seed,
    argument,
    choice,
    flag,
    named,
    noise_levels,
    number,
    one_of,
    place,
    setting,
)

ROUNDS = ", ".join(f"{name} {rounds}" for name, rounds in choices.EPOCHS.items())


def study(
    name: Annotated[str, argument(read=one_of(STUDIES), shown="NAME", help=" | ".join(STUDIES))],
    num: Annotated[int, setting("num", "Images per rung; rungs of 1000 steps have 64.")] = 256,
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
) -> None:
    """Run a series of experiments that differ in one thing each, and say what each change did; again to resume.

    ladder: from a restoration network called as in the failed experiment to one that generates
    digits.
    """
    from bench import machine
    from bench.studies import ladder

    machine.check_writable(out / name)
    with resumable():
        options = {
            "num": num,
            "seed": seed,
            "dataset": dataset,
            "data_dir": data_dir,
            "device": device,
        }
        path = ladder.ladder(out / name, **options, dtype=dtype, say=say, progress=terminal.bar)
    terminal.result(path.read_text().rstrip())
    terminal.result(path)
    finish("report", out)


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
    out: Annotated[
        Path, flag("--out", read=place, shown="FOLDER", help="For weights, card and checkpoint.")
    ] = Path("weights"),
    epochs: Annotated[
        int | None, number(EPOCHS, "Rounds over the data.", "--epochs", default=ROUNDS)
    ] = None,
    batch_size: Annotated[
        int | None,
        setting("batch-size", "Images of a step.", "unet 256, kbnet 32, lenet 128"),
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
    """Train a network from scratch, or continue where an interrupted training stopped."""
    from bench import machine
    from bench import recipes as train_

    chosen = machine.choose_device(device)
    terminal.bar.stage("training")
    options = {
        "name": name,
        "weights": weights,
        "out": out,
        "epochs": epochs,
        "batch_size": batch_size,
        "ema": ema,
        "seed": seed,
        "data_dir": data_dir,
    }
    with resumable():
        path = train_.train(
            network, **options, device=chosen, source=source, sigma=sigma, loss=loss, report=say
        )
    terminal.result(path.with_suffix(".json").read_text().rstrip())
    say(path)
