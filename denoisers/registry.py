"""Denoisers by name. Names are strings until one is loaded, so listing imports nothing.

A denoiser can be named as

    NAME               a built-in, or an entry point `bench.denoisers` of any installed distribution
    module:attr        an attribute of an importable module
    path/to/file.py:attr
    splice:A,B@0.4     A above sigma 0.4, B below

What a name leads to is a function `load(weights=None, **options) -> Denoiser`, or a Denoiser. One that is made from
data declares the keywords `train` (images, float32 (N, C, H, W) in [-1, 1]) or `labels` (int64 (N,)), and gets them.
One that cannot do without weights declares `weights` without a default.
"""

import difflib
import functools
import importlib.util
import inspect
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisers import bounds, imports
from denoisers.errors import FEW, ForeignError, UsageError, concerning, foreign, listed, said

if TYPE_CHECKING:  # torch takes a second to import; names() must not pay for it
    from torch import Tensor

    from denoisers.base import Denoiser

GROUP = "bench.denoisers"
SPLICE = "splice:"
BUILT_IN = {
    "bilateral": "denoisers.classical:bilateral",
    "bm3d": "denoisers.classical:bm3d",
    "diffusers": "denoisers.adapters:load_diffusers",
    "ffdnet": "denoisers.ffdnet:load",
    "gaussian": "denoisers.controls:gaussian",
    "gmm": "denoisers.controls:gmm",
    "histogram": "denoisers.controls:histogram",
    "ideal": "denoisers.controls:ideal",
    "identity": "denoisers.controls:identity",
    "kbnet": "denoisers.kbnet:load",
    "mean": "denoisers.controls:mean",
    "median": "denoisers.classical:median",
    "nlm": "denoisers.classical:nlm",
    "one-image": "denoisers.controls:one_image",
    "spandrel": "denoisers.adapters:load_spandrel",
    "tv": "denoisers.classical:tv",
    "unet": "denoisers.unet:load",
}

