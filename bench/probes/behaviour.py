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
    Found,
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
# A misunderstanding costs more than this; no sound network measured so far gained anything.
CLEARLY = 0.9
# The same of the frame, in networks that know digits: ours lose a quarter by the wrong one.
FRAMED = 0.97


def removes(subject: Subject) -> Found:
    """The squared error is below sigma^2 all over the declared band.

    Digits may not be its images: a network that is right at most levels passes, with a note.
    """
    levels = subject.band(LEVELS[0], LEVELS[-1], 6)
    left = [subject.error(sigma) for sigma in levels]
    removed = sum(value < 0.99 for value in left)
    verdict = OK if removed == len(levels) else NOTE if 2 * removed >= len(levels) else FAIL
    remedy = "see `coordinates`; if that is ok, the declared band (Spec.sigma_min, sigma_max) is too wide"
    return Found(verdict, f"squared error / sigma^2: {shown(levels, left)}", remedy)


def frame(subject: Subject) -> Found:
    """It is asked about images of the size that it was trained on: bare digits, or digits in a black frame."""
    framed = tuple(subject.x0.shape[-2:])
    own = subject.denoiser.spec.size or framed
    if subject.refused:
        found = f"it takes images of {by(own)} only ({subject.refused}); the other checks were made on those"
        return Found(
            FAIL, found, f"if it was trained on images of {by(own)}, declare {declare(own)}"
        )
    levels = subject.band(1.0, 10.0, 4)  # where a network must know where things are
    answers = [subject.call(sigma) for sigma in levels]
    if not all(
        torch.equal(from_size(to_size(a, torch.zeros(()), own), a, own), a) for a in answers
    ):
        remedy = "wrappers act on Spec.size; in a Denoiser of your own, denoisers.wrappers.sized does the same"
        return Found(
            FAIL,
            f"declared to be of {by(own)} images, but what it returns around them is not black",
            remedy,
        )
    said = f"asked about images of {by(own)}"
    for other in [size for size in (BARE, framed) if size != own]:
        try:
            ratio, clearly = another_size(subject, other, levels, answers)
        except (ValueError, RuntimeError, AssertionError):
            said += f"; it takes none of {by(other)}"
            continue
        said += f"; its squared error on {by(other)} ones is {ratio:.3g} times as large"
        if clearly:
            around = ", without the frame" if other == BARE else ", black around the digits"
            return Found(
                FAIL,
                said,
                f"it behaves as if it was trained on images of {by(other)}{around}: {declare(other)}",
            )
    return Found(OK, said)


def another_size(
    subject: Subject, size: tuple[int, int], levels: list[float], answers: list[Tensor]
) -> tuple[float, bool]:
    """Squared error over that of `answers`, when the network is asked about images of `size`; whether clearly less.

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
    """Mean squared error where the digit is: networks are worse at the edges of whatever they are asked about."""
    return to_size(denoised - subject.x0, torch.zeros(()), BODY).square().mean().item()


def guesses(subject: Subject) -> dict[str, Call]:
    """What D would have to be called like, or undone like, if it had one of the usual misunderstandings."""
    d = subject.denoiser
    return {
        "it behaves as if it expected images in [0, 1]: value_range=(0, 1)": lambda x, s: (
            2 * d((x + 1) / 2, s / 2) - 1
        ),
        "it behaves as if it expected images in [0, 255]: value_range=(0, 255)": lambda x, s: (
            d((x + 1) * GREY, grey_levels(s)) / GREY - 1
        ),
        "it behaves as if it expected images in [-1, 1]: value_range=(-1, 1)": lambda x, s: (
            (d(2 * x - 1, 2 * s) + 1) / 2
        ),
        "it behaves as if it expected sigma in grey levels: hand it 127.5 sigma": lambda x, s: d(
            x, grey_levels(s)
        ),
        "it behaves as if it expected sigma on [-1, 1], and is told grey levels": lambda x, s: d(
            x, from_grey_levels(s)
        ),
        "it behaves as if it expected sigma on [0, 1]: hand it sigma / 2": lambda x, s: d(x, s / 2),
        "it behaves as if it expected sigma on [-1, 1], and is told half of it": lambda x, s: d(
            x, 2 * s
        ),
        "it behaves as if it expected the variance: hand it sigma^2": lambda x, s: d(x, s**2),
        "it behaves as if it expected VP images: hand it x / sqrt(1 + sigma^2)": lambda x, s: d(
            vp_scale(s) * x, s
        ),
        "it returns the residual: the image is x minus what it returns": lambda x, s: x - d(x, s),
        "it returns eps: the image is x - sigma times what it returns (VPDenoiser)": lambda x, s: (
            x - s * d(x, s)
        ),
        "it returns the residual with the wrong sign: the image is 2 x minus what it returns": lambda x, s: (
            2 * x - d(x, s)
        ),
    }


def coordinates(subject: Subject) -> Found:
    """No other way of calling it, and no other reading of its answer, denoises clearly better than the declared one."""
    levels = subject.band(0.1, 3.0, 3)
    declared = [subject.left(sigma, subject.call(sigma)[:SOME]).mean().item() for sigma in levels]
    gains = {
        guess: gain(subject, call, levels, declared) for guess, call in guesses(subject).items()
    }
    best = min(gains, key=gains.get)
    if gains[best] > CLEARLY:
        return Found(OK, "range, unit and sign as declared")
    return Found(FAIL, f"its squared error would be {gains[best]:.2g} times what it is", best)


def gain(subject: Subject, call: Call, levels: list[float], declared: list[float]) -> float:
    """Squared error of another call over the declared one's; infinite if it denoises not, or worse, at one level."""
    ratios = []
    for sigma, was in zip(levels, declared, strict=True):
        now = (
            subject.left(sigma, call(subject.noisy(sigma, SOME), torch.tensor(sigma))).mean().item()
        )
        ratios.append(max(now, 1e-6) / max(was, 1e-6))
        if not (now < 1 and ratios[-1] < 1.005):  # NaN too
            return math.inf
    return math.prod(ratios) ** (1 / len(ratios))


