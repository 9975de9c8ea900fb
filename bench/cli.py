"""The command line: parse, call, print. What is slow is imported by the commands. Only flags.py imports typer too."""

import functools
import itertools
import json
import math
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import __version__, choices
from bench.bounds import DIGITS, EPOCHS, TRAINING_SEED, WORK, file_name
from bench.flags import (
    FORMATS,
    KINDS,
    LEVELS,
    OVERWRITE,
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
    switch,
    title,
    word,
)
from bench.progress import Terminal
from bench.text import printable
from denoisers import reading
from denoisers.errors import ForeignError, UsageError, concerning, listed
from denoisers.memory import exhausted, free_memory, limit_memory

if TYPE_CHECKING:
    from bench.runs import Run

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
terminal = Terminal()


def command(name: str | None = None, *, first: str = "loading PyTorch") -> Callable[[Callable], Callable]:
    """A command, whose progress the terminal shows while it works.

    first  what it does before anything else, if that takes a while
    """

    def register(work: Callable) -> Callable:
        @functools.wraps(work)
        def shown(**options: object) -> None:
            with terminal.working(first):
                work(**options)

        return app.command(name)(shown)

    return register


def print_version(asked: bool) -> None:
    """What --version does."""
    if asked:
        typer.echo(f"bench {__version__}")
        raise typer.Exit


@app.callback()
def all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
) -> None:
    """I have a denoiser: is it a generative prior, and if not, where does it fail?"""


