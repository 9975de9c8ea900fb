"""The command line: parse, call, print. What is slow is imported by the commands. Only flags.py imports typer too."""

import functools
import itertools
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.bounds import DIGITS, EPOCHS, TRAINING_SEED, WORK, file_name
from bench.flags import (
    FORMATS,
    GRIDS,
    KINDS,
    LEVELS,
    NETWORKS,
    OVERWRITE,
    PROTOCOLS,
    STARTS,
    STUDIES,
    DataDir,
    Dataset,
    Denoiser,
    Device,
    Dtype,
    Features,
    FeaturesWeights,
    Json,
    MaxBytes,
    Name,
    Options,
    Out,
    Seed,
    Weights,
    WorkerCount,
    argument,
    choice,
    flag,
    named,
    noise_levels,
    number,
    one_of,
    place,
    setting,
    title,
    word,
)
from denoisers import reading
from denoisers.errors import ForeignError, UsageError, concerning
from denoisers.memory import exhausted, free_memory, limit_memory

if TYPE_CHECKING:
    from bench.runs import Run

app = typer.Typer(
    help="I have a denoiser: is it a generative prior, and if not, where does it fail?",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    denoiser: Denoiser,
    weights: Weights = None,
    option: Options = None,
    protocol: Annotated[str, choice(PROTOCOLS, "Number of images, and sampler.", "--protocol")] = "standard",
    sampler: Annotated[
        str | None,
        flag("--sampler", read=named, shown="NAME", help="One of `bench list samplers`, or file.py:attr."),
    ] = None,
    steps: Annotated[int | None, setting("steps", f"Steps of the sampler, on the grid; times --num {WORK}.")] = None,
    grid: Annotated[str | None, choice(GRIDS, "Noise levels.", "--grid")] = None,
    eta: Annotated[float | None, setting("eta", "Share of fresh noise, 0 (DDIM) to 1 (DDPM).")] = None,
    churn: Annotated[float | None, setting("churn", "heun: noise added before each step, S_churn.")] = None,
    beta: Annotated[float | None, setting("beta", "ks: share of the noise that a step removes for good.")] = None,
    h0: Annotated[float | None, setting("h0", "ks: size of the first step.")] = None,
    num: Annotated[int | None, setting("num", "Images.")] = None,
    sigma_max: Annotated[
        float | None, setting("sigma-max", "Begin at this noise, of images in [-1, 1]; not below the grid.")
    ] = None,
    start: Annotated[str | None, choice(STARTS, "What lies under the first noise.", "--start")] = None,
    clip: Annotated[
        bool | None, typer.Option("--clip/--no-clip", help="Clamp the estimate of x0 to [-1, 1] in every step.")
    ] = None,
    seed: Seed = 0,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    features: Features = "lenet-a",
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: Annotated[int | None, setting("batch-size", "Images at once; default 128, on cuda 1024.")] = None,
    workers: WorkerCount = "auto",
    out: Out = Path("results"),
    overwrite: Annotated[
        str, choice(OVERWRITE, "What becomes of a run that is there; only-missing resumes it.", "--overwrite")
    ] = "only-missing",
    json_: Json = False,
    max_bytes: MaxBytes = None,
) -> None:
    """Generate images with a denoiser, score them, and write a run folder; again to resume.

    Flags win over the protocol. Examples:

    bench run --denoiser unet

    bench run --denoiser unet --protocol quick --sampler ddim --seed 1
    """
    import dataclasses

    from bench import experiment
    from bench import protocol as protocol_

    complain(denoiser)
    flags = {"sampler": sampler, "steps": steps, "grid": grid, "eta": eta, "num": num, "clip": clip}
    flags |= {"sigma_max": sigma_max, "start": start, "churn": churn, "beta": beta, "h0": h0}
    given = {key: value for key, value in flags.items() if value is not None}
    if sampler is not None:
        given = dict.fromkeys(protocol_.SETTINGS) | given  # the sampler's own settings, not the protocol's
    plan = experiment.resolve(
        denoiser,
        dataclasses.replace(protocol_.PROTOCOLS[protocol], **given),
        weights=weights,
        options=parse_options(option or []),
        seed=seed,
        dataset_name=dataset,
        data_dir=data_dir,
        extractor_name=features,
        extractor_weights=features_weights,
        device=device,
        dtype_name=dtype,
        batch_size=batch_size,
        worker_count=workers,
        out=out,
    )
    warn_out_of_band(plan.facts)
    known = plan.facts["warnings"]
    warn(known)
    with plan.run.alone(say):
        with resumable(), ExitStack() as bars:
            finished = experiment.execute(
                plan, overwrite=overwrite, say=say, progress=lambda done, total: progress_bar(bars, done, total)
            )
        warn([line for line in finished.read_json("run.json").get("warnings") or [] if line not in known])
        show(finished, plan.rules["fingerprint"], json_)


