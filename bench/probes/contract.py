"""Does a denoiser keep the contract? The docstring of a check says what is so if it passes."""

import contextlib
import itertools
import json
import re

import torch
from torch import Tensor

from bench.noise import noise
from bench.probes.subject import (
    BARE,
    FAIL,
    FEW,
    LEVELS,
    NOTE,
    OK,
    Hopeless,
    Outcome,
    Subject,
    Unusable,
    kind,
    shown,
)
from denoisers import framing
from denoisers.base import Denoiser, Spec
from denoisers.errors import in_one_line
from denoisers.framing import by
from denoisers.units import GREY


def facts(subject: Subject) -> Outcome:
    """Spec and card are strict JSON: `run.json` records them."""
    spec = subject.denoiser.spec
    size = "any size" if spec.size is None else by(spec.size)
    text = f"{spec.prediction_type}, {told_or_blind(spec)}, {size}, {in_both_units(spec)}"
    try:
        json.dumps([spec.to_json(), subject.denoiser.card], allow_nan=False)
    except (TypeError, ValueError) as error:
        return Outcome(
            FAIL, f"spec or card: {error}", "plain numbers, strings, lists and dicts only"
        )
    return Outcome(OK, text)


def told_or_blind(spec: Spec) -> str:
    """Whether a network is told the noise level, in words."""
    return "blind" if spec.blind else "told sigma"


def in_both_units(spec: Spec) -> str:
    """The noise band, for images in [-1, 1] and in grey levels."""
    ends = sorted({spec.sigma_min, spec.sigma_max})  # one, if it was trained at one level
    levels, grey = (" to ".join(f"{unit * end:.4g}" for end in ends) for unit in (1, GREY))
    return f"sigma {levels} ({grey} grey levels)"


def weights(subject: Subject) -> Outcome:
    """Parameters and buffers hold numbers. Raises Hopeless: the answers of one with NaN are NaN."""
    net = subject.denoiser
    tensors = {
        re.sub(r"^(net\.)+", "", name): value
        for name, value in (*net.named_parameters(), *net.named_buffers())
    }
    bad = [
        name for name, value in tensors.items() if value.is_floating_point() and value.isnan().any()
    ]
    if bad:
        text = f"its weights hold NaN: {len(bad)} of {len(tensors)} tensors, first {bad[0]}"
        remedy = "the file is damaged, or its training diverged: take an earlier checkpoint"
        raise Hopeless(Outcome(FAIL, text, remedy))
    numbers = sum(value.numel() for value in tensors.values())
    return Outcome(OK, f"{numbers:,} numbers in {len(tensors)} tensors")


def answers(subject: Subject) -> Outcome:
    """It takes images of the size that it is asked about. Raises Hopeless if it takes none.

    One that takes only images of another size is asked about those from here on, and `frame` says
    so.
    """
    sigma = subject.band(0.1, 1.0, 1)[0]
    framed = tuple(subject.x0.shape[-2:])
    size = subject.denoiser.spec.size or framed

    def refusal(denoiser: Denoiser) -> str:
        return framing.refusal(denoiser, subject.noisy(sigma, 1), torch.tensor(sigma))

    subject.refused = refusal(subject.denoiser)
    if not subject.refused:
        return Outcome(OK, f"asked about images of {by(size)}")
    for other in [other for other in (BARE, framed) if other != size]:
        seated = framing.Seated(framing.unsized(subject.denoiser), other)
        if not refusal(seated):
            subject.denoiser = seated
            return Outcome(NOTE, f"images of {by(other)} only; see `frame`")
    raise Hopeless(Outcome(FAIL, subject.refused, "it must answer, whatever x and sigma > 0 are"))


def shapes(subject: Subject) -> Outcome:
    """float32 (B, C, H, W) for sigma of shape () and (B,), and the same for both.

    Raises Hopeless for no images.
    """
    sigma = subject.band(0.1, 1.0, 1)[0]
    x = subject.noisy(sigma, FEW)
    levels = {"()": torch.tensor(sigma), "(B,)": torch.full((FEW,), sigma)}
    for shape, level in levels.items():
        answer = subject.denoiser(x, level)
        remedy = f"return float32 {tuple(x.shape)}, as x"
        fault = Outcome(FAIL, f"{kind(answer)} for sigma {shape}", remedy)
        if not isinstance(answer, Tensor) or answer.shape != x.shape:
            raise Hopeless(fault)
        if answer.dtype != torch.float32:
            return fault
    scalar, each = (subject.ask(x, level) for level in levels.values())
    gap = (scalar - each).abs().max().item()
    remedy = "make sigma broadcast: denoisers.base.expand_as(sigma, x)"
    return Outcome(OK if gap < 1e-3 else FAIL, f"sigma () and (B,) differ by {gap:.1g}", remedy)


