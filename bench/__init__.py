"""A comparative benchmark of denoisers as generative priors.

`bench.load`, `bench.sample`, `bench.score` and `bench.report` do in Python what the commands do;
`bench.metrics` has metrics of torchmetrics.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import load, report, sample, score

__version__ = "0.1.0"
__all__ = ["load", "report", "sample", "score"]


def __getattr__(name: str) -> Any:
    """One of the four functions, or the metrics, which bring PyTorch with them, when they are first asked for."""
    if name == "metrics":
        return importlib.import_module("bench.metrics")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """What there is, the four functions included."""
    return sorted({*globals(), *__all__})
