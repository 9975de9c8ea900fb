"""Does a denoiser keep the contract, and if not, what does it behave like?

    from bench.check import assert_conforms

    def test_my_denoiser():
        assert_conforms("mine")  # or a Denoiser

Measured on held-out digits of the embedded data set; nothing is downloaded.
"""

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

import denoisers
from bench import data, machine
from bench.noise import noise
from denoisers.base import Denoiser
from denoisers.controls import gaussian
from denoisers.schedule import vp_scale

OK, FAIL, NOTE = "ok", "FAIL", "note"
NUM = 32  # images
LOWEST, HIGHEST = 0.02, 160.0  # noise levels of a reverse diffusion
CLEARLY = 0.9  # a misunderstanding costs more than this; no sound network measured so far gained anything
LEVELS = torch.logspace(math.log10(LOWEST), math.log10(HIGHEST), 14).tolist()


class Row(NamedTuple):
    """What one check found; `remedy` says what to do about a failure."""

    check: str
    verdict: str
    found: str
    remedy: str = ""


@dataclasses.dataclass
class Subject:
    """A denoiser under test, with digits x0 (B, 1, H, W) in [-1, 1] and noise of their shape."""

    denoiser: Denoiser
    x0: Tensor
    z: Tensor
    wiener: Callable[[Tensor, Tensor], Tensor]

    def noisy(self, sigma: float) -> Tensor:
        return self.x0 + sigma * self.z

    def call(self, sigma: float) -> Tensor:
        return self.denoiser(self.noisy(sigma), torch.tensor(sigma))

    def error(self, sigma: float, call: Callable[[Tensor, Tensor], Tensor] | None = None) -> float:
        """Mean squared error of D, or of `call`, over that of x: the share of the noise that is left."""
        denoised = (call or self.denoiser)(self.noisy(sigma), torch.tensor(sigma))
        return ((denoised - self.x0).square().mean() / (sigma * self.z).square().mean()).item()

    def band(self, low: float, high: float, count: int) -> list[float]:
        """`count` levels of the declared band, no lower than `low` and no higher than `high` if it reaches there."""
        spec = self.denoiser.spec
        ends = min(max(spec.sigma_min, low), spec.sigma_max), max(min(spec.sigma_max, high), spec.sigma_min)
        return torch.logspace(*map(math.log10, ends), count if ends[0] < ends[1] else 1).tolist()


def show(levels: list[float], values: list[float]) -> str:
    """In words, as in: 0.12 at 0.05, 0.08 at 0.4."""
    return ", ".join(f"{value:.2g} at {level:.2g}" for level, value in zip(levels, values, strict=True))


def facts(subject: Subject) -> Row:
    """Spec and card are strict JSON: `run.json` records them."""
    spec = subject.denoiser.spec
    found = f"{spec.prediction_type}, {'blind' if spec.blind else 'told sigma'}, {in_both_units(spec)}"
    try:
        json.dumps([spec.to_json(), subject.denoiser.card], allow_nan=False)
    except (TypeError, ValueError) as error:
        return Row("facts", FAIL, f"spec or card: {error}", "plain numbers, strings, lists and dicts only")
    return Row("facts", OK, found)


def in_both_units(spec: denoisers.base.Spec) -> str:
    """The noise band, for images in [-1, 1] and in grey levels."""
    low, high = spec.sigma_min, spec.sigma_max
    return f"sigma {low:.4g} to {high:.4g} ({127.5 * low:.4g} to {127.5 * high:.4g} grey levels)"


def shapes(subject: Subject) -> Row:
    """float32 (B, C, H, W) for sigma of shape () and (B,), and the same for both."""
    sigma = subject.band(0.1, 1.0, 1)[0]
    x = subject.noisy(sigma)
    found = [subject.denoiser(x, torch.tensor(sigma)), subject.denoiser(x, torch.full((len(x),), sigma))]
    for kind, image in zip(("()", "(B,)"), found, strict=True):
        if image.shape != x.shape or image.dtype != torch.float32:
            said = f"{image.dtype} {tuple(image.shape)} for sigma {kind}"
            return Row("shapes", FAIL, said, f"return float32 {tuple(x.shape)}, as x")
    gap = (found[0] - found[1]).abs().max().item()
    remedy = "make sigma broadcast: denoisers.base.expand_as(sigma, x)"
    return Row("shapes", OK if gap < 1e-3 else FAIL, f"sigma () and (B,) differ by {gap:.1g}", remedy)


