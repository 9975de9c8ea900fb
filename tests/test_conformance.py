"""`bench check` on denoisers whose fault is known: it must name it, and say nothing of the sound ones."""

import ast
import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import denoisers
from bench.images import to_float
from bench.probes import behaviour, conformance
from bench.probes.subject import OK, Subject, digits, probe
from denoisers import schedule
from denoisers.base import Denoiser, Spec, expand_as
from denoisers.closed_form import gaussian
from denoisers.wrappers import ResidualDenoiser, VPDenoiser, sized

ROOT = Path(__file__).parent.parent
ABAR = schedule.alphas_cumprod(schedule.linear_betas())
CHAIN = schedule.sigmas_of(ABAR)


@pytest.fixture(scope="module")
def wiener():
    """A denoiser that is right, on [-1, 1]."""
    return conformance.load("gaussian")


@pytest.fixture(autouse=True)
def quick(one_thread):
    """Small networks gain nothing from a second thread, which waits for the first on a busy machine."""


def rows(denoiser) -> dict[str, conformance.Row]:
    return {row.check: row for row in conformance.conformance(denoiser.eval(), num=16)}


def failures(denoiser) -> dict[str, str]:
    return {
        name: f"{row.found}; {row.remedy}"
        for name, row in rows(denoiser).items()
        if row.verdict == conformance.FAIL
    }


class Net(torch.nn.Module):
    """A restoration network on `value_range`, told the noise in that range's unit: the Wiener filter."""

    def __init__(self, wiener, value_range):
        super().__init__()
        self.wiener, (self.low, high) = wiener, value_range
        self.half = (high - self.low) / 2

    def forward(self, image, level):
        denoised = self.wiener((image - self.low) / self.half - 1, level / self.half)
        return (denoised + 1) * self.half + self.low


RANGES = {(-1.0, 1.0): r"\[-1, 1\]", (0.0, 1.0): r"\[0, 1\]", (0.0, 255.0): r"\[0, 255\]"}


@pytest.mark.parametrize("true", RANGES)
def test_a_range_declared_as_it_is(wiener, true):
    assert (
        failures(
            ResidualDenoiser(
                Net(wiener, true), Spec("sound", "sample", value_range=true, blind=False)
            )
        )
        == {}
    )


@pytest.mark.parametrize(
    ("true", "declared"), [((0, 1), (-1, 1)), ((0, 255), (-1, 1)), ((-1, 1), (0, 1))], ids=str
)
def test_a_wrong_range_is_named(wiener, true, declared):
    spec = Spec("wrong", "sample", value_range=declared, blind=False)
    named = failures(ResidualDenoiser(Net(wiener, true), spec))["coordinates"]
    assert f"as if it expected images in [{true[0]}, {true[1]}]" in named
    assert f"value_range=({true[0]}, {true[1]})" in named


class Faulty(Denoiser):
    """The Wiener filter with a fault: `answer(wiener, x, sigma)`."""

    def __init__(self, wiener, answer, **facts):
        super().__init__()
        self.spec, self.wiener, self.answer = (
            Spec("faulty", "sample", **({"blind": False} | facts)),
            wiener,
            answer,
        )

    def forward(self, x, sigma):
        return self.answer(self.wiener, x, sigma)


