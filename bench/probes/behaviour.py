"""What does a denoiser behave like: was it trained on what it declares, and what has it learnt?"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bench import machine
from bench.probes.subject import (
    BARE,
    FAIL,
    FEW,
    LEVELS,
    NOTE,
    OK,
    SOME,
    Outcome,
    Subject,
    Unusable,
    probe,
    shown,
)
from denoisers import framing
from denoisers.base import Denoiser
from denoisers.framing import by, declare
from denoisers.schedule import vp_scale
from denoisers.units import GREY, from_grey_levels, grey_levels
from denoisers.wrappers import from_size, sized, to_size

Call = Callable[[Tensor, Tensor], Tensor]
BODY = (20, 20)  # the pixels that hold a digit of MNIST, without its margins
# Report a misfit only if undoing it cuts the error by more than 10 %: of no sound network so far it
# was cut at all.
CLEARLY = 0.9
# The same of the frame, in networks that know digits: ours lose a quarter by the wrong one.
FRAMED = 0.97


def removes(subject: Subject) -> Outcome:
    """The squared error is below sigma^2 all over the declared band.

    Digits may not be its images: a network that is right at most levels passes, with a note.
    """
    levels = subject.band(LEVELS[0], LEVELS[-1], 6)
    left = [subject.error(sigma) for sigma in levels]
    removed = sum(value < 0.99 for value in left)
    verdict = OK if removed == len(levels) else NOTE if 2 * removed >= len(levels) else FAIL
    remedy = "see `coordinates`; if that is ok, the declared band "
    remedy += "(Spec.sigma_min, sigma_max) is too wide"
    return Outcome(verdict, f"squared error / sigma^2: {shown(levels, left)}", remedy)


def frame(subject: Subject) -> Outcome:
    """It is asked about images of the size that it was trained on: digits, bare or in a black frame."""
    framed = tuple(subject.x0.shape[-2:])
    size = subject.denoiser.spec.size or framed
    if subject.refused:
        text = f"it takes images of {by(size)} only ({subject.refused}); "
        text += "the other checks were made on those"
        remedy = f"if it was trained on images of {by(size)}, declare {declare(size)}"
        return Outcome(FAIL, text, remedy)
    levels = subject.band(1.0, 10.0, 4)  # at which a network must know where things are
    answers = [subject.call(sigma) for sigma in levels]
    if not all(is_black_around(answer, size) for answer in answers):
        text = f"declared to be of {by(size)} images, but what it returns around them is not black"
        remedy = "wrappers act on Spec.size; in a Denoiser of your own, "
        return Outcome(FAIL, text, remedy + "denoisers.wrappers.sized does the same")
    text = f"asked about images of {by(size)}"
    for other in [other for other in (BARE, framed) if other != size]:
        try:
            ratio, clearly = another_size(subject, other, levels, answers)
        except (ValueError, RuntimeError, AssertionError):
            text += f"; it takes none of {by(other)}"
            continue
        text += f"; its squared error on {by(other)} ones is {ratio:.3g} times as large"
        if clearly:
            surroundings = "without the frame" if other == BARE else "black around the digits"
            remedy = f"it behaves as if it was trained on images of {by(other)}, {surroundings}"
            return Outcome(FAIL, text, f"{remedy}: {declare(other)}")
    return Outcome(OK, text)


def is_black_around(denoised: Tensor, size: tuple[int, int]) -> bool:
    """Whether images are black outside of their middle of that size."""
    middle = to_size(denoised, torch.zeros(()), size)
    return torch.equal(from_size(middle, denoised, size), denoised)


def another_size(
    subject: Subject, size: tuple[int, int], levels: list[float], answers: list[Tensor]
) -> tuple[float, bool]:
    """Squared error, asked about images of `size`, over that of `answers`; whether clearly less.

    Less of a difference is enough in a network that knows digits, better than the Wiener filter:
    one that was trained on other images gains or loses a little by any change of its surroundings.
    """
    plain, known, ratios, digits = framing.unsized(subject.denoiser), probe(), [], False
    for sigma, answer in zip(levels, answers, strict=True):
        x = subject.noisy(sigma)
        now = body(subject, sized(size, plain, x, torch.tensor(sigma)))
        ratios.append(now / max(body(subject, answer), 1e-9))
        digits |= now < body(subject, known.wiener(x, sigma))
    ratio = math.prod(ratios) ** (1 / len(ratios))
    return ratio, ratio < (FRAMED if digits else CLEARLY) and max(ratios) < 1.02


def body(subject: Subject, denoised: Tensor) -> float:
    """Mean squared error where the digit is: networks are worse at the edges of any image."""
    return to_size(denoised - subject.x0, torch.zeros(()), BODY).square().mean().item()


def guesses(subject: Subject) -> dict[str, Call]:
    """How D would have to be called, or undone, if it had one of the usual misunderstandings."""
    d = subject.denoiser
    expected: dict[str, Call] = {
        "images in [0, 1]: value_range=(0, 1)": lambda x, s: 2 * d((x + 1) / 2, s / 2) - 1,
        "images in [0, 255]: value_range=(0, 255)": lambda x, s: (
            d((x + 1) * GREY, grey_levels(s)) / GREY - 1
        ),
        "images in [-1, 1]: value_range=(-1, 1)": lambda x, s: (d(2 * x - 1, 2 * s) + 1) / 2,
        "sigma in grey levels: hand it 127.5 sigma": lambda x, s: d(x, grey_levels(s)),
        "sigma on [-1, 1], and is told grey levels": lambda x, s: d(x, from_grey_levels(s)),
        "sigma on [0, 1]: hand it sigma / 2": lambda x, s: d(x, s / 2),
        "sigma on [-1, 1], and is told half of it": lambda x, s: d(x, 2 * s),
        "the variance: hand it sigma^2": lambda x, s: d(x, s**2),
        "VP images: hand it x / sqrt(1 + sigma^2)": lambda x, s: d(vp_scale(s) * x, s),
    }
    returned: dict[str, Call] = {
        "the residual: the image is x minus what it returns": lambda x, s: x - d(x, s),
        "eps: the image is x - sigma times what it returns (VPDenoiser)": lambda x, s: (
            x - s * d(x, s)
        ),
        "the residual with the wrong sign: the image is 2 x minus what it returns": lambda x, s: (
            2 * x - d(x, s)
        ),
    }
    calls = {f"it behaves as if it expected {what}": call for what, call in expected.items()}
    return calls | {f"it returns {what}": call for what, call in returned.items()}


def coordinates(subject: Subject) -> Outcome:
    """No other way of calling it, or of reading its answer, denoises clearly better."""
    levels = subject.band(0.1, 3.0, 3)
    declared = [subject.left(sigma, subject.call(sigma)[:SOME]).mean().item() for sigma in levels]
    gains = {
        guess: gain(subject, call, levels, declared) for guess, call in guesses(subject).items()
    }
    best = min(gains, key=gains.get)
    if gains[best] > CLEARLY:
        return Outcome(OK, "range, unit and sign as declared")
    return Outcome(FAIL, f"its squared error would be {gains[best]:.2g} times what it is", best)


def gain(subject: Subject, call: Call, levels: list[float], declared: list[float]) -> float:
    """Squared error of another call over the declared one's; infinite if it is worse at one level."""
    ratios = []
    for sigma, was in zip(levels, declared, strict=True):
        denoised = call(subject.noisy(sigma, SOME), torch.tensor(sigma))
        now = subject.left(sigma, denoised).mean().item()
        ratios.append(max(now, 1e-6) / max(was, 1e-6))
        if not (now < 1 and ratios[-1] < 1.005):  # NaN too
            return math.inf
    return math.prod(ratios) ** (1 / len(ratios))


