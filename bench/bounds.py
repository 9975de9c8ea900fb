"""The numbers and names that bench takes: shown by --help, held by the command line and by the library alike."""

import math
import re
from typing import NamedTuple

from denoisers.errors import UsageError

LEAST = 6  # images; precision and recall have balls to the fifth neighbour


class Bound(NamedTuple):
    """Which numbers are taken: from `low` to `high`, whole ones unless `fraction`, without `low` itself if `above`."""

    low: float
    high: float
    fraction: bool = False
    above: bool = False

    def __str__(self) -> str:
        return f"{'>' if self.above else ''}{number(self.low)}..{number(self.high)}"

    def check(self, value: float, about: str) -> float:
        """`value`, if it is one of them. Raises UsageError about that flag."""
        beyond = not self.low <= value <= self.high  # NaN is nowhere
        if beyond or (self.above and value == self.low):
            raise UsageError(f"must lie in {self}; found {number(value)}", about)
        return value

    def parse(self, text: str, about: str = "") -> float:
        """The number that a command line writes as `text`, in digits of ASCII. Raises UsageError about that flag."""
        pattern = r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?" if self.fraction else r"[+-]?\d+"
        if not re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE):
            kind = "a number" if self.fraction else "a whole number"
            raise UsageError(f"must be {kind} in {self}; found {text[:40]!r}", about)
        if len(text) > 300:  # longer than any that is taken; int() refuses some of them in words of its own
            raise UsageError(f"must lie in {self}; found {len(text)} digits", about)
        return self.check(float(text) if self.fraction else int(text), about)


def number(value: float) -> str:
    """A bound or a value in few characters: 1000000, 1e+22, 0.05, inf."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"{'-' if value < 0 else ''}1e+{int(math.log10(abs(value)))}"
    return str(value) if isinstance(value, int) else f"{value:.15g}"


BOUNDS = {
    "num": Bound(LEAST, 10_000_000),  # images of a run; all ids still fit into memory
    "steps": Bound(1, 100_000),
    "seed": Bound(0, 2**63 - 1),
    "batch-size": Bound(1, 1_000_000),
    "workers": Bound(1, 256),
    "eta": Bound(0, 1, fraction=True),
    "churn": Bound(0, 1e6, fraction=True),
    "beta": Bound(0, 1, fraction=True, above=True),
    "h0": Bound(0, 1, fraction=True, above=True),
    "sigma-max": Bound(0, 1e6, fraction=True, above=True),
}
EPOCHS = Bound(1, 100_000)
TRAINING_SEED = Bound(0, 2**31 - 1)  # shifted by 32 bits, it seeds each step
DIGITS = Bound(1, 10_000_000)  # of a gauge; the data set has fewer
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def file_name(text: str, about: str = "") -> str:
    """A name of files, out of which no path leads anywhere. Raises UsageError about that flag for anything else."""
    if not NAME.fullmatch(text):
        found = f"found {text[:100]!r}"
        raise UsageError(f"must be a name of letters, digits, '.', '_' and '-', not a path; {found}", about)
    return text
