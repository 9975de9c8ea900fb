"""What a name leads to, as a function that makes a denoiser, and what it is called with."""

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from denoisers import bounds
from denoisers.errors import UsageError

if TYPE_CHECKING:  # torch takes a second to import; names() must not pay for it
    from torch import Tensor

    from denoisers.base import Denoiser


def load_function(name: str, target: Any) -> "Callable[..., Denoiser]":
    """`target`, if it can be meant as one: a function, a class of denoisers; a Denoiser, in a function.

    Nothing is called to find out. Raises UsageError for anything else: a value, a network, a
    builtin, another class.
    """
    from denoisers.base import Denoiser

    if isinstance(target, Denoiser):
        return lambda: target
    expected = "expected a function load(weights=None, **options) -> Denoiser, or a Denoiser"
    bare = inspect.unwrap(target, stop=inspect.isfunction) if callable(target) else None
    if inspect.isfunction(bare) or inspect.ismethod(target):
        return target
    if inspect.isclass(target):
        kind, fits = f"the class {target.__name__}", issubclass(target, Denoiser)
    else:
        kind, fits = f"a {type(target).__name__}", isinstance(target, functools.partial)
    if not fits:
        raise UsageError(f"denoiser {name} is {kind}; {expected}; see docs/bring-your-own.md")
    return target


def bind(
    name: str,
    make: "Callable[..., Denoiser]",
    weights: str | None,
    data: "dict[str, Callable[[], Tensor] | None]",
    options: dict[str, Any],
) -> dict[str, Any]:
    """The keywords to call a load function with.

    Raises UsageError, naming the flag, for what does not fit it.
    """
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
                f"denoiser {name!r} has no option {key!r}; it has: {', '.join(accepted) or 'none'}",
                "--option",
            )
    if weights is not None and "weights" not in parameters:
        raise UsageError(f"denoiser {name!r} takes none", "--weights")
    if "weights" in parameters:
        if weights is None and parameters["weights"].default is inspect.Parameter.empty:
            about = (inspect.getdoc(make) or "a file or folder").splitlines()[0]
            raise UsageError(f"denoiser {name!r} needs them: {about}", "--weights")
        if weights is not None:
            arguments["weights"] = weights
    required = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    if missing := [key for key in required if key not in arguments]:
        raise UsageError(
            f"denoiser {name!r} needs {', '.join(missing)}: --option {missing[0]}=...", "--option"
        )
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
