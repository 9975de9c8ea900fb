"""Denoisers of deepinv, each by the name of its class: `deepinv:DRUNet`."""

import ast
import contextlib
import functools
import inspect
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import reading
from denoisers import weights as weights_
from denoisers.adapters import extra
from denoisers.base import Spec
from denoisers.errors import UsageError, concerning, in_one_line
from denoisers.wrappers import ResidualDenoiser, split_band

# What its classes call the channels of images that come in, and go out.
CHANNELS = ("in_channels", "out_channels", "img_channels", "in_nc", "in_chans", "channels")
# Of what they are made with, what is decided here: a file says the weights, and the channels with them.
DECIDED = ("pretrained", "device", *CHANNELS)
# Told what no state dict holds, the range of their images and a scale (ADMUNet, NCSNpp); or made of data (MMSE).
LEFT_OUT = ("Denoiser", "ADMUNet", "NCSNpp", "MMSE")
SIDE, MULTIPLES = 32, (1, 2, 4, 8, 16)  # of the images it is tried with
REST = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
START = threading.Lock()


class Asked(nn.Module):
    """A denoiser of deepinv as f(image, level), or f(image) of one that makes nothing of the level.

    channels  of its images; blind, multiple: found by trying it
    """

    def __init__(self, model: str, net: nn.Module, channels: int) -> None:
        super().__init__()
        self.net, self.model, self.channels = net, model, channels
        # A gradient step denoiser is its input minus a gradient (Hurault et al. 2022, arXiv 2110.03220).
        self.differentiates = hasattr(net, "potential_grad")
        answers = [self.tried(SIDE, level) for level in (0.01, 0.1, 0.5)]
        self.blind = all(torch.equal(*pair) for pair in itertools.pairwise(answers))
        self.multiple = self.least_multiple()

    def forward(self, image: Tensor, level: Tensor | None = None) -> Tensor:
        level = image.new_zeros(len(image)) if level is None else level.to(image)
        if not self.differentiates:
            return self.net(image, level)
        with torch.inference_mode(mode=False), torch.enable_grad():
            return self.net(image.clone(), level.clone()).detach()

    def tried(self, side: int, level: float) -> Tensor:
        """Its answer to a square image of noise. Raises UsageError if that is no image of the same shape."""
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(1, self.channels, side, side, generator=generator)
        with reading.building(f"deepinv's {self.model}"), torch.inference_mode():
            answer = self(image, image.new_tensor([level]))
        if answer.shape != image.shape:
            found, expected = ("x".join(map(str, x.shape[1:])) for x in (answer, image))
            raise UsageError(
                f"deepinv's {self.model} answers an image of {expected} by one of {found}; "
                "expected the same size and channels"
            )
        return answer

    def least_multiple(self) -> int:
        """Of what the sides of an image must be multiples."""
        for multiple in MULTIPLES:
            with contextlib.suppress(UsageError):
                self.tried(SIDE + multiple, 0.1)
                return multiple
        return SIDE


def named(model: str) -> Callable[..., ResidualDenoiser]:
    """The load function of one denoiser. Raises UsageError (no deepinv, no such denoiser)."""
    decided = functools.partial(load, model, found(model))
    decided.__doc__ = load.__doc__  # `bench info` shows it
    return decided


