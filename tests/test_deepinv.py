"""Denoisers of deepinv give what deepinv gives, and what is none of them is named."""

from concurrent.futures import ThreadPoolExecutor

import deepinv
import pytest
import torch

import denoisers
from denoisers import deepinv as deepinv_
from denoisers import registry
from denoisers.errors import UsageError

MODELS = deepinv.models
# Small networks with random weights: what their class is made with, and how a command line says it.
SMALL = {
    "DRUNet": ({"nc": (8, 8, 16, 16), "nb": 1}, {"nc": "8,8,16,16", "nb": "1"}),
    "GSDRUNet": ({"nc": [8, 8, 16, 16], "nb": 1}, {"nc": "8,8,16,16", "nb": "1"}),
    "DnCNN": ({"depth": 4, "nf": 8}, {"depth": "4", "nf": "8"}),
    "Restormer": (
        {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1, "heads": (1, 1, 1, 1)},
        {"dim": "8", "num_blocks": "1,1,1,1", "num_refinement_blocks": "1", "heads": "1,1,1,1"},
    ),
}
BLIND = {"DnCNN", "Restormer"}


@pytest.fixture
def saved(tmp_path):
    """saved(model, channels): the network and the file of its weights."""

    def save(model, channels=1):
        torch.manual_seed(0)
        make = getattr(MODELS, model)
        net = (
            make(channels, out_channels=channels, pretrained=None, **SMALL[model][0])
            if model != "GSDRUNet"
            else make(
                in_channels=channels, out_channels=channels, pretrained=None, **SMALL[model][0]
            )
        )
        torch.save(net.state_dict(), tmp_path / "weights.pth")
        return net.eval(), str(tmp_path / "weights.pth")

    return save


def load(model, path, **options):
    return denoisers.load(
        f"deepinv:{model}", path, **{"sigma_255": "0-50"} | SMALL[model][1] | options
    )


@pytest.mark.parametrize("side", [32, 30, 37])
@pytest.mark.parametrize("model", SMALL)
def test_its_answer_is_deepinvs(model, side, saved, generator):
    net, path = saved(model)
    denoiser = load(model, path)
    x = torch.randn(3, 1, side, side, generator=generator)
    sigma = torch.tensor([0.1, 0.5, 0.7])
    with torch.inference_mode():  # as the sampler calls it
        found = denoiser(x, sigma)
    with torch.no_grad():
        expected = 2 * net((x + 1) / 2, sigma / 2) - 1
    assert torch.equal(found, expected)
    assert denoiser.spec.multiple_of == 1
    assert denoiser.spec.blind == (model in BLIND)
    assert denoiser.spec.name == f"deepinv:{model}"
    assert denoiser.spec.weights.startswith("weights.pth@")


def test_a_network_for_even_sides_gets_them(tmp_path):
    torch.manual_seed(0)
    net = MODELS.FFDNet(n_conv_layers=3, nf=32, pretrained=None)
    torch.save(net.state_dict(), tmp_path / "ffdnet.pth")
    options = {"n_conv_layers": "3", "nf": "32", "sigma_255": "0-75"}
    denoiser = denoisers.load("deepinv:FFDNet", str(tmp_path / "ffdnet.pth"), **options)
    assert (denoiser.spec.multiple_of, denoiser.spec.blind) == (2, False)
    assert denoiser(torch.zeros(1, 1, 37, 29), torch.tensor(0.1)).shape == (1, 1, 37, 29)


def test_colour_is_what_the_file_has(saved):
    _, path = saved("DRUNet", 3)
    denoiser = load("DRUNet", path)
    assert denoiser.spec.in_channels == 3
    assert denoiser.spec.sigma_max == pytest.approx(50 / 127.5 / 3**0.5)
    assert denoiser(torch.zeros(1, 3, 32, 32), torch.tensor(0.1)).shape == (1, 3, 32, 32)


def test_what_learns_nothing_takes_no_file(saved):
    denoiser = denoisers.load("deepinv:MedianFilter")
    colour = denoisers.load("deepinv:MedianFilter", channels="3")
    assert colour(torch.zeros(1, 3, 32, 32), torch.tensor(0.1)).shape == (1, 3, 32, 32)
    assert (denoiser.spec.weights, denoiser.card, denoiser.spec.blind) == ("", None, True)
    _, path = saved("DnCNN")
    with pytest.raises(UsageError, match=r"^--weights: deepinv's MedianFilter takes none"):
        denoisers.load("deepinv:MedianFilter", path, sigma_255="25")


def test_nothing_is_fetched(monkeypatch):
    """Weights of deepinv's own would be downloaded by its classes."""
    monkeypatch.setattr(
        torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("fetched")
    )
    with pytest.raises(
        UsageError, match=r"^--weights: deepinv's DnCNN needs them: a file; .*torch.save"
    ):
        denoisers.load("deepinv:DnCNN")