def reach(subject: Subject) -> Found:
    """Where it removes noise at all, and where more than the Wiener filter, which knows mean and covariance of digits.

    One that nowhere in its band removes more than that has no weights worth the name, or knows
    other images only.
    """
    spec, known = subject.denoiser.spec, probe()
    levels = sorted({*LEVELS, *subject.band(LEVELS[0], LEVELS[-1], len(LEVELS))})
    removes, better, useful = [], [], []
    for sigma in levels:
        x, left = subject.noisy(sigma), subject.error(sigma)
        wiener, mean = (
            subject.left(sigma, call(x, sigma)).mean().item() for call in (known.wiener, known.mean)
        )
        removes += [sigma] if left < 0.99 else []
        better += [sigma] if left < 0.99 * wiener else []
        useful += [sigma] if left < 0.99 * min(1.0, mean) else []
    found = f"removes noise {span(removes, levels)}; more than the Wiener filter of digits {span(better, levels)}"
    remedy = ""
    if not any(spec.in_band(sigma) for sigma in better):
        least = any(spec.in_band(sigma) for sigma in useful)
        other = "the Wiener filter of digits" if least else "the mean digit or x itself"
        remedy = f"removes no more noise than {other} at any level of its band"
        if has_parameters(subject.denoiser):
            remedy += ": are its weights loaded?"
    return Found(NOTE, found, remedy)


def has_parameters(denoiser: Denoiser) -> bool:
    """Whether it holds what is learnt."""
    return next(denoiser.parameters(), None) is not None


def span(some: list[float], levels: list[float]) -> str:
    """In words, which of the levels these are."""
    if not some:
        return "nowhere"
    gaps = "" if len(some) == levels.index(some[-1]) - levels.index(some[0]) + 1 else ", with gaps"
    return f"for sigma {some[0]:.2g} to {some[-1]:.2g}{gaps}"


def residual(subject: Subject) -> Found:
    """sigma_hat = RMS(x - D) over sigma.

    A posterior mean has sigma_hat^2 + MSE = sigma^2, on images like its own.
    """
    levels = subject.band(0.05, 5.0, 3)
    ratios = [
        ((subject.noisy(s) - subject.call(s)).square().mean().sqrt() / s).item() for s in levels
    ]
    sums = [ratio**2 + subject.error(s) for s, ratio in zip(levels, ratios, strict=True)]
    found = f"sigma_hat / sigma: {shown(levels, ratios)}; "
    found += f"with the error (1 for a posterior mean): {shown(levels, sums)}"
    return Found(NOTE, found)


def homogeneity(subject: Subject) -> Found:
    """D(2 x; 2 sigma) against 2 D(x; sigma): 0 for networks without biases."""
    sigma = subject.band(0.2, 1.0, 1)[0]
    once, twice = (subject.ask(by * subject.noisy(sigma, FEW), by * sigma) for by in (1, 2))
    return Found(
        NOTE,
        f"|D(2x; 2s) - 2D(x; s)| / |2D| = {((twice - 2 * once).norm() / (2 * once).norm()).item():.2g}",
    )


def dc_gain(subject: Subject) -> Found:
    """How much of a constant added to x is in D.

    A prior must forget it in much noise; a local filter cannot.
    """
    levels, gains = [0.1, 1.0, 10.0, LEVELS[-1]], []
    for sigma in levels:
        moved = (
            subject.ask(subject.noisy(sigma, FEW) + sigma / 10, sigma) - subject.call(sigma)[:FEW]
        )
        gains.append(moved.mean().item() / (sigma / 10))
    return Found(NOTE, shown(levels, gains))


def cost(subject: Subject) -> Found:
    """Time, and the process's memory at its peak so far."""
    if not subject.answers:
        raise Unusable("it answered nothing finite")
    per_image = subject.seconds / (len(subject.answers) * len(subject.x0))
    parameters = sum(p.numel() for p in subject.denoiser.parameters())
    memory = machine.peak_memory() / 2**30
    return Found(
        NOTE,
        f"{1e3 * per_image:.2g} ms an image, {parameters:,} parameters, peak memory {memory:.2g} GiB",
    )
