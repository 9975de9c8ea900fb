"""Does a denoiser keep the contract? The docstring of a check says what is so if it passes."""

import contextlib
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
    Found,
    Hopeless,
    Subject,
    Unusable,
    kind,
    shown,
)
from denoisers import framing
from denoisers.base import Denoiser, Spec
from denoisers.errors import said
from denoisers.framing import by
from denoisers.units import GREY


def facts(subject: Subject) -> Found:
    """Spec and card are strict JSON: `run.json` records them."""
    spec = subject.denoiser.spec
    size = "any size" if spec.size is None else by(spec.size)
    found = f"{spec.prediction_type}, {'blind' if spec.blind else 'told sigma'}, {size}, {in_both_units(spec)}"
    try:
        json.dumps([spec.to_json(), subject.denoiser.card], allow_nan=False)
    except (TypeError, ValueError) as error:
        return Found(FAIL, f"spec or card: {error}", "plain numbers, strings, lists and dicts only")
    return Found(OK, found)


def in_both_units(spec: Spec) -> str:
    """The noise band, for images in [-1, 1] and in grey levels."""
    ends = sorted({spec.sigma_min, spec.sigma_max})  # one, if it was trained at one level
    levels, grey = (" to ".join(f"{unit * end:.4g}" for end in ends) for unit in (1, GREY))
    return f"sigma {levels} ({grey} grey levels)"


def weights(subject: Subject) -> Found:
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
        said = f"its weights hold NaN: {len(bad)} of {len(tensors)} tensors, first {bad[0]}"
        raise Hopeless(
            Found(
                FAIL,
                said,
                "the file is damaged, or its training diverged: take an earlier checkpoint",
            )
        )
    return Found(
        OK,
        f"{sum(value.numel() for value in tensors.values()):,} numbers in {len(tensors)} tensors",
    )


def answers(subject: Subject) -> Found:
    """It takes images of the size that it is asked about. Raises Hopeless if it takes none.

    One that takes only images of another size is asked about those from here on, and `frame` says
    so.
    """
    sigma = subject.band(0.1, 1.0, 1)[0]
    framed = tuple(subject.x0.shape[-2:])
    own = subject.denoiser.spec.size or framed

    def refusal(denoiser: Denoiser) -> str:
        return framing.refusal(denoiser, subject.noisy(sigma, 1), torch.tensor(sigma))

    subject.refused = refusal(subject.denoiser)
    if not subject.refused:
        return Found(OK, f"asked about images of {by(own)}")
    for size in [size for size in (BARE, framed) if size != own]:
        seated = framing.Seated(framing.unsized(subject.denoiser), size)
        if not refusal(seated):
            subject.denoiser = seated
            return Found(NOTE, f"images of {by(size)} only; see `frame`")
    raise Hopeless(Found(FAIL, subject.refused, "it must answer, whatever x and sigma > 0 are"))


def shapes(subject: Subject) -> Found:
    """float32 (B, C, H, W) for sigma of shape () and (B,), and the same for both.

    Raises Hopeless for no images.
    """
    sigma = subject.band(0.1, 1.0, 1)[0]
    x = subject.noisy(sigma, FEW)
    levels = {"()": torch.tensor(sigma), "(B,)": torch.full((FEW,), sigma)}
    for shape, level in levels.items():
        answer = subject.denoiser(x, level)
        if (
            not isinstance(answer, Tensor)
            or answer.shape != x.shape
            or answer.dtype != torch.float32
        ):
            fault = Found(
                FAIL, f"{kind(answer)} for sigma {shape}", f"return float32 {tuple(x.shape)}, as x"
            )
            if not isinstance(answer, Tensor) or answer.shape != x.shape:
                raise Hopeless(fault)
            return fault
    scalar, each = (subject.ask(x, level) for level in levels.values())
    gap = (scalar - each).abs().max().item()
    remedy = "make sigma broadcast: denoisers.base.expand_as(sigma, x)"
    return Found(OK if gap < 1e-3 else FAIL, f"sigma () and (B,) differ by {gap:.1g}", remedy)


