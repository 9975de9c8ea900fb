"""Denoisers of deepinv, each by the name of its class: `deepinv:DRUNet`."""

import ast
import contextlib
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from denoisers import reading
from denoisers import weights as weights_
from denoisers.adapters import extra
from denoisers.base import Spec
from denoisers.errors import UsageError, in_one_line, listed
from denoisers.wrappers import ResidualDenoiser, split_band

# What its classes call the channels of images that come in, and go out.
CHANNELS = ("in_channels", "out_channels", "img_channels", "in_nc", "in_chans")
# What decides where weights come from and go to; here a file says it.
DECIDED = ("pretrained", "device")
MULTIPLE = 8  # of the sides of an image, for the networks that halve it three times


class Asked(nn.Module):
    """A denoiser of deepinv as f(image, level), or f(image) of one that makes nothing of the level."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        # A gradient step denoiser is its input minus a gradient (Hurault et al. 2022, arXiv 2110.03220).
        self.differentiates = hasattr(net, "potential_grad")

    def forward(self, image: Tensor, level: Tensor | None = None) -> Tensor:
        level = image.new_zeros(len(image)) if level is None else level.to(image)
        if not self.differentiates:
            return self.net(image, level)
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self.net(image.clone(), level.clone()).detach()


# Half of it is what can be asked for, and what that means.
def load(
    model: str,
    weights: str | None = None,
    sigma_255: str | None = None,
    coupling: str = "ve",
    size: str | None = None,
    **architecture: Any,
) -> ResidualDenoiser:
    """A denoiser of deepinv for images in [0, 1], grey or in colour, with its weights from a file.

    model         the name of its class in deepinv.models: DRUNet, DnCNN, GSDRUNet, Restormer, ...
    weights       a file; where the denoiser has none to learn, as BM3D, it takes none
    sigma_255     noise band in grey levels, "25" or "0-50", unless a card beside the file says it
    coupling      how the network is called: see `wrappers.COUPLINGS`
    size          of the images that it was trained on, if it matters: 28, 28x20 (rows first) or any
    architecture  what else its class is made with: nc=32,64,128,256 or depth=17

    Nothing is fetched: deepinv's own weights are saved once by
    torch.save(deepinv.models.DRUNet().state_dict(), FILE). Whether it is blind is tried: one whose
    answer is the same at two noise levels is called without any. How many channels it has is that
    of the file.

    Raises UsageError (no deepinv, no such denoiser, weights of another, one that is told no noise
    level but a threshold).
    """
    make = found(model)
    given = {key: value_of(text) for key, text in architecture.items()}
    if unknown := given.keys() - options_of(make):
        raise UsageError(
            f"deepinv's {model} has no option {min(unknown)!r}; it has: {listed(options_of(make))}",
            "--option",
        )
    state, card = (None, {}) if weights is None else weights_.read(Path(weights))
    net, channels, blind = built(model, make, given, state, str(weights))
    spec = Spec(
        f"deepinv:{model}",
        "sample",
        in_channels=channels,
        multiple_of=MULTIPLE,
        value_range=(0.0, 1.0),
        **split_band(band(model, card, sigma_255), channels),
        blind=blind,
        weights=weights_.tag(card) if card else "",
        size=weights_.size(card, size),
    )
    denoiser = ResidualDenoiser(net, spec, coupling)
    denoiser.card = card or None
    return denoiser


def band(model: str, card: dict[str, Any], sigma_255: str | None) -> tuple[float, float]:
    """As the user or the card says; any level for what has learnt none."""
    if not card and sigma_255 is None:
        return 0.0, math.inf
    return weights_.band({"name": model} | card, sigma_255)


def found(model: str) -> Callable[..., nn.Module]:
    """What makes the denoiser of that name. Raises UsageError for what is none, or is not called with x and sigma."""
    models = extra("deepinv", "deepinv").models
    known = {name: make for name, make in vars(models).items() if inspect.isclass(make)}
    known = {name: make for name, make in known.items() if issubclass(make, models.Denoiser)}
    known = {name: make for name, make in known.items() if name != "Denoiser" and is_called(make)}
    known["GSDRUNet"] = models.GSDRUNet  # a function
    if model not in known:
        raise UsageError(
            f"deepinv has no denoiser {model[:100]!r} that is called with x and sigma; it has: "
            f"{', '.join(sorted(known))}; for another, write a load function (docs/bring-your-own.md)"
        )
    return known[model]


def is_called(kind: type[nn.Module]) -> bool:
    """Whether its denoisers are called with x and sigma, made of nothing that must be given, and no wrappers."""
    words = [*inspect.signature(kind.forward).parameters][1:3]
    empty, rest = (
        inspect.Parameter.empty,
        (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL),
    )
    made_of = inspect.signature(kind).parameters.values()
    wraps = kind.__name__.endswith("Wrapper")
    return (
        not wraps
        and words == ["x", "sigma"]
        and all(p.default is not empty or p.kind in rest for p in made_of)
    )


def options_of(make: Callable[..., nn.Module]) -> list[str]:
    """The names of what a denoiser is made with, but for what is decided here."""
    return [name for name in inspect.signature(make).parameters if name not in DECIDED]


def value_of(text: Any) -> Any:
    """An option as Python reads it, 17 or 32,64; a word as it is."""
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except (ValueError, SyntaxError):
        return text


def built(
    model: str,
    make: Callable[..., nn.Module],
    given: dict[str, Any],
    state: dict[str, Tensor] | None,
    path: str,
) -> tuple[nn.Module, int, bool]:
    """The network with its weights, its channels, and whether it is blind.

    It has the channels that are given; else it is grey, or in colour where the file is.

    Raises UsageError if neither fits.
    """
    known = inspect.signature(make).parameters
    named = [key for key in CHANNELS if key in known]
    fixed = {"pretrained": None} if "pretrained" in known else {}
    said = next((given[key] for key in named if key in given), None)
    misfits: list[UsageError] = []
    for channels in (1, 3) if said is None else (said,):
        try:
            with reading.building(f"deepinv's {model}"), without_start():
                net = make(**fixed, **dict.fromkeys(named, channels) | given).eval()
            complain(model, net, state)
            if state is not None:
                weights_.load_into(net, state, path)
            asked = Asked(net)
            return asked, channels, is_blind(model, asked, channels)
        except UsageError as error:
            misfits.append(error)
        except ImportError as error:
            raise UsageError(f"deepinv's {model} cannot be made: {in_one_line(error)}") from None
    raise misfits[0]


def complain(model: str, net: nn.Module, state: dict[str, Tensor] | None) -> None:
    """Raise UsageError about weights that are missing, or that have no place."""
    learns = any(True for _ in net.parameters())
    if learns and state is None:
        raise UsageError(
            f"deepinv's {model} needs them: a file; its own are saved by "
            f"torch.save(deepinv.models.{model}().state_dict(), FILE)",
            "--weights",
        )
    if not learns and state is not None:
        raise UsageError(f"deepinv's {model} takes none", "--weights")


@contextlib.contextmanager
def without_start() -> Iterator[None]:
    """Inside, networks keep whatever orthogonal start they would have made, in 14 s for a DRUNet: a file has it all."""
    with mock.patch.object(nn.init, "orthogonal_", lambda tensor, *_, **__: tensor):
        yield


def is_blind(model: str, net: nn.Module, channels: int) -> bool:
    """Whether the answer is the same at three noise levels. Raises UsageError if it cannot be called."""
    image = torch.rand(1, channels, 32, 32, generator=torch.Generator().manual_seed(0))
    with reading.building(f"deepinv's {model}"), torch.inference_mode():
        answers = [net(image, image.new_tensor([level])) for level in (0.01, 0.1, 0.5)]
    return all(torch.equal(*pair) for pair in itertools.pairwise(answers))
