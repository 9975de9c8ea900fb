"""Does a denoiser keep the contract, and if not, what does it behave like?

    from bench.check import assert_conforms

    def test_my_denoiser():
        assert_conforms("mine")  # or a Denoiser

Measured on held-out digits of the embedded data set; nothing is downloaded.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import denoisers
from bench.data.dataset import ingredients
from bench.probes import behaviour, contract
from bench.probes.subject import (
    FAIL,
    NOTE,
    NUM,
    Hopeless,
    Outcome,
    Subject,
    Unusable,
    digits,
    probe,
)
from denoisers.base import Denoiser
from denoisers.errors import in_one_line


class Row(NamedTuple):
    """What one check found; `remedy` says what to do about a failure, or what to make of a note."""

    check: str
    verdict: str
    found: str
    remedy: str = ""


CHECKS: dict[str, Callable[[Subject], Outcome]] = {
    "facts": contract.facts,
    "weights": contract.weights,
    "answers": contract.answers,
    "shapes": contract.shapes,
    "each image by itself": contract.rows,
    "repeatable": contract.repeatable,
    "odd sizes": contract.sizes,
    "noise level": contract.told,
    "frame": behaviour.frame,
    "removes noise": behaviour.removes,
    "coordinates": behaviour.coordinates,
    # After all that can fail: whatever was not finite there is said here.
    "finite": contract.finite,
    "reach": behaviour.reach,
    "residual": behaviour.residual,
    "homogeneity": behaviour.homogeneity,
    "DC gain": behaviour.dc_gain,
    "cost": behaviour.cost,
}


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def conformance(denoiser: Denoiser, num: int = NUM) -> list[Row]:
    """One row per check, on `num` digits; a check in which the denoiser raises has failed.

    The rows end with a failure after which nothing can be measured.
    """
    subject = Subject(denoiser, probe().x0[:num], probe().z[:num])
    rows: list[Row] = []
    for name, check in CHECKS.items():
        try:
            result = check(subject)
        except Hopeless as error:
            return [*rows, Row(name, *error.args[0])]
        except Unusable as error:
            result = Outcome(NOTE, f"not measured: {error}")
        except (Exception, SystemExit) as error:
            result = Outcome(
                FAIL, in_one_line(error), "it must answer, whatever x and sigma > 0 are"
            )
        rows.append(Row(name, *result))
    return rows


def closing(name: str, rows: list[Row]) -> str:
    """In one sentence, whether a denoiser conforms, and whether it seems to have learnt anything."""
    failed = [row for row in rows if row.verdict == FAIL]
    if failed:
        rest = "; the other checks need what failed" if len(rows) < len(CHECKS) else ""
        return f"{name} fails {len(failed)} of {len(rows)} checks{rest}"
    doubts = [row.remedy for row in rows if row.check == "reach" and row.remedy]
    return f"{name} conforms" + "".join(f", but {doubt}" for doubt in doubts)


def load(name: str, /, weights: str | None = None, **options: Any) -> Denoiser:
    """The denoiser called `name`; one that is made from data is made from the embedded digits."""
    return denoisers.load(name, weights, **ingredients(digits), **options)


def assert_conforms(
    denoiser: str | Denoiser, /, weights: str | None = None, num: int = NUM, **options: Any
) -> None:
    """For the tests of a plug-in. Raises AssertionError with what failed, and the remedies."""
    tested = load(denoiser, weights, **options) if isinstance(denoiser, str) else denoiser
    failed = [row for row in conformance(tested, num) if row.verdict == FAIL]
    if failed:  # no assert statement: python -O leaves those out
        raise AssertionError("\n".join(f"{row.check}: {row.found}; {row.remedy}" for row in failed))
