"""What a notebook calls is what the commands do: the same images, numbers and tables; nothing is printed."""

import doctest
import inspect
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import commands
import numpy as np
import pytest
import torch

import bench
from bench import api
from bench.progress import Progress
from denoisers import wrappers
from denoisers.base import Denoiser, Spec
from denoisers.errors import UsageError

FOUR = ("load", "sample", "score", "report")
SMALL = ["--dataset", "mnist5k", "--device", "cpu", "--num", "40", "--steps", "4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, digits_at_hand):
    """A run of the command line, its images and its scores."""
    out = tmp_path_factory.mktemp("api")
    status, _, err = commands.call("run", "--denoiser", "unet", *SMALL, "--out", out)
    assert status == 0, err
    (folder,) = out.glob("unet/*")
    (path,) = folder.glob("metrics-*.json")
    return out, np.load(folder / "samples.npz")["arr_0"][..., 0], json.loads(path.read_text())


def test_the_same_images_and_scores_and_tables(run, capfd, few_control_sets):
    folder, images, said = run
    drawn = bench.sample(bench.load("unet"), 40, steps=4, dataset="mnist5k", device="cpu")
    assert np.array_equal(drawn, images)
    found = bench.score(drawn, dataset="mnist5k", device="cpu")
    assert found.dataset.startswith("mnist5k@")
    assert found.features == "lenet-a"
    left = ("noise_std",)  # measured by a run before the levels were cut
    for name, score in said["scores"].items():
        if name not in left:
            assert found[name].value == pytest.approx(score["value"], rel=1e-9)
            assert found[name].stderr == pytest.approx(score["stderr"])
    for space, scores in said["memorization"].items():
        for name, score in scores.items():
            assert found.memorization[space][name].value == pytest.approx(score["value"])
    assert found.verdict == f"{said['verdict']['memorization']}: {said['verdict']['because']}"
    assert len(found.rows) == 40
    assert found.controls["held_out"].scores["kid"].n == 40
    told = bench.report(folder)
    assert (
        told.text.rstrip() == commands.call("report", folder)[1].partition(str(folder))[0].rstrip()
    )
    assert told.frame.set_index("name").loc["unet mnist", "kid"] == said["scores"]["kid"]["value"]
    assert told.files == []
    assert bench.report(folder, ["csv"], out=folder / "there").files == [
        folder / "there" / "report.csv"
    ]
    assert capfd.readouterr() == ("", "")


class Told(Progress):
    def __init__(self):
        self.stages = {}

    def stage(self, name, total=0, done=0):
        self.stages[name] = [total, 0]

        def advance(steps):
            self.stages[name][1] += steps

        return advance


class Half(Denoiser):
    """A denoiser of a notebook's own."""

    def __init__(self):
        super().__init__()
        self.spec = Spec("half", "sample")
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, x, sigma):
        return self.scale * x


def test_a_denoiser_of_a_notebook_is_drawn_from_and_left_as_it_is(digits):
    progress, denoiser = Told(), Half()
    images = bench.sample(
        denoiser,
        10,
        steps=3,
        sampler="ddim",
        seed=1,
        dataset=digits,
        batch_size=4,
        progress=progress,
    )
    assert images.shape == (10, 28, 28)
    assert progress.stages == {"sampling": [30, 30]}
    assert type(denoiser) is Half
    assert denoiser.scale.requires_grad
    again = bench.sample(
        denoiser, 10, steps=3, sampler="ddim", seed=1, dataset=digits, batch_size=5
    )
    assert np.array_equal(images, again)
    other = bench.sample(denoiser, 10, steps=3, sampler="ddim", seed=2, dataset=digits)
    assert not np.array_equal(images, other)


@pytest.mark.parametrize("as_given", ["array", "channels last", "tensor", "floats"])
def test_images_of_any_form_are_scored_alike(digits, as_given):
    images = digits.held_out[:20]
    given = {
        "array": images,
        "channels last": images[..., None],
        "tensor": torch.from_numpy(images)[:, None],
        "floats": torch.from_numpy(images)[:, None] / 127.5 - 1,
    }[as_given]
    value_range = (-1, 1) if as_given == "floats" else None
    found = bench.score(given, dataset=digits, value_range=value_range)
    assert found.scores == bench.score(images, dataset=digits).scores