# Half of it is what can be asked for, and what that means.
def load(
    model: str,
    make: Callable[..., nn.Module],
    /,
    weights: str | None = None,
    sigma_255: str | None = None,
    channels: str | None = None,
    coupling: str = "ve",
    size: str | None = None,
    **architecture: Any,
) -> ResidualDenoiser:
    """A denoiser of deepinv for images in [0, 1], grey or in colour, with its weights from a file.

    model         the name of its class in deepinv.models: DRUNet, DnCNN, GSDRUNet, Restormer, ...
    make          that class
    weights       a file; where the denoiser has none to learn, as BM3D, it takes none
    sigma_255     noise band in grey levels, "25" or "0-50", unless a card beside the file says it
    channels      1 or 3; those of the file by default, and 1 where there is none
    coupling      how the network is called: see `wrappers.COUPLINGS`
    size          of the images that it was trained on, if it matters: 28, 28x20 (rows first) or any
    architecture  what else its class is made with, nc=32,64,128,256 or depth=17, unless the card says it

    Nothing is fetched: deepinv's own weights are saved once by
    torch.save(deepinv.models.DRUNet().state_dict(), FILE). Whether it is blind, and of what the sides
    of its images must be multiples, is tried: one whose answer is the same at three noise levels is
    called without any.

    Raises UsageError: weights that are missing, or of another network; an option that it has not.
    """
    known = options_of(make)
    if unknown := architecture.keys() - set(known):
        raise UsageError(
            f"deepinv's {model} has no option {min(unknown)!r}; it has: {', '.join(known) or 'none'}",
            "--option",
        )
    if channels not in (None, "1", "3", 1, 3):
        raise UsageError(f"channels must be 1 or 3; found {str(channels)[:40]!r}", "--option")
    state, card = (None, {}) if weights is None else weights_.read(Path(weights))
    noted = {key: text for key, text in card.get("options", {}).items() if key in known}
    given = {key: value_of(text) for key, text in (noted | architecture).items()}
    net = built(model, make, given, channels, state, str(weights))
    spec = Spec(
        f"deepinv:{model}",
        "sample",
        in_channels=net.channels,
        multiple_of=net.multiple,
        value_range=(0.0, 1.0),
        **split_band(band(model, card, sigma_255), net.channels),
        blind=net.blind,
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
    known = {name: make for name, make in known.items() if name not in LEFT_OUT and is_called(make)}
    known["GSDRUNet"] = models.GSDRUNet  # a function
    if model not in known:
        raise UsageError(
            f"deepinv has no denoiser {model[:100]!r} that can be called with x and sigma alone; it has: "
            f"{', '.join(sorted(known))}; for another, write a load function (docs/bring-your-own.md)"
        )
    return known[model]


def is_called(kind: type[nn.Module]) -> bool:
    """Whether its denoisers are called with x and sigma, made of nothing that must be given, and no wrappers."""
    words = [*inspect.signature(kind.forward).parameters][1:3]
    empty = inspect.Parameter.empty
    made_of = inspect.signature(kind).parameters.values()
    wraps = kind.__name__.endswith("Wrapper")
    return (
        not wraps
        and words == ["x", "sigma"]
        and all(p.default is not empty or p.kind in REST for p in made_of)
    )


def options_of(make: Callable[..., nn.Module]) -> list[str]:
    """The names of what a denoiser is made with, but for what is decided here."""
    parameters = inspect.signature(make).parameters.values()
    return [p.name for p in parameters if p.name not in DECIDED and p.kind not in REST]


def value_of(text: Any) -> Any:
    """An option as Python reads it, 17 or 32,64; a word as it is."""
    try:
        return ast.literal_eval(text) if isinstance(text, str) else text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def built(
    model: str,
    make: Callable[..., nn.Module],
    given: dict[str, Any],
    channels: str | None,
    state: dict[str, Tensor] | None,
    path: str,
) -> Asked:
    """The network with its weights and the channels that are said, else grey, or in colour where the file is.

    Raises UsageError if neither fits, about those that come nearest.
    """
    misfits: list[UsageError] = []
    for count in (1, 3) if channels is None else (int(channels),):
        try:
            with concerning("--option" if given else "--weights"):
                net = made(model, make, given, count)
            complain(model, net, state)
            if state is not None:
                if misfits and not begins_as(net, state):
                    break
                weights_.load_into(net, state, path)
            return Asked(model, net, count)
        except UsageError as error:
            misfits.append(error)
        except ImportError as error:
            raise UsageError(f"deepinv's {model} cannot be made: {in_one_line(error)}") from None
    raise misfits[0 if state is None else -1]


def made(
    model: str, make: Callable[..., nn.Module], given: dict[str, Any], channels: int
) -> nn.Module:
    """The network of so many channels, without weights. Raises UsageError if there is none."""
    known = inspect.signature(make).parameters
    fixed: dict[str, Any] = {key: channels for key in CHANNELS if key in known}
    fixed |= {"pretrained": None} if "pretrained" in known else {}
    try:
        with reading.building(f"deepinv's {model}"), without_start():
            return make(**fixed, **given).eval()
    except AssertionError as error:
        raise UsageError(f"deepinv's {model} cannot be made: {in_one_line(error)}") from None


def begins_as(net: nn.Module, state: dict[str, Tensor]) -> bool:
    """Whether the first convolution of a network has as many channels as that of a file."""
    key, first = next(((k, v) for k, v in net.state_dict().items() if v.ndim == 4), ("", None))
    there = next((v for k, v in state.items() if k.endswith(key) and v.ndim == 4), None)
    return first is None or there is None or first.shape[1] == there.shape[1]


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
    """Inside, networks of this thread get no orthogonal start: it takes a DRUNet seconds, and a file has all."""
    usual, owner = nn.init.orthogonal_, threading.get_ident()

    def start(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        return tensor if threading.get_ident() == owner else usual(tensor, *args, **options)

    with START:
        nn.init.orthogonal_ = start
        try:
            yield
        finally:
            nn.init.orthogonal_ = usual
