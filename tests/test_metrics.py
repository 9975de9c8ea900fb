"""The metrics are torchmetrics' to use, and give what the command line gives for the same images."""

import json
import pickle
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection
from torchmetrics.image import FrechetInceptionDistance, KernelInceptionDistance

from bench.data.dataset import Dataset
from bench.metrics import FrechetDistance, KernelDistance, Memorization, Overlap
from bench.notices import Notice
from bench.scoring import extractors
from denoisers.errors import UsageError

EVERY = (FrechetDistance, KernelDistance, Overlap)


@pytest.fixture(scope="module")
def samples(digits):
    """Blurred held-out digits, uint8 (60, 1, 28, 28)."""
    images = torch.from_numpy(digits.held_out[:60]).float()[:, None]
    return torch.nn.functional.avg_pool2d(images, 3, 1, 1).byte()


def close(found, expected):
    return found.item() == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_they_give_what_the_command_gives(
    samples, tmp_path, monkeypatch, digits_at_hand, few_control_sets
):
    monkeypatch.chdir(tmp_path)
    np.savez("samples.npz", arr_0=samples[:, 0].numpy())
    assert commands.call("score", "samples.npz", "--dataset", "mnist5k", "--device", "cpu")[0] == 0
    (path,) = Path("results").glob("*/*/metrics-*.json")
    said = json.loads(path.read_text())
    metrics = MetricCollection([kind("mnist5k") for kind in EVERY])
    for part in samples.split(23):
        metrics.update(part)
    found = metrics.compute()
    assert close(found["FrechetDistance"], said["scores"]["fid"]["value"])
    for name in ("kid", "precision", "recall", "density", "coverage"):
        assert close(found[name], said["scores"][name]["value"])
    assert close(found["kid_stderr"], said["scores"]["kid"]["stderr"])
    memorization = Memorization("mnist5k")
    memorization.update(samples)
    found = memorization.compute()
    for space, scores in said["memorization"].items():
        for name, score in scores.items():
            assert close(found.pop(f"{space}_{name}"), score["value"])
    verdict = said["verdict"]["memorization"]
    assert found == {"memorizes": torch.tensor(float(verdict == "memorizing"))}
    assert memorization.verdict() == f"{verdict}: {said['verdict']['because']}"


def test_copies_are_called_so(digits):
    metric = Memorization(digits)
    metric.update(torch.from_numpy(digits.train[:50]))
    assert metric.compute()["memorizes"] == 1
    assert metric.verdict().startswith("memorizing: 100.00% of the images are copies")


class Features(torch.nn.Module):
    """What torchmetrics takes for a network: the features of lenet-a, standardised by some images."""

    num_features = 128

    def __init__(self, real=None):
        super().__init__()
        self.net = extractors.load("lenet-a").features
        first = 0 if real is None else self.net(real[:, 0].numpy())
        self.mean, self.std = (0, 1) if real is None else (first.mean(0), first.std(0))
        self.std = np.where(self.std == 0, 1, self.std)

    def forward(self, images):
        return torch.from_numpy((self.net(images[:, 0].numpy()) - self.mean) / self.std).float()


@pytest.fixture(scope="module")
def real(digits):
    return torch.from_numpy(digits.train[:300])[:, None]


def fed(metric, real, samples):
    metric.update(real, real=True)
    metric.update(samples, real=False)
    return metric.compute()


def test_on_the_same_features_they_are_torchmetrics_own(real, digits):
    samples = torch.from_numpy(255 - digits.held_out[:300])[:, None]
    theirs = FrechetInceptionDistance(Features()).set_dtype(torch.float64)
    assert fed(FrechetDistance(), real, samples).item() == pytest.approx(
        fed(theirs, real, samples).item(), rel=1e-5
    )
    theirs = KernelInceptionDistance(Features(real), subsets=1, subset_size=300)
    expected, _ = fed(theirs, real, samples)
    assert fed(KernelDistance(), real, samples)["kid"].item() == pytest.approx(
        expected.item(), rel=1e-3
    )


@pytest.mark.parametrize("kind", EVERY)
def test_floats_in_their_range_are_their_grey_levels(kind, real, samples):
    found = fed(kind(), real, samples)
    for black, white in ((0, 1), (-1, 1)):
        scaled = [images / 255 * (white - black) + black for images in (real, samples)]
        again = fed(kind(value_range=(black, white)), *scaled)
        assert torch.equal(found, again) if kind is FrechetDistance else found == again


