"""Denoisers by name. Names are strings until one is loaded, so listing imports nothing.

A built-in or a plug-in is a function `load(weights=None, **options) -> Denoiser`. One that is made from data declares
a keyword `train`, and receives the training images, float32 (N, C, H, W) in [-1, 1].
"""

import difflib
import inspect
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes a second to import; names() must not pay for it
    from torch import Tensor

    from denoisers.base import Denoiser

GROUP = "bench.denoisers"
BUILT_IN = {
    "gaussian": "denoisers.controls:gaussian",
    "ideal": "denoisers.controls:ideal",
    "identity": "denoisers.controls:identity",
    "kbnet": "denoisers.kbnet:load",
    "unet": "denoisers.unet:load",
}


def table() -> dict[str, str]:
    """Name -> "module:attr" of all denoisers. A built-in wins over a plug-in of the same name."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | BUILT_IN


def names() -> list[str]:
    """All names that `load` accepts, sorted."""
    return sorted(table())


def loader(name: str) -> Callable[..., "Denoiser"]:
    """The load function behind `name`.

    Raises LookupError for an unknown name and ImportError for a plug-in that does not import.
    """
    known = table()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ";"
        raise LookupError(f"unknown denoiser {name!r}{hint} available: {', '.join(sorted(known))}")
    try:
        return pkgutil.resolve_name(known[name])
    except Exception as error:
        raise ImportError(f"denoiser {name!r} ({known[name]}) does not import: {error}") from error


def load(
    name: str, weights: str | None = None, train: "Callable[[], Tensor] | None" = None, **options: Any
) -> "Denoiser":
    """The denoiser called `name`, in eval mode.

    weights  card or path; None for the default card
    train    called for the training images only by denoisers that are made from data
    options  keywords of the denoiser's own load function

    Raises LookupError (name), TypeError (option it does not have), FileNotFoundError or ValueError (weights).
    """
    make = loader(name)
    parameters = inspect.signature(make).parameters
    if "train" in parameters:
        if train is None:
            raise TypeError(f"denoiser {name!r} is made from training images; pass train=")
        options["train"] = train()
    accepted = [key for key in parameters if key not in ("train", "weights")]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for key in options.keys() - parameters.keys():
            raise TypeError(
                f"denoiser {name!r} has no option {key!r}; it has: {', '.join(accepted) or 'none'} (--option)"
            )
    if weights is not None and "weights" not in parameters:
        raise TypeError(f"denoiser {name!r} is a closed form and takes no --weights")
    if "weights" in parameters:
        options["weights"] = weights
    return make(**options).eval()