FAULTS = {
    "sigma in grey levels: hand it 127.5 sigma": lambda d, x, s: d(x, s / 127.5),
    "sigma on [0, 1]: hand it sigma / 2": lambda d, x, s: d(x, 2 * s),
    "told half of it": lambda d, x, s: d(x, s / 2),
    "it returns the residual: the image is x minus": lambda d, x, s: x - d(x, s),
    "it returns eps": lambda d, x, s: (x - d(x, s)) / expand_as(s, x),
    "wrong sign": lambda d, x, s: 2 * x - d(x, s),
    "VP images": lambda d, x, s: d(x * (1 + expand_as(s, x) ** 2).sqrt(), s),
    "the variance": lambda d, x, s: d(x, s.sqrt()),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_misunderstanding_is_named(wiener, words):
    assert words in failures(Faulty(wiener, FAULTS[words]))["coordinates"]


def jumpy(d, x, s):
    return d(x, s) + 0.01 * torch.randn(x.shape)


def writes(d, x, s):
    return x.mul_(0.5)


def explodes(d, x, s):
    return d(x, s) / (expand_as(s, x) > 0.01)


def narrow(d, x, s):
    if x.shape[-1] % 2:
        raise RuntimeError("sizes of tensors must match")
    return d(x[..., :32, :32], s)


OTHERS = {
    "each image by itself: it depends on its batch neighbours": lambda d, x, s: d(
        x - 0.2 * x.mean(0), s
    ),
    "repeatable: it draws from the global generator": jumpy,
    "repeatable: it changes its input": writes,
    "finite: NaN or infinity at sigma 0.002; ": explodes,
    "odd sizes: 29 x 37: RuntimeError: sizes": narrow,
    "shapes: torch.float64": lambda d, x, s: d(x, s).double(),
    "shapes: torch.float32 (4, 32, 32) for sigma ()": lambda d, x, s: d(x, s)[:, 0],
    "shapes: tuple for sigma ()": lambda d, x, s: (d(x, s), s),
    "noise level: its answer does not depend on sigma, declared told sigma": lambda d, x, s: d(
        x, torch.tensor(0.5)
    ),
    "removes noise": lambda d, x, s: d(x, s) + 3 * expand_as(s, x),
}


@pytest.mark.parametrize("words", OTHERS)
def test_a_fault_is_named(wiener, words):
    name, _, reason = words.partition(": ")
    assert reason in failures(Faulty(wiener, OTHERS[words]))[name]


def test_a_card_that_is_no_json_is_named(wiener):
    denoiser = Faulty(wiener, lambda d, x, s: d(x, s))
    denoiser.card = {"weights": torch.zeros(1)}
    assert "Tensor is not JSON serializable" in failures(denoiser)["facts"]


def test_a_network_of_one_level_that_is_told_it(wiener):
    spec = Spec(
        "one level", "sample", value_range=(0.0, 1.0), sigma_min=0.2, sigma_max=0.2, blind=False
    )
    assert failures(ResidualDenoiser(Net(wiener, (0.0, 1.0)), spec)) == {}


def test_training_mode_is_named(wiener):
    denoiser = ResidualDenoiser(
        torch.nn.Sequential(torch.nn.Dropout(0.1)), Spec("trains", "sample")
    )
    found = {row.check: row.remedy for row in conformance.conformance(denoiser.train(), num=4)}
    assert "call .eval()" in found["repeatable"]


def test_a_denoiser_that_raises_fails_by_the_error_it_raised(wiener):
    def raises(d, x, s):
        raise KeyError("weight")

    found = failures(Faulty(wiener, raises))
    assert list(found) == ["answers"]
    assert found["answers"].startswith("KeyError: 'weight'")


def test_a_network_on_the_chain_with_the_wrong_prediction_type(wiener):
    class Eps(torch.nn.Module):
        def forward(self, x_t, t):
            sigma = CHAIN.gather(0, t.round().long()).float()
            x = x_t * (1 + expand_as(sigma, x_t) ** 2).sqrt()
            return (x - wiener(x, sigma)) / expand_as(sigma, x)

    right = VPDenoiser(Eps(), ABAR, Spec("right", "epsilon", sigma_min=0.01, sigma_max=157.4))
    assert failures(right) == {}
    wrong = VPDenoiser(Eps(), ABAR, dataclasses.replace(right.spec, prediction_type="sample"))
    assert "it returns eps" in failures(wrong)["coordinates"]


def test_reach_and_notes_say_what_is_so(wiener):
    found = rows(Faulty(wiener, lambda d, x, s: torch.where(expand_as(s, x) > 1, x, d(x, s))))
    assert "removes noise for sigma 0.02 to 1;" in found["reach"].found
    exact = rows(Faulty(wiener, lambda d, x, s: probe().x0[: len(x)] if x.shape[-1] == 32 else x))
    assert "more than the Wiener filter of digits for sigma 0.02 to 1.6e+02" in exact["reach"].found
    assert rows(Faulty(wiener, lambda d, x, s: x / 2, blind=True))["DC gain"].found.startswith(
        "0.5 at 0.1"
    )
    assert rows(Faulty(wiener, lambda d, x, s: x / 2, blind=True))["homogeneity"].found.endswith(
        "= 0"
    )


def closing(denoiser) -> str:
    return conformance.closing("it", conformance.conformance(denoiser.eval()))


def test_the_wiener_filter_that_is_measured_against_is_ours(wiener):
    x, known = probe().x0 + probe().z, probe()
    assert torch.allclose(known.wiener(x, 1.0), wiener(x, torch.tensor(1.0)), atol=1e-4)
    assert torch.allclose(known.mean(x, 1.0)[0], to_float(digits().train, 2).mean(0), atol=1e-5)


class Preconditioned(torch.nn.Module):
    """A shrinkage towards black, with a random network that adds next to nothing."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, level):
        noise = expand_as(level, x) ** 2
        return (x + 1) * 0.6 / (0.6 + noise) - 1 + 0.01 * self.net(x) / (1 + noise)


def test_a_network_that_has_learnt_nothing_conforms_with_a_word(checkpoints, wiener):
    torch.manual_seed(0)
    random = ResidualDenoiser(Preconditioned(), Spec("random", "sample", blind=False))
    wiener_only = "it conforms, but removes no more noise than the Wiener filter of digits at any level of its band"
    assert closing(random) == f"{wiener_only}: are its weights loaded?"
    unet = conformance.load("diffusers", **checkpoints["diffusers"])
    shrunk = Faulty(wiener, lambda d, x, s: torch.where(expand_as(s, x) > 0.3, d(x, 1e6 * s), x))
    mean_only = "it conforms, but removes no more noise than the mean digit or x itself at any level of its band"
    assert closing(shrunk) == mean_only
    assert closing(Faulty(wiener, lambda d, x, s: d(x, s))) == wiener_only
    assert "conforms" not in closing(unet) or "are its weights loaded?" in closing(unet)


def test_a_network_that_knows_its_images_conforms_without_a_word():
    assert closing(denoisers.load("unet")) == "it conforms"
    # Photographs, in a band where they and digits are alike.
    assert closing(denoisers.load("kbnet")) == "it conforms"


def damaged(*names):
    """A network of three convolutions with NaN in some of its tensors."""
    net = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 3, padding=1) for _ in range(3)])
    for name in names:
        net.get_parameter(name).data.flatten()[0] = math.nan
    return ResidualDenoiser(net, Spec("damaged", "sample"))


def test_weights_that_hold_nan_are_named_and_nothing_else_is():
    found = conformance.conformance(damaged("1.bias", "2.weight").eval())
    assert [row.check for row in found if row.verdict == conformance.FAIL] == ["weights"]
    assert found[-1].found == "its weights hold NaN: 2 of 6 tensors, first 1.bias"
    assert (
        conformance.closing("it", found)
        == "it fails 1 of 2 checks; the other checks need what failed"
    )


NANS = {
    "everywhere": lambda d, x, s: d(x, s) * math.nan,
    "at high levels": lambda d, x, s: torch.where(expand_as(s, x) > 1.5, math.nan, d(x, s)),
    "in batches of levels": lambda d, x, s: d(x, s) * (math.nan if s.ndim and len(s) > 1 else 1),
    "for other levels than asked about": lambda d, x, s: torch.where(
        (s == 0.5).all(), d(x, s), math.nan
    ),
}


@pytest.mark.parametrize("where", NANS)
def test_answers_that_are_nan_are_one_fault(wiener, where):
    found = failures(Faulty(wiener, NANS[where]))
    assert list(found) == ["finite"]
    assert found["finite"].startswith("NaN or infinity at sigma ")


def test_a_check_asks_for_few_images(wiener):
    """What it costs is what the network costs, times these."""
    asked = []

    def counting(d, x, s):
        asked.append(len(x) * x.shape[-2] * x.shape[-1] / 1024)
        return d(x, s)

    conformance.conformance(Faulty(wiener, counting))
    assert sum(asked) < 500


class Placed(torch.nn.Module):
    """The Wiener filter of images of `side` pixels, of what is at its place from the corner on; black elsewhere.

    It takes images of any size, and is right for those that it was made of.
    """

    def __init__(self, side):
        super().__init__()
        pad = (side - 28) // 2
        self.side, self.filter = side, gaussian(train=to_float(digits().train[:1500], pad))

    def forward(self, image, level):
        height, width = image.shape[-2:]
        placed = F.pad(image, (0, self.side - width, 0, self.side - height), value=-1.0)
        return F.pad(
            self.filter(placed, level), (0, width - self.side, 0, height - self.side), value=-1.0
        )


@pytest.fixture(scope="module")
def placed():
    return {side: Placed(side) for side in (28, 32)}


@pytest.mark.parametrize("size", [None, (32, 32)])
def test_a_network_of_bare_digits_is_told_from_one_of_framed_ones(placed, size):
    found = failures(ResidualDenoiser(placed[28], Spec("bare", "sample", blind=False, size=size)))
    assert list(found) == ["frame"]
    assert "behaves as if it was trained on images of 28 x 28, without the frame" in found["frame"]
    assert "Spec(size=(28, 28)), or --option size=28" in found["frame"]


@pytest.mark.parametrize(("side", "size"), [(28, (28, 28)), (32, None), (32, (32, 32))])
def test_the_right_size_conforms(placed, side, size):
    assert (
        failures(ResidualDenoiser(placed[side], Spec("right", "sample", blind=False, size=size)))
        == {}
    )


def test_a_network_of_framed_digits_that_declares_bare_ones_is_named(placed):
    found = failures(
        ResidualDenoiser(placed[32], Spec("framed", "sample", blind=False, size=(28, 28)))
    )
    assert list(found) == ["frame"]
    assert (
        "trained on images of 32 x 32, black around the digits: Spec(size=(32, 32))"
        in found["frame"]
    )


@pytest.mark.parametrize("pad", [0, 2])
def test_a_convolutional_network_trained_on_bare_digits_is_told_from_one_of_framed_ones(
    patches, pad
):
    """The same network, trained on both for seconds; only where the digits are in its patches differs."""
    as_it_comes, bare = (frame_of(patches[pad], size) for size in (None, (28, 28)))
    assert bare.verdict == OK
    assert as_it_comes.verdict == (OK if pad else conformance.FAIL)
    assert pad or "28 x 28, without the frame" in as_it_comes.remedy


def frame_of(net, size):
    spec = Spec("patches", "sample", blind=False, size=size)
    with torch.no_grad():
        return behaviour.frame(Subject(ResidualDenoiser(net, spec), probe().x0, probe().z))


class Edges(torch.nn.Module):
    """A shrinkage pixel by pixel, which is wrong at the edges of whatever image it gets, as short trainings are."""

    def forward(self, image, level):
        noise = expand_as(level, image) ** 2
        middle = F.pad(torch.ones_like(image)[..., 3:-3, 3:-3], (3, 3, 3, 3))
        return (image + 1) * 0.6 / (0.6 + noise) - middle


@pytest.mark.parametrize("size", [None, (28, 28), (32, 32)])
def test_what_a_network_does_at_its_edges_says_nothing_of_the_frame(size):
    """More of a frame would always be better: the faults would lie farther out."""
    net = ResidualDenoiser(Edges(), Spec("edges", "sample", blind=False, size=size))
    assert rows(net)["frame"].verdict == OK


class Fixed(torch.nn.Module):
    """A network whose layers are for images of one size: all pixels into one product."""

    def __init__(self, side):
        super().__init__()
        self.mean, self.variances, self.basis = Placed(side).filter.model.like(torch.zeros(1))

    def forward(self, image, level):
        modes = (image.flatten(1) - self.mean) @ self.basis
        shrunk = modes * self.variances / (self.variances + level[:, None] ** 2)
        return (self.mean + shrunk @ self.basis.T).reshape(image.shape)


def test_a_network_with_layers_for_bare_digits_gets_one_diagnosis():
    fixed, facts = Fixed(28), {"blind": False}
    assert failures(ResidualDenoiser(fixed, Spec("fixed", "sample", size=(28, 28), **facts))) == {}
    for size in (None, (32, 32)):
        found = rows(ResidualDenoiser(fixed, Spec("fixed", "sample", size=size, **facts)))
        assert [name for name, row in found.items() if row.verdict == conformance.FAIL] == ["frame"]
        assert found["frame"].found.startswith("it takes images of 28 x 28 only (RuntimeError: ")
        assert "declare Spec(size=(28, 28)), or --option size=28" in found["frame"].remedy
        assert len(found) == len(conformance.CHECKS)


def test_a_network_with_layers_for_framed_digits_is_told_to_say_so():
    fixed = Fixed(32)
    found = failures(ResidualDenoiser(fixed, Spec("fixed", "sample", blind=False)))
    assert list(found) == ["odd sizes"]
    assert "Spec(size=(32, 32))" in found["odd sizes"]
    assert (
        failures(ResidualDenoiser(fixed, Spec("fixed", "sample", blind=False, size=(32, 32)))) == {}
    )
    found = failures(ResidualDenoiser(fixed, Spec("fixed", "sample", blind=False, size=(28, 28))))
    assert list(found) == ["frame"]
    assert "declare Spec(size=(32, 32))" in found["frame"]


def test_a_denoiser_that_declares_a_size_and_does_not_act_on_it_is_told_how(placed):
    def framed(d, x, s):
        return d(x, s) + 0.001 if x.shape[-1] == 32 else x

    found = failures(Faulty(conformance.load("gaussian"), framed, size=(28, 28)))
    assert "denoisers.wrappers.sized does the same" in found["frame"]
    level = expand_as

    class Acts(Faulty):
        def forward(self, x, sigma):
            return sized(self.spec.size, lambda x, s: placed[28](x, level(s, x)), x, sigma)

    assert failures(Acts(None, None, size=(28, 28))) == {}


@pytest.mark.parametrize(
    "card", ["gray-blind50", "gray25", "gray-all", "patches", "mnist-all", "mnist-all-l1"]
)
def test_our_networks_behave_as_trained_on_what_they_were(card):
    denoiser = denoisers.load("kbnet", card)
    with torch.no_grad():
        assert behaviour.frame(Subject(denoiser, probe().x0, probe().z)).verdict == OK


def test_the_helper_passes_and_names_what_fails(wiener):
    conformance.assert_conforms(wiener.eval(), num=8)
    conformance.assert_conforms("gaussian", num=8)
    with pytest.raises(AssertionError, match="removes noise"):
        conformance.assert_conforms("identity", num=8)


OPTIMISED = """
import sys
assert not "run"
from bench.probes.conformance import assert_conforms
try:
    assert_conforms("identity", num=8)
except AssertionError as error:
    sys.exit(f"said: {error}")
"""


def test_it_is_said_under_python_o_too():
    """Where assert statements do nothing."""
    command = [sys.executable, "-O", "-c", OPTIMISED]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "said: removes noise: " in done.stderr


def test_no_check_is_an_assert_statement():
    """What python -O would leave out; tests alone have them."""
    folders = ("bench", "denoisers", "examples", "benchmarks")
    paths = [path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")]
    assert len(paths) > 60
    for path in paths:
        assert not [
            node.lineno
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Assert)
        ], path