@app.command()
def report(
    folder: Annotated[Path, argument(read=place, shown="FOLDER", help="Folder of runs.")] = Path("results"),
    format_: Annotated[
        str, flag("--format", read=word, shown=",".join(FORMATS), help="Files to write, some of these.")
    ] = "html,md,csv",
    out: Annotated[
        Path | None, flag("--out", read=place, shown="FOLDER", help="For the files; by default the folder of runs.")
    ] = None,
    data_dir: DataDir = None,
    open_: Annotated[bool, typer.Option("--open", help="Show report.html in the browser.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print all as JSON; write nothing.")] = False,
) -> None:
    """Print one table per protocol for all runs below a folder, and write the report: one page, to look at or send.

    Control sets that smaller runs did not measure are measured first, for each number of images once.
    """
    from bench import control_scores, machine, report
    from bench.report import completed, exports

    with concerning("--format"):
        chosen = tuple(dict.fromkeys(map(one_of(FORMATS), format_.split(","))))
    if open_ and "html" not in chosen:
        raise UsageError(f"shows report.html; add html to --format {format_}", "--open")
    target = out or folder
    with concerning("FOLDER"):
        entries, absent = report.collect(folder)
    if not json_:
        machine.check_writable(target)
    entries = completed.completed(entries, lambda rules, n: control_scores.later(rules, n, data_dir, say))
    prepared = exports.prepare(folder, entries, absent, target)
    if json_:
        typer.echo(exports.as_json(prepared), nl=False)
        return
    paths = exports.save(prepared, chosen)
    typer.echo(report.tables(entries, absent, prepared.groups))
    for path in paths:
        typer.echo(path)
    if open_:
        typer.launch(str((target / "report.html").resolve()))


@app.command()
def score(
    path: Annotated[
        Path, argument(read=place, shown="PATH", help="npz with arr_0, folder of PNGs, or file saved by torch.")
    ],
    name: Annotated[
        str | None, flag("--name", read=title, shown="NAME", help="In tables and paths; the file's own by default.")
    ] = None,
    num: Annotated[int | None, setting("num", "The first so many images; all by default.")] = None,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    features: Features = "lenet-a",
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    out: Out = Path("results"),
    json_: Json = False,
    max_bytes: MaxBytes = None,
) -> None:
    """Score images made elsewhere, so that a GAN, a VAE or another tool's samples stand in the same table.

    They join every table of as many images scored in the same way.
    """
    from bench import scoring

    options = {"dataset_name": dataset, "data_dir": data_dir, "extractor_name": features}
    options |= {"extractor_weights": features_weights, "device": device}
    show(*scoring.score_path(path, name=name, num=num, **options, out=out, say=say), json_)


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        argument(read=place, shown="RUN...", help="Two or more run folders, or folders of runs that differ in seed."),
    ],
    features: Annotated[
        str | None, flag("--features", read=word, shown="NAME", help="Extractor, where runs are scored with several.")
    ] = None,
    json_: Json = False,
) -> None:
    """Say which differences between runs are real: paired bootstrap intervals, p-values, ties.

    p is corrected for all rows (Holm). A tie: corrected p above 5 %, or a difference inside the held-out floor.
    """
    from bench import compare as compare_
    from bench import report

    if len(runs) < 2:
        raise UsageError(f"two or more are compared; found {len(runs)}", "RUN...")
    with concerning("RUN..."):
        found = compare_.load_all(runs, features)
        frame = compare_.compare(found)
    if json_:
        typer.echo(frame.to_json(orient="records", indent=2))
        return
    for first, second in itertools.combinations(found, 2):
        say(compare_.pairing(first, second))
    typer.echo(report.markdown(compare_.shown(frame)))


@app.command(name="list")
def list_(
    kind: Annotated[str, argument(read=one_of(KINDS), shown="KIND", help=" | ".join(KINDS))] = "denoisers",
) -> None:
    """List what there is, by name."""
    for name, note in listing(kind).items():
        typer.echo(f"{name:<14} {note}".rstrip())
    if kind == "denoisers":
        complain()


