"""What two factors carry: known from cells whose answer is known."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bench.scoring.compare import Scored
from bench.scoring.rules import ScoringRules
from bench.scoring.schema import Score, ScoreSet
from bench.studies import crossing
from bench.studies.crossing import KINDS, PLACES, Place

FLOOR = ScoreSet({"kid": Score(0.0, 0.0005, -0.001, 0.001, 100)}, {}, [])


def cell(kid, rng, spread=0.05):
    """A run with that KID, and bootstrap values around it."""
    drawn = kid * (1 + spread * rng.standard_normal(1000))
    scores = ScoreSet({"kid": Score(kid, n=100)}, {}, [])
    rules = ScoringRules({}, "f", "t", "")
    return Scored("x", (0,), {}, rules, scores, FLOOR, {}, {"kid": kid}, {"kid": drawn}, Path("x"))


def found(kids, rng):
    """Eight cells: kids[network, learnt is asked]."""
    return {place: cell(kids[place.network, place.learnt == place.asked], rng) for place in PLACES}


DATA = {("U-Net", True): 0.01, ("KBNet", True): 0.01, ("U-Net", False): 1.0, ("KBNet", False): 1.0}
NETWORK = {
    ("U-Net", True): 0.01,
    ("KBNet", True): 1.0,
    ("U-Net", False): 0.01,
    ("KBNet", False): 1.0,
}
BOTH = {("U-Net", True): 0.01, ("KBNet", True): 1.0, ("U-Net", False): 1.0, ("KBNet", False): 0.01}


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize(("kids", "name"), [(DATA, "data"), (NETWORK, "network"), (BOTH, "both")])
def test_one_factor_alone_carries_everything(kids, name, asked, rng):
    effects = crossing.effects(found(kids, rng), asked)._asdict()
    cause = effects.pop(name)
    assert cause.share == pytest.approx(1, abs=1e-6)
    assert cause.share_ends[0] > 0.95
    assert abs(cause.orders) == pytest.approx(2)
    assert cause.ends[0] < cause.orders < cause.ends[1]
    assert cause.ends[0] > 0 or cause.ends[1] < 0
    for effect in effects.values():
        assert effect.orders == pytest.approx(0, abs=1e-6)
        assert effect.ends[0] < 0 < effect.ends[1]


def test_shares_add_up(rng):
    kids = {
        ("U-Net", True): 0.01,
        ("KBNet", True): 0.1,
        ("U-Net", False): 3.0,
        ("KBNet", False): 5.0,
    }
    effects = crossing.effects(found(kids, rng), "digits")
    assert sum(effect.share for effect in effects) == pytest.approx(1)
    assert effects.data.orders == pytest.approx((np.log10(300) + np.log10(50)) / 2)
    assert effects.network.orders == pytest.approx((1 + np.log10(5 / 3)) / 2)
    said = crossing.sentence(effects, "digits")
    assert said.startswith(
        "Asked for digits, having learnt patches raises KID by a factor of 122 ["
    )
    assert "KBNet in the place of the U-Net raises it by 4.08 [" in said


def test_below_the_floor_nothing_is_told(rng):
    scored = cell(1e-5, rng)
    value, drawn = crossing.orders(scored)
    assert value == pytest.approx(np.log10(0.00098), abs=0.02)
    assert (drawn == value).all()
    negative = dataclasses.replace(scored, values={"kid": -0.5})
    assert crossing.orders(negative)[0] == value


@pytest.mark.parametrize(
    ("kids", "cause"),
    [
        (DATA, "what a network has learnt decides, not how it is built"),
        (NETWORK, "how a network is built decides, not what it has learnt"),
        (BOTH, "neither the training data nor the architecture surely carries more than half"),
    ],
)
def test_the_verdict_in_words(kids, cause, rng):
    cells = found(kids, rng)
    effects = {asked: crossing.effects(cells, asked) for asked in KINDS}
    wins = {asked: crossing.better(cells, asked) for asked in KINDS}
    said = crossing.verdict(effects, wins)
    assert cause in said
    if kids is DATA:
        assert "On digits the U-Net of digits surely beats the KBNet of patches" in said
        assert "on patches the KBNet of patches surely beats the U-Net of digits" in said
    if kids is NETWORK:
        assert "on patches the U-Net of digits surely beats the KBNet of patches" in said


def test_what_cannot_be_told_apart_is_a_tie(rng):
    same = dict.fromkeys(DATA, 0.01)
    wins = crossing.better(found(same, rng), "patches")
    assert len(wins) == 6
    assert set(wins.values()) == {"tie"}
    assert "cannot be told apart" in crossing.crossed(wins, "patches")


def test_eight_places():
    assert len({place.title for place in PLACES}) == 8
    assert Place("U-Net", "digits", "patches") in PLACES
