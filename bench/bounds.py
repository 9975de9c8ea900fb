"""The numbers and names that bench takes: shown by --help, held by the command line and by the library alike."""

import re
from typing import Any

from denoisers.bounds import LEVEL, RHO, Bound
from denoisers.errors import UsageError

LEAST = 6  # images; precision and recall have balls to the fifth neighbour
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
    "sigma-max": LEVEL._replace(above=True),
    "rho": RHO,
}
# Images times steps of a run: months, where a thousand of them take a second.
WORK = Bound(1, 10**10)
SEEDS = Bound(1, 1000)  # of a study
EPOCHS = Bound(1, 100_000)
EMA = Bound(0, 0.999999, fraction=True)  # decay of an average of weights; at 1 it would stay random
TRAINING_SEED = Bound(0, 2**31 - 1)  # shifted by 32 bits, it seeds each step
DIGITS = Bound(1, 10_000_000)  # of a gauge; the data set has fewer
OTHER_FLAGS = {
    "weights": "--weights",
    "train": "--dataset",
    "labels": "--dataset",
}  # what no option is called
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def file_name(text: str, about: str = "") -> str:
    """A name of files, out of which no path leads anywhere.

    Raises UsageError about that flag for anything else.
    """
    if not NAME.fullmatch(text):
        found = f"found {text[:100]!r}"
        raise UsageError(
            f"must be a name of letters, digits, '.', '_' and '-', not a path; {found}", about
        )
    return text


def option_name(text: str, about: str = "") -> str:
    """What an option of a denoiser can be called. Raises UsageError for what has a flag of its own."""
    if text in OTHER_FLAGS:
        raise UsageError(f"{text!r} is said with {OTHER_FLAGS[text]}", about)
    return text


def is_number(value: Any, kind: type = float) -> bool:
    """Whether a value is a number and not negative; true and false are none."""
    kinds = int | float if kind is float else kind
    return isinstance(value, kinds) and not isinstance(value, bool) and value >= 0