@app.command()
def info(name: Name, weights: Weights = None, option: Options = None, max_bytes: MaxBytes = None) -> None:
    """Print what a denoiser is: its description, spec and weight card, as JSON; noise levels in both units."""
    import inspect

    from bench import check, contract
    from denoisers import registry, splice

    complain(name)
    with concerning("NAME"):
        registry.find(name)
    load = splice.load_splice if name.startswith(registry.SPLICE) else registry.loader(name)
    facts: dict = {"name": name, "source": registry.table().get(name, name), "description": inspect.getdoc(load)}
    facts |= {"code": registry.source(name) or "built in"}
    if weights is not None or not registry.needs(load, "weights"):
        with concerning("NAME"):
            found = check.load(name, weights, **parse_options(option or []))
        facts |= {"spec": found.spec.to_json(), "band": contract.in_both_units(found.spec), "card": found.card}
    typer.echo(json.dumps(facts, indent=2))


@app.command()
def check(name: Name, weights: Weights = None, option: Options = None, max_bytes: MaxBytes = None) -> None:
    """Test whether a denoiser keeps the contract, and say what is wrong if it does not; exit status 1 on failure."""
    import pandas as pd

    from bench import check, report
    from denoisers import weights as weights_

    complain(name)
    with concerning("NAME"):
        found = check.load(name, weights, **parse_options(option or []))
    warn(weights_.warnings(found.card))
    rows = check.conformance(found)
    table = pd.DataFrame(rows).rename(columns={"check": name})
    failed = [row for row in rows if row.verdict == check.FAIL]
    typer.echo(report.markdown(table.drop(columns="remedy")))
    for row in failed:
        typer.echo(f"\n{row.check}: {row.remedy}")
    typer.echo(f"\n{check.closing(name, rows)}")
    sys.exit(bool(failed))


@app.command()
def gauge(
    denoiser: Denoiser,
    weights: Weights = None,
    option: Options = None,
    images: Annotated[
        Path | None,
        flag("--images", read=place, shown="FOLDER", help="Photographs to restore, instead of digits."),
    ] = None,
    figure: Annotated[
        Path | None, flag("--figure", read=place, shown="PNG", help="To draw noisy | denoised into; with --images.")
    ] = None,
    likelihood: Annotated[bool, typer.Option("--likelihood", help="Bits per pixel instead of errors.")] = False,
    num: Annotated[int, number(DIGITS, "Held-out digits.", "--num")] = 1000,
    out: Annotated[
        Path | None, flag("--out", read=place, shown="FOLDER", help="Of runs; keeps the errors for its report.")
    ] = None,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    max_bytes: MaxBytes = None,
) -> None:
    """Measure a denoiser as a denoiser: squared error on held-out digits, or PSNR and SSIM on photographs.

    With --images: Gaussian noise of 15, 25 and 50 grey levels; one row per folder below it and level. With
    --likelihood: the bits that a held-out digit costs under the denoiser, by band of noise, from its errors at 97
    levels.
    """
    import denoisers
    from bench import data, framing, machine, photographs, report
    from bench import gauge as gauge_
    from bench import likelihood as likelihood_
    from denoisers import weights as weights_

    if likelihood and images is not None:
        raise UsageError("is of digits; leave out --images", "--likelihood")
    if likelihood and num < 2:
        raise UsageError(f"needs --num 2 or more for its standard error; found {num}", "--likelihood")
    if figure is not None and images is None:
        raise UsageError("draws photographs; say which: --images FOLDER", "--figure")
    if out is not None and (likelihood or images is not None):
        raise UsageError("keeps squared errors on digits; leave out --likelihood and --images", "--out")
    complain(denoiser)
    if out is not None:
        machine.check_writable(out)
    if figure is not None:
        machine.check_target(figure, "--figure")
    with concerning("--denoiser"):
        denoisers.registry.find(denoiser)
    with concerning("--images"):
        photos = photographs.read(images) if images is not None else None
    digits = functools.cache(lambda: data.load(dataset, data_dir))
    if photos is None and num > len(digits().held_out):
        raise UsageError(f"{dataset} has {len(digits().held_out)} held-out digits; found {num}", "--num")
    with concerning("--denoiser"):
        found = denoisers.load(denoiser, weights, **data.ingredients(digits), **parse_options(option or []))
        lines = (
            framing.fit(found, digits().train.shape[1:], digits().pad)
            if photos is None
            else framing.against(found.spec, framing.largest(photos.values()))
        )
    warn([*weights_.warnings(found.card), *lines])
    if likelihood:
        with ExitStack() as bars:
            bar = progress_bar(bars, 0, len(likelihood_.grid()[0]), "gauging")
            frame = likelihood_.likelihood(found, digits(), num, advance=bar)
    else:
        frame = gauge_.gauge(found, digits(), num) if photos is None else gauge_.summary(found, photos, images)
    typer.echo("\n".join(filter(None, [report.markdown(gauge_.marked(frame)), gauge_.note(frame, found.spec)])))
    if out is not None:
        facts = {"denoiser": denoiser, "weights": found.spec.weights, "options": parse_options(option or [])}
        typer.echo(gauge_.keep(frame, facts, digits(), num, out))
        gauge_.bounds(digits(), num, out, say)
    if figure is not None:
        gauge_.draw(found, photos, figure)
        typer.echo(figure)


