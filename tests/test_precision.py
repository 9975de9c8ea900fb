"""On a device without float64 everything is done that `--device` reaches, with the bits of the CPU."""

import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch
from mac import mac
from torch import nn

import denoisers
from bench.images import to_float
from bench.noise import noise
from bench.sampling import generation, trajectory
from bench.sampling.samplers import SAMPLERS
from bench.sampling.starts import STARTS
from bench.scoring import preprocessing, pretrained
from denoisers import closed_form, framing, precision, schedule
from denoisers.base import Spec
from denoisers.precision import Doubles, double, triton_works
from denoisers.wrappers import VPDenoiser

NAMES = ("ideal", "gaussian", "gmm", "histogram", "mean", "one-image", "identity", "unet", "kbnet")
NAMES += ("splice:unet,gaussian@0.4",)


def images_of(denoiser, device, digits, sampler="ddpm", **changes):
    sigmas = schedule.ddpm_grid(3)
    watching = {key: changes.pop(key) for key in ("advance", "watch") if key in changes}
    options = {
        "seed": 5,
        "shape": digits.shape,
        "pad": digits.pad,
        "batch_size": 3,
        "device": device,
    }
    setup = generation.Setup(denoiser, sigmas, SAMPLERS[sampler], **(options | changes))
    return generation.generate(setup, range(4), **watching)


def same(found, expected, rounding=0.0):
    """The bits of the CPU; with `rounding`, as near to them, and images within a grey level."""
    for key, value in expected._asdict().items():
        if key == "images" and rounding:
            assert np.abs(getattr(found, key).astype(int) - value).max() <= 1
        else:
            assert key == "cost" or np.allclose(getattr(found, key), value, rounding, 0), key


def test_the_stand_in_refuses_float64():
    with mac() as device:
        for make in (
            lambda: torch.zeros(2, device=device).double(),
            lambda: torch.zeros(2, dtype=torch.float64).to(device),
            lambda: torch.zeros(2, dtype=torch.float64, device=device),
            lambda: torch.zeros(2, device=device).mean(dtype=torch.float64),
        ):
            with pytest.raises(TypeError, match="float64"):
                make()


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 5)])
def test_noise(shape):
    expected = noise(2**40, torch.tensor([0, 7, 2**40]), 3, shape)
    with mac() as device:
        found = noise(2**40, torch.tensor([0, 7, 2**40], device=device), 3, shape)
        assert found.device.type == device
        assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_every_denoiser_makes_the_same_images(name, digits, train, one_thread):
    ingredients = {"train": lambda: train, "labels": lambda: torch.arange(len(train)) % 3}
    loaded = denoisers.load(name, **ingredients)
    expected = images_of(loaded.to(memory_format=torch.channels_last), "cpu", digits)
    with mac() as device:
        moved = loaded.to(device, memory_format=torch.channels_last)
        assert framing.fit(moved, (28, 28), 2, device) == []
        # KBNet takes the same sums in another order where it is not on a CPU.
        same(images_of(moved, device, digits), expected, 1e-4 if name == "kbnet" else 0)


@pytest.fixture(scope="module")
def few(digits):
    """A closed form of 40 images, which is fast, and every guess that a run can start from."""
    small = dataclasses.replace(digits, train=digits.train[:40])
    found = {name: make(small, 5) for name, make in STARTS.items()} | {"noise": None}
    return functools.partial(closed_form.ideal, train=to_float(small.train, small.pad)), found


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("start", ["noise", *STARTS])
def test_every_sampler_from_every_start(name, start, few, digits):
    load, guesses = few
    options = {"sampler": name, "guess": guesses[start]}
    expected = images_of(load(), "cpu", digits, **options)
    with mac() as device:
        same(images_of(load().to(device), device, digits, **options), expected)


@pytest.mark.parametrize("name", ["ddpm", "ks"])
def test_the_trajectory(name, few, digits):
    def recorded(device):
        make = functools.partial(images_of, few[0]().to(device), device, digits, name)
        return trajectory.record(lambda watch: make(watch=watch), digits, 3, 5)

    expected = recorded("cpu")
    with mac() as device:
        found = recorded(device)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key], value) for key, value in expected.items())


class Shaded(nn.Conv2d):
    """A network that is told the step."""

    def __init__(self):
        super().__init__(3, 3, 3, padding=1)

    def forward(self, x, t):
        return super().forward(x) + t[:, None, None, None] / 1000


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_a_network_on_a_chain(kind, generator):
    spec = Spec("net", kind, value_range=(0.0, 1.0), in_channels=3, multiple_of=8, size=(36, 36))
    net = Shaded()
    x, sigma = torch.randn(2, 1, 32, 32, generator=generator), torch.tensor([0.3, 40.0])
    chain = schedule.alphas_cumprod(schedule.linear_betas())
    with torch.no_grad():
        expected = VPDenoiser(net, chain, spec)(x, sigma)
    with mac() as device:
        found = VPDenoiser(net, chain, spec).to(device)(x.to(device), sigma.to(device))
        assert torch.equal(found.cpu(), expected)


def test_features_of_a_network_trained_on_photographs(digits):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    for resize in preprocessing.RESIZES:
        prepare = preprocessing.Preprocessing(resize, (40, 40), (128.0,) * 3, (128.0,) * 3)
        expected = pretrained.features(net, prepare, "cpu", digits.train[:3])
        with mac() as device:
            moved = copy.deepcopy(net).to(device)
            assert np.array_equal(
                pretrained.features(moved, prepare, device, digits.train[:3]), expected
            )


def test_constants_are_copied_once_for_each_type():
    constants = Doubles(torch.tensor([1.0, 2.0]), torch.tensor(3.0))
    x = torch.zeros(1)
    assert constants.like(x) is constants.like(x)
    assert [part.dtype for part in constants.like(x)] == [torch.float32] * 2
    assert [part.dtype for part in constants.like(double(x))] == [torch.float64] * 2


def test_triton_is_of_no_use_without_a_compiler_or_headers(monkeypatch, tmp_path):
    """Kernels would end in an error that plain torch does not have."""
    works = triton_works.__wrapped__
    monkeypatch.setattr(precision.importlib.util, "find_spec", lambda name: name == "triton")
    monkeypatch.setattr(precision.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(precision.sysconfig, "get_config_var", lambda name: None)
    monkeypatch.setenv("CC", "cc")
    assert not works()
    (tmp_path / "Python.h").touch()
    assert works()
    monkeypatch.delenv("CC")
    monkeypatch.setattr(precision.shutil, "which", lambda name: None)
    assert not works()
