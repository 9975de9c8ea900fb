"""Denoisers of deepinv give what deepinv gives, and what is none of them is named."""

import deepinv
import pytest
import torch

import denoisers
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


@pytest.mark.parametrize("model", SMALL)
def test_its_answer_is_deepinvs(model, saved, generator):
    net, path = saved(model)
    denoiser = load(model, path)
    x = torch.randn(3, 1, 32, 32, generator=generator)
    sigma = torch.tensor([0.1, 0.5, 0.7])
    with torch.inference_mode():  # as the sampler calls it
        found = denoiser(x, sigma)
    with torch.no_grad():
        expected = 2 * net((x + 1) / 2, sigma / 2) - 1
    assert torch.equal(found, expected)
    assert denoiser.spec.blind == (model in BLIND)
    assert denoiser.spec.name == f"deepinv:{model}"
    assert denoiser.spec.weights.startswith("weights.pth@")


def test_colour_is_what_the_file_has(saved):
    _, path = saved("DRUNet", 3)
    denoiser = load("DRUNet", path)
    assert denoiser.spec.in_channels == 3
    assert denoiser.spec.sigma_max == pytest.approx(50 / 127.5 / 3**0.5)
    assert denoiser(torch.zeros(1, 3, 32, 32), torch.tensor(0.1)).shape == (1, 3, 32, 32)


def test_what_learns_nothing_takes_no_file(saved):
    denoiser = denoisers.load("deepinv:MedianFilter")
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


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("deepinv:Nobody", {}, "has no denoiser 'Nobody' that is called with x and sigma; it has: .*DRUNet"),
        ("deepinv:TVDenoiser", {}, "no denoiser 'TVDenoiser' that is called with x and sigma"),
        ("deepinv:DiffusersDenoiserWrapper", {}, "no denoiser 'DiffusersDenoiserWrapper'"),
        ("deepinv:", {}, "has no denoiser ''"),
        ("deepinv", {}, "--option: denoiser 'deepinv' needs model"),
        ("deepinv:DnCNN", {"deep": "4"}, "--option: deepinv's DnCNN has no option 'deep'; it has: in_ch"),
        ("deepinv:DnCNN", {"device": "cuda"}, "has no option 'device'"),
        ("deepinv:DnCNN", {"depth": "four"}, "describes a network that cannot be made: TypeError"),
        ("deepinv:DnCNN", {"depth": "4"}, "weights.pth does not fit DnCNN: at "),
        ("deepinv:DnCNN", {"depth": "4", "nf": "8"}, "say it in grey levels: --option sigma_255=25"),
        ("deepinv:DnCNN", {"in_channels": "7", "depth": "4", "nf": "8"}, r"expected \(8, 7, 3, 3\)"),
        ("deepinv:DRUNet", {}, "does not fit DRUNet"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(name, options, sentence, saved):
    _, path = saved("DnCNN")
    with pytest.raises(UsageError, match=sentence):
        denoisers.load(name, path, **options)


def test_its_names_are_ours_and_no_modules():
    assert registry.built_in("deepinv:DRUNet") == registry.built_in("deepinv") == "deepinv"
    assert registry.built_in("unet:DRUNet") is registry.built_in("deepinv.models:DRUNet") is None
    assert registry.source("deepinv:DRUNet") == {}
