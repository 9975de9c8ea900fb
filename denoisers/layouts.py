"""Where in a checkpoint the weights are: below which keys, in which copy, under which prefix."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from denoisers.errors import FEW, UsageError, listed
from denoisers.pickled import Made, Named, Stored

Value = TypeVar("Value", Stored, Tensor, Stored | Tensor)
Path = tuple[str, ...]  # the keys that lead to a copy

AVERAGED = re.compile(r"(^|[_.\-])(ema|average|averaged|swa|shadow)([_.\-\d]|$)", re.IGNORECASE)
# What people call the weights, the surest first.
KNOWN = (
    "params",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "generator",
    "netG",
    "net_g",
)
COUNTER = "num_batches_tracked"  # of batch normalisation; files from before PyTorch 0.4.1 have none
# Of batch normalisation: no parameters, and in no average.
BUFFERS = ("running_mean", "running_var", COUNTER)
DEPTH = 4


class Choice(NamedTuple):
    """A copy of the weights, the keys that lead to it, and a note on the choice, if there was one."""

    state: dict[str, Stored | Tensor]
    where: str
    note: str


def find(content: Any, part: str = "") -> Choice:
    """The state dict in a checkpoint: the averaged copy if it is complete, else the plain one.

    part  the keys that lead to another, "discriminator" or "model.ema"

    Raises UsageError, with the keys that are there, if there is none or no telling which.
    """
    candidates = {
        path: bare(copy) if isinstance(copy, dict) else copy  # a list has no names
        for path, copy in copies(content)
    }
    if part:
        parts = [".".join(path) for path in candidates]
        candidates = {path: copy for path, copy in candidates.items() if ".".join(path) == part}
        if not candidates:
            raise UsageError(f"it holds no {part}; it has {listed(parts) or 'no state dict'}")
    states = {path: copy for path, copy in candidates.items() if isinstance(copy, dict)}
    if not states:
        raise UsageError(refusal(content, ".".join(next(iter(candidates), ()))))
    plain = {path: state for path, state in states.items() if not averaged(path)}
    base = likeliest(plain or states)
    first, failed = ".".join(base), ""
    for path in [path for path in candidates if plain and averaged(path)]:
        where, state = ".".join(path), complete(candidates[path], states[base])
        if state is not None:
            note = f"it holds the weights as {first} and averaged as {where}; {where} was read"
            return Choice(state, where, note)
        failed = failed or f"{where} does not fit {first}, and "
    others = [".".join(path) for path in candidates if path != base]
    note = f"it also holds {listed(others)}; {failed}{first} was read" if others else ""
    return Choice(states[base], first, note)


def copies(
    content: Any, path: Path = (), seen: set[int] | None = None
) -> Iterator[tuple[Path, dict | list]]:
    """All dictionaries of nothing but tensors, and lists `shadow_params` of them, by their keys.

    The state of an optimizer, which is beside its `param_groups`, is left out.
    """
    seen = set() if seen is None else seen
    if id(content) in seen or len(path) > DEPTH or not content:
        return
    seen.add(id(content))
    shadow = isinstance(content, list) and path[-1:] == ("shadow_params",)
    if shadow and all(map(is_tensor, content)):
        yield path, content
    if not isinstance(content, dict) or "param_groups" in content:
        return
    named = {key: value for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in named.items() if not key.endswith("_extra_state")}
    if tensors and len(named) == len(content) and all(map(is_tensor, tensors.values())):
        yield path, tensors
        return
    for key, value in named.items():
        if isinstance(value, dict | list):
            yield from copies(value, (*path, key), seen)


def is_tensor(value: Any) -> bool:
    """Whether something is a tensor, read or not."""
    return isinstance(value, Stored | Tensor)


def averaged(path: Path) -> bool:
    """Whether the keys that lead to a copy say that it is an average over the training."""
    return any(AVERAGED.search(key) for key in path)


def likeliest(states: Mapping[Path, Any]) -> Path:
    """The copy that is called as weights usually are.

    Raises UsageError if two are, or none of several.
    """
    ranks = {
        path: min((KNOWN.index(key) for key in path if key in KNOWN), default=len(KNOWN))
        for path in states
    }
    best = [path for path in states if ranks[path] == min(ranks.values())]
    if len(best) > 1:
        names = [".".join(path) for path in best]
        raise UsageError(
            f"it holds {listed(names)}, of which none is surely the one; write a load function that picks one: "
            f"denoisers.weights.read(path, part={names[0]!r}) (docs/bring-your-own.md)"
        )
    return best[0]


def complete(copy: dict | list, base: Mapping[str, Value]) -> dict[str, Value] | None:
    """An averaged copy as a state dict with the keys and shapes of `base`; None if it lacks some.

    The buffers of batch normalisation, which are often not averaged, may come from `base`. A list
    without names is of the parameters, in their order.
    """
    names = [key for key in base if not key.endswith(BUFFERS)]
    if isinstance(copy, list):
        state = dict(zip(names, copy, strict=True)) if len(names) == len(copy) else None
    else:
        state = rooted(copy, names)
    if state is None or any(tuple(state[key].shape) != tuple(base[key].shape) for key in names):
        return None
    return {key: state.get(key, base[key]) for key in base}


def bare(state: Mapping[str, Value]) -> dict[str, Value]:
    """Without what wraps a network: `module.`, torch.compile's `_orig_mod.`, AveragedModel's counter."""
    state = {key.replace("_orig_mod.", ""): value for key, value in state.items()}
    inner = {key: value for key, value in state.items() if key != "n_averaged"}
    while inner and all(key.startswith("module.") for key in inner):
        state = inner = {key.removeprefix("module."): value for key, value in inner.items()}
    return state


def rooted(state: Mapping[str, Value], keys: Collection[str]) -> dict[str, Value] | None:
    """What lies below the prefix that all `keys` have in `state`, without it; None if there is none.

    Of several prefixes the one that says it is an average wins, then the shortest.
    """
    first = next(iter(keys), "")
    prefixes = [
        key[: len(key) - len(first)] for key in state if key == first or key.endswith(f".{first}")
    ]
    prefixes.sort(key=lambda prefix: (not AVERAGED.search(prefix), len(prefix)))
    for prefix in prefixes:
        if all(prefix + key in state for key in keys):
            return {
                key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)
            }
    return None


def roots(state: Mapping[str, Value]) -> Iterator[dict[str, Value]]:
    """`state` as it is, then without one prefix after the other: one of them is the network's."""
    for _ in range(DEPTH):
        yield dict(state)
        heads = {key.partition(".")[0] for key in state}
        only = next(iter(heads)) if len(heads) == 1 else None
        prefix = f"{next((name for name in KNOWN if name in heads), only)}."
        inside = {key: value for key, value in state.items() if key.startswith(prefix)}
        state = {key.removeprefix(prefix): value for key, value in inside.items()}
        if not state:
            return


