"""Every test gets its own BENCH_HOME for runs and weights, and shares one cache of reference features."""

import functools
import hashlib
import itertools
import os
import sys
from pathlib import Path

import deepinv
import numpy as np
import pytest
import synthetic
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from patches import train as train_patches
from torch import nn

from bench import cli, machine
from bench.data import datasets
from bench.data import mnist as mnist_
from bench.images import to_float
from bench.scoring import control_sets, extractors, nearest
from bench.scoring.reference import Reference
from denoisers.ffdnet import FFDNet

MNIST = mnist_.read(Path(os.environ["BENCH_DATA"])) if os.environ.get("BENCH_DATA") else None


THIRD_PARTY = Path(os.environ.get("BENCH_DATA", "nowhere")).parent / "checkpoints"


def pytest_collection_modifyitems(config, items):
    """Tests marked `mnist` or `third_party` are deselected, and counted as such, where what they need is not found."""
    absent = [
        name
        for name, there in (("mnist", MNIST is not None), ("third_party", THIRD_PARTY.is_dir()))
        if not there
    ]
    away = [item for item in items if any(item.get_closest_marker(name) for name in absent)]
    config.hook.pytest_deselected(items=away)
    items[:] = [item for item in items if item not in away]


@pytest.fixture(scope="session")
def shared_home(request, tmp_path_factory):
    """The home of all tests, without data; what lies in its cache is named by digests of what it depends on.

    Workers of pytest-xdist share it.
    """
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if hasattr(request.config, "workerinput") else folder) / "home"


@pytest.fixture(autouse=True)
def home(shared_home, monkeypatch):
    """That home, as the variables name it."""
    monkeypatch.setenv("BENCH_HOME", str(shared_home))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return shared_home


@pytest.fixture(autouse=True, scope="session")
def asked_once():
    """What a hundred small runs would find out again, for more than all the rest of them costs.

    The index of the same points, and the commit of this checkout; test_machine.py asks for that
    anew.
    """
    indices, of = {}, nearest.Index.of

    def index(points, device="cpu"):
        if len(points) > 5000:
            return of(points, device)
        content = hashlib.sha1(np.ascontiguousarray(points)).hexdigest()
        how = (nearest.DIRECTIONS, nearest.HELD, device)
        key = (content, points.shape, points.dtype.str, *how)
        if key not in indices:
            indices[key] = of(points, device)
        return indices[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest.Index, "of", index)
        patch.setattr(machine, "commit", functools.cache(machine.commit))
        yield


@pytest.fixture
def unreadable(monkeypatch):
    """unreadable(name): folders whose paths end so cannot be listed, not even by root, whom no mode of theirs stops."""
    scan = os.scandir

    def forbid(name):
        def refuse(place):
            if str(place).endswith(name):
                raise PermissionError(13, "Permission denied")
            return scan(place)

        monkeypatch.setattr(os, "scandir", refuse)

    return forbid


@pytest.fixture(scope="session")
def digits():
    """The 5000 embedded digits: 4000 to train on, 1000 held out."""
    return datasets.load("mnist5k")


@pytest.fixture(scope="session")
def against(digits):
    """The embedded digits as what images are scored against, in the features of lenet-a."""
    return Reference(digits, extractors.load("lenet-a"))


@pytest.fixture(scope="session")
def train(digits):
    """500 training digits as a sampler sees them, float32 (500, 1, 32, 32)."""
    return to_float(digits.train[:500], digits.pad)


@pytest.fixture(scope="session")
def patches(digits):
    """patches[pad] is a network trained on digits with that frame: see patches.py."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {pad: train_patches(to_float(digits.train, pad)) for pad in (0, 2)}
    torch.set_num_threads(before)
    return found


@pytest.fixture(scope="session")
def mnist():
    """The full MNIST, for tests marked `mnist`."""
    return MNIST


@pytest.fixture(scope="session")
def third_party():
    """Checkpoints of others beside the data, for tests marked `third_party`."""
    return THIRD_PARTY


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def small_drunet(folder):
    """A DRUNet of deepinv's with random weights, and the options that say its size."""
    options = {"nc": "8,8,16,16", "nb": "1"}
    net = deepinv.models.DRUNet(1, 1, nc=(8, 8, 16, 16), nb=1, pretrained=None)
    torch.save(net.state_dict(), folder / "drunet.pth")
    return options


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Arguments for the denoisers that need weights: small networks with random ones, saved as their authors do."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    torch.save(FFDNet(width=8, depth=4).state_dict(), folder / "ffdnet.pth")
    widths = [1, *[8] * 16, 1]
    layers = [
        layer
        for a, b in itertools.pairwise(widths)
        for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())
    ]
    torch.save(
        nn.ModuleDict({"model": nn.Sequential(*layers[:-1])}).state_dict(), folder / "dncnn.pth"
    )
    shape = {
        "sample_size": 32,
        "in_channels": 1,
        "out_channels": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
    }
    blocks = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    net = UNet2DModel(**shape, **blocks, block_out_channels=(8, 16), layers_per_block=1)
    DDPMPipeline(net, DDPMScheduler()).save_pretrained(folder / "pipeline")
    return {
        "ffdnet": {"weights": str(folder / "ffdnet.pth"), "sigma_255": "0-75"},
        "spandrel": {"weights": str(folder / "dncnn.pth"), "sigma_255": "25"},
        "deepinv": {
            "weights": str(folder / "drunet.pth"),
            "sigma_255": "0-50",
            **small_drunet(folder),
        },
        "diffusers": {"weights": str(folder / "pipeline")},
    }


@pytest.fixture
def make_run(tmp_path, rng):
    """make_run(name, scores={...}, facts={...}) writes a finished run into results/: see synthetic.py."""
    return functools.partial(synthetic.write_run, tmp_path / "results", rng)


@pytest.fixture
def few_control_sets(monkeypatch):
    """Three of the control sets, of which each costs seconds; test_measure.py has all of them."""
    monkeypatch.setattr(
        control_sets,
        "CONTROLS",
        {name: control_sets.CONTROLS[name] for name in ("held_out", "copies", "gaussian")},
    )


@pytest.fixture(scope="module")
def digits_at_hand(digits):
    """Loading the digits takes longer than all the rest: every copy of this process has them, and one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(datasets.DATASETS, "mnist5k", lambda data_dir: digits)
        patch.setattr(mnist_, "mnist5k", lambda data_dir: digits)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield digits
        torch.set_num_threads(threads)


@pytest.fixture
def one_thread():
    """One thread in this process, as workers have, for the same rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Runs `bench ...` in this process, in an empty folder; gives (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return stopped.value.code or 0, said.out, said.err

    return call
