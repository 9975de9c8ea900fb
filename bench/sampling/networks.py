"""Networks in another type, compiled, or recorded as a CUDA graph; and how those in a denoiser are reached."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from denoisers.base import Denoiser
from denoisers.framing import Seated
from denoisers.splice import Splice
from denoisers.weights import home
from denoisers.wrappers import ResidualDenoiser, VPDenoiser

Net = Callable[..., Tensor]
Change = Callable[[Any], Any]
KNOWN = (VPDenoiser, ResidualDenoiser)  # of which it is known where their network is


def changed(denoiser: Any, change: Change) -> Any:
    """The denoiser with `change` made to each part that has networks; closed forms stay as they are."""
    if isinstance(denoiser, Splice):
        denoiser.above, denoiser.below = (
            changed(part, change) for part in (denoiser.above, denoiser.below)
        )
    elif isinstance(denoiser, Seated):
        denoiser.net = changed(denoiser.net, change)
    elif denoiser.spec.weights:
        return change(denoiser)
    return denoiser


def parts(denoiser: Any) -> list[Any]:
    """The parts that have networks: see `changed`."""
    found: list[Any] = []
    changed(denoiser, lambda part: found.append(part) or part)
    return found


def networks(change: Change, otherwise: Change = lambda part: part) -> Change:
    """The change of a part by that of its network; where it is not known what that is, by `otherwise`."""

    def part(denoiser: Any) -> Any:
        if type(denoiser) not in KNOWN:  # what is derived may call more than its network
            return otherwise(denoiser)
        denoiser.net = change(denoiser.net)
        return denoiser

    return part


class Cast(nn.Module):
    """A network whose weights are in another type: its images come in that, and go out as they came.

    A network that says so (`casts`) is given float32 and does the same inside, except for what has to
    stay float32.
    """

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net.to(dtype), dtype
        self.inside = getattr(net, "casts", False)

    def forward(self, image: Tensor, *level: Tensor) -> Tensor:
        if self.inside:
            return self.net(image, *level)
        return as_it_came(self.net(image.to(self.dtype), *level), image)


class Autocast(nn.Module):
    """A network, or a denoiser, whose weights are cast at each call."""

    def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtype = net, dtype
        if isinstance(net, Denoiser):
            self.spec, self.card = net.spec, net.card

    def forward(self, image: Tensor, *level: Tensor) -> Tensor:
        # Without a cache: what it held would not be there any more when a graph is replayed.
        with torch.autocast(image.device.type, self.dtype, cache_enabled=False):
            return as_it_came(self.net(image, *level), image)


def as_it_came(answer: Any, image: Tensor) -> Any:
    """An answer in the dtype of the image; what is no tensor is for others to complain of."""
    return answer.to(image.dtype) if isinstance(answer, Tensor) else answer


class Compiled(nn.Module):
    """A network that is compiled for batches of one size; others, and all if that fails, go through the plain one.

    batch    gives that size; None for any, each of which is compiled for anew
    refused  is told why it could not be compiled
    """

    def __init__(
        self, net: nn.Module, batch: Callable[[], int | None], refused: Callable[[Exception], None]
    ) -> None:
        super().__init__()
        self.net, self.batch, self.refused = net, batch, refused
        self.compiled: Net | None = torch.compile(net, dynamic=False)

    def forward(self, image: Tensor, *level: Tensor) -> Tensor:
        if self.compiled is None or self.batch() not in (None, len(image)):
            return self.net(image, *level)
        try:
            with warnings.catch_warnings(action="ignore"):  # that TF32 would be faster, say
                return self.compiled(image, *level)
        except Exception as error:
            self.compiled = None
            self.refused(error)
            return self.net(image, *level)


class Graphs(nn.Module):
    """D(x; sigma) recorded as a CUDA graph for batches of one size, at the third call: the first two warm up.

    A batch that lacks less than an eighth of a recorded one is filled up. What cannot be recorded,
    as it waits for a value, is called as it is; the second call tells.
    """

    FIRST, FILLED = 2, 7 / 8

    def __init__(self, denoiser: nn.Module, refused: Callable[[Exception], None]) -> None:
        super().__init__()
        self.denoiser, self.refused = denoiser, refused
        self.calls: dict[tuple, int] = {}
        self.recorded: dict[tuple, tuple] = {}
        self.given_up = False

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        shape = (x.shape[1:], x.dtype, sigma.ndim, sigma.dtype)
        found = self.recorded.get(shape)
        if found is None or not self.FILLED * len(found[1]) <= len(x) <= len(found[1]):
            key = (*shape, len(x))
            self.calls[key] = self.calls.get(key, 0) + 1
            if self.given_up or self.calls[key] < self.FIRST:
                return self.denoiser(x, sigma)
            if self.calls[key] == self.FIRST:
                return self.attempted(lambda: never_waiting(self.denoiser, x, sigma), x, sigma)
            self.attempted(lambda: self.record(shape, x, sigma), x, sigma)
        if self.given_up:
            return self.denoiser(x, sigma)
        graph, images, levels, out = self.recorded[shape]
        images[: len(x)].copy_(x)
        (levels[: len(x)] if sigma.ndim else levels).copy_(sigma)
        graph.replay()
        return out[: len(x)].clone()

    def attempted(self, work: Callable[[], Any], x: Tensor, sigma: Tensor) -> Any:
        """What `work` gives; if that fails, there will be no graphs, and D(x; sigma)."""
        try:
            return work()
        except Exception as error:
            self.given_up = True
            self.refused(error)
            return self.denoiser(x, sigma)

    def record(self, shape: tuple, x: Tensor, sigma: Tensor) -> None:
        """Record a graph for batches like x."""
        images, levels, graph = x.clone(), sigma.clone(), torch.cuda.CUDAGraph()
        # A recording that fails leaves both in use.
        stream = torch.cuda.current_stream()
        generator = torch.cuda.default_generators[stream.device_index]
        drawn = generator.clone_state()
        try:
            with torch.cuda.graph(graph):
                out = self.denoiser(images, levels)
        except Exception:
            torch.cuda.set_stream(stream)
            generator.graphsafe_set_state(drawn)
            raise
        self.recorded[shape] = graph, images, levels, out


def never_waiting(denoiser: Net, x: Tensor, sigma: Tensor) -> Tensor:
    """D(x; sigma). Raises RuntimeError where the CPU would wait for the GPU on the way."""
    with warnings.catch_warnings(action="ignore"):  # that this mode does not notice everything
        torch.cuda.set_sync_debug_mode("error")
        try:
            return denoiser(x, sigma)
        finally:
            torch.cuda.set_sync_debug_mode("default")


class tensor_float:  # a context, called like a function
    """Inside, products of float32 on CUDA are made in TF32 (a third of its digits, many times as fast), or are not."""

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed

    def __enter__(self) -> None:
        backends = torch.backends.cudnn, torch.backends.cuda.matmul
        self.before = [backend.allow_tf32 for backend in backends]
        for backend in backends:
            backend.allow_tf32 = self.allowed

    def __exit__(self, *error: object) -> None:
        backends = torch.backends.cudnn, torch.backends.cuda.matmul
        for backend, before in zip(backends, self.before, strict=True):
            backend.allow_tf32 = before


def keep_compiled() -> None:
    """Let what is compiled be kept beside what else takes long, for the next run."""
    if place := home():
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(place / "cache" / "compiled"))
