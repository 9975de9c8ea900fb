"""Every statistic of the control panel must come out as science says; the calibration of the bench itself."""

import numpy as np
import pytest
import torch

from bench.images import noise_std, to_float
from bench.scoring import control_scores, control_sets, extractors, measure, reference
from bench.scoring.nearest import Index
from bench.scoring.reference import Reference

N = 200


@pytest.fixture
def controls(against):
    return control_scores.measured(against, N, control_sets.CONTROLS)


def value(measured, name, space=None):
    return (measured["scores"] if space is None else measured["memorization"][space])[name]["value"]


def test_held_out_digits_pass(controls):
    found = controls["held_out"]
    assert found["verdict"]["memorization"] == "no evidence"
    assert all(value(found, "copy_rate", space) == 0 for space in ("pixels", "shifted", "guarded"))
    for space in ("pixels", "guarded", "features"):
        low, high = found["memorization"][space]["auc"]["ci95"]
        assert low < 0.5 < high, space
        assert abs(value(found, "excess_5", space)) < 0.05
    assert value(found, "authpct", "pixels") == pytest.approx(0.65, abs=0.1)


def test_copies_ring_every_alarm(controls):
    found = controls["copies"]
    assert found["verdict"]["memorization"] == "memorizing"
    for space in ("pixels", "shifted", "guarded", "features"):
        assert value(found, "copy_rate", space) == 1
        assert value(found, "d1_median", space) == 0
    assert value(found, "authpct", "pixels") == 0
    assert value(found, "auc", "pixels") == pytest.approx(1)
    assert value(found, "ct", "pixels") < -5
    assert value(found, "relative", "pixels") == 1
    assert value(found, "mifid") > 1e5 > value(controls["held_out"], "mifid")


def test_quality_cannot_tell_copies_from_held_out_digits(controls):
    """Which is why it is not enough."""
    copies, held_out = controls["copies"], controls["held_out"]
    assert value(copies, "fid") < 1.1 * value(held_out, "fid")
    for name in ("precision", "recall", "coverage"):
        assert value(copies, name) == pytest.approx(value(held_out, name), abs=0.1)
        assert value(held_out, name) > 0.8


def test_each_disguise_of_copies_and_what_sees_through_it(controls):
    shifted, noisy = controls["copies_shifted"], controls["copies_noise_0.1"]
    assert (value(shifted, "copy_rate", "pixels"), value(shifted, "copy_rate", "shifted")) == (0, 1)
    assert value(noisy, "copy_rate", "guarded") > 2 * value(noisy, "copy_rate", "pixels")
    assert value(controls["copies_noise_0.2"], "copy_rate", "pixels") == 0
    assert value(controls["copies_noise_0.2"], "excess_5", "guarded") > 0.5
    assert value(controls["midpoints"], "copy_rate", "pixels") == 0
    assert value(controls["midpoints"], "auc", "pixels") > 0.9


def test_the_gaussian_model_fails_on_quality_alone(controls):
    found = controls["gaussian"]
    assert found["verdict"]["memorization"] == "no evidence"
    assert value(found, "auc", "pixels") < 0.4
    assert value(found, "fid") > 10 * value(controls["held_out"], "fid")
    assert value(found, "recall") < 0.1


def test_every_number_has_its_n_and_interval(against, controls):
    scores, replicates, rows = measure.score(
        against.dataset.held_out[500 : 500 + N],
        noise_std(to_float(against.dataset.held_out[500 : 500 + N])).numpy(),
        against,
        Reference(against.dataset, extractors.load("lenet-b")),
        controls,
    )
    for name, entry in scores["scores"].items():
        assert entry["n"] == N
        if entry["stderr"] is not None:
            low, high = entry["ci95"]
            assert low <= high, name
    assert scores["second"]["features"].startswith("lenet-b@")
    assert scores["second"]["kid"]["stderr"] > 0
    assert sum(scores["class_histogram"]) == N
    assert scores["controls"] == controls
    assert (rows["id"] == np.arange(N)).all()
    assert {"nearest", "d1", "d2", "ratio", "shifted_d1", "shifted_ratio", "noise_std"} <= set(rows)
    classes, sure = measure.doubts(rows)
    assert (classes[:, 0] == rows["class"]).all()
    assert scores["scores"]["mixed"]["value"] == pytest.approx((sure < 0.7).mean())
    for name in ("fid", "kid", "precision", "recall", "coverage", "confidence", "copy_rate_pixels"):
        assert len(replicates[name]) == 500, name