def test_it_can_be_pickled_cloned_reset_and_called(real, samples):
    metric = FrechetDistance()
    value = fed(metric, real, samples)
    assert pickle.loads(pickle.dumps(metric)).compute() == value
    clone = metric.clone()
    clone.update(real[:20])
    assert clone.compute() != value
    metric.reset()
    with pytest.raises(UsageError, match="0 generated images were seen; expected 6 or more"):
        metric.compute()
    keeping = FrechetDistance(reset_real_features=False)
    assert fed(keeping, real, samples) == value
    keeping.reset()
    keeping.update(samples)
    assert keeping.compute() == value
    with_reference = FrechetDistance("mnist5k")
    assert with_reference(samples) == with_reference.compute()  # of the batch, and of all
    assert pickle.loads(pickle.dumps(with_reference)).compute() == with_reference.compute()


def test_one_reference_is_shared_by_a_collection(samples):
    metrics = MetricCollection([kind("mnist5k") for kind in EVERY])
    metrics.update(samples)
    metrics.update(samples)
    assert len(metrics.compute_groups) == 1
    assert sorted(metrics.compute()) == [
        "FrechetDistance",
        "coverage",
        "density",
        "kid",
        "kid_stderr",
        "precision",
        "recall",
    ]


def test_images_of_any_kind_in_other_features(rng):
    images = rng.integers(0, 256, (40, 12, 12, 3), np.uint8)
    dataset = Dataset("mine", images[:20], None, images[20:], None)
    metric = KernelDistance(dataset)
    assert metric.extractor.name == "cifar-a"
    metric.update(torch.from_numpy(images[20:]).permute(0, 3, 1, 2))
    assert metric.compute()["kid_stderr"] > 0
    assert KernelDistance(dataset, features="pixels").extractor.name == "pixels"


GOOD = torch.zeros(6, 1, 28, 28, dtype=torch.uint8)
NAN = torch.zeros(6, 1, 28, 28)
NAN[0, 0, 3, 3] = torch.nan
WRONG = {
    "floats from 0 to 0; say what is black and white, as value_range": (GOOD / 255, {}),
    "floats from 0 to 200, outside value_range=(0, 1); clamp": (
        GOOD + 200.0,
        {"value_range": (0, 1)},
    ),
    "none is brighter than 1 of 255: [0, 1] cast to whole numbers": (GOOD + 1, {}),
    "1 values that are not finite": (NAN, {"value_range": (0, 1)}),
    "images are 28x28x3; lenet-a has 28x28": (GOOD.expand(-1, 3, -1, -1), {}),
    "images are 28x28x3; mnist5k has 28x28": (GOOD.expand(-1, 3, -1, -1), {"reference": "mnist5k"}),
    "images are 32x32; lenet-a has 28x28; take the frame off": (
        torch.nn.functional.pad(GOOD, (2,) * 4),
        {},
    ),
    "channels come second: images.permute(0, 3, 1, 2)": (GOOD.permute(0, 2, 3, 1), {}),
    "images are (28, 28); expected (N, H, W)": (GOOD[0, 0], {}),
    "images are torch.int64; expected uint8": (GOOD.long(), {}),
    "images are torch.bool; expected uint8": (GOOD.bool(), {}),
}
WRONG["floats from 0 to 200, outside value_range=(0, 1); clamp"][0][0] = 0


@pytest.mark.parametrize("said", WRONG)
def test_the_mistake_is_named(said):
    images, options = WRONG[said]
    with pytest.raises(ValueError) as error:
        FrechetDistance(**options).update(images)
    assert said in str(error.value)


def test_mistakes_beside_the_images():
    with pytest.raises(ValueError, match="unknown features 'inceptoin'"):
        FrechetDistance(features="inceptoin")
    with pytest.raises(ValueError, match=r"value_range is \(1, 0\)"):
        FrechetDistance(value_range=(1, 0))
    with pytest.raises(ValueError, match="unknown 'mnst'; did you mean 'mnist'"):
        FrechetDistance("mnst").update(GOOD)
    with pytest.raises(ValueError, match="real images are those of mnist5k"):
        FrechetDistance("mnist5k").update(GOOD, real=True)
    with pytest.raises(ValueError, match="reference is None"):
        Memorization(None)
    metric = FrechetDistance()
    metric.update(GOOD)
    with pytest.raises(ValueError, match=r"0 real images were seen.*update\(images, real=True\)"):
        metric.compute()


