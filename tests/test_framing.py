"""A network that was trained on images of another size: refused, warned of, or asked about what it was trained on."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import denoisers
from denoisers import framing
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.splice import Splice
from denoisers.wrappers import ResidualDenoiser


def restorer(net=None, **facts):
    return ResidualDenoiser(net or nn.Identity(), Spec("mine", "sample", **facts)).eval()


@pytest.fixture(autouse=True)
def quick(one_thread):
    """One thread: the same rounding wherever images are made."""


def test_a_network_of_the_images_own_size_or_of_any_needs_no_words():
    for size in (None, (28, 28), (32, 32), (30, 31)):
        assert framing.fit(restorer(size=size), (28, 28), 2) == []


def test_a_network_of_smaller_images_is_refused():
    for size in ((16, 16), (28, 20)):
        with pytest.raises(
            UsageError, match=f"mine is declared to be trained on images of {size[0]} x {size[1]}"
        ):
            framing.fit(restorer(size=size), (28, 28), 2)


def test_a_network_of_larger_images_is_said():
    (line,) = framing.fit(restorer(size=(64, 64)), (28, 28), 2)
    assert (
        "mine was trained on images of 64 x 64: it gets those of 28 x 28 as the middle of one"
        in line
    )
    assert "4 times the pixels of 32 x 32" in line
    assert "--option size=any" in line


class Flat(nn.Module):
    """A network with layers for images of one size."""

    def __init__(self, side):
        super().__init__()
        self.layer = nn.Linear(side**2, side**2)

    def forward(self, image):
        return self.layer(image.flatten(1)).reshape(image.shape)


@pytest.mark.parametrize(
    ("side", "size", "other"), [(28, None, 28), (28, (32, 32), 28), (32, (28, 28), 32)]
)
def test_layers_for_another_size_are_found_before_the_first_image(side, size, other):
    with pytest.raises(
        UsageError,
        match=rf"mine takes images of {other} x {other}, and not of .*declare Spec\(size=",
    ):
        framing.fit(restorer(Flat(side), size=size), (28, 28), 2)
    assert framing.fit(restorer(Flat(side), size=(side, side)), (28, 28), 2) == []


def test_both_parts_of_a_splice_are_asked():
    sound, flat = restorer(), restorer(Flat(28))
    for parts in ((sound, flat), (flat, sound)):
        with pytest.raises(UsageError, match="takes images of 28 x 28"):
            framing.fit(Splice(*parts, 1.0), (28, 28), 2)
    with pytest.raises(UsageError, match="trained on images of 16 x 16"):
        framing.fit(Splice(sound, restorer(size=(16, 16)), 1.0), (28, 28), 2)


def test_a_network_that_fails_on_every_size_is_left_to_fail():
    """It is no matter of the size, and what it raises says more."""

    class Raises(nn.Module):
        def forward(self, image):
            raise RuntimeError("no kernel")

    assert framing.fit(restorer(Raises()), (28, 28), 2) == []


def test_the_largest_of_images():
    assert framing.largest([np.zeros((5, 9)), np.zeros((7, 3))]) == (7, 9)


PLUGIN = """
import torch
from patches import Patches
from denoisers import weights as weights_
from denoisers.base import Denoiser, Spec
from denoisers.wrappers import ResidualDenoiser

def network(size, weights):
    net = Patches()
    net.load_state_dict(weights_.read_state(weights))
    return ResidualDenoiser(net, Spec("patches", "sample", blind=False, size=size)).eval()

def declared(weights, size=28):
    return network((size, size) if size else None, weights)

class ByHand(Denoiser):
    spec = Spec("by hand", "sample", blind=False)
    def __init__(self, weights):
        super().__init__()
        self.bare = network(None, weights)
    def forward(self, x, sigma):
        out = torch.full_like(x, -1.0)
        out[..., 2:30, 2:30] = self.bare(x[..., 2:30, 2:30].contiguous(), sigma)
        return out

def by_hand(weights):
    return ByHand(weights)

