"""What every registered denoiser must do. Registering one is having it tested."""

import json

import pytest

import denoisers
from bench.probes import conformance
from denoisers.base import Denoiser
from denoisers.errors import UsageError

# What the checks must find: `identity` does nothing, and some have random weights in these tests.
FAILS = {
    "identity": {"removes noise", "coordinates"},
    "ffdnet": {"removes noise"},
    "deepinv:DRUNet": {"removes noise"},
    "spandrel": {"removes noise"},
}
# Conform, and know no more than the Wiener filter.
DOUBTS = {"diffusers", "gaussian", "mean", "median", "one-image"}


ONE_OF = {"deepinv": "deepinv:DRUNet"}  # of a name that leads to many


@pytest.fixture(scope="module", params=denoisers.names())
def denoiser(request, checkpoints) -> Denoiser:
    name = request.param
    try:
        return conformance.load(ONE_OF.get(name, name), **checkpoints.get(name, {}))
    except UsageError as error:
        if "needs the package" not in str(error):
            raise
        pytest.skip(str(error))


def test_the_checks_find_what_there_is_to_find_and_nothing_else(denoiser):
    name, rows = denoiser.spec.name, conformance.conformance(denoiser, num=8)
    failed = {row.check: row for row in rows if row.verdict == conformance.FAIL}
    assert failed.keys() == FAILS.get(name, set()), failed
    assert (", but removes no more noise than " in conformance.closing(name, rows)) == (
        name in DOUBTS
    )


def test_spec_and_card_are_strict_json(denoiser):
    assert (
        json.loads(json.dumps(denoiser.spec.to_json(), allow_nan=False))["name"]
        == denoiser.spec.name
    )
    if denoiser.spec.weights:
        assert denoiser.card["sha256"].startswith(denoiser.spec.weights.split("@")[1])
    if denoiser.spec.name in ("unet", "kbnet"):
        assert {"summary", "licence", "source", "data", "split", "command"} <= denoiser.card.keys()
