"""A splice is its parts, each on its side of the level."""

import json

import pytest
import torch

import denoisers
from bench.sampling.execution import Runner, Way
from denoisers import registry
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.registry import splice_parts
from denoisers.splice import Splice
from denoisers.wrappers import ResidualDenoiser


@pytest.fixture
def load(train):
    return lambda name, **options: denoisers.load(
        name, train=lambda: train, labels=lambda: torch.zeros(len(train)).long(), **options
    )


@pytest.fixture
def x(train, generator):
    return train[:4] + torch.randn(4, 1, 32, 32, generator=generator)


@torch.inference_mode()
def test_each_level_goes_to_its_part(load, x):
    splice, above, below = load("splice:gaussian,identity@0.5"), load("gaussian"), load("identity")
    assert torch.equal(splice(x, torch.tensor(0.6)), above(x, torch.tensor(0.6)))
    assert torch.equal(splice(x, torch.tensor(0.5)), below(x, torch.tensor(0.5)))
    levels = torch.tensor([0.1, 3.0, 0.4, 0.9])
    mixed = splice(x, levels)
    assert torch.equal(mixed[[0, 2]], x[[0, 2]])
    assert torch.allclose(mixed[[1, 3]], above(x[[1, 3]], levels[[1, 3]]))


@torch.inference_mode()
@pytest.mark.parametrize(("level", "part"), [("0", "gaussian"), ("inf", "ideal")])
def test_at_the_ends_it_is_one_of_its_parts(load, x, level, part):
    splice, alone = load(f"splice:gaussian,ideal@{level}"), load(part)
    for sigma in (0.01, 1.0, 157.0):
        assert torch.equal(splice(x, torch.tensor(sigma)), alone(x, torch.tensor(sigma)))


def test_options_and_facts_of_the_parts(load):
    splice = load("splice:unet,kbnet@0.3", **{"below.weights": "gray25", "below.coupling": "naive"})
    assert splice.below.coupling.__name__ == "naive"
    assert splice.spec.weights.startswith("mnist@")
    assert ",gray25@" in splice.spec.weights
    assert splice.spec.to_json()["below"]["name"] == "kbnet"
    assert [splice.spec.in_band(s) for s in (0.1, 0.196, 0.25, 0.31, 100.0)] == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert splice.card["above"]["name"] == "mnist"


@pytest.mark.parametrize(
    "name",
    ["splice:", "splice:a,b", "splice:a@1", "splice:a,b@x", "splice:a,b@-1", "splice:a,b,c@1"],
)
def test_what_is_no_splice_is_refused(name):
    with pytest.raises(ValueError, match="expected splice:A,B@SIGMA"):
        splice_parts(name)
    with pytest.raises(ValueError, match="expected splice:A,B@SIGMA"):
        registry.find(name)


def test_bands_that_do_not_meet_and_levels_without_end_are_recorded(load):
    splice = load("splice:kbnet,median@0.3", **{"above.weights": "gray25"})
    assert (splice.spec.sigma_min, splice.spec.sigma_max) == (
        splice.above.spec.sigma_min,
        float("inf"),
    )
    json.dumps(splice.spec.to_json(), allow_nan=False)
    assert load("splice:identity,gaussian@inf").spec.to_json()["switch"] is None


@torch.no_grad()
def test_a_closed_form_beside_a_network_stays_float32(load, x):
    splice, alone = load("splice:unet,gaussian@0.6"), load("gaussian")
    runner = Runner(splice, Way("bfloat16", cast=True), "cpu")
    assert torch.equal(runner(x, torch.tensor(0.5)), alone(x, torch.tensor(0.5)))
    assert not torch.equal(
        runner(x, torch.tensor(0.7)), load("unet")(x, torch.tensor(0.7))
    )  # as the other part does not


def test_wrong_parts_and_options_are_named(load):
    with pytest.raises(UsageError, match="unknown denoiser 'unt'; did you mean 'unet'"):
        registry.find("splice:unt,identity@1")
    with pytest.raises(UsageError, match=r"below\.KEY; found 'coupling'"):
        load("splice:identity,identity@1", coupling="ve")
    with pytest.raises(UsageError, match=r"above\.weights="):
        load("splice:identity,identity@1", weights="x")
    with pytest.raises(UsageError, match="'identity' has no option 'speed'"):
        load("splice:identity,identity@1", **{"above.speed": "1"})


class Sides(torch.nn.Module):
    """A network that remembers the size of what it was asked about."""

    def forward(self, image):
        self.asked = tuple(image.shape[-2:])
        return image


def test_each_part_has_its_own_size(x):
    """What is cut is black in the part that has a size, and in it alone."""
    above = ResidualDenoiser(Sides(), Spec("small", "sample", size=(28, 28)))
    below = ResidualDenoiser(Sides(), Spec("any", "sample"))
    splice = Splice(above, below, 0.5)
    high, low = splice(x, torch.tensor(2.0)), splice(x, torch.tensor(0.1))
    assert (above.net.asked, below.net.asked) == ((28, 28), (32, 32))
    assert (high[..., :2, :] == -1).all()
    assert torch.allclose(low, x, atol=1e-5)
    assert [part.size for part in splice.spec.parts()] == [(28, 28), None]
    assert json.loads(json.dumps(splice.spec.to_json()))["above"]["size"] == [28, 28]