DESCRIPTIONS = {
    "bilateral": "averages pixels that are near and alike (Tomasi & Manduchi 1998); extra `classical`",
    "bm3d": "filters groups of similar patches together (Dabov et al. 2007); extra `bm3d`",
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


def plug_ins() -> dict[str, EntryPoint]:
    """Entry points of other distributions by name; of two with one name, the first."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return found


def table() -> dict[str, str]:
    """Name -> "module:attr" of all denoisers. A built-in wins over a plug-in of the same name."""
    return {name: point.value for name, point in plug_ins().items()} | BUILT_IN


def names() -> list[str]:
    """All names that `load` accepts without a colon, sorted."""
    return sorted(table())


def descriptions() -> dict[str, str]:
    """Name -> a line on it, sorted by name; of a plug-in, where it comes from. Imports none."""
    found = plug_ins()
    brought = {name: f"plug-in of {distribution(point)}: {point.value}" for name, point in found.items()}
    return {name: DESCRIPTIONS.get(name) or brought.get(name) or target for name, target in sorted(table().items())}


def distribution(point: EntryPoint) -> str:
    """Name and version of the distribution that brings a plug-in."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def complaints(name: str | None = None) -> Iterator[str]:
    """A sentence for each plug-in that cannot be used as it stands; about those called `name`, or all. Imports none."""
    chosen: dict[str, str] = {}
    for point in entry_points(group=GROUP):
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


def is_installed(target: str) -> bool:
    """Whether the top-level package of "package.module:attr" can be found; finding it imports nothing."""
    try:
        return importlib.util.find_spec(target.split(":", maxsplit=1)[0].split(".", maxsplit=1)[0]) is not None
    except (ImportError, ValueError):
        return False


def loader(name: str) -> "Callable[..., Denoiser] | Denoiser":
    """What `name` leads to, for all names but splices.

    Raises UsageError for an unknown name and for one that leads to nothing, ForeignError for code that fails.
    """
    if name in BUILT_IN:
        return pkgutil.resolve_name(BUILT_IN[name])
    points = plug_ins()
    if name in points:
        return imported(points[name].value, f"plug-in {name!r} of {distribution(points[name])}")
    if ":" in name:
        return imported(name, "the denoiser")
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise UsageError(
        f"unknown denoiser {name!r}{hint} available: {', '.join(names())}; or module:attr, or path/to/file.py:attr"
    )


def find(name: str) -> None:
    """Raise what `load` would raise for a name, or a part of a splice, that leads nowhere; loads no weights."""
    if name.startswith(SPLICE):
        from denoisers.splice import parse

        for part in parse(name)[:2]:
            load_function(part, loader(part))
    else:
        load_function(name, loader(name))


def imported(target: str, who: str) -> Any:
    """The object at "module:attr" or "path/to/file.py:attr".

    Raises UsageError for what is not there, ForeignError for code that fails when it is imported; both say `who`.
    """
    place, _, attribute = target.rpartition(":")
    try:
        module = from_file(Path(place)) if place.endswith(".py") else from_package(place)
    except (Exception, SystemExit) as error:
        absent = isinstance(error, ModuleNotFoundError | TypeError | ValueError) and not executed(error)
        beside = place.endswith(".py") and isinstance(error, ModuleNotFoundError)
        hint = "; it is neither installed nor beside the file; PYTHONPATH=FOLDER finds it elsewhere" if beside else ""
        kind = UsageError if absent else ForeignError
        raise kind(f"{who} {target} does not import: {said(error)}{hint}") from error
    found = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise UsageError(
            f"{who} {target} leads nowhere: {place} has no {attribute!r}; {alternatives(module, attribute)}"
        )
    return found


def executed(error: BaseException) -> bool:
    """Whether an import got as far as running foreign code before it failed, and did not just find nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = (__file__, imports.__file__)
    return any(frame.filename not in own and "importlib" not in frame.filename for frame in frames)


def alternatives(module: Any, attribute: str) -> str:
    """In words, a few of the functions of a module: those that are called nearly as was asked for come first."""
    functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if not functions:
        return "it has no functions"
    near = difflib.get_close_matches(attribute, functions, n=FEW)
    return f"it has {listed(near or functions, len(functions))}"


def from_file(path: Path) -> Any:
    """The module that a Python file makes, once for each content of it and of what it imports."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    return imports.world(str(path)).main


def from_package(name: str) -> Any:
    """An importable module; of a plug-in's package, as its files are now."""
    with world(name).loading():
        return importlib.import_module(name)


def world(place: str) -> imports.World:
    """What a Python file, or the package of a module, has imported."""
    return imports.world(place if place.endswith(".py") else place.partition(".")[0])


def home(name: str) -> str | None:
    """The file or module behind a name; None for a built-in."""
    if name in BUILT_IN:
        return None
    points = plug_ins()
    return points[name].module if name in points else name.rpartition(":")[0]


def source(name: str) -> dict[str, Any]:
    """Which code is behind a name: empty for a built-in; else the digest of its file or package and what they import.

    Loads the code, and raises whatever it raises.
    """
    if name.startswith(SPLICE):
        from denoisers.splice import parse

        parts = {part: source(part) for part in parse(name)[:2]}
        return {part: found for part, found in parts.items() if found}
    place = home(name)
    if place is None:
        return {}
    points = plug_ins()
    return ({"distribution": distribution(points[name])} if name in points else {}) | {"sha256": digest(place)}


def digest(place: str) -> str | None:
    """sha256 of a Python file, or of all Python files of the top-level package of a module; None if it has no file.

    With the files that they import, outside the standard library, installed distributions and this project.
    """
    from denoisers import weights

    if place.endswith(".py"):
        return world(place).digest()
    from_package(place)
    top = from_package(place.partition(".")[0])
    found = imports.place(top)
    if hasattr(top, "__path__"):
        folder = next(iter(top.__path__))
        return world(place).digest(weights.tree(Path(folder), "*.py"), str(folder))
    there = found is not None and Path(found).is_file()
    return world(place).digest(weights.sha256(Path(found)) if there else None, found)


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
    labels   called for their classes
    options  keywords of the denoiser's own load function

    Raises UsageError (name, option, weights, or what comes back is no Denoiser) and ForeignError (its code fails).
    """
    from denoisers.base import Denoiser, Spec

    if name.startswith(SPLICE):
        from denoisers.splice import load_splice

        return load_splice(name, weights, train=train, labels=labels, **options)
    make = load_function(name, loader(name))
    arguments = bind(name, make, weights, {"train": train, "labels": labels}, options)
    with concerning("" if weights is None else "--weights"):
        denoiser = make(**arguments) if name in BUILT_IN else made(name, make, arguments)
    if not isinstance(denoiser, Denoiser):
        raise UsageError(
            f"denoiser {name!r} came back as {type(denoiser).__name__}, expected a denoisers.base.Denoiser; "
            "wrap a network in ResidualDenoiser or VPDenoiser (denoisers.wrappers)"
        )
    if not isinstance(getattr(denoiser, "spec", None), Spec):
        raise UsageError(f"denoiser {name!r} has no spec; give {type(denoiser).__name__} a denoisers.base.Spec")
    return denoiser.eval()


def made(name: str, make: "Callable[..., Denoiser]", arguments: dict[str, Any]) -> Any:
    """What the load function of a plug-in gives. What it imports counts in the digest."""
    with foreign(f"denoiser {name}"), world(home(name)).loading():
        return make(**arguments)


def load_function(name: str, found: Any) -> "Callable[..., Denoiser]":
    """`found`, if it can be meant as one: a function, a class of denoisers; or what returns it, if it is a Denoiser.

    Nothing is called to find out. Raises UsageError for anything else: a value, a network, a builtin, another class.
    """
    from denoisers.base import Denoiser

    if isinstance(found, Denoiser):
        return lambda: found
    expected = "expected a function load(weights=None, **options) -> Denoiser, or a Denoiser"
    whole = inspect.isfunction(inspect.unwrap(found, stop=inspect.isfunction)) if callable(found) else False
    fits = whole or inspect.ismethod(found) or isinstance(found, functools.partial)
    if not fits and not (inspect.isclass(found) and issubclass(found, Denoiser)):
        kind = f"the class {found.__name__}" if inspect.isclass(found) else f"a {type(found).__name__}"
        raise UsageError(f"denoiser {name} is {kind}; {expected}; see docs/bring-your-own.md")
    return found


def needs(make: "Callable[..., Denoiser] | Denoiser | None", keyword: str) -> bool:
    """Whether a load function has that keyword, and no default for it."""
    if not inspect.isroutine(make) and not inspect.isclass(make):
        return False
    parameter = inspect.signature(make).parameters.get(keyword)
    return parameter is not None and parameter.default is inspect.Parameter.empty


def bind(
    name: str,
    make: "Callable[..., Denoiser]",
    weights: str | None,
    data: "dict[str, Callable[[], Tensor] | None]",
    options: dict[str, Any],
) -> dict[str, Any]:
    """The keywords to call a load function with. Raises UsageError, naming the flag, for what does not fit it."""
    parameters = inspect.signature(make).parameters
    arguments = dict(options)
    for key in data.keys() & parameters:
        if data[key] is None:
            raise UsageError(f"denoiser {name!r} is made from training images; pass {key}=")
        arguments[key] = data[key]()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        accepted = [key for key in parameters if key not in ("train", "labels", "weights")]
        for key in options.keys() - set(accepted):
            raise UsageError(
                f"denoiser {name!r} has no option {key!r}; it has: {', '.join(accepted) or 'none'}", "--option"
            )
    if weights is not None and "weights" not in parameters:
        raise UsageError(f"denoiser {name!r} takes none", "--weights")
    if "weights" in parameters:
        if weights is None and needs(make, "weights"):
            about = (inspect.getdoc(make) or "a file or folder").splitlines()[0]
            raise UsageError(f"denoiser {name!r} needs them: {about}", "--weights")
        arguments |= {} if weights is None else {"weights": weights}
    asked = [
        key for key, p in parameters.items() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if missing := [key for key in asked if key not in arguments]:
        raise UsageError(f"denoiser {name!r} needs {', '.join(missing)}: --option {missing[0]}=...", "--option")
    return {key: typed(name, key, value, parameters.get(key)) for key, value in arguments.items()}


def typed(name: str, key: str, value: Any, parameter: inspect.Parameter | None) -> Any:
    """An option, which a command line gives as text, in the type of the parameter's default."""
    default = None if parameter is None else parameter.default
    if not isinstance(value, str) or not isinstance(default, bool | int | float):
        return value
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        if not isinstance(default, bool):
            return (bounds.WHOLE if isinstance(default, int) else bounds.FINITE).parse(value)
        if value.lower() not in words:
            raise UsageError(f"must be true or false; found {value[:40]!r}")
        return words[value.lower()]
    except UsageError as error:
        raise UsageError(f"option {key!r} of {name!r} {error.message}", "--option") from None
