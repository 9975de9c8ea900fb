"""What every registered denoiser must do. Registering one is having it tested."""

import json

import pytest
import torch

import denoisers
from bench import check
from denoisers.base import Denoiser

UNTRAINED = ("diffusers", "ffdnet", "spandrel")  # random weights in these tests
FAILS = {"identity": {"removes noise", "coordinates"}} | {name: {"removes noise", "coordinates"} for name in UNTRAINED}


@pytest.fixture(scope="module", params=denoisers.names())
def denoiser(request, checkpoints) -> Denoiser:
    try:
        return check.load(request.param, **checkpoints.get(request.param, {}))
    except ImportError as error:
        pytest.skip(str(error))


def test_it_conforms(denoiser):
    failed = {row.check: row for row in check.conformance(denoiser, num=8) if row.verdict == check.FAIL}
    assert failed.keys() <= FAILS.get(denoiser.spec.name, set()), failed


@torch.inference_mode()
def test_each_row_has_its_own_level(denoiser, train, generator):
    x = train[:6] + 0.5 * torch.randn(6, 1, 32, 32, generator=generator)
    levels = torch.tensor([0.1, 0.5, 1.0, 2.0, 5.0, 20.0])
    together = denoiser(x, levels)
    for i, level in enumerate(levels):
        assert torch.allclose(together[i : i + 1], denoiser(x[i : i + 1], level), atol=1e-4)


def test_spec_and_card_are_strict_json(denoiser):
    assert json.loads(json.dumps(denoiser.spec.to_json(), allow_nan=False))["name"] == denoiser.spec.name
    if denoiser.spec.weights:
        assert denoiser.card["sha256"].startswith(denoiser.spec.weights.split("@")[1])
    if denoiser.spec.name in ("unet", "kbnet"):
        assert {"summary", "licence", "source", "data", "split", "command"} <= denoiser.card.keys()