def rows(subject: Subject) -> Outcome:
    """Image i does not depend on the other images of the batch, nor on their noise levels."""
    band = itertools.cycle(subject.band(0.05, 20.0, FEW))  # which may be fewer levels
    levels = torch.tensor(list(itertools.islice(band, FEW)))
    x = subject.x0[:FEW] + levels[:, None, None, None] * subject.z[:FEW]
    together = subject.ask(x, levels)
    alone = torch.cat([subject.ask(x[i : i + 1], levels[i : i + 1]) for i in range(FEW)])
    gap = ((together - alone).abs().amax((1, 2, 3)) / (1 + levels)).max().item()
    remedy = "it depends on its batch neighbours: "
    remedy += "no batch statistics (use .eval(), GroupNorm), no mean over dim 0"
    return Outcome(OK if gap < 1e-3 else FAIL, f"alone and in a batch differ by {gap:.1g}", remedy)


def repeatable(subject: Subject) -> Outcome:
    """The same answer twice; x untouched; no global random numbers; eval mode."""
    sigma = subject.band(0.1, 1.0, 1)[0]
    x, state = subject.noisy(sigma, FEW), torch.get_rng_state()
    kept = x.clone()
    gap = (subject.ask(x, sigma) - subject.ask(x, sigma)).abs().max().item()
    remedies = []
    if not torch.equal(x, kept):
        remedies.append("it changes its input: clone x before writing into it")
    if not torch.equal(state, torch.get_rng_state()):
        remedies.append("it draws from the global generator: ")
        remedies[-1] += "seed a generator of its own, by x or sigma"
    if any(module.training for module in subject.denoiser.modules()):
        remedies.append("call .eval() on its networks")
    if gap > 1e-5:
        remedies.append("the same x and sigma must give the same image (dropout? noise?)")
    remedy = "; ".join(remedies)
    return Outcome(FAIL if remedy else OK, f"two calls differ by {gap:.1g}", remedy)


def sizes(subject: Subject) -> Outcome:
    """Images whose sides are not multiples of anything."""
    sigma = torch.tensor(subject.band(0.1, 1.0, 1)[0])

    def images(height: int, width: int) -> Tensor:
        x0 = torch.nn.functional.interpolate(subject.x0[:2], (height, width), mode="bilinear")
        return x0 + sigma * noise(1, torch.arange(2), 0, (1, height, width))

    x = images(29, 37)
    try:
        shape = tuple(subject.denoiser(x, sigma).shape)
    except ValueError as error:
        return Outcome(NOTE, f"knows one size only: {error}")
    except (RuntimeError, AssertionError) as error:
        # A multiple of all that is usual.
        one = framing.refusal(subject.denoiser, images(64, 64), sigma)
        size = tuple(subject.x0.shape[-2:]) if one else "(H, W)"
        remedy = "declare Spec.multiple_of, or the one size that its layers are made for: "
        remedy += f"Spec(size={size}); wrappers pad and crop"
        return Outcome(FAIL, f"29 x 37: {in_one_line(error)}", remedy)
    verdict = OK if shape == tuple(x.shape) else FAIL
    return Outcome(verdict, f"29 x 37 gives {shape}", "return the size of x")


def told(subject: Subject) -> Outcome:
    """A network that says it is told sigma answers differently to another sigma."""
    spec, gaps = subject.denoiser.spec, []
    for sigma in subject.band(0.05, 5.0, 3):
        x = subject.noisy(sigma, FEW)
        gaps.append((subject.ask(x, sigma) - subject.ask(x, sigma / 2)).abs().max().item())
    uses = max(gaps) > 1e-4
    text = "its answer depends on sigma" if uses else "its answer does not depend on sigma"
    if uses == spec.blind:
        text += f", declared {told_or_blind(spec)}"
    wrong = not uses and not spec.blind
    remedy = "declare Spec(blind=True), or hand sigma to the network"
    return Outcome(FAIL if wrong else OK, text, remedy)


def finite(subject: Subject) -> Outcome:
    """Neither NaN nor infinity, at any noise of a reverse diffusion, in band or not."""
    for sigma in LEVELS:
        with contextlib.suppress(Unusable):
            subject.call(sigma)
    with contextlib.suppress(Unusable):
        subject.ask(subject.noisy(0.002, FEW), 0.002)
    bad = sorted(set(subject.broken))
    text = f"NaN or infinity at sigma {shown(bad)}" if bad else f"sigma 0.002 to {LEVELS[-1]:g}"
    remedy = "no division by what can be 0, no exponent without a bound"
    return Outcome(FAIL if bad else OK, text, remedy)