@app.command()
def study(
    name: Annotated[str, argument(read=one_of(STUDIES), shown="NAME", help=" | ".join(STUDIES))],
    num: Annotated[int, setting("num", "Images per rung; rungs of 1000 steps have 64.")] = 256,
    seed: Seed = 0,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Annotated[
        Path, flag("--out", read=place, shown="FOLDER", help="The study goes into a folder of its name in it.")
    ] = Path("results"),
) -> None:
    """Run a series of experiments that differ in one thing each, and say what each change did; again to resume.

    ladder: from a restoration network called as in the failed experiment to one that generates digits.
    """
    from bench import machine, study

    machine.check_writable(out / name)
    with resumable(), ExitStack() as bars:
        options = {"num": num, "seed": seed, "dataset": dataset, "data_dir": data_dir, "device": device}
        path = study.ladder(
            out / name, **options, dtype=dtype, say=say, progress=lambda done, total: progress_bar(bars, done, total)
        )
    typer.echo(path.read_text().rstrip())
    typer.echo(path)


@app.command()
def train(
    network: Annotated[str, argument(read=one_of(NETWORKS), shown="NETWORK", help=" | ".join(NETWORKS))],
    name: Annotated[str | None, flag("--name", read=file_name, shown="NAME", help="Of the card and the files.")] = None,
    weights: Annotated[
        str | None, flag("--weights", read=named, shown="CARD|PATH", help="To start from, instead of from scratch.")
    ] = None,
    out: Annotated[Path, flag("--out", read=place, shown="FOLDER", help="For weights, card and checkpoint.")] = Path(
        "weights"
    ),
    epochs: Annotated[int | None, number(EPOCHS, "Rounds over the data.", "--epochs")] = None,
    seed: Annotated[int, number(TRAINING_SEED, "Of weights, order and noise.", "--seed")] = 0,
    source: Annotated[
        str | None, flag("--data", read=named, shown="natural|mnist|FOLDER", help="kbnet: the images.")
    ] = None,
    sigma: Annotated[
        str | None,
        flag("--sigma", read=noise_levels, shown=LEVELS, help="kbnet: noise in grey levels, 25, 0-50 or all."),
    ] = None,
    loss: Annotated[str | None, choice(("l1", "l2"), "kbnet: what is minimised.", "--loss")] = None,
    data_dir: DataDir = None,
    device: Device = "auto",
    max_bytes: MaxBytes = None,
) -> None:
    """Train a network from scratch, or continue where an interrupted training stopped."""
    from bench import machine
    from bench import train as train_

    chosen = machine.choose_device(device)
    options = {"name": name, "weights": weights, "out": out, "epochs": epochs, "seed": seed, "data_dir": data_dir}
    with resumable():
        path = train_.train(network, **options, device=chosen, source=source, sigma=sigma, loss=loss, report=say)
    typer.echo(path.with_suffix(".json").read_text().rstrip())
    typer.echo(path)


def show(run: "Run", fingerprint: str, json_: bool) -> None:
    """The table of a run, or its scores as JSON; and where it is."""
    from bench import report

    if json_:
        typer.echo(json.dumps(run.read_json(f"metrics-{fingerprint}.json"), indent=2))
    else:
        typer.echo(report.tables(*report.collect(run.path)))
    typer.echo(run.path)


def listing(kind: str) -> dict[str, str]:
    """Name -> a word on it. Only the denoisers are listed without importing torch."""
    if kind == "denoisers":
        from denoisers import registry

        return registry.table()
    from bench import data, features, protocol
    from bench.sampler import SAMPLERS

    if kind == "samplers":
        return {name: ", ".join(f"{k} {v}" for k, v in member.settings.items()) for name, member in SAMPLERS.items()}
    if kind == "protocols":
        return {name: str(setting) for name, setting in protocol.PROTOCOLS.items()}
    tables = {"grids": protocol.GRIDS, "features": features.EXTRACTORS, "datasets": data.DATASETS}
    return {name: (entry.__doc__ or "").split("\n")[0] for name, entry in tables[kind].items()}


OTHER_FLAGS = {"weights": "--weights", "train": "--dataset", "labels": "--dataset"}  # what an option cannot be called