class Flat(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(784, 784)
    def forward(self, image):
        return self.layer(image.flatten(1)).reshape(image.shape)

def flat():
    return ResidualDenoiser(Flat(), Spec("flat", "sample"))
"""


@pytest.fixture
def plugin(tmp_path, patches):
    """A file with plug-ins, and the weights of a network that was trained on bare digits."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    path = tmp_path / "patches.pt"
    torch.save(patches[0].state_dict(), path)
    return tmp_path / "plugin.py", path


def test_a_run_is_that_of_a_plug_in_that_cuts_by_hand(bench, plugin):
    """The same bytes and the same scores; without the size other images, without a word of difference in the name."""
    file, weights = plugin

    def run(name, *more):
        command = (
            "run",
            "--denoiser",
            f"{file}:{name}",
            "--weights",
            weights,
            "--dataset",
            "mnist5k",
            *more,
        )
        status, out, err = bench(*command, "--num", 40, "--steps", 4, "--workers", 1)
        assert status == 0, err
        folder = file.parent / out.strip().splitlines()[-1]
        facts = json.loads((folder / "run.json").read_text())
        (scores,) = (
            json.loads(path.read_text())["scores"] for path in folder.glob("metrics-*.json")
        )
        return np.load(folder / "samples.npz")["arr_0"], scores, facts

    declared, scores, facts = run("declared")
    by_hand, scores_by_hand, _ = run("by_hand")
    undeclared, _, facts_without = run("declared", "--option", "size=0")
    assert (declared == by_hand).all()
    assert scores == scores_by_hand
    assert (declared != undeclared).any()
    assert (facts["spec"]["size"], facts_without["spec"]["size"]) == ([28, 28], None)
    assert facts["options"] != facts_without["options"]


def test_check_names_the_size_of_a_trained_network_and_finds_the_right_one_right(bench, plugin):
    file, weights = plugin
    command = ("check", f"{file}:declared", "--weights", weights)
    _, right, _ = bench(*command)
    _, wrong, _ = bench(*command, "--option", "size=0")
    assert "without the frame" not in right
    assert (
        "behaves as if it was trained on images of 28 x 28, without the frame: Spec(size=(28, 28))"
        in wrong
    )


@pytest.mark.parametrize("command", ["run", "gauge"])
def test_layers_for_bare_digits_end_a_command_in_a_sentence(bench, plugin, command):
    status, _, err = bench(
        command, "--denoiser", f"{plugin[0]}:flat", "--dataset", "mnist5k", "--num", 6
    )
    assert status == 2
    *said, err = err.splitlines()
    assert err.startswith("error: --denoiser: flat takes images of 28 x 28, and not of 32 x 32")
    assert (
        "declare Spec(size=(28, 28)), or --option size=28 for a checkpoint; `bench check` tells"
        in err
    )
    assert not [line for line in said if line.startswith(("error", "Traceback"))]


def test_photographs_are_not_cut_to_the_size_of_a_digit(bench, checkpoints, tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((40, 30), np.uint8)).save(tmp_path / "photo.png")
    options = [
        "--weights",
        checkpoints["ffdnet"]["weights"],
        "--option",
        "sigma_255=0-75",
        "--option",
        "size=28",
    ]
    status, _, err = bench("gauge", "--denoiser", "ffdnet", *options, "--images", tmp_path)
    assert status == 2
    assert "ffdnet is declared to be trained on images of 28 x 28; these are of 40 x 30" in err


@pytest.mark.parametrize(("said", "size"), [("28", (28, 28)), ("28x20", (28, 20)), ("any", None)])
def test_the_size_of_a_checkpoint_is_an_option(checkpoints, said, size):
    for name in ("ffdnet", "spandrel"):
        assert denoisers.load(name, **checkpoints[name], size=said).spec.size == size
    assert denoisers.load("kbnet", size=said).spec.size == size
    assert denoisers.load("diffusers", **checkpoints["diffusers"], size=said).spec.size == size


@pytest.mark.parametrize("said", ["0", "28x", "28x28x1", "-28", "twenty", "²8", "1e2", ""])
def test_what_is_no_size_is_refused(checkpoints, said):
    with pytest.raises(UsageError, match="--option: size must be 28, 28x20"):
        denoisers.load("ffdnet", **checkpoints["ffdnet"], size=said)
