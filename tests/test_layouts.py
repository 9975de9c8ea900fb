"""Checkpoints as people write them: each is read, each refusal says what was seen and what to do."""

import argparse
import collections
import copy
import pathlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import denoisers
from denoisers import layouts, weights
from denoisers.errors import UsageError


class Net(nn.Module):
    """With parameters, buffers that follow them and counters."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 1, 3, padding=1)


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Net()
    net.norm.running_mean += 1
    return net


@pytest.fixture
def ema(net):
    """Another copy of it, to be told apart."""
    other = copy.deepcopy(net)
    for parameter in other.parameters():
        parameter.data += 1
    return other


def prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def read(content, path, **options):
    """The network that a file with `content` is read into, and the card."""
    torch.save(content, path / "x.pt")
    state, card = weights.read(path / "x.pt", **options)
    found = Net()
    weights.load_into(found, state, "x.pt")
    return found.state_dict(), card


def same(found, net):
    return all(torch.equal(value, net.state_dict()[key]) for key, value in found.items())


def training(net):
    """What lies beside the weights."""
    optimizer = torch.optim.Adam(net.parameters())
    net.first(torch.zeros(1, 1, 8, 8)).sum().backward()
    optimizer.step()
    return {
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
        "epoch": 3,
        "loss": np.float64(0.1),
        "history": np.arange(3),
        "args": argparse.Namespace(width=4, out=pathlib.Path("x")),
        "best": collections.defaultdict(list, {"psnr": [np.float32(30)]}),
        "rng_state": torch.get_rng_state(),
    }


PLAIN = {
    "the state dict itself": lambda state: state,
    "the tutorial's": lambda state: {"model_state_dict": state},
    "a state_dict": lambda state: {"state_dict": state},
    "a model": lambda state: {"model": state},
    "params": lambda state: {"params": state},
    "Lightning's": lambda state: {
        "state_dict": prefixed("model.", state),
        "pytorch-lightning_version": "2.5",
    },
    "Lightning's, of another name": lambda state: {"state_dict": prefixed("denoiser.net.", state)},
    "Lightning's, with its loss": lambda state: {
        "state_dict": prefixed("net.", state) | {"loss.vgg.weight": torch.zeros(9)}
    },
    "DataParallel's": lambda state: {"model": prefixed("module.", state)},
    "a compiled network's": lambda state: prefixed("_orig_mod.", state),
    "compiled parts": lambda state: {
        key.replace(".", "._orig_mod.", 1): value for key, value in state.items()
    },
    "both": lambda state: prefixed("module._orig_mod.", state),
    "a name of one's own": lambda state: {"my_unet": state},
    "two levels": lambda state: {"checkpoint": {"model": {"state_dict": state}}},
    "parameters, not tensors": lambda state: {
        key: nn.Parameter(value) if value.is_floating_point() else value
        for key, value in state.items()
    },
    "from before counters": lambda state: {
        k: v for k, v in state.items() if not k.endswith("num_batches_tracked")
    },
    "half precision": lambda state: {
        "model": {key: value.double() for key, value in state.items()}
    },
}


@pytest.mark.parametrize("layout", PLAIN)
@pytest.mark.parametrize("beside", [False, True])
def test_plain_copies(layout, beside, net, tmp_path):
    expected = copy.deepcopy(net)
    content = PLAIN[layout](expected.state_dict())
    if beside and not all(isinstance(value, torch.Tensor) for value in content.values()):
        content = dict(content) | training(net)
    found, card = read(content, tmp_path)
    assert same(found, expected)
    assert "warnings" not in card


def averaged_model(net):
    """As `torch.optim.swa_utils` saves it, with a counter beside."""
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9)).state_dict()


def shadow(net):
    """As torch_ema and diffusers save it: a list, in the order of the parameters."""
    return {
        "decay": 0.999,
        "num_updates": 5,
        "shadow_params": [parameter.data for parameter in net.parameters()],
    }


AVERAGED = {
    "ema": lambda net, ema: {"model": net.state_dict(), "ema": ema.state_dict()},
    "ema_model": lambda net, ema: {
        "model_state_dict": net.state_dict(),
        "ema_model": ema.state_dict(),
    },
    "params_ema": lambda net, ema: {"params": net.state_dict(), "params_ema": ema.state_dict()},
    "model_ema": lambda net, ema: {"model": net.state_dict(), "model_ema": averaged_model(ema)},
    "ema_state_dict": lambda net, ema: {
        "state_dict": net.state_dict(),
        "ema_state_dict": ema.state_dict(),
    },
    "average": lambda net, ema: {"model": net.state_dict(), "average": ema.state_dict()},
    "ema.module": lambda net, ema: {
        "model": net.state_dict(),
        "ema": {"module": ema.state_dict(), "decay": 0.9},
    },
    "ema.shadow_params": lambda net, ema: {
        "model": prefixed("module.", net.state_dict()),
        "ema": shadow(ema),
    },
    "ema.shadow": lambda net, ema: {
        "model": net.state_dict(),
        "ema": {"shadow": dict(ema.named_parameters())},
    },
}


@pytest.mark.parametrize("where", AVERAGED)
def test_averaged_copies_are_preferred_and_it_is_said(where, net, ema, tmp_path):
    found, card = read(AVERAGED[where](net, ema) | training(copy.deepcopy(net)), tmp_path)
    assert same(found, ema)
    assert card["read_from"] == where
    (said,) = card["warnings"]
    assert said.startswith("x.pt: it holds the weights as ")
    assert said.endswith(f" and averaged as {where}; {where} was read")


def test_an_average_beside_what_it_is_of(net, ema, tmp_path):
    """As ema_pytorch saves it: both copies in one dictionary, with tensors that count."""
    both = prefixed("online_model.", net.state_dict()) | prefixed("ema_model.", ema.state_dict())
    content = {
        "model": net.state_dict(),
        "ema": {"initted": torch.tensor(True), "step": torch.tensor(5), **both},
    }
    found, card = read(content, tmp_path)
    assert same(found, ema)
    assert card["read_from"] == "ema"
    assert same(read({"ema": content["ema"]}, tmp_path)[0], ema)
    assert same(read(averaged_model(ema), tmp_path)[0], ema)


def test_an_average_that_is_not_complete_is_not_taken(net, ema, tmp_path):
    partial = {key: value for key, value in ema.state_dict().items() if not key.startswith("last")}
    found, card = read({"model": net.state_dict(), "ema": partial}, tmp_path)
    assert same(found, net)
    assert card["warnings"] == [
        "x.pt: it also holds ema; ema does not fit model, and model was read"
    ]
    found, card = read(
        {"model": net.state_dict(), "ema": {"shadow_params": shadow(ema)["shadow_params"][1:]}},
        tmp_path,
    )
    assert same(found, net)
    assert card["warnings"] == [
        "x.pt: it also holds ema.shadow_params; ema.shadow_params does not fit model, and model was read"
    ]


def test_of_several_networks_the_usual_one_is_read_or_the_one_asked_for(net, ema, tmp_path):
    two = {"generator": net.state_dict(), "discriminator": ema.state_dict()}
    found, card = read(two, tmp_path)
    assert same(found, net)
    assert card["read_from"] == "generator"
    assert card["warnings"] == ["x.pt: it also holds discriminator; generator was read"]
    found, card = read(two, tmp_path, part="discriminator")
    assert same(found, ema)
    assert card["read_from"] == "discriminator"
    assert "warnings" not in card
    with pytest.raises(UsageError, match="it holds no critic; it has generator, discriminator"):
        read(two, tmp_path, part="critic")
    with pytest.raises(UsageError) as refused:
        read({"a": net.state_dict(), "b": ema.state_dict()}, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/x.pt cannot be read: it holds a, b, of which none is surely the one; write a load function that "
        "picks one: denoisers.weights.read(path, part='a') (docs/bring-your-own.md)"
    )


def test_a_prefix_of_the_network_s_own_stays(tmp_path):
    """Of two that would fit, the shorter one."""
    outer = nn.ModuleDict({"net": nn.Linear(2, 2)})
    state = {
        "net.weight": torch.ones(2, 2),
        "net.bias": torch.ones(2),
        "loss.net.weight": torch.zeros(2, 2),
    }
    weights.load_into(outer, {key: value for key, value in state.items() if key[0] == "n"}, "x")
    assert outer.net.weight.min() == 1
    with pytest.raises(
        UsageError, match=r"x does not fit ModuleDict: at 'loss.net.weight' expected no such key"
    ):
        weights.load_into(outer, state, "x")


class Own(nn.Module):
    """A class that only this file knows."""


OTHERWISE = {
    "a whole network": (
        lambda net: net,
        "it holds a pickled object of the class test_layouts.Net, which only its own code can make; "
        "save the network's state dict instead: torch.save(net.state_dict(), FILE)",
    ),
    "a whole network inside": (
        lambda net: {"epoch": 3, "model": net},
        "it holds a pickled object of the class test_layouts.Net, which only its own code can make; "
        "save the network's state dict instead: torch.save(net.state_dict(), FILE)",
    ),
    "a list": (
        lambda net: list(net.parameters()),
        "expected tensors by name, found a list of 6; write a load function that knows it (docs/bring-your-own.md)",
    ),
    "a tensor": (
        lambda net: net.first.weight,
        "expected tensors by name, found a tensor; write a load function that knows it (docs/bring-your-own.md)",
    ),
    "a number among tensors": (
        lambda net: {**net.state_dict(), "epoch": 3},
        "expected tensors by name, found int at 'epoch'; its keys: 'first.weight', 'first.bias', 'norm.weight', "
        "'norm.bias', 'norm.running_mean', 'norm.running_var' and 4 more; "
        "write a load function that knows it (docs/bring-your-own.md)",
    ),
    "an array among tensors": (
        lambda net: {"a": torch.zeros(1), "b": np.zeros(3)},
        "expected tensors by name, found an object of the class numpy._core.multiarray._reconstruct at 'b'; "
        "its keys: 'a', 'b'; write a load function that knows it (docs/bring-your-own.md)",
    ),
    "numbers instead of names": (
        lambda net: dict(enumerate(net.parameters())),
        "expected tensors by name, found none; its keys: 0, 1, 2, 3, 4, 5; "
        "write a load function that knows it (docs/bring-your-own.md)",
    ),
    "nothing but an optimizer": (
        lambda net: {"optimizer": training(net)["optimizer_state_dict"], "epoch": 3},
        "expected tensors by name, found none; its keys: 'optimizer', 'epoch'; "
        "write a load function that knows it (docs/bring-your-own.md)",
    ),
    "an average without names": (
        lambda net: {"ema": shadow(net)},
        "its tensors in ema.shadow_params have no names, and no state dict is beside them; "
        "write a load function that knows it (docs/bring-your-own.md)",
    ),
    "nothing": (
        lambda net: {},
        "expected tensors by name, found a dict of 0; write a load function that knows it (docs/bring-your-own.md)",
    ),
}


@pytest.mark.parametrize("layout", OTHERWISE)
def test_what_is_no_state_dict(layout, net, tmp_path):
    make, said = OTHERWISE[layout]
    torch.save(make(net), tmp_path / "x.pt")
    with pytest.raises(UsageError) as refused:
        denoisers.load("unet", str(tmp_path / "x.pt"))
    assert str(refused.value) == f"--weights: {tmp_path}/x.pt cannot be read: {said}".replace(
        "test_layouts", __name__
    )


def test_another_network_names_the_keys(net, tmp_path):
    torch.save({"model": net.state_dict()}, tmp_path / "x.pt")
    keys = (
        "its keys: 'first.weight', 'first.bias', 'norm.weight', 'norm.bias', 'norm.running_mean', "
    )
    with pytest.raises(UsageError) as refused:
        denoisers.load("unet", str(tmp_path / "x.pt"))
    assert str(refused.value) == (
        f"--weights: x.pt does not fit UNet: at 'time.0.weight' expected (256, 256), found nothing; {keys}"
        "'norm.running_var' and 3 more"
    )
    with pytest.raises(
        UsageError, match=f"^--weights: .*x.pt is no network that spandrel recognises; {keys}"
    ):
        denoisers.load("spandrel", str(tmp_path / "x.pt"), sigma_255="25")
    with pytest.raises(UsageError, match=f"^--weights: .*x.pt holds no FFDNet: .*; {keys}"):
        denoisers.load("ffdnet", str(tmp_path / "x.pt"), sigma_255="25")
    with pytest.raises(
        UsageError, match=f"x.pt holds no KBNet_s: .* 'intro.weight' is missing; {keys}"
    ):
        denoisers.load("kbnet", str(tmp_path / "x.pt"))


@pytest.mark.parametrize("name", ["spandrel", "ffdnet"])
@pytest.mark.parametrize("prefix", ["model.", "net.", "module.", "denoiser."])
def test_prefixes_before_networks_that_are_known_by_their_keys(name, prefix, checkpoints, tmp_path):
    state = torch.load(checkpoints[name]["weights"], weights_only=True)
    torch.save({"state_dict": prefixed(prefix, state), "epoch": 3}, tmp_path / "x.ckpt")
    x, sigma = torch.rand(1, 1, 16, 16), torch.tensor(0.1)
    plain = denoisers.load(name, **checkpoints[name])
    wrapped = denoisers.load(name, **checkpoints[name] | {"weights": str(tmp_path / "x.ckpt")})
    with torch.inference_mode():
        assert torch.equal(wrapped(x, sigma), plain(x, sigma))


def test_the_parts_of_a_splice_warn(net):
    part = {"name": "x", "sha256": "0", "warnings": ["one"]}
    assert weights.warnings({"above": part, "below": part | {"warnings": ["two"]}}) == [
        "one",
        "two",
    ]
    assert weights.warnings(part) == ["one"]
    assert weights.warnings({"above": None, "below": {"sha256": "0"}}) == []
    assert weights.warnings(None) == []


def test_averages_are_told_by_whole_words():
    for name in (
        "ema",
        "params_ema",
        "ema_0.9999",
        "model-EMA",
        "average",
        "averaged_model",
        "swa",
        "shadow",
    ):
        assert layouts.averaged((name,)), name
    for name in ("schema", "emanet", "temporal", "model", "swallow", "coverage"):
        assert not layouts.averaged((name,)), name