def reach(subject: Subject) -> Outcome:
    """Where it removes noise at all, and where more than the Wiener filter of digits.

    One that nowhere in its band removes more than that has no weights worth the name, or knows
    other images only.
    """
    spec, known = subject.denoiser.spec, probe()
    levels = sorted({*LEVELS, *subject.band(LEVELS[0], LEVELS[-1], len(LEVELS))})
    removes, better, useful = [], [], []
    for sigma in levels:
        x, left = subject.noisy(sigma), subject.error(sigma)
        wiener = subject.left(sigma, known.wiener(x, sigma)).mean().item()
        mean = subject.left(sigma, known.mean(x, sigma)).mean().item()
        if left < 0.99:
            removes.append(sigma)
        if left < 0.99 * wiener:
            better.append(sigma)
        if left < 0.99 * min(1.0, mean):
            useful.append(sigma)
    text = f"removes noise {span(removes, levels)}; "
    text += f"more than the Wiener filter of digits {span(better, levels)}"
    remedy = ""
    if not any(spec.in_band(sigma) for sigma in better):
        least = any(spec.in_band(sigma) for sigma in useful)
        other = "the Wiener filter of digits" if least else "the mean digit or x itself"
        remedy = f"removes no more noise than {other} at any level of its band"
        if has_parameters(subject.denoiser):
            remedy += ": are its weights loaded?"
    return Outcome(NOTE, text, remedy)