def test_the_value_of_a_batch_leaves_what_was_seen(samples):
    given, named = FrechetDistance(reset_real_features=False), FrechetDistance("mnist5k")
    assert given(samples[:30], real=True) is None
    for metric in (given, named):
        metric.update(samples[30:45])
        alone = metric(samples[45:])
        expected = type(metric)(metric.reference)
        if metric.reference is None:
            expected.update(samples[:30], real=True)
        expected.update(samples[45:])
        assert torch.equal(alone, expected.compute())
        assert metric(samples[:4]) is None  # too few for a value of their own
        assert len(metric.generated()) == 34
    assert len(given.real()) == 30


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_arithmetic_of_a_loop_does_not_touch_the_numbers(dtype, samples):
    expected, found = FrechetDistance(), FrechetDistance()
    expected.update(samples[:30], real=True)
    expected.update(samples[30:])
    with torch.autocast("cpu", dtype):
        found.update(samples[:30], real=True)
        found.update(samples[30:])
        assert torch.equal(found.compute(), expected.compute())
    assert all(state.dtype == torch.float32 for state in found.generated_features)


def test_no_images_are_nothing_seen(samples):
    metric = FrechetDistance("mnist5k")
    metric.update(samples[:0])
    assert metric.generated_features == []


def test_metrics_with_and_without_a_reference_are_no_group(samples):
    both = MetricCollection({"given": KernelDistance(), "named": Overlap("mnist5k")})
    both.update(samples)
    assert len(both.compute_groups) == 2
    with pytest.raises(UsageError, match="real images are those of mnist5k"):
        both.update(samples, real=True)


def test_a_file_is_read_again(samples, tmp_path):
    sets = []
    for part in (samples[:40], samples[20:]):
        np.savez(tmp_path / "own.npz", arr_0=part[:, 0].numpy())
        sets.append(FrechetDistance(str(tmp_path / "own.npz"), features="lenet-a").against.dataset)
    assert sets[0].digest != sets[1].digest


def test_what_may_be_in_the_wrong_range_is_said(samples):
    with pytest.warns(Notice, match=r"say value_range=\(0, 1\)"):
        FrechetDistance("mnist5k", value_range=(-1, 1)).update(samples.float() / 255)
    dark = torch.zeros(8, 1, 28, 28, dtype=torch.uint8)
    dark[0, 0, 0, 0] = 1
    FrechetDistance("mnist5k").update(dark)  # a generator may have got no further


RANKS = """
import torch
from torch import distributed
from torchmetrics import MetricCollection

from bench.data import datasets
from bench.metrics import FrechetDistance, KernelDistance, Memorization, Overlap

distributed.init_process_group("gloo")
rank = distributed.get_rank()
digits = datasets.load("mnist5k")
samples = torch.from_numpy(digits.held_out[:51])
kinds = (FrechetDistance, KernelDistance, Overlap, Memorization)
shared = MetricCollection([kind("mnist5k") for kind in kinds])
shared.update(samples[:30] if rank == 0 else samples[30:])
found = shared.compute()
memorization = shared["Memorization"]
sentences = [None, None]
distributed.all_gather_object(sentences, memorization.verdict())
assert sentences[0] == sentences[1]
lonely = MetricCollection([kind("mnist5k") for kind in kinds])
if rank == 0:
    lonely.update(samples)  # the other has seen nothing
of_one = lonely.compute()
few = FrechetDistance("mnist5k")
few.update(samples[:2])
try:
    few.compute()
    raise AssertionError("four are too few")
except ValueError as error:
    assert "4 generated images were seen" in str(error)
few.update(samples[:4])  # and it goes on
assert len(few.generated()) == 6
alone = MetricCollection([kind("mnist5k", distributed_available_fn=lambda: False) for kind in kinds])
alone.update(samples)
expected = alone.compute()
assert found.keys() == expected.keys() and len(found) > 20
for name, value in expected.items():
    assert torch.allclose(found[name], value, rtol=1e-5, atol=1e-6), (name, found[name], value)
    assert torch.allclose(of_one[name], value, rtol=1e-5, atol=1e-6), (name, of_one[name], value)
distributed.destroy_process_group()
"""


def test_states_are_joined_over_ranks(tmp_path):
    script = tmp_path / "metrics.py"
    script.write_text(RANKS)
    done = commands.by_ranks(2, script)
    assert done.returncode == 0, done.stderr
