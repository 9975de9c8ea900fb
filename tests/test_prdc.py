"""Precision, recall, density and coverage against their definitions, and against the mistakes that others made."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from bench.scoring import prdc
from bench.scoring.prdc import Balls


def by_definition(real, fake):
    """The formulas of the two papers, by all distances."""
    rr, ff, rf = cdist(real, real), cdist(fake, fake), cdist(real, fake)
    three, five = np.sort(rr, 1)[:, 3], np.sort(rr, 1)[:, 5]
    own = np.sort(ff, 1)[:, 3]
    return {
        "precision": (rf <= three[:, None]).any(0).mean(),
        "recall": (rf <= own[None]).any(1).mean(),
        "density": (rf <= five[:, None]).sum() / (5 * len(fake)),
        "coverage": (rf <= five[:, None]).any(1).mean(),
    }


def values(real, fake):
    return {
        name: found.value for name, found in prdc.overlap(Balls.of(real), Balls.of(fake)).items()
    }


@pytest.fixture
def sets(rng):
    return rng.normal(size=(200, 4)), rng.normal(size=(150, 4)) * 0.8 + 0.5


def test_they_are_what_the_papers_define(sets):
    assert values(*sets) == pytest.approx(by_definition(*sets))


def test_blocks_change_nothing(sets, monkeypatch):
    whole = values(*sets)
    monkeypatch.setattr(prdc, "BLOCK", 2000)
    assert values(*sets) == pytest.approx(whole)


def test_identical_sets_overlap_wholly(sets):
    found = values(sets[0], sets[0].copy())
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] >= 1


def test_identical_sets_of_one_point_overlap_wholly():
    same = np.full((20, 3), 0.1)
    found = values(same, same)
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)


def test_a_collapsed_generator_is_precise_and_recalls_nothing(sets):
    collapsed = np.repeat(sets[0][:1], 150, 0)
    found = values(sets[0], collapsed)
    assert found["precision"] == 1
    assert found["recall"] <= 0.05
    assert found["coverage"] <= 0.1
    swapped = values(collapsed, sets[0])
    assert swapped["precision"] <= 0.05
    assert swapped["recall"] > 0.9


def test_their_errors_are_those_of_new_samples(rng):
    """Against the spread over generated sets drawn anew; those of recall and coverage may be too large."""
    real = Balls.of(rng.normal(size=(300, 8)))
    draws = [prdc.overlap(real, Balls.of(rng.normal(size=(300, 8)) * 0.95)) for _ in range(60)]
    for name, most in {"precision": 1.3, "recall": 1.8, "density": 1.3, "coverage": 2.2}.items():
        spread = np.std([draw[name].value for draw in draws])
        assert 0.7 < np.mean([draw[name].stderr for draw in draws]) / spread < most, name


def test_too_few_images_are_refused_in_words():
    with pytest.raises(ValueError, match=r"at least 6 images a side; found 5 \(--num\)"):
        Balls.of(np.zeros((5, 2)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_they_are_those_of_the_cpu(sets):
    there = prdc.overlap(*(Balls.of(points, "cuda") for points in sets), "cuda")
    assert {name: found.value for name, found in there.items()} == pytest.approx(values(*sets))