def rows(subject: Subject) -> Row:
    """Image i does not depend on the other images of the batch, nor on their noise levels."""
    levels = torch.tensor((subject.band(0.05, 20.0, 4) * 4)[:4])  # a band may be one level
    x = subject.x0[:4] + levels[:, None, None, None] * subject.z[:4]
    together = subject.denoiser(x, levels)
    alone = torch.cat([subject.denoiser(x[i : i + 1], levels[i : i + 1]) for i in range(4)])
    gap = ((together - alone).abs().amax((1, 2, 3)) / (1 + levels)).max().item()
    remedy = "it depends on its batch neighbours: no batch statistics (use .eval(), GroupNorm), no mean over dim 0"
    return Row("each image by itself", OK if gap < 1e-3 else FAIL, f"alone and in a batch differ by {gap:.1g}", remedy)


def repeatable(subject: Subject) -> Row:
    """The same answer twice; x untouched; no global random numbers; eval mode."""
    sigma = subject.band(0.1, 1.0, 1)[0]
    x, state = subject.noisy(sigma), torch.get_rng_state()
    kept = x.clone()
    gap = (subject.denoiser(x, torch.tensor(sigma)) - subject.denoiser(x, torch.tensor(sigma))).abs().max().item()
    faults = {
        "it changes its input: clone x before writing into it": not torch.equal(x, kept),
        "it draws from the global generator: seed a generator of its own, by x or sigma": not torch.equal(
            state, torch.get_rng_state()
        ),
        "call .eval() on its networks": any(module.training for module in subject.denoiser.modules()),
        "the same x and sigma must give the same image (dropout? noise?)": gap > 1e-5,
    }
    remedy = "; ".join(fault for fault, present in faults.items() if present)
    return Row("repeatable", FAIL if remedy else OK, f"two calls differ by {gap:.1g}", remedy)


def sizes(subject: Subject) -> Row:
    """Images whose sides are not multiples of anything."""
    sigma = torch.tensor(subject.band(0.1, 1.0, 1)[0])
    x = torch.nn.functional.interpolate(subject.x0[:2], (29, 37), mode="bilinear") + sigma * noise(
        1, torch.arange(2), 0, (1, 29, 37)
    )
    try:
        shape = tuple(subject.denoiser(x, sigma).shape)
    except ValueError as error:
        return Row("odd sizes", NOTE, f"knows one size only: {error}")
    except RuntimeError as error:
        return Row(
            "odd sizes", FAIL, f"29 x 37: {first_line(error)}", "declare Spec.multiple_of; wrappers pad and crop"
        )
    return Row("odd sizes", OK if shape == tuple(x.shape) else FAIL, f"29 x 37 gives {shape}", "return the size of x")


def finite(subject: Subject) -> Row:
    """Neither NaN nor infinity, at any noise of a reverse diffusion, in band or not."""
    bad = [sigma for sigma in (0.002, *LEVELS) if not torch.isfinite(subject.call(sigma)).all()]
    found = f"NaN or infinity at sigma {bad[0]:.3g}" if bad else f"sigma 0.002 to {HIGHEST:g}"
    return Row("finite", FAIL if bad else OK, found, "no division by what can be 0, no exponent without a bound")


def told(subject: Subject) -> Row:
    """A network that says it is told sigma answers differently to another sigma."""
    spec = subject.denoiser.spec
    levels = subject.band(0.05, 5.0, 3)
    gaps = [
        (subject.call(s) - subject.denoiser(subject.noisy(s), torch.tensor(s / 2))).abs().max().item() for s in levels
    ]
    uses = max(gaps) > 1e-4
    found = "its answer depends on sigma" if uses else "its answer does not depend on sigma"
    if uses == spec.blind:
        found += f", declared {'blind' if spec.blind else 'told sigma'}"
    wrong = not uses and not spec.blind
    return Row("noise level", FAIL if wrong else OK, found, "declare Spec(blind=True), or hand sigma to the network")


