"""What `run.json` says of a run: as code has it, as JSON, and the checks of what is read back."""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench import files
from bench.bounds import is_number
from bench.runs import fingerprint
from denoisers.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from denoisers.base import Denoiser

SAMPLER = {
    "num": int,
    "steps": int,
    "sampler": str,
    "grid": str,
    "start": str,
    "sigma_max": float,
    "rho": float,
    "clip": bool,
}
SPEC = {"sigma_min": float, "sigma_max": float}
OBJECTS = ("options", "sampler", "spec", "card", "cost", "versions", "execution")
NUMBERS = ("out_of_band", "nfe", "peak_memory_bytes", "parameters", "unconverged")
FIELDS: dict[str, Any] = {
    **dict.fromkeys(OBJECTS, dict),
    **dict.fromkeys(NUMBERS, float),
    **dict.fromkeys(("argv", "warnings", "way"), list),
    "seed": int,
    "denoiser": str,
    "name": str,
}
NAMED = {int: "a whole number, not negative", float: "a number, not negative"}


@dataclasses.dataclass(frozen=True)
class Identity:
    """Whatever changes the images: the id of a run, and what may be resumed, depend on it.

    weights    of the denoiser, as card@digest
    sampler    `SamplingPlan.to_json`
    dataset    name@digest
    source     digests of code that is not ours; empty for a built-in denoiser
    arguments  of such code: of files the digest of their content
    way        what changes images beyond dtype: see `execution.Way.identity`
    """

    denoiser: str
    weights: str
    options: Mapping[str, str]
    sampler: Mapping[str, Any]
    seed: int
    dataset: str
    dtype: str
    noise_version: int
    source: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    way: Sequence[str] = ()

    @property
    def run_id(self) -> str:
        """What the folder of the run is called."""
        plan = self.sampler
        name = f"{files.slug(plan['sampler'])}-{plan['grid']}-{plan['steps']}steps-n{plan['num']}"
        return f"{name}-seed{self.seed}-{fingerprint(self.to_json())}"

    def to_json(self) -> dict[str, Any]:
        """As `run.json` says it; source and arguments belong together, and the plain way is not said."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if not self.source:
            del content["source"], content["arguments"]
        if not self.way:
            del content["way"]
        return content


def arguments(weights: str | None, options: Mapping[str, str]) -> dict[str, str]:
    """What foreign code is given, which need not say what its weights are: of files their content."""
    from denoisers.weights import content

    given = {"weights": weights, **options}
    return {key: content(value) for key, value in given.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """`run.json` as a run begins; what it has cost is added when the images are there.

    spec, card   of the denoiser, as JSON
    out_of_band  share of the steps at noise levels that the network was not trained on
    nfe          calls of the denoiser per image
    execution    how its networks are run: see `execution.Runner.to_json`
    """

    identity: Identity
    spec: Mapping[str, Any]
    card: Mapping[str, Any]
    warnings: list[str]
    out_of_band: float
    nfe: float
    parameters: int
    execution: Mapping[str, Any]
    device: str
    versions: Mapping[str, str]
    commit: str | None
    argv: list[str]
    started: str

    @property
    def doubts(self) -> list[str]:
        """What a user should know before believing a number: noise that was never trained on first."""
        if not self.out_of_band:
            return self.warnings
        low, high = self.spec["sigma_min"], self.spec["sigma_max"]
        outside = (
            f"{self.out_of_band:.0%} of the steps lie outside the noise band {self.identity.denoiser} was trained on "
            f"(sigma {low:.4g} to {math.inf if high is None else high:.4g} on [-1, 1])"
        )
        return [outside, *self.warnings]

    @classmethod
    def of(
        cls,
        identity: Identity,
        denoiser: "Denoiser",
        sigmas: "Tensor",
        device: str,
        execution: Mapping[str, Any],
        doubts: list[str],
    ) -> "RunFacts":
        """What is known of a run before its first image, here and now.

        sigmas  its noise levels, float64 (steps + 1,)
        doubts  of the denoiser, beside those of its card
        """
        from bench import machine  # it brings torch, which who reads run.json does without
        from denoisers import weights

        levels = sigmas[:-1].tolist()
        return cls(
            identity,
            denoiser.spec.to_json(),
            denoiser.card,
            [*weights.warnings(denoiser.card), *doubts],
            sum(not denoiser.spec.in_band(sigma) for sigma in levels) / len(levels),
            len(levels),
            sum(p.numel() for p in denoiser.parameters()),
            execution,
            machine.device_name(device),
            machine.versions(),
            machine.commit(),
            sys.argv[1:],
            datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def to_json(self) -> dict[str, Any]:
        """In one level, the identity first."""
        names = [field.name for field in dataclasses.fields(self)[1:]]
        return self.identity.to_json() | {name: getattr(self, name) for name in names}


def check(content: Mapping[str, Any]) -> None:
    """Raise UsageError if `run.json`, a run's or that of images made elsewhere, is not as we write it."""
    check_types(content, FIELDS, "run.json")
    check_named(content)
    cost, spec = content.get("cost") or {}, content.get("spec") or {}
    check_types(cost, dict.fromkeys(cost, float), "run.json")
    check_types(spec, SPEC, "run.json")
    low, high = spec.get("sigma_min") or 0, spec.get("sigma_max")
    if high is not None and not low <= high:
        raise UsageError(f"run.json has trained noise levels from {low} to {high}")
    if "sampler" in content:
        check_sampler(content["sampler"] or {})


def check_named(content: Mapping[str, Any]) -> None:
    """Raise UsageError if `run.json` does not say what made the images, or what they are called."""
    if content.get("denoiser") is None and ("denoiser" in content or content.get("name") is None):
        raise UsageError("run.json names no denoiser, and no images")


def check_sampler(sampler: Mapping[str, Any]) -> None:
    """Raise UsageError if the sampler of a run is not said as `SamplingPlan.to_json` does."""
    check_types(sampler, SAMPLER, "run.json")
    for name in ("num", "steps", "sampler", "grid"):
        if sampler.get(name) is None:
            raise UsageError(f"run.json does not say the {name} of its sampler")
    for name in ("sigma_max", "rho"):
        if name in sampler and sampler[name] is None:
            raise UsageError(f"run.json has no number for {name}")


def check_types(content: Mapping[str, Any], types: Mapping[str, Any], file: str) -> None:
    """Raise UsageError if a field is not of its type; it may be missing or null.

    Numbers are not negative: int for counts, float for any.
    """
    for name, kind in types.items():
        value = content.get(name)
        if value is None:
            continue
        fits = is_number(value, kind) if kind in NAMED else isinstance(value, kind)
        if not fits:
            what = value if isinstance(value, int | float) else type(value).__name__
            raise UsageError(
                f"{file} has {what} for {name}, expected {NAMED.get(kind, kind.__name__)}"
            )
