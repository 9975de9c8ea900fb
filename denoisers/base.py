"""The contract: what a denoiser is, and the facts it declares about itself."""

import abc
import dataclasses
import math
from typing import Any, Literal

from torch import Tensor, nn

from denoisers.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a network expects.

    Wrappers act on it and `run.json` records it; the sampler never reads it.

    Raises UsageError for facts that cannot be.
    """

    name: str
    prediction_type: Literal["epsilon", "sample", "v_prediction"]  # what the raw network emits
    in_channels: int = 1
    multiple_of: int = 1  # of H and W; wrappers pad and crop
    value_range: tuple[float, float] = (-1.0, 1.0)  # the network's own range, not the contract's
    # Noise band it was trained on, in [-1, 1] units, as grey images have it: a network of n channels
    # gets them under sqrt(n) times their noise, so its own band is divided by that.
    sigma_min: float = 0.0
    sigma_max: float = math.inf
    blind: bool = True  # the network is not told the noise level
    weights: str = ""  # "<card>@<first 8 digits of the sha256>"; empty for closed forms
    # (H, W) of the images it was trained on; wrappers crop and pad; None: any.
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.in_channels < 1 or self.multiple_of < 1:
            raise UsageError(
                f"{self.name}: in_channels and multiple_of must be at least 1; found {self}"
            )
        if self.size is not None and not is_size(self.size):
            raise UsageError(
                f"{self.name}: size must be (H, W) in pixels, or None for any; found {self.size!r}"
            )
        if not self.value_range[0] < self.value_range[1]:
            raise UsageError(
                f"{self.name}: value_range must be (black, white); found {self.value_range}"
            )
        if not 0 <= self.sigma_min <= self.sigma_max or math.isinf(self.sigma_min):
            raise UsageError(
                f"{self.name}: expected 0 <= sigma_min <= sigma_max, for images in [-1, 1] (grey levels / 127.5); "
                f"found {self.sigma_min} and {self.sigma_max}"
            )

    def in_band(self, sigma: float) -> bool:
        """Whether the network was trained at this noise level (1 % of slack for rounded bounds)."""
        return self.sigma_min * 0.99 <= sigma <= self.sigma_max * 1.01

    def parts(self) -> "tuple[Spec, ...]":
        """The facts of the networks that it is of: one, or those of a splice."""
        return (self,)

    def to_json(self) -> dict[str, Any]:
        """The fields as strict JSON: an unbounded `sigma_max` becomes None."""
        facts = dataclasses.asdict(self)
        facts["sigma_max"] = None if math.isinf(self.sigma_max) else self.sigma_max
        return facts


def is_size(size: Any) -> bool:
    """Whether `size` is a pair of positive whole numbers."""
    return (
        isinstance(size, tuple)
        and len(size) == 2
        and all(isinstance(side, int) and side > 0 for side in size)
    )


class Denoiser(nn.Module, abc.ABC):
    """D(x; sigma): the clean image expected under x = x0 + sigma * eps.

    x      float32 (B, C, H, W); x0 lies in [-1, 1], x itself is unbounded
    sigma  float32 () or (B,), standard deviation of the noise in x
    returns float32 (B, C, H, W), the estimate of x0, not clipped
    """

    spec: Spec
    card: dict[str, Any] | None = None  # where the weights come from; None for closed forms

    @abc.abstractmethod
    def forward(self, x: Tensor, sigma: Tensor) -> Tensor: ...


def expand_as(sigma: Tensor, x: Tensor) -> Tensor:
    """`sigma` of shape () or (B,) made broadcastable to `x` (B, ...)."""
    return sigma.to(x).reshape(-1, *[1] * (x.ndim - 1))