def parse_options(pairs: list[str]) -> dict[str, str]:
    """["k=v"] to {"k": "v"}. Raises UsageError for what is no option, or is said twice."""
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise UsageError(f"takes key=value; found {pair!r}", "--option")
        if key in OTHER_FLAGS:
            raise UsageError(f"{key!r} is said with {OTHER_FLAGS[key]}", "--option")
        if key in options:
            raise UsageError(f"{key!r} is said twice", "--option")
        options[key] = value
    return options


def progress_bar(bars: ExitStack, done: int, total: int, label: str = "generating") -> Callable[[int], None]:
    """A bar on stderr that lives as long as `bars`; returns what advances it."""
    bar = bars.enter_context(typer.progressbar(length=total, label=label, file=sys.stderr))
    bar.update(done)
    return bar.update


class Stopped(BaseException):
    """SIGTERM or SIGHUP, by its number: it ends a command as Ctrl-C does, with nothing half-written.

    No Exception, which could be taken for one of the code that it strikes.
    """


def stop(request: int, frame: object) -> None:
    """What these signals do."""
    raise Stopped(request)


@contextmanager
def resumable() -> Iterator[None]:
    """A command that is stopped inside says that the same command resumes it."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        say("\ninterrupted; what is finished is on disk, and the same command resumes")
        raise


def warn(lines: Iterable[str]) -> None:
    """Say what a user should know before believing a number."""
    for line in lines:
        say(f"warning: {line}")


def warn_out_of_band(facts: dict) -> None:
    """Say it if the network was asked about noise it was never trained on."""
    if share := facts["out_of_band"]:
        low, high = facts["spec"]["sigma_min"], facts["spec"]["sigma_max"]
        say(
            f"warning: {share:.0%} of the steps lie outside the noise band {facts['denoiser']} was trained on "
            f"(sigma {low:.4g} to {math.inf if high is None else high:.4g} on [-1, 1])"
        )


def complain(name: str | None = None) -> None:
    """Warn of plug-ins that are hidden or broken; of all, or of those called `name`."""
    from denoisers import registry

    for line in registry.complaints(name):
        say(f"warning: {line}")


def say(line: object) -> None:
    """A line to the person at the terminal."""
    typer.echo(line, err=True)


def main() -> None:
    """Run the command line; every failure becomes one sentence and an exit status: 1 failed, 2 wrong usage.

    What the user can mend is a UsageError; a network that diverges, memory or a disk that is full speak for themselves.
    Whatever else comes up is a fault of this code, and says how to see where.
    """
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    reading.allow(reading.USUAL)
    limit_memory(free_memory())
    for request in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(request) == signal.SIG_DFL:  # it is ignored under nohup
            signal.signal(request, stop)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except Stopped as error:
        sys.exit(128 + error.args[0])  # as typer does for Ctrl-C, which is 2
    except WrongCommandLine as error:
        fail(in_words(error), 2)
    except UsageError as error:
        fail(error, 2)
    except (FloatingPointError, MemoryError, OSError, ForeignError) as error:
        fail(error, 1)
    except Exception as error:
        if exhausted(error):  # in the words of PyTorch, which are many
            fail(MemoryError(), 1)
        fail(error, 1, f" (a fault of bench: {type(error).__name__}; BENCH_DEBUG=1 shows where)")


WrongCommandLine = typer.BadParameter.__base__  # the usage error of typer, which has no public name


def in_words(error: Exception) -> UsageError:
    """What typer found wrong, as a sentence about its flag or argument."""
    param = getattr(error, "param", None)
    about = getattr(error, "option_name", None) or ("" if param is None else param.metavar)
    if param is not None and param.opts[0].startswith("-"):
        about = param.opts[0]
    message = str(error.message or "is missing").removeprefix("Value error, ").removeprefix(f"Option '{about}' ")
    message = (message[0].lower() + message[1:]).rstrip(".").removesuffix(f": {about}")
    if possible := getattr(error, "possibilities", None):
        message += f"; did you mean {' or '.join(possible)}?"
    known = isinstance(error, typer.BadParameter) and error.message
    context = "" if known or error.ctx is None else f" ({error.ctx.command_path} --help says more)"
    return UsageError(message + context, about)


def fail(error: Exception, status: int, hint: str = "") -> None:
    """One sentence on stderr; with BENCH_DEBUG set, the traceback instead."""
    if os.environ.get("BENCH_DEBUG"):
        raise error
    said = " ".join(str(error).split()) or type(error).__name__
    said = "there is not enough free memory for this" if said == "MemoryError" else said
    say(f"error: {said}{hint}")
    sys.exit(status)
