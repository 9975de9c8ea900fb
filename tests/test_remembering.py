"""Runs that begin alike share answers: the images are the same bytes, and less is computed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import experiment
from bench.sampling.plan import SamplingPlan
from bench.sampling.remembering import Memory, Remembering
from bench.shelf import Shelf

STEPS, NUM = 6, 8
SPLICE = "splice:kbnet,gaussian@1"


@pytest.fixture(scope="module")
def shelf():
    return Shelf("mnist5k", None)


@pytest.fixture
def ran(tmp_path, shelf):
    """ran(name, memory): the images of a run, and how often its denoiser was called."""
    count = iter(range(100))

    def run(name, memory=None):
        plan = experiment.resolve(
            name,
            SamplingPlan(NUM, STEPS),
            shelf=shelf,
            worker_count="1",
            out=tmp_path / str(next(count)),
        )
        asked, call = [], plan.runner.call
        plan.runner.call = lambda x, sigma: asked.append(sigma.item()) or call(x, sigma)
        if memory is not None:
            limit = 1.0 if name == SPLICE else 0.0

            def part(sigma):
                return "kbnet" if sigma > limit else ""

            plan = dataclasses.replace(plan, runner=Remembering(plan.runner, memory, part))
        made = experiment.execute(plan)
        return made, made.read_npz("samples.npz")["arr_0"], asked

    return run


def test_what_was_asked_before_is_not_computed_again_and_the_images_are_the_same(ran, tmp_path):
    memory = Memory(tmp_path)
    _, first, calls = ran("kbnet", memory)
    assert np.array_equal(first, ran("kbnet")[1])
    run, again, none = ran("kbnet", memory)
    assert np.array_equal(first, again)
    assert len(calls) >= STEPS
    assert not none
    assert run.read_json("run.json")["execution"]["remembered"] is True


def test_a_splice_computes_below_its_level_alone(ran, tmp_path):
    memory = Memory(tmp_path)
    ran("kbnet", memory)
    _, spliced, calls = ran(SPLICE, memory)
    assert np.array_equal(spliced, ran(SPLICE)[1])
    assert calls
    assert max(calls) <= 1


def test_another_name_is_another_answer(tmp_path):
    memory = Memory(Path(tmp_path))
    x, sigma = torch.zeros(2, 1, 4, 4), torch.tensor(1.0)
    asked = [memory.answer(of, x, sigma, lambda x, sigma, of=of: x + len(of)) for of in ("a", "ab")]
    assert [found.max().item() for found in asked] == [1, 2]
    again = memory.answer("a", x, sigma, lambda x, sigma: pytest.fail("asked again"))
    assert torch.equal(again, asked[0])
    other = memory.answer("a", x, torch.tensor(2.0), lambda x, sigma: x + 7)
    assert other.max().item() == 7


def test_what_cannot_be_kept_is_as_it_was_returned(tmp_path):
    memory = Memory(tmp_path / "none such")  # as a full disk
    x, sigma = torch.zeros(2, 1, 4, 4), torch.tensor(1.0)
    for answer in (x + 1, (x + 1).bfloat16(), (x + 1).requires_grad_(), "no image"):
        for folder in (memory, Memory(tmp_path)):
            found = folder.answer(f"{answer!r}", x, sigma, lambda x, sigma, answer=answer: answer)
            assert found is answer