def removes(subject: Subject) -> Row:
    """The squared error is below sigma^2 all over the declared band.

    Digits may not be its images: a network that is right at most levels passes, with a note.
    """
    levels = subject.band(LOWEST, HIGHEST, 6)
    left = [subject.error(sigma) for sigma in levels]
    removed = sum(value < 0.99 for value in left)
    verdict = OK if removed == len(levels) else NOTE if 2 * removed >= len(levels) else FAIL
    remedy = "see `coordinates`; if that is ok, the declared band (Spec.sigma_min, sigma_max) is too wide"
    return Row("removes noise", verdict, f"squared error / sigma^2: {show(levels, left)}", remedy)


def guesses(subject: Subject) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """What D would have to be called like, or undone like, if it had one of the usual misunderstandings."""
    d = subject.denoiser
    return {
        "it behaves as if it expected images in [0, 1]: value_range=(0, 1)": lambda x, s: 2 * d((x + 1) / 2, s / 2) - 1,
        "it behaves as if it expected images in [0, 255]: value_range=(0, 255)": lambda x, s: (
            d((x + 1) * 127.5, s * 127.5) / 127.5 - 1
        ),
        "it behaves as if it expected images in [-1, 1]: value_range=(-1, 1)": lambda x, s: (
            (d(2 * x - 1, 2 * s) + 1) / 2
        ),
        "it behaves as if it expected sigma in grey levels: hand it 127.5 sigma": lambda x, s: d(x, 127.5 * s),
        "it behaves as if it expected sigma on [-1, 1], and is told grey levels": lambda x, s: d(x, s / 127.5),
        "it behaves as if it expected sigma on [0, 1]: hand it sigma / 2": lambda x, s: d(x, s / 2),
        "it behaves as if it expected sigma on [-1, 1], and is told half of it": lambda x, s: d(x, 2 * s),
        "it behaves as if it expected the variance: hand it sigma^2": lambda x, s: d(x, s**2),
        "it behaves as if it expected VP images: hand it x / sqrt(1 + sigma^2)": lambda x, s: d(vp_scale(s) * x, s),
        "it returns the residual: the image is x minus what it returns": lambda x, s: x - d(x, s),
        "it returns eps: the image is x - sigma times what it returns (VPDenoiser)": lambda x, s: x - s * d(x, s),
        "it returns the residual with the wrong sign: the image is 2 x minus what it returns": lambda x, s: (
            2 * x - d(x, s)
        ),
    }


def coordinates(subject: Subject) -> Row:
    """No other way of calling it, and no other reading of its answer, denoises clearly better than the declared one."""
    levels = subject.band(0.1, 3.0, 3)
    declared = [subject.error(s) for s in levels]
    gains = {}
    for guess, call in guesses(subject).items():
        left = [subject.error(s, call) for s in levels]
        ratios = [max(now, 1e-6) / max(was, 1e-6) for now, was in zip(left, declared, strict=True)]
        if max(left) < 1 and max(ratios) < 1.005:  # it denoises, and is nowhere worse
            gains[guess] = math.prod(ratios) ** (1 / len(ratios))
    best = min(gains, key=gains.get, default="")
    if not best or gains[best] > CLEARLY:
        return Row("coordinates", OK, "range, unit and sign as declared")
    return Row("coordinates", FAIL, f"its squared error would be {gains[best]:.2g} times what it is", best)


def reach(subject: Subject) -> Row:
    """Where it removes noise at all, and where it is better than the Wiener filter of digits."""
    removes, better = [], []
    for sigma in LEVELS:
        left = subject.error(sigma)
        removes += [sigma] if left < 1 else []
        better += [sigma] if left < subject.error(sigma, subject.wiener) else []
    return Row("reach", NOTE, f"removes noise {span(removes)}; better than the Wiener filter {span(better)}")


def span(levels: list[float]) -> str:
    """In words, which of LEVELS these are."""
    if not levels:
        return "nowhere"
    first, last = LEVELS.index(levels[0]), LEVELS.index(levels[-1])
    gaps = "" if len(levels) == last - first + 1 else ", with gaps"
    return f"for sigma {levels[0]:.2g} to {levels[-1]:.2g}{gaps}"


