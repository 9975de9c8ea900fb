"""What a sweep is of: every denoiser with each of its weights, options, samplers and seeds, from a file or from flags.

A file is YAML. At its top stand `denoisers` and what holds for all of them; an entry of `denoisers` is
a name, or a mapping that may say for itself whatever the top says, and of which every list counts:

    protocol: standard
    seeds: 0..2
    denoisers:
      - unet
      - name: kbnet
        weights: [gray-blind50, mnist-all]
        options: {coupling: [vp, naive]}
        seeds: 0
    samplers:
      - ddpm
      - {name: dpmpp_2m, steps: 20, grid: karras}
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.bounds import BOUNDS, option_name
from bench.sampling import plan
from bench.sampling.plan import SamplingPlan
from denoisers import reading
from denoisers.errors import UsageError, in_one_line
from denoisers.places import expand

MOST = 10_000  # runs of a sweep
SETTINGS = tuple(
    field.name for field in dataclasses.fields(SamplingPlan) if field.name != "sampler"
)
NUMBERS = tuple(name for name in SETTINGS if name.replace("_", "-") in BOUNDS)
WORDS = ("grid", "start")
SHARED = ("protocol", "samplers", "seeds", *SETTINGS)  # at the top, or of one denoiser
SIZE = 2**20  # bytes of a file
Json = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    denoiser: str
    weights: str | None
    options: tuple[tuple[str, str], ...]
    sampling: SamplingPlan
    seed: int

    def __str__(self) -> str:
        options = (f"{key}={value}" for key, value in self.options)
        named = " ".join(filter(None, (self.denoiser, self.weights, *options)))
        how = self.sampling
        return f"{named}, {how.num} x {how.steps} of {how.sampler} on {how.grid}, seed {self.seed}"


class Loader(yaml.SafeLoader):
    """One that refuses a key that is there twice, of which the last would win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As PyYAML has it."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} is said twice, from line {node.start_mark.line + 1} on")
        return super().construct_mapping(node, deep)


def read(path: Path) -> dict[str, Any]:
    """What a file says. Raises UsageError for what is no mapping in YAML."""
    with reading.opened(path) as file:
        text = file.read(SIZE + 1)
    try:
        content = yaml.load(text, Loader) if len(text) <= SIZE else None
    except Exception as error:  # its constructors raise what they come upon
        raise UsageError(f"{path} cannot be read as YAML: {in_one_line(error)}") from None
    if not isinstance(content, dict):
        raise UsageError(
            f"{path} is no sweep: expected a mapping with `denoisers`, see docs/scale.md"
        )
    return content


def cells(content: Json) -> list[Cell]:
    """The runs that a file, or flags in its words, ask for; each once, in their order. Raises UsageError."""
    known = ("denoisers", "dataset", *SHARED)
    content = checked(content, known, "the sweep")
    entries = listed(content.get("denoisers"))
    if not entries:
        raise UsageError("names no denoiser; expected `denoisers`, a list of names or mappings")
    shared = {key: value for key, value in content.items() if key in SHARED}
    every = itertools.chain.from_iterable(of_denoiser(entry, shared) for entry in entries)
    found: dict[Cell, None] = {}
    for cell in itertools.islice(every, 10 * MOST):  # some may be asked for twice
        found[cell] = None
        if len(found) > MOST:
            raise UsageError(f"asks for more than {MOST} runs")
    return list(found)


def of_denoiser(entry: Any, shared: Json) -> Iterator[Cell]:
    """The runs of one denoiser."""
    entry = entry if isinstance(entry, dict) else {"name": entry}
    own = checked(entry, ("name", "weights", "options", *SHARED), "a denoiser")
    name = word(own.get("name"), "the name of a denoiser")
    about = f"denoiser {name}"
    said = {**shared, **{key: value for key, value in own.items() if key in SHARED}}
    weights = [None if each is None else word(each, about) for each in listed(own.get("weights"))]
    options = own.get("options") or {}
    if not isinstance(options, dict):
        raise UsageError(f"{about}: options are {shown(options)}; expected a mapping")
    if empty := [key for key, values in options.items() if not listed(values)]:
        raise UsageError(f"{about}: the option {shown(empty[0])} has no value")
    columns = [
        [(option_name(word(key, about), about), word(value, about)) for value in listed(values)]
        for key, values in options.items()
    ]
    chosen = list(itertools.islice(itertools.product(*columns), MOST + 1))
    plans = [planned(each, said, about) for each in listed(said.get("samplers")) or [None]]
    for numbers in itertools.product(weights or [None], chosen, plans, seeds(said.get("seeds", 0))):
        yield Cell(name, *numbers)