@command()
def run(
    denoiser: Denoiser,
    weights: Weights = None,
    option: Options = None,
    protocol: Annotated[str, choice(choices.PROTOCOLS, "Number of images, and sampler.", "--protocol")] = "standard",
    num: Annotated[int | None, setting("num", "Images.", "256, 2000 or 10000, by --protocol")] = None,
    sampler: Annotated[
        str | None,
        flag("--sampler", read=named, shown="NAME", help="Of `bench list samplers`, or file.py:attr.", default="ddpm"),
    ] = None,
    steps: Annotated[
        int | None,
        setting("steps", f"Steps of the sampler, on the grid; times --num {WORK}.", "20, 50 or 1000, by --protocol"),
    ] = None,
    grid: Annotated[str | None, choice(choices.GRIDS, "Noise levels.", "--grid", default="ddpm")] = None,
    sigma_max: Annotated[
        float | None,
        setting("sigma-max", "Begin at this noise, of images in [-1, 1]; not below the grid.", "the grid's first"),
    ] = None,
    start: Annotated[
        str | None, choice(choices.STARTS, "What lies under the first noise.", "--start", default="noise")
    ] = None,
    clip: Annotated[
        bool | None,
        switch("--clip/--no-clip", help="Clamp the estimate of x0 to [-1, 1] in every step.", default="clip"),
    ] = None,
    eta: Annotated[float | None, setting("eta", "Share of fresh noise, 0 (DDIM) to 1 (DDPM).", "the sampler's")] = None,
    churn: Annotated[float | None, setting("churn", "heun: noise added before each step, S_churn.", "0")] = None,
    beta: Annotated[
        float | None, setting("beta", "ks: share of the noise that a step removes for good.", "0.5")
    ] = None,
    h0: Annotated[float | None, setting("h0", "ks: size of the first step, a share of the residual.", "0.01")] = None,
    seed: Seed = 0,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    features: Features = "lenet-a",
    features_weights: FeaturesWeights = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: Annotated[int | None, setting("batch-size", "Images at once.", "128, on cuda 1024")] = None,
    workers: WorkerCount = "auto",
    max_bytes: MaxBytes = None,
    out: Out = Path("results"),
    overwrite: Annotated[
        str, choice(OVERWRITE, "What becomes of a run that is there; only-missing resumes it.", "--overwrite")
    ] = "only-missing",
    json_: Json = False,
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
    terminal.bar.stage("preparing")
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
        with resumable():
            finished = experiment.execute(plan, overwrite=overwrite, say=say, progress=terminal.bar)
        warn([line for line in finished.read_json("run.json").get("warnings") or [] if line not in known])
        show(finished, plan.rules["fingerprint"], json_)
    finish("report", out)


@command()
def report(
    folder: Annotated[Path, argument(read=place, shown="FOLDER", help="Folder of runs.")] = Path("results"),
    format_: Annotated[
        str, flag("--format", read=word, shown=",".join(FORMATS), help="Files to write, some of these.")
    ] = "html,md,csv",
    out: Annotated[
        Path | None, flag("--out", read=place, shown="FOLDER", help="For the files; by default the folder of runs.")
    ] = None,
    data_dir: DataDir = None,
    open_: Annotated[bool, switch("--open", help="Show report.html in the browser.")] = False,
    json_: Annotated[bool, switch("--json", help="Print all as one JSON document; write nothing.")] = False,
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
    terminal.bar.stage("reading the runs")
    with concerning("FOLDER"):
        entries, absent = report.collect(folder)
    terminal.bar.expect({"looking at the images": 0.02 * len(entries), "writing": 6 + 0.02 * len(entries)})
    measure = functools.partial(control_scores.later, data_dir=data_dir, say=say, progress=terminal.bar)
    entries = completed.completed(entries, measure, absent)
    terminal.bar.stage("looking at the images")
    prepared = exports.prepare(folder, entries, absent, target)
    if json_:
        terminal.result(exports.as_json(prepared).rstrip())
        return
    terminal.result(report.tables(prepared.entries, prepared.absent, prepared.groups))  # before anything is written
    machine.check_writable(target)
    terminal.bar.stage("writing")
    for path in exports.save(prepared, chosen):
        terminal.result(path)
    say(report.summary(prepared.entries, prepared.absent))
    if open_:
        typer.launch(str((target / "report.html").resolve()))


@command()
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
    show(*scoring.score_path(path, name=name, num=num, **options, out=out, say=say, progress=terminal.bar), json_)
    finish("report", out)


@command()
def compare(
    runs: Annotated[
        list[Path],
        argument(read=place, shown="RUN...", help="Names or folders of runs; a folder of results, results by default."),
    ],
    features: Annotated[
        str | None, flag("--features", read=word, shown="NAME", help="Extractor, where runs are scored with several.")
    ] = None,
    json_: Json = False,
) -> None:
    """Say which differences between runs are real: paired bootstrap intervals, p-values, ties.

    Runs that differ in their seed alone count as one. A folder of results says where to look names up; alone, it stands
    for all that it holds. Examples:

    bench compare unet ideal

    bench compare results/reference

    p is corrected for all rows (Holm). A tie: corrected p above 5 %, or a difference inside the held-out floor.
    """
    from bench import compare as compare_
    from bench import report, selection

    with concerning("RUN..."):
        found = selection.load(runs, features, say)
        if len(found) < 2:
            raise UsageError(f"two or more are compared; found {listed([run.name for run in found])}")
        frame = compare_.compare(found)
    if json_:
        terminal.result(frame.to_json(orient="records", indent=2))
        return
    for first, second in itertools.combinations(found, 2):
        say(compare_.pairing(first, second))
    terminal.result(report.markdown(compare_.shown(frame)))


@command("list", first="")
def list_(
    kind: Annotated[str, argument(read=one_of(KINDS), shown="KIND", help=" | ".join(KINDS))] = "denoisers",
) -> None:
    """List what there is, by name, with a line on each."""
    lines = listing(kind)
    width = max(map(len, lines))
    for name, note in lines.items():
        terminal.result(f"{name:<{width}}  {note}".rstrip())
    if kind == "denoisers":
        complain()


@command()
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
    terminal.result(json.dumps(facts, indent=2))


@command()
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
    terminal.result(report.markdown(table.drop(columns="remedy")))
    for row in failed:
        terminal.result(f"\n{row.check}: {row.remedy}")
    terminal.result(f"\n{check.closing(name, rows)}")
    sys.exit(bool(failed))


@command()
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
    likelihood: Annotated[bool, switch("--likelihood", help="Bits per pixel instead of errors.")] = False,
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
    if photos is None:
        digits().first(num)  # or there are fewer, which is said
    with concerning("--denoiser"):
        found = denoisers.load(denoiser, weights, **data.ingredients(digits), **parse_options(option or []))
        lines = (
            framing.fit(found, digits().train.shape[1:], digits().pad)
            if photos is None
            else framing.against(found.spec, framing.largest(photos.values()))
        )
    warn([*weights_.warnings(found.card), *lines])
    advance = terminal.bar.stage("gauging", len(likelihood_.grid()[0]) if likelihood else 0)
    if likelihood:
        frame = likelihood_.likelihood(found, digits(), num, advance=advance)
    else:
        frame = gauge_.gauge(found, digits(), num) if photos is None else gauge_.summary(found, photos, images)
    terminal.result("\n".join(filter(None, [report.markdown(gauge_.marked(frame)), gauge_.note(frame, found.spec)])))
    if out is not None:
        facts = {"denoiser": denoiser, "weights": found.spec.weights, "options": parse_options(option or [])}
        terminal.result(gauge_.keep(frame, facts, digits(), num, out))
        gauge_.bounds(digits(), num, out, say)
    if figure is not None:
        gauge_.draw(found, photos, figure)
        terminal.result(figure)


@command()
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
    with resumable():
        options = {"num": num, "seed": seed, "dataset": dataset, "data_dir": data_dir, "device": device}
        path = study.ladder(out / name, **options, dtype=dtype, say=say, progress=terminal.bar)
    terminal.result(path.read_text().rstrip())
    terminal.result(path)
    finish("report", out)


ROUNDS = ", ".join(f"{name} {rounds}" for name, rounds in choices.EPOCHS.items())


@command()
def train(
    network: Annotated[str, argument(read=one_of(choices.EPOCHS), shown="NETWORK", help=" | ".join(choices.EPOCHS))],
    name: Annotated[str | None, flag("--name", read=file_name, shown="NAME", help="Of the card and the files.")] = None,
    weights: Annotated[
        str | None, flag("--weights", read=named, shown="CARD|PATH", help="To start from, instead of from scratch.")
    ] = None,
    out: Annotated[Path, flag("--out", read=place, shown="FOLDER", help="For weights, card and checkpoint.")] = Path(
        "weights"
    ),
    epochs: Annotated[int | None, number(EPOCHS, "Rounds over the data.", "--epochs", default=ROUNDS)] = None,
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
    terminal.bar.stage("training")
    options = {"name": name, "weights": weights, "out": out, "epochs": epochs, "seed": seed, "data_dir": data_dir}
    with resumable():
        path = train_.train(network, **options, device=chosen, source=source, sigma=sigma, loss=loss, report=say)
    terminal.result(path.with_suffix(".json").read_text().rstrip())
    say(path)


def show(run: "Run", fingerprint: str, json_: bool) -> None:
    """The table of a run and, last, where it is; or its scores, as the one JSON document on standard output."""
    from bench import report

    if json_:
        terminal.result(json.dumps(run.read_json(f"metrics-{fingerprint}.json"), indent=2))
        say(run.path)
    else:
        terminal.result(report.tables(*report.collect(run.path)))
        terminal.result(run.path)


def finish(*following: object) -> None:
    """How long it took, and which command to type next."""
    say(terminal.bar.summary())
    say(f"next: {shlex.join(['bench', *map(str, following)])}")


def listing(kind: str) -> dict[str, str]:
    """Name -> a line on it. Nothing slow is imported."""
    from denoisers import registry

    return registry.descriptions() if kind == "denoisers" else getattr(choices, kind.upper())


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
        say("interrupted; what is finished is on disk, and the same command resumes")
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
    typer.echo(printable(str(line)), err=True)


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
