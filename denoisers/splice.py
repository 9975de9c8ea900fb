"""Two denoisers in one: A above a noise level, B below. Which levels decide the digit?"""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from denoisers.base import Denoiser, Spec


@dataclasses.dataclass(frozen=True)
class SpliceSpec(Spec):
    """The facts of both parts; a level is in band if it is in the band of the part that is asked."""

    above: Spec = dataclasses.field(kw_only=True)
    below: Spec = dataclasses.field(kw_only=True)
    switch: float = dataclasses.field(kw_only=True)

    def in_band(self, sigma: float) -> bool:
        return (self.above if sigma > self.switch else self.below).in_band(sigma)

    def parts(self) -> tuple[Spec, ...]:
        return (*self.above.parts(), *self.below.parts())

    def to_json(self) -> dict[str, Any]:
        facts = super().to_json() | {"above": self.above.to_json(), "below": self.below.to_json()}
        return facts | {"switch": None if math.isinf(self.switch) else self.switch}


class Splice(Denoiser):
    """`above` where sigma > switch, `below` elsewhere.

    With switch 0 it is `above`, with infinity `below`.
    """

    def __init__(self, above: Denoiser, below: Denoiser, switch: float) -> None:
        super().__init__()
        self.above, self.below, self.switch = above, below, switch
        self.spec = SpliceSpec(
            f"splice:{above.spec.name},{below.spec.name}@{switch:g}",
            "sample",
            sigma_min=min(above.spec.sigma_min, below.spec.sigma_min),
            sigma_max=max(above.spec.sigma_max, below.spec.sigma_max),
            blind=above.spec.blind and below.spec.blind,
            weights=",".join(part.spec.weights for part in (above, below) if part.spec.weights),
            above=above.spec,
            below=below.spec,
            switch=switch,
        )
        self.card = {"above": above.card, "below": below.card}

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        high = sigma > self.switch
        if high.all():
            return self.above(x, sigma)
        if not high.any():
            return self.below(x, sigma)
        out = torch.empty_like(x)
        out[high] = self.above(x[high], sigma[high])
        out[~high] = self.below(x[~high], sigma[~high])
        return out