def has_parameters(denoiser: Denoiser) -> bool:
    """Whether it holds what is learnt."""
    return next(denoiser.parameters(), None) is not None


def span(some: list[float], levels: list[float]) -> str:
    """In words, which of the levels these are."""
    if not some:
        return "nowhere"
    gaps = "" if len(some) == levels.index(some[-1]) - levels.index(some[0]) + 1 else ", with gaps"
    return f"for sigma {some[0]:.2g} to {some[-1]:.2g}{gaps}"


def residual(subject: Subject) -> Outcome:
    """sigma_hat = RMS(x - D) over sigma.

    A posterior mean has sigma_hat^2 + MSE = sigma^2, on images like its own.
    """
    levels = subject.band(0.05, 5.0, 3)
    residuals = [subject.noisy(s) - subject.call(s) for s in levels]
    rms = [residual.square().mean().sqrt() for residual in residuals]
    ratios = [(value / s).item() for value, s in zip(rms, levels, strict=True)]
    sums = [ratio**2 + subject.error(s) for s, ratio in zip(levels, ratios, strict=True)]
    text = f"sigma_hat / sigma: {shown(levels, ratios)}; "
    text += f"with the error (1 for a posterior mean): {shown(levels, sums)}"
    return Outcome(NOTE, text)


def homogeneity(subject: Subject) -> Outcome:
    """D(2 x; 2 sigma) against 2 D(x; sigma): 0 for networks without biases."""
    sigma = subject.band(0.2, 1.0, 1)[0]
    once, twice = (subject.ask(by * subject.noisy(sigma, FEW), by * sigma) for by in (1, 2))
    gap = ((twice - 2 * once).norm() / (2 * once).norm()).item()
    return Outcome(NOTE, f"|D(2x; 2s) - 2D(x; s)| / |2D| = {gap:.2g}")


def dc_gain(subject: Subject) -> Outcome:
    """How much of a constant added to x is in D.

    A prior must forget it in much noise; a local filter cannot.
    """
    levels, gains = [0.1, 1.0, 10.0, LEVELS[-1]], []
    for sigma in levels:
        constant = sigma / 10
        moved = subject.ask(subject.noisy(sigma, FEW) + constant, sigma)
        gains.append((moved - subject.call(sigma)[:FEW]).mean().item() / constant)
    return Outcome(NOTE, shown(levels, gains))


def cost(subject: Subject) -> Outcome:
    """Time, and the process's memory at its peak so far."""
    if not subject.answers:
        raise Unusable("it answered nothing finite")
    per_image = subject.seconds / (len(subject.answers) * len(subject.x0))
    parameters = sum(p.numel() for p in subject.denoiser.parameters())
    memory = machine.peak_memory() / 2**30
    text = f"{1e3 * per_image:.2g} ms an image, {parameters:,} parameters, "
    return Outcome(NOTE, text + f"peak memory {memory:.2g} GiB")
