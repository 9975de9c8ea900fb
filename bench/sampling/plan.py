"""How images are sampled: how many, by which sampler, on which grid; and the presets of --protocol."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bench.bounds import BOUNDS, WORK
from bench.data.dataset import Dataset
from bench.sampling.samplers import SAMPLERS, Sampler
from bench.sampling.starts import STARTS
from denoisers import plugins, registry
from denoisers.errors import UsageError, concerning
from denoisers.schedule import GRIDS, KARRAS_RHO

SETTINGS = ("eta", "churn", "beta", "h0")  # of samplers; each has a flag
APART = 1e-9  # of neighbouring noise levels, relative
UNSAID = [("sigma_max", None), ("start", "noise"), ("rho", None)]


@dataclasses.dataclass(frozen=True)
class SamplingPlan:
    """How many images are generated, and by which member of the sampler family."""

    num: int
    steps: int
    sampler: str = "ddpm"
    grid: str = "ddpm"
    eta: float | None = None  # this and the next three: None is the sampler's own
    clip: bool = True
    sigma_max: float | None = None  # None: the grid's own
    start: str = "noise"  # or one of starts.STARTS
    churn: float | None = None
    beta: float | None = None
    h0: float | None = None
    rho: float | None = None  # of the karras grid; None is its own

    def __post_init__(self) -> None:
        for name in ("num", "steps", "sigma_max", "rho", *SETTINGS):
            if (value := getattr(self, name)) is not None:
                flag = name.replace("_", "-")
                BOUNDS[flag].check(value, f"--{flag}")
        if not WORK.low <= self.num * self.steps <= WORK.high:
            raise UsageError(
                f"times --num must lie in {WORK}; found {self.steps} times {self.num}", "--steps"
            )
        if self.grid not in GRIDS:
            raise UsageError(f"unknown grid {self.grid!r}; available: {', '.join(GRIDS)}", "--grid")
        if self.rho is not None and self.grid != "karras":
            raise UsageError(f"is a setting of --grid karras; found --grid {self.grid}", "--rho")
        if self.rho is not None and self.sampler == "ks":
            raise UsageError("is of samplers that follow a grid; ks follows none", "--rho")
        if self.rho == KARRAS_RHO:
            object.__setattr__(self, "rho", None)  # one plan, one id
        own = self.named.settings
        for name in SETTINGS:
            value = getattr(self, name)
            if value is None:
                object.__setattr__(self, name, own.get(name))
                continue
            if name not in own:
                has = ", ".join(f"--{key}" for key in own if key in SETTINGS) or "no settings"
                raise UsageError(f"{self.sampler} has none; it has {has}", f"--{name}")
        if self.member.settings.get("variance") == "beta" and self.eta != 1:
            raise UsageError(
                f"must be 1, for which {self.sampler} is defined; found {self.eta}", "--eta"
            )
        if self.start not in ("noise", *STARTS):
            raise UsageError(
                f"unknown start {self.start!r}; available: noise, {', '.join(STARTS)}", "--start"
            )
        check_falling(self.sigmas)  # raises, too, for steps and levels the grid does not have

    @functools.cached_property
    def named(self) -> Sampler:
        """The sampler named, or the function at module:attr or path/to/file.py:attr, as it comes; read once."""
        if ":" in self.sampler:
            with concerning("--sampler"):
                function = plugins.imported(self.sampler, "the sampler")
                check_signature(self.sampler, function)
            return Sampler(function, {})
        if self.sampler not in SAMPLERS:
            raise UsageError(
                f"unknown sampler {self.sampler!r}; available: {', '.join(SAMPLERS)}; or file.py:attr",
                "--sampler",
            )
        return SAMPLERS[self.sampler]

    @property
    def member(self) -> Sampler:
        """The sampler with these settings."""
        sampler = self.named
        return sampler.set(
            **{name: getattr(self, name) for name in SETTINGS if name in sampler.settings}
        )

    @property
    def sigmas(self) -> Tensor:
        """The noise levels, float64 (steps + 1,), falling to 0."""
        own = {} if self.rho is None else {"rho": self.rho}
        return GRIDS[self.grid](self.steps, self.sigma_max, **own)

    def check_start(self, dataset: Dataset) -> None:
        """Raise UsageError if there are fewer held-out digits to start from than images are asked for."""
        if self.start == "held-out" and self.num > len(dataset.held_out):
            there = len(dataset.held_out)
            raise UsageError(f"held-out has {there} images; found --num {self.num}", "--start")

    def unconverged(self, count: int) -> list[str]:
        """A sentence if a sampler that stops by itself ran out of steps with `count` images."""
        if not count:
            return []
        return [
            f"{count} of {self.num} images had not come down to sigma {self.sigmas[-2].item():.3g} "
            f"when the {self.steps} steps of {self.sampler} were over; choose more --steps"
        ]

    def to_json(self) -> dict[str, Any]:
        """All that decides the distribution of the images, besides the denoiser.

        A whole chain is not spelled out, nor what is the grid's own.
        """
        facts = {
            key: value for key, value in dataclasses.asdict(self).items() if key not in SETTINGS
        }
        # The name says it.
        facts |= {key: value for key, value in self.member.settings.items() if key != "order"}
        if ":" in self.sampler:
            facts["source"] = registry.source(self.sampler)
        return {key: value for key, value in facts.items() if (key, value) not in UNSAID}


def check_falling(sigmas: Tensor) -> None:
    """Raise UsageError for noise levels that a sampler cannot tell apart: some divide by the step between two."""
    positive = sigmas[:-1]
    if (positive[:-1] < (1 + APART) * positive[1:]).any():
        raise UsageError(
            f"must be fewer: {len(positive)} levels between {positive[-1]:.4g} and {positive[0]:.4g} are too close "
            "to each other; or begin at a higher --sigma-max",
            "--steps",
        )


def check_signature(name: str, sampler: Any) -> None:
    """Raise UsageError for what cannot be called as a sampler is."""
    try:
        inspect.signature(sampler).bind(None, None, None, None, clip=True, callback=None)
    except (
        TypeError,
        ValueError,
    ):  # no callable, other parameters, or a builtin that does not say which it has
        raise UsageError(
            f"{name} is no sampler: expected a function (denoiser, x, sigmas, noise, *, clip=True, callback=...), "
            f"found {describe(sampler)}; see docs/bring-your-own.md"
        ) from None


def describe(thing: Any) -> str:
    """What was found where a function was expected, with its parameters where it says them."""
    try:
        return f"{type(thing).__name__} {inspect.signature(thing)}"
    except (TypeError, ValueError):
        return type(thing).__name__


PRESETS = {
    "quick": SamplingPlan(num=256, steps=20),
    "standard": SamplingPlan(num=2000, steps=50),
    "paper": SamplingPlan(num=10_000, steps=1000),
}


def asked(protocol: str, given: Mapping[str, Any]) -> SamplingPlan:
    """A preset with what was asked for in its place; a sampler that is named has its own settings."""
    own = dict.fromkeys(SETTINGS) if "sampler" in given else {}
    return dataclasses.replace(PRESETS[protocol], **own | dict(given))