NONE = "deepinv has no denoiser {!r} that can be called with x and sigma alone; it has: .*DRUNet"
NO_SUCH = "--option: deepinv's DnCNN has no option {!r}; it has: depth, bias, nf, .*dim$"
SMALLEST = {"depth": "4", "nf": "8"}


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("deepinv:Nobody", {}, NONE.format("Nobody")),
        ("deepinv:TVDenoiser", {}, NONE.format("TVDenoiser")),
        ("deepinv:NCSNpp", {}, NONE.format("NCSNpp")),  # its weights do not hold its range
        ("deepinv:MMSE", {}, NONE.format("MMSE")),
        ("deepinv:DiffusersDenoiserWrapper", {}, NONE.format("DiffusersDenoiserWrapper")),
        ("deepinv:", {}, NONE.format("")),
        ("deepinv", {}, "any denoiser of deepinv, by its class: deepinv:DRUNet .*; found no class"),
        ("deepinv:DnCNN", {"deep": "4"}, NO_SUCH.format("deep")),
        ("deepinv:DnCNN", {"device": "cuda"}, NO_SUCH.format("device")),
        ("deepinv:DnCNN", {"in_channels": "7"}, NO_SUCH.format("in_channels")),
        ("deepinv:DnCNN", {"channels": "2"}, "--option: channels must be 1 or 3; found '2'"),
        ("deepinv:DnCNN", {"depth": "four"}, "--option: .* cannot be made: TypeError"),
        ("deepinv:DnCNN", {"depth": "{[]:1}"}, "--option: .* cannot be made: TypeError"),
        ("deepinv:DnCNN", {"depth": "5", "nf": "8"}, "--weights: .*weights.pth does not fit DnCNN: at "),
        ("deepinv:DnCNN", SMALLEST, "--weights: .*say it in grey levels: --option sigma_255=25"),
        ("deepinv:DnCNN", SMALLEST | {"channels": "3"}, r"--weights: .* expected \(8, 3, 3, 3\)"),
        ("deepinv:DRUNet", {"nc": "8,8,16,16", "nb": "1"}, "--weights: .*does not fit DRUNet"),
        ("deepinv:BM3D", {"kwargs": "1"}, "--option: deepinv's BM3D has no option 'kwargs'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name, options, sentence, saved):
    _, path = saved("DnCNN")
    with pytest.raises(UsageError, match=f"^{sentence}"):
        denoisers.load(name, path, **options)


def test_the_model_is_said_by_the_name_alone(saved):
    _, path = saved("DnCNN")
    with pytest.raises(UsageError, match=r"^--option: .*DRUNet.* has no option 'model'"):
        denoisers.load("deepinv:DRUNet", path, model="DnCNN")


def test_the_misfit_that_is_said_is_that_of_the_channels_of_the_file(saved):
    _, path = saved("DnCNN", 3)
    with pytest.raises(UsageError, match=r"conv_list\.1"):  # there is one layer more in the file
        denoisers.load("deepinv:DnCNN", path, depth="3", nf="8")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SwinIR", {"upscale": "2", "upsampler": "pixelshuffle"}),
        ("MedianFilter", {"same": "False"}),
    ],
)
def test_what_answers_by_another_size_is_none(name, options, tmp_path):
    path = None
    if name == "SwinIR":
        made = {"depths": (1,), "num_heads": (1,), "embed_dim": 8, "in_chans": 1}
        net = MODELS.SwinIR(pretrained=None, upscale=2, upsampler="pixelshuffle", **made)
        torch.save(net.state_dict(), path := str(tmp_path / "swinir.pth"))
        options |= {"depths": "1,", "num_heads": "1,", "embed_dim": "8", "sigma_255": "25"}
    with pytest.raises(UsageError, match="answers an image of 1x32x32 by one of 1x"):
        denoisers.load(f"deepinv:{name}", path, **options)


def test_other_threads_keep_their_start():
    with deepinv_.without_start(), ThreadPoolExecutor(1) as pool:
        here, there = torch.zeros(3, 3), torch.zeros(3, 3)
        torch.nn.init.orthogonal_(here)
        pool.submit(torch.nn.init.orthogonal_, there).result()
    assert not here.any()
    assert torch.allclose(there @ there.T, torch.eye(3), atol=1e-6)
    assert torch.nn.init.orthogonal_(here).any()


def test_its_names_are_ours_and_no_modules():
    assert registry.built_in("deepinv:DRUNet") == registry.built_in("deepinv") == "deepinv"
    assert registry.built_in("unet:DRUNet") is registry.built_in("deepinv.models:DRUNet") is None
    assert registry.source("deepinv:DRUNet") == {}
