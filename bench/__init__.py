"""A comparative benchmark of denoisers as generative priors.

`bench.load`, `bench.sample`, `bench.score` and `bench.report` do in Python what the commands do;
`bench.metrics` has metrics of torchmetrics.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import load, report, sample, score

__version__ = "0.1.0"
__all__ = ["load", "report", "sample", "score"]


def __getattr__(name: str) -> Any:
    """One of the four functions, which bring PyTorch with them, when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bench import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """What there is, the four functions included."""
    return sorted({*globals(), *__all__})