def residual(subject: Subject) -> Row:
    """sigma_hat = RMS(x - D) over sigma. A posterior mean has sigma_hat^2 + MSE = sigma^2, on images like its own."""
    levels = subject.band(0.05, 5.0, 3)
    ratios = [((subject.noisy(s) - subject.call(s)).square().mean().sqrt() / s).item() for s in levels]
    sums = [ratio**2 + subject.error(s) for s, ratio in zip(levels, ratios, strict=True)]
    found = f"sigma_hat / sigma: {show(levels, ratios)}; with the error (1 for a posterior mean): {show(levels, sums)}"
    return Row("residual", NOTE, found)


def homogeneity(subject: Subject) -> Row:
    """D(2 x; 2 sigma) against 2 D(x; sigma): 0 for networks without biases."""
    sigma = subject.band(0.2, 1.0, 1)[0]
    twice = 2 * subject.call(sigma)
    found = subject.denoiser(2 * subject.noisy(sigma), torch.tensor(2 * sigma))
    return Row(
        "homogeneity", NOTE, f"|D(2x; 2s) - 2D(x; s)| / |2D| = {((found - twice).norm() / twice.norm()).item():.2g}"
    )


def dc_gain(subject: Subject) -> Row:
    """How much of a constant added to x is in D. A prior must forget it in much noise; a local filter cannot."""
    levels, gains = [0.1, 1.0, 10.0, 100.0], []
    for sigma in levels:
        shift = sigma / 10
        moved = subject.denoiser(subject.noisy(sigma) + shift, torch.tensor(sigma)) - subject.call(sigma)
        gains.append(moved.mean().item() / shift)
    return Row("DC gain", NOTE, show(levels, gains))


def cost(subject: Subject) -> Row:
    """Time, and the process's memory at its peak so far."""
    began = time.perf_counter()
    subject.call(1.0)
    per_image = (time.perf_counter() - began) / len(subject.x0)
    parameters = sum(p.numel() for p in subject.denoiser.parameters())
    memory = machine.peak_memory() / 2**30
    return Row(
        "cost", NOTE, f"{1e3 * per_image:.2g} ms an image, {parameters:,} parameters, peak memory {memory:.2g} GiB"
    )


CHECKS: tuple[Callable[[Subject], Row], ...] = (
    facts,
    shapes,
    rows,
    repeatable,
    sizes,
    finite,
    told,
    removes,
    coordinates,
    reach,
    residual,
    homogeneity,
    dc_gain,
    cost,
)


def first_line(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {str(error).strip() or type(error).__name__}".splitlines()[0]


@functools.cache
def probe() -> tuple[Tensor, Tensor, Denoiser]:
    """Digits, noise, and the Wiener filter of the training digits."""
    digits = data.load("mnist5k")
    x0 = data.to_float(digits.held_out[:NUM], digits.pad)
    return x0, noise(0, torch.arange(NUM), 0, digits.shape), gaussian(train=data.to_float(digits.train, digits.pad))


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def conformance(denoiser: Denoiser, num: int = NUM) -> list[Row]:
    """One row per check, on `num` digits; a check in which the denoiser raises has failed."""
    x0, z, wiener = probe()
    subject, found = Subject(denoiser, x0[:num], z[:num], wiener), []
    for check in CHECKS:
        try:
            found.append(check(subject))
        except Exception as error:
            found.append(Row(check.__name__, FAIL, first_line(error), "it must answer, whatever x and sigma > 0 are"))
    return found


def load(name: str, /, weights: str | None = None, **options: Any) -> Denoiser:
    """The denoiser called `name`; one that is made from data is made from the embedded digits."""
    digits = functools.cache(lambda: data.load("mnist5k"))
    return denoisers.load(name, weights, **data.ingredients(digits), **options)


def assert_conforms(denoiser: str | Denoiser, /, weights: str | None = None, num: int = NUM, **options: Any) -> None:
    """For the tests of a plug-in. Raises AssertionError with what failed, and the remedies."""
    found = load(denoiser, weights, **options) if isinstance(denoiser, str) else denoiser
    failed = [row for row in conformance(found, num) if row.verdict == FAIL]
    assert not failed, "\n".join(f"{row.check}: {row.found}; {row.remedy}" for row in failed)
