"""Denoisers by name. Names are strings until one is loaded, so listing imports nothing.

A denoiser can be named as

    NAME               a built-in, or an entry point `bench.denoisers` of any installed distribution
    module:attr        an attribute of an importable module
    path/to/file.py:attr
    deepinv:DRUNet     one of the denoisers of a built-in that has many
    splice:A,B@0.4     A above sigma 0.4, B below

What a name leads to is a function `load(weights=None, **options) -> Denoiser`, or a Denoiser. One
that is made from data declares the keywords `train` (images, float32 (N, C, H, W) in [-1, 1]) or
`labels` (int64 (N,), or None), and gets them. One that cannot do without weights declares `weights` without
a default.
"""

import difflib
import functools
import math
import pkgutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from denoisers import bounds, plugins
from denoisers.binding import bind, load_function
from denoisers.errors import UsageError, concerning, foreign
from denoisers.plugins import digest, distribution, imported, is_installed, plug_ins, world

if TYPE_CHECKING:  # torch takes a second to import; names() must not pay for it
    from torch import Tensor

    from denoisers.base import Denoiser
    from denoisers.splice import Splice

SPLICE = "splice:"
WITH_MODELS = ("deepinv",)  # built-ins of many, which a colon names: deepinv:DRUNet
BUILT_IN = {
    "bilateral": "denoisers.classical:bilateral",
    "bm3d": "denoisers.classical:bm3d",
    "deepinv": "denoisers.deepinv:named",
    "diffusers": "denoisers.adapters:load_diffusers",
    "ffdnet": "denoisers.ffdnet:load",
    "gaussian": "denoisers.closed_form:gaussian",
    "gmm": "denoisers.closed_form:gmm",
    "histogram": "denoisers.closed_form:histogram",
    "ideal": "denoisers.closed_form:ideal",
    "identity": "denoisers.closed_form:identity",
    "kbnet": "denoisers.kbnet:load",
    "mean": "denoisers.closed_form:mean",
    "median": "denoisers.classical:median",
    "nlm": "denoisers.classical:nlm",
    "one-image": "denoisers.closed_form:one_image",
    "spandrel": "denoisers.adapters:load_spandrel",
    "tv": "denoisers.classical:tv",
    "unet": "denoisers.unet:load",
}

DESCRIPTIONS = {
    "bilateral": "averages pixels that are near and alike (Tomasi & Manduchi 1998); extra `classical`",
    "bm3d": "filters groups of similar patches together (Dabov et al. 2007); extra `bm3d`",
    "deepinv": "any denoiser of deepinv, by its class: deepinv:DRUNet --weights FILE",
    "diffusers": "a UNet2DModel that diffusers has saved, with its scheduler; --weights FOLDER",
    "ffdnet": "a network of others that is told its noise level (FFDNet); --weights FILE",
    "gaussian": "the Wiener filter with the training set's mean and covariance: copies nothing, draws badly",
    "gmm": "a mixture of Gaussians, one for each class, or --option components=K",
    "histogram": "independent pixels with the training set's histogram: no structure at all",
    "ideal": "the exact posterior mean over the training set: memorizes all of it",
    "identity": "returns its input: noise in, noise out",
    "kbnet": "a restoration network, trained on photographs, or by its card on digits; not told the noise",
    "mean": "the mean training image, whatever it is given",
    "median": "a median filter that grows with the noise",
    "nlm": "averages patches that are alike (non-local means, Buades et al. 2005); extra `classical`",
    "one-image": "one training image, whatever it is given: the smallest memory",
    "spandrel": "any restoration network that spandrel recognises; --weights FILE",
    "tv": "total variation (Chambolle 2004); extra `classical`",
    "unet": "a U-Net trained on the digits as a diffusion model: the reference prior",
}


def built_in(name: str) -> str | None:
    """The built-in that a name leads to: `deepinv` for itself and for `deepinv:DRUNet`; None for all else."""
    first, colon, _ = name.partition(":")
    return first if first in BUILT_IN and (not colon or first in WITH_MODELS) else None


def table() -> dict[str, str]:
    """Name -> "module:attr" of all denoisers. A built-in wins over a plug-in of the same name."""
    return {name: point.value for name, point in plug_ins().items()} | BUILT_IN


def names() -> list[str]:
    """All names that `load` accepts without a colon, sorted."""
    return sorted(table())


def descriptions() -> dict[str, str]:
    """Name -> a line on it, sorted by name; of a plug-in, where it comes from. Imports none."""
    points = plug_ins()
    brought = {
        name: f"plug-in of {distribution(point)}: {point.value}" for name, point in points.items()
    }
    return {
        name: DESCRIPTIONS.get(name) or brought.get(name) or target
        for name, target in sorted(table().items())
    }


def complaints(name: str | None = None) -> Iterator[str]:
    """A sentence for each plug-in that cannot be used as it stands, or for those of that name.

    Imports none.
    """
    chosen: dict[str, str] = {}
    for point in plugins.entry_points(group=plugins.GROUP):
        if name is not None and point.name != name:
            continue
        who = f"plug-in {point.name!r} of {distribution(point)}"
        if point.name in BUILT_IN:
            yield f"{who} is hidden by the built-in denoiser of that name"
        elif point.name in chosen:
            yield f"{who} is hidden by the one of {chosen[point.name]}"
        elif not is_installed(point.value):
            yield f"{who} is broken: there is no module for {point.value!r}"
        chosen.setdefault(point.name, distribution(point))