def collapsed(digits, n):
    return np.repeat(digits.held_out[:1], n, 0)


def constant(digits, n):
    return np.full((n, 28, 28), 255, np.uint8)


@pytest.mark.parametrize("images", [collapsed, constant])
def test_a_generator_of_one_image_is_scored(against, images):
    found = measure.measure(images(against.dataset, 40), np.zeros(40), against, typical=0.01)
    assert np.isfinite([score.value for score in found.scores.scores.values()]).all()
    assert found.scores.scores["recall"].value < 0.05
    assert found.scores.scores["classifier_score"].value == pytest.approx(1, abs=1e-4)
    assert found.scores.scores["class_distance"].value == pytest.approx(0.9)


def test_too_few_images_are_refused_in_words(against):
    with pytest.raises(ValueError, match=r"at least 6 images a side; found 5 \(--num\)"):
        measure.measure(against.dataset.held_out[:5], np.zeros(5), against, typical=0.01)


def test_the_cache_is_used_and_a_damaged_one_replaced(home):
    calls = []

    def compute():
        calls.append(1)
        return {"a": np.arange(3)}

    for _ in range(2):
        assert reference.cached("some-key", compute)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 1
    path = home / "cache" / "some-key.npz"
    path.write_bytes(path.read_bytes()[:20])
    assert reference.cached("some-key", compute)["a"].tolist() == [0, 1, 2]
    assert len(calls) == 2
    assert [file.name for file in path.parent.glob("some-key*")] == ["some-key.npz"]


def test_a_home_that_cannot_be_written_costs_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "file"))
    assert reference.cached("k", lambda: {"a": np.ones(2)})["a"].tolist() == [1, 1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_every_score_is_that_of_the_cpu(against, controls):
    """Distances of pixels to the bit; features of a network, and what is made of them, as far as float32 goes."""
    images, found = against.dataset.held_out[500 : 500 + 2 * N], {}
    left = noise_std(to_float(images)).numpy()
    for device in ("cpu", "cuda"):
        first, second = (
            Reference(against.dataset, extractors.load(name, device=device))
            for name in ("lenet-a", "lenet-b")
        )
        found[device] = measure.score(images, left, first, second, controls)
    (here, drawn, rows), (there, drawn_there, rows_there) = found["cpu"], found["cuda"]
    for name in ("nearest", "d1", "d2", "ratio", "shifted_d1", "shifted_ratio", "class"):
        assert np.array_equal(rows[name], rows_there[name]), name
    few = 2 / len(images)  # two images that change sides of a limit in features
    for name, entry in here["scores"].items():
        counted = name in ("precision", "recall", "density", "coverage")
        tolerance = {"rel": 1e-4, "abs": few if counted else 1e-6}
        assert there["scores"][name]["value"] == pytest.approx(entry["value"], **tolerance), name
    for space, entries in here["memorization"].items():
        tolerance = {"rel": 1e-4, "abs": few if space == "features" else 1e-9}
        for name, entry in entries.items():
            value = there["memorization"][space][name]["value"]
            assert value == pytest.approx(entry["value"], **tolerance), (space, name)
    for name, values in drawn.items():
        assert drawn_there[name] == pytest.approx(values, rel=1e-4, abs=1e-4), name


@pytest.mark.mnist
def test_calibration_on_mnist(mnist, rng):
    """The figures of the science brief: 66.8 % of held-out digits are authentic, none a copy; copies + N(0.02) 94 %."""
    flat = mnist.train.reshape(len(mnist.train), -1)
    index, queries = Index.of(flat), mnist.held_out[:1000].reshape(1000, -1)
    near = index.nearest(queries, 2)
    lonely = index.alone(near.index[:, 0])
    assert (lonely < near.distance[:, 0]).mean() == pytest.approx(0.6675, abs=0.045)
    assert (near.distance[:, 0] / near.distance[:, 1]).min() > 1 / 3
    assert np.median(near.distance[:, 0]) / 255 == pytest.approx(4.33, abs=0.25)
    own = rng.permutation(len(flat))[:300]
    # There on 32x32 pixels, not clipped.
    noise = 0.02 * 255 * rng.normal(size=(300, 32 * 32)).astype("f4")
    padded = np.pad(mnist.train, ((0, 0), (2, 2), (2, 2))).reshape(len(flat), -1)
    d1, d2 = Index.of(padded).nearest(padded[own] + noise, 2).distance.T
    assert (d1 / d2 < 1 / 3).mean() == pytest.approx(0.94, abs=0.04)
