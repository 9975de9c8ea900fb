"""Which numbers are taken where people give some: a range that errors and help show."""

import math
import re
from typing import NamedTuple

from denoisers import units
from denoisers.errors import UsageError


class Bound(NamedTuple):
    """The numbers from `low` to `high`: whole ones unless `fraction`, without `low` if `above`."""

    low: float
    high: float
    fraction: bool = False
    above: bool = False

    def __str__(self) -> str:
        text = f"{number(self.low)}..{number(self.high)}"
        return f">{text}" if self.above else text

    def check(self, value: float, about: str) -> float:
        """`value`, if it is one of them. Raises UsageError about that flag."""
        beyond = not self.low <= value <= self.high  # NaN is nowhere
        if beyond or (self.above and value == self.low):
            raise UsageError(f"must lie in {self}; found {number(value)}", about)
        return value

    def parse(self, text: str, about: str = "") -> float:
        """The number that a command line writes as `text`, in digits of ASCII.

        Raises UsageError about that flag.
        """
        pattern = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?" if self.fraction else r"[+-]?\d+"
        if not re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE):
            kind = "a number" if self.fraction else "a whole number"
            raise UsageError(f"must be {kind} in {self}; found {text[:40]!r}", about)
        # Longer than any that is taken; int() refuses some of them in words of its own.
        if len(text) > 300:
            raise UsageError(f"must lie in {self}; found {len(text)} digits", about)
        return self.check(float(text) if self.fraction else int(text), about)


def number(value: float) -> str:
    """A bound or a value in few characters: 1000000, 1e+32, 0.05, inf."""
    if isinstance(value, int) and abs(value) >= 10**32:
        power = f"1e+{int(math.log10(abs(value)))}"
        return f"-{power}" if value < 0 else power
    return str(value) if isinstance(value, int) else f"{value:.15g}"


LEVEL = Bound(0, 1e6, fraction=True)  # standard deviation of noise, images in [-1, 1]
GREY = Bound(0, units.GREY * LEVEL.high, fraction=True)  # the same in grey levels
RHO = Bound(1, 100, fraction=True)  # levels to the power of 1 / rho are finite, and told apart
SIDE = Bound(1, 4096)  # pixels of an image
WHOLE = Bound(-(2**63) + 1, 2**63 - 1)  # of what nothing more is known
FINITE = Bound(-1e300, 1e300, fraction=True)


def option(key: str, bound: Bound, text: str, else_: str = "") -> int | float:
    """The value of an option of a denoiser. Raises UsageError that names it."""
    try:
        return bound.parse(text)
    except UsageError as error:
        raise UsageError(
            f"{key} {error.message.replace('must be ', f'must be {else_}', 1)}", "--option"
        ) from None


def grey_levels(text: str) -> tuple[float, float]:
    """Lowest and highest noise in grey levels, of "25" or "0-50". Raises UsageError."""
    low, dash, high = text.partition("-")
    try:
        ends = GREY.parse(low), GREY.parse(high if dash else low)
    except UsageError:
        ends = (0.0, 0.0)
    if not 0 < ends[1] >= ends[0]:
        raise UsageError(
            f"must be a grey level or a range such as 0-50, in {GREY} and above 0; found {text[:100]!r}"
        )
    return ends