def planned(sampler: Any, said: Json, about: str) -> SamplingPlan:
    """How one sampler of a denoiser samples; what it says itself wins over what is said for all."""
    own = {"name": None, **sampler} if isinstance(sampler, dict) else {"name": sampler}
    own = checked(own, ("name", *SETTINGS), f"{about}: a sampler")
    protocol = said.get("protocol", "standard")
    if not isinstance(protocol, str) or protocol not in plan.PRESETS:
        known = ", ".join(plan.PRESETS)
        raise UsageError(f"{about}: unknown protocol {shown(protocol)}; available: {known}")
    given = {key: value for key, value in {**said, **own}.items() if key in SETTINGS}
    try:
        given = {key: setting(key, value) for key, value in given.items()}
        if own["name"] is not None:
            given["sampler"] = word(own["name"], "a sampler")
        return plan.asked(protocol, given)
    except UsageError as error:
        raise UsageError(f"{about}: {error}") from None


def setting(key: str, value: Any) -> Any:
    """A setting of a sampling plan, of the type that it has."""
    if key in NUMBERS and (value is not None or key in ("num", "steps")):
        flag = key.replace("_", "-")
        try:
            return BOUNDS[flag].parse(str(value))
        except UsageError as error:
            raise UsageError(error.message, f"--{flag}") from None
    if key in WORDS and not isinstance(value, str):
        raise UsageError(f"takes a word; found {shown(value)}", f"--{key}")
    if key == "clip" and not isinstance(value, bool):
        raise UsageError(f"takes true or false; found {shown(value)}", "--clip")
    return value


def seeds(value: Any) -> list[int]:
    """Of "0..2", "0,3", 5 or a list of these. Raises UsageError."""
    found: list[int] = []
    for part in listed(value):
        for text in str(part).split(","):
            ends = re.fullmatch(r"\s*(\d{1,19})(?:\.\.(\d{1,19}))?\s*", text, re.ASCII)
            if isinstance(part, bool) or ends is None:
                raise UsageError(f"takes numbers, as 0..2 or 0,3; found {shown(part)}", "--seed")
            first, last = int(ends[1]), int(ends[2] or ends[1])
            for seed in (first, last):
                BOUNDS["seed"].check(seed, "--seed")
            if not 0 <= last - first < MOST:
                raise UsageError(f"takes up to {MOST} seeds, rising; found {shown(part)}", "--seed")
            found += range(first, last + 1)
    if not found:
        raise UsageError("takes a seed at least; found none", "--seed")
    return found


def checked(mapping: Json, known: tuple[str, ...], about: str) -> dict[str, Any]:
    """A mapping with the words of Python for those of flags. Raises UsageError for a key that is not known."""
    said = {str(key).replace("-", "_"): value for key, value in mapping.items()}
    if len(said) < len(mapping):
        raise UsageError(f"{about} says one thing twice, with '-' and with '_'")
    if unknown := next((key for key in said if key not in known), None):
        raise UsageError(f"{about} says {shown(unknown)}; expected {', '.join(known)}")
    return said


def listed(value: Any) -> list[Any]:
    """A list as it is; anything else as the one thing in it; nothing of None."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def word(value: Any, about: str) -> str:
    """Text, or a number or truth value as an option has it, with ~ and variables replaced. Raises UsageError."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float) or not str(value).strip():
        raise UsageError(f"{about}: expected a word; found {shown(value)}")
    return expand(str(value))


def shown(value: Any) -> str:
    """What was found, cut short."""
    return repr(value)[:100]
