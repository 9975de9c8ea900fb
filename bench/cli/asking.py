"""Commands about denoisers: list, describe, check, gauge."""

import functools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from bench.bounds import DIGITS
from bench.cli import choices
from bench.cli.app import complain, parse_options, say, terminal, warn
from bench.cli.flags import (
    KINDS,
    DataDir,
    Dataset,
    Denoiser,
    MaxBytes,
    Name,
    Options,
    Weights,
    argument,
    flag,
    named,
    number,
    one_of,
    place,
    switch,
)
from denoisers.errors import UsageError, concerning

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from bench.data.dataset import Dataset as Images
    from denoisers import base


def list_(
    kind: Annotated[
        str, argument(read=one_of(KINDS), shown="KIND", help=" | ".join(KINDS))
    ] = "denoisers",
) -> None:
    """List what there is, by name, with a line on each."""
    lines = listing(kind)
    width = max(map(len, lines))
    for name, note in lines.items():
        terminal.row(f"{name:<{width}}", note)
    if kind == "denoisers":
        complain()


def info(
    name: Annotated[
        str | None,
        argument(read=named, shown="NAME", help="A denoiser, as for --denoiser, or a dataset."),
    ] = None,
    weights: Weights = None,
    option: Options = None,
    dataset: Annotated[
        str | None, flag("--dataset", read=named, shown="NAME|PATH", help="A dataset, of code too.")
    ] = None,
    data_dir: DataDir = None,
    max_bytes: MaxBytes = None,
) -> None:
    """Print what a denoiser or a dataset is, as JSON.

    A denoiser: its description, spec and weight card, with noise levels in both units. A dataset: how
    many images of which size, digest, licence, and its mean image, drawn in letters.
    """
    from bench.data import datasets
    from denoisers import registry

    if (name is None) == (dataset is None):
        raise UsageError("names one thing: a NAME, or --dataset", "NAME")
    if name is None or (name not in registry.table() and datasets.is_dataset(name)):
        facts = about_dataset(dataset or name, data_dir)
    else:
        facts = about_denoiser(name, weights, parse_options(option or []))
    terminal.result(json.dumps(facts, indent=2))


def about_dataset(name: str, data_dir: Path | None) -> dict[str, Any]:
    """What `bench info` says of a dataset."""
    from bench.data import datasets, description

    with concerning("NAME"):
        return description.facts(datasets.load(name, data_dir))


def about_denoiser(name: str, weights: str | None, options: dict[str, str]) -> dict[str, Any]:
    """What `bench info` says of a denoiser."""
    import inspect

    from bench.probes import conformance, contract
    from denoisers import registry

    complain(name)
    with concerning("NAME"):
        registry.find(name)
    load = registry.load_splice if name.startswith(registry.SPLICE) else registry.loader(name)
    facts: dict = {
        "name": name,
        "source": registry.table().get(registry.built_in(name) or name, name),
        "description": inspect.getdoc(load),
    }
    facts |= {"code": registry.source(name) or "built in"}
    try:
        with concerning("NAME"):
            denoiser = conformance.load(name, weights, **options)
    except UsageError as error:
        if weights is not None or options or error.about not in ("--weights", "--option"):
            raise
        return facts | {"needs": str(error)}  # what it is can be said without them
    return facts | {
        "spec": denoiser.spec.to_json(),
        "band": contract.in_both_units(denoiser.spec),
        "card": denoiser.card,
    }


def check(
    name: Name, weights: Weights = None, option: Options = None, max_bytes: MaxBytes = None
) -> None:
    """Test whether a denoiser keeps the contract, and say what is wrong if it does not; exit status 1 on failure."""
    import pandas as pd

    from bench import reporting
    from bench.probes import conformance
    from denoisers import weights as weights_

    complain(name)
    with concerning("NAME"):
        denoiser = conformance.load(name, weights, **parse_options(option or []))
    warn(weights_.warnings(denoiser.card))
    rows = conformance.conformance(denoiser)
    table = pd.DataFrame(rows).rename(columns={"check": name})
    failed = [row for row in rows if row.verdict == conformance.FAIL]
    terminal.result(reporting.markdown(table.drop(columns="remedy")))
    for row in failed:
        terminal.result(f"\n{row.check}: {row.remedy}")
    terminal.result(f"\n{conformance.closing(name, rows)}")
    sys.exit(bool(failed))