def refusal(content: Any, nameless: str = "") -> str:
    """Why nothing in what a checkpoint holds is a state dict, and what to do.

    nameless  the keys that lead to a list of tensors without names
    """
    inside = content.items() if isinstance(content, dict) else [("model", content)]
    for key, value in inside:
        if isinstance(value, Made) and (key in KNOWN or averaged((str(key),))):
            return (
                f"it holds a pickled object of the class {value.name[:200]}, "
                "which only its own code can make; "
                "save the network's state dict instead: torch.save(net.state_dict(), FILE)"
            )
    way_out = "write a load function that knows it (docs/bring-your-own.md)"
    if nameless:
        return (
            f"its tensors in {nameless} have no names, and no state dict is beside them; {way_out}"
        )
    if not isinstance(content, dict) or not content:
        return f"expected tensors by name, found {kind(content)}; {way_out}"
    odd = next(((key, value) for key, value in content.items() if not is_tensor(value)), None)
    mixed = odd is not None and any(map(is_tensor, content.values()))
    seen = f"{kind(odd[1])} at {shown(odd[0])}" if mixed else "none"
    return f"expected tensors by name, found {seen}; {keys(content)}; {way_out}"


def kind(value: Any) -> str:
    """What something is, in words."""
    if isinstance(value, Made | Named):
        return f"an object of the class {value.name[:200]}"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return "a tensor" if is_tensor(value) else type(value).__name__


def keys(content: Collection[Any]) -> str:
    """The first keys of a dictionary, for a message."""
    first = [shown(key) for key in itertools.islice(content, FEW)]
    return f"its keys: {listed(first, len(content))}"


def shown(key: Any) -> str:
    """A key, no longer than a message needs."""
    return repr(key[:60] if isinstance(key, str | bytes) else key)