def loader(name: str) -> "Callable[..., Denoiser] | Denoiser":
    """What `name` leads to, for all names but splices.

    Raises UsageError for an unknown name and for one that leads to nothing, ForeignError for code
    that fails.
    """
    if first := built_in(name):
        make = pkgutil.resolve_name(BUILT_IN[first])
        if first not in WITH_MODELS:
            return make
        if ":" not in name:
            raise UsageError(f"{DESCRIPTIONS[first]}; found no class")
        return make(name.removeprefix(f"{first}:"))
    points = plug_ins()
    if name in points:
        return imported(points[name].value, f"plug-in {name!r} of {distribution(points[name])}")
    if ":" in name:
        return imported(name, "the denoiser")
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise UsageError(
        f"unknown denoiser {name!r}{hint} available: {', '.join(names())}; "
        "or deepinv:CLASS, module:attr, path/to/file.py:attr"
    )


def find(name: str) -> None:
    """Raise what `load` would raise for a name that leads nowhere; loads no weights."""
    for part in splice_parts(name)[:2] if name.startswith(SPLICE) else (name,):
        load_function(part, loader(part))


def home(name: str) -> str | None:
    """The file or module behind a name; None for a built-in."""
    if built_in(name):
        return None
    points = plug_ins()
    return points[name].module if name in points else name.rpartition(":")[0]


def source(name: str) -> dict[str, Any]:
    """Which code is behind a name: nothing for a built-in; else the digest of it and its imports.

    Loads the code, and raises whatever it raises.
    """
    if name.startswith(SPLICE):
        parts = {part: source(part) for part in splice_parts(name)[:2]}
        return {part: facts for part, facts in parts.items() if facts}
    place = home(name)
    if place is None:
        return {}
    points = plug_ins()
    known = {"distribution": distribution(points[name])} if name in points else {}
    return known | {"sha256": digest(place)}


def load(
    name: str,
    /,
    weights: str | None = None,
    train: "Callable[[], Tensor] | None" = None,
    labels: "Callable[[], Tensor] | None" = None,
    **options: Any,
) -> "Denoiser":
    """The denoiser called `name`, in eval mode.

    weights  card or path; None for the default card
    train    called for the training images only by denoisers that are made from data
    labels   called for their classes; None where there are none
    options  keywords of the denoiser's own load function

    Raises UsageError (name, option, weights, or what comes back is no Denoiser) and ForeignError
    (its code fails).
    """
    from denoisers.base import Denoiser, Spec

    if name.startswith(SPLICE):
        parts = functools.partial(load, train=train, labels=labels)
        return load_splice(name, weights, load_part=parts, **options)
    make = load_function(name, loader(name))
    arguments = bind(name, make, weights, {"train": train, "labels": labels}, options)
    with concerning("" if weights is None else "--weights"):
        denoiser = make(**arguments) if built_in(name) else made(name, make, arguments)
    if not isinstance(denoiser, Denoiser):
        raise UsageError(
            f"denoiser {name!r} came back as {type(denoiser).__name__}, "
            "expected a denoisers.base.Denoiser; wrap a network in ResidualDenoiser or VPDenoiser (denoisers.wrappers)"
        )
    if not isinstance(getattr(denoiser, "spec", None), Spec):
        raise UsageError(
            f"denoiser {name!r} has no spec; give {type(denoiser).__name__} a denoisers.base.Spec"
        )
    return denoiser.eval()


def splice_parts(name: str) -> tuple[str, str, float]:
    """ "splice:A,B@0.4" to ("A", "B", 0.4). Raises UsageError for anything else."""
    pair, _, level = name.removeprefix(SPLICE).rpartition("@")
    above, _, below = pair.partition(",")
    try:
        if not (above and below) or "," in below or SPLICE in pair:
            raise UsageError(name)
        switch = math.inf if level == "inf" else bounds.LEVEL.parse(level)
    except UsageError:
        raise UsageError(
            f"expected splice:A,B@SIGMA, two denoisers and a level in {bounds.LEVEL} or inf, "
            f"in [-1, 1] units; found {name!r}"
        ) from None
    return above, below, switch


def load_splice(
    name: str,
    /,
    weights: str | None = None,
    *,
    load_part: "Callable[..., Denoiser]",
    **options: Any,
) -> "Splice":
    """The splice "splice:A,B@SIGMA"; options `above.KEY` and `below.KEY`, `weights` too, of its parts."""
    from denoisers.splice import Splice

    *parts, switch = splice_parts(name)
    if weights is not None:
        raise UsageError(
            "a splice has two parts: --option above.weights=... or below.weights=..., not --weights"
        )
    given: dict[str, dict[str, Any]] = {"above": {}, "below": {}}
    for key, value in options.items():
        part, _, rest = key.partition(".")
        if part not in given or not rest:
            raise UsageError(
                f"a splice has options above.KEY and below.KEY; found {key!r}", "--option"
            )
        given[part][rest] = value
    loaded = [load_part(part, **given[key]) for key, part in zip(given, parts, strict=True)]
    return Splice(*loaded, switch)


def made(name: str, make: "Callable[..., Denoiser]", arguments: dict[str, Any]) -> Any:
    """What the load function of a plug-in gives. What it imports counts in the digest."""
    with foreign(f"denoiser {name}"), world(home(name)).loading():
        return make(**arguments)