WRONG = {
    "unknown denoiser 'unett'": lambda: bench.load("unett"),
    "found 'unet'; expected a Denoiser": lambda: bench.sample("unet"),
    "found Linear; expected a Denoiser": lambda: bench.sample(torch.nn.Linear(1, 1)),
    "images are a str; expected an array or a tensor": lambda: bench.score("x", dataset="mnist5k"),
    "--steps: must": lambda: bench.sample(Half(), 10, steps=0),
    "unknown sampler 'euler'": lambda: bench.sample(Half(), 10, sampler="euler"),
    "unknown setting 'step'; expected some of num, steps": lambda: bench.sample(Half(), 10, step=3),
    "unknown protocol 'long'": lambda: bench.sample(Half(), protocol="long"),
    "seed: must": lambda: bench.sample(Half(), 10, seed=-1),
    "images are 20x32x32; expected 6 or more of 28x28, as mnist5k has": lambda: bench.score(
        np.zeros((20, 32, 32), np.uint8), dataset="mnist5k"
    ),
    "images are 2x28x28; expected 6 or more": lambda: bench.score(
        np.zeros((2, 28, 28), np.uint8), dataset="mnist5k"
    ),
    "say what is black and white": lambda: bench.score(np.zeros((20, 28, 28)), dataset="mnist5k"),
    "no folder nowhere": lambda: bench.report("nowhere"),
    "unknown format 'pdf'; available: html": lambda: bench.report(".", ["pdf"]),
    "unknown 'mnst'; did you mean 'mnist'": lambda: bench.score(
        np.zeros((9, 2, 2)), dataset="mnst"
    ),
}


@pytest.mark.parametrize("said", WRONG)
def test_what_is_wrong_is_said(said):
    with pytest.raises(UsageError) as error:
        WRONG[said]()
    assert said in str(error.value)


@pytest.mark.parametrize("name", FOUR)
def test_help_tells_all(name):
    function = getattr(bench, name)
    text = inspect.getdoc(function)
    named = inspect.signature(function).parameters
    usual = ("say", "progress", "device", "data_dir")  # told once, above the four
    assert [key for key in named if not re.search(rf"\b{key}\b", text) and key not in usual] == []
    assert "Raises UsageError" in text
    assert all(part.annotation is not inspect.Parameter.empty for part in named.values())


@pytest.mark.parametrize("name", FOUR)
def test_the_examples_are_true(name):
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(getattr(api, name), name, globs={})
    assert len(example.examples) >= 2
    assert doctest.DocTestRunner().run(example).failed == 0


def test_importing_it_brings_nothing_slow():
    code = "import sys, bench; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; "
    code += "assert {'load', 'sample', 'score', 'report'} <= {*dir(bench)}; bench.load"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(bench.__file__).parents[1])
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        bench.nothing  # noqa: B018


class Dropping(Denoiser):
    """One that draws in training mode, and does not in eval mode."""

    def __init__(self):
        super().__init__()
        self.spec = Spec("dropping", "sample")
        self.layer = torch.nn.Dropout(0.5)

    def forward(self, x, sigma):
        return self.layer(x) / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)


def test_the_denoiser_and_the_state_of_the_caller_stay_as_they_are():
    denoiser, state = Dropping().train(), torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        first, second = (
            bench.sample(denoiser, 8, steps=3, dataset="mnist5k", device="cpu") for _ in range(2)
        )
    assert np.array_equal(first, second)
    assert denoiser.training and denoiser.layer.training
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_to_be_doubted_is_told():
    class Small(Dropping):
        def __init__(self):
            super().__init__()
            self.spec = Spec("small", "sample", size=(64, 64))

        def forward(self, x, sigma):
            return wrappers.sized((64, 64), super().forward, x, sigma)

    said = []
    bench.sample(Small(), 8, steps=3, dataset="mnist5k", device="cpu", say=said.append)
    assert any("64 x 64" in line for line in said)


def test_what_cannot_be_done_as_asked_is_said():
    plain = Dropping()
    with pytest.raises(
        UsageError, match="dtype is bfloat16, and dropping has a spec without weights"
    ):
        bench.sample(plain, 8, steps=3, dataset="mnist5k", device="cpu", dtype="bfloat16")
    with pytest.raises(UsageError, match=r"batch_size: must lie in .*; found -1"):
        bench.sample(plain, 8, steps=3, dataset="mnist5k", device="cpu", batch_size=-1)
    with pytest.raises(UsageError, match=r"settings are steps='3', num=8; one is of another kind"):
        bench.sample(plain, 8, steps="3", dataset="mnist5k", device="cpu")
    plain.lock = threading.Lock()
    with pytest.raises(UsageError, match="dropping cannot be copied"):
        bench.sample(plain, 8, steps=3, dataset="mnist5k", device="cpu")
    del plain.spec, plain.lock
    with pytest.raises(UsageError, match="Dropping has no spec"):
        bench.sample(plain, 8, dataset="mnist5k")


def test_metrics_are_there_when_they_are_asked_for():
    assert bench.metrics.FrechetDistance.__name__ == "FrechetDistance"