# Half of it is its flags.
def gauge(
    denoiser: Denoiser,
    weights: Weights = None,
    option: Options = None,
    images: Annotated[
        Path | None,
        flag(
            "--images",
            read=place,
            shown="FOLDER",
            help="Photographs to restore, instead of digits.",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        flag(
            "--figure",
            read=place,
            shown="PNG",
            help="To draw noisy | denoised into; with --images.",
        ),
    ] = None,
    likelihood_: Annotated[
        bool, switch("--likelihood", help="Bits per pixel instead of errors.")
    ] = False,
    num: Annotated[int, number(DIGITS, "Held-out digits.", "--num")] = 1000,
    out: Annotated[
        Path | None,
        flag(
            "--out",
            read=place,
            shown="FOLDER",
            help="Of runs; keeps the errors, or bits, for its report.",
        ),
    ] = None,
    dataset: Dataset = "mnist",
    data_dir: DataDir = None,
    max_bytes: MaxBytes = None,
) -> None:
    """Measure a denoiser as a denoiser: squared error on held-out digits, or PSNR and SSIM on photographs.

    With --images: Gaussian noise of 15, 25 and 50 grey levels; one row per folder below it and
    level. With --likelihood: the bits that a held-out digit costs under the denoiser, by band of
    noise, from its errors at 97 levels.
    """
    from bench import reporting
    from bench.data import datasets, photographs
    from bench.probes import denoising, likelihood
    from bench.reporting.results import likelihoods
    from denoisers import registry

    check_gauge(likelihood_, num, images, figure, out)
    complain(denoiser)
    check_places(denoiser, figure, out)
    with concerning("--images"):
        photos = photographs.read(images) if images is not None else None
    digits = functools.cache(lambda: datasets.load(dataset, data_dir))
    if photos is None:
        digits().first(num)  # or there are fewer, which is said
    options = parse_options(option or [])
    gauged = load_framed(denoiser, weights, options, digits, photos)
    advance = terminal.bar.stage("gauging", len(likelihood.grid()[0]) if likelihood_ else 0)
    if likelihood_:
        frame = likelihood.likelihood(gauged, digits(), num, advance=advance)
    elif photos is None:
        frame = denoising.gauge(gauged, digits(), num)
    else:
        frame = denoising.summary(gauged, photos, images)
    terminal.result(reporting.markdown(denoising.marked(frame)))
    if note := denoising.note(frame, gauged.spec):
        terminal.result(note)
    if out is not None:
        facts = {"denoiser": denoiser, "weights": gauged.spec.weights, "options": options}
        facts["source"] = registry.source(denoiser)
        what = likelihoods.FOLDER if likelihood_ else "gauge"
        terminal.result(denoising.keep(frame, facts, digits(), num, out, what))
        if not likelihood_:
            denoising.bounds(digits(), num, out, say)
    if figure is not None:
        denoising.draw(gauged, photos, figure)
        terminal.result(figure)


def check_gauge(
    likelihood: bool, num: int, images: Path | None, figure: Path | None, out: Path | None
) -> None:
    """Raise UsageError for flags of `bench gauge` that do not go together."""
    if likelihood and images is not None:
        raise UsageError("is of digits; leave out --images", "--likelihood")
    if likelihood and num < 2:
        raise UsageError(
            f"needs --num 2 or more for its standard error; found {num}", "--likelihood"
        )
    if figure is not None and images is None:
        raise UsageError("draws photographs; say which: --images FOLDER", "--figure")
    if out is not None and images is not None:
        raise UsageError("keeps what is measured on digits; leave out --images", "--out")


def check_places(denoiser: str, figure: Path | None, out: Path | None) -> None:
    """Raise UsageError, before anything is measured, for what cannot be written or is not there."""
    from bench import machine
    from denoisers import registry

    if out is not None:
        machine.check_writable(out)
    if figure is not None:
        machine.check_target(figure, "--figure")
    with concerning("--denoiser"):
        registry.find(denoiser)


def load_framed(
    name: str,
    weights: str | None,
    options: dict[str, str],
    digits: "Callable[[], Images]",
    photos: "dict[str, np.ndarray] | None",
) -> "base.Denoiser":
    """A denoiser that takes the digits, or the photographs, that it is asked about; doubts of it are said."""
    import denoisers
    from bench.data.dataset import ingredients
    from denoisers import framing
    from denoisers import weights as weights_

    with concerning("--denoiser"):
        denoiser = denoisers.load(name, weights, **ingredients(digits), **options)
        if photos is None:
            shown = digits()
            denoiser = framing.banded(denoiser, shown.channels)
            doubts = framing.fit(denoiser, shown.size, shown.pad, channels=shown.channels)
        else:
            doubts = framing.against(denoiser.spec, framing.largest(photos.values()))
    warn([*weights_.warnings(denoiser.card), *doubts])
    return denoiser


def listing(kind: str) -> dict[str, str]:
    """Name -> a line on it. Nothing slow is imported."""
    from denoisers import plugins, registry

    if kind == "denoisers":
        return registry.descriptions()
    if kind == "datasets":
        points = plugins.plug_ins(plugins.DATASETS)
        found = {
            name: f"plug-in of {plugins.distribution(point)}: {point.value}"
            for name, point in points.items()
        }
        return choices.DATASETS | found | choices.UNNAMED
    return getattr(choices, kind.upper())