def rows(subject: Subject) -> Found:
    """Image i does not depend on the other images of the batch, nor on their noise levels."""
    levels = torch.tensor((subject.band(0.05, 20.0, FEW) * FEW)[:FEW])  # a band may be one level
    x = subject.x0[:FEW] + levels[:, None, None, None] * subject.z[:FEW]
    together = subject.ask(x, levels)
    alone = torch.cat([subject.ask(x[i : i + 1], levels[i : i + 1]) for i in range(FEW)])
    gap = ((together - alone).abs().amax((1, 2, 3)) / (1 + levels)).max().item()
    remedy = "it depends on its batch neighbours: no batch statistics (use .eval(), GroupNorm), no mean over dim 0"
    return Found(OK if gap < 1e-3 else FAIL, f"alone and in a batch differ by {gap:.1g}", remedy)


def repeatable(subject: Subject) -> Found:
    """The same answer twice; x untouched; no global random numbers; eval mode."""
    sigma = subject.band(0.1, 1.0, 1)[0]
    x, state = subject.noisy(sigma, FEW), torch.get_rng_state()
    kept = x.clone()
    gap = (subject.ask(x, sigma) - subject.ask(x, sigma)).abs().max().item()
    faults = {
        "it changes its input: clone x before writing into it": not torch.equal(x, kept),
        "it draws from the global generator: seed a generator of its own, by x or sigma": not torch.equal(
            state, torch.get_rng_state()
        ),
        "call .eval() on its networks": any(
            module.training for module in subject.denoiser.modules()
        ),
        "the same x and sigma must give the same image (dropout? noise?)": gap > 1e-5,
    }
    remedy = "; ".join(fault for fault, present in faults.items() if present)
    return Found(FAIL if remedy else OK, f"two calls differ by {gap:.1g}", remedy)


def sizes(subject: Subject) -> Found:
    """Images whose sides are not multiples of anything."""
    sigma = torch.tensor(subject.band(0.1, 1.0, 1)[0])

    def images(height: int, width: int) -> Tensor:
        x0 = torch.nn.functional.interpolate(subject.x0[:2], (height, width), mode="bilinear")
        return x0 + sigma * noise(1, torch.arange(2), 0, (1, height, width))

    x = images(29, 37)
    try:
        shape = tuple(subject.denoiser(x, sigma).shape)
    except ValueError as error:
        return Found(NOTE, f"knows one size only: {error}")
    except (RuntimeError, AssertionError) as error:
        # A multiple of all that is usual.
        one = framing.refusal(subject.denoiser, images(64, 64), sigma)
        remedy = "declare Spec.multiple_of, or the one size that its layers are made for: " + (
            f"Spec(size={tuple(subject.x0.shape[-2:])})" if one else "Spec(size=(H, W))"
        )
        return Found(FAIL, f"29 x 37: {said(error)}", f"{remedy}; wrappers pad and crop")
    return Found(
        OK if shape == tuple(x.shape) else FAIL, f"29 x 37 gives {shape}", "return the size of x"
    )


def told(subject: Subject) -> Found:
    """A network that says it is told sigma answers differently to another sigma."""
    spec, gaps = subject.denoiser.spec, []
    for sigma in subject.band(0.05, 5.0, 3):
        x = subject.noisy(sigma, FEW)
        gaps.append((subject.ask(x, sigma) - subject.ask(x, sigma / 2)).abs().max().item())
    uses = max(gaps) > 1e-4
    found = "its answer depends on sigma" if uses else "its answer does not depend on sigma"
    if uses == spec.blind:
        found += f", declared {'blind' if spec.blind else 'told sigma'}"
    wrong = not uses and not spec.blind
    return Found(
        FAIL if wrong else OK, found, "declare Spec(blind=True), or hand sigma to the network"
    )


def finite(subject: Subject) -> Found:
    """Neither NaN nor infinity, at any noise of a reverse diffusion, in band or not."""
    for sigma in LEVELS:
        with contextlib.suppress(Unusable):
            subject.call(sigma)
    with contextlib.suppress(Unusable):
        subject.ask(subject.noisy(0.002, FEW), 0.002)
    bad = sorted(set(subject.broken))
    found = f"NaN or infinity at sigma {shown(bad)}" if bad else f"sigma 0.002 to {LEVELS[-1]:g}"
    return Found(
        FAIL if bad else OK, found, "no division by what can be 0, no exponent without a bound"
    )
