"""KBNet against its definition, against spandrel's KBNet on the same weights, and against files that do not fit."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from denoisers import kbnet
from denoisers.kbnet.layers import kernel_basis_attention
from denoisers.kbnet.net import KBNet
from denoisers.kbnet.train import augmented, restoration, sample_sigma

TINY = {"width": 16, "encoder": (1, 2), "middle": 2, "decoder": (1, 1)}


def awake(net, generator):
    """`net` with scales far from their small initial values, so that every branch counts."""
    for name, parameter in net.named_parameters():
        if name.rsplit(".")[-1] in ("attgamma", "ga1", "beta", "gamma"):
            torch.nn.init.uniform_(parameter.data, 0.2, 1.0, generator=generator)
    return net.eval().requires_grad_(False)


@pytest.mark.parametrize(("group", "gradient"), [(4, False), (4, True), (2, False)])
def test_attention_is_a_mixture_of_grouped_convolutions(generator, monkeypatch, group, gradient):
    # Several tiles of lines and images, the last ones smaller.
    monkeypatch.setattr(kbnet.layers, "TILE", 5000)
    monkeypatch.setattr(kbnet.layers, "RUN", 18)
    x, attention = (
        torch.randn(3, n, 13, 9, generator=generator, dtype=torch.float64) for n in (16, 8)
    )
    weight = torch.randn(1, 8, 16 * group * 9, generator=generator, dtype=torch.float64)
    bias = torch.randn(1, 8, 16, generator=generator, dtype=torch.float64)
    expected = sum(
        attention[:, n : n + 1]
        * F.conv2d(x, weight[0, n].view(16, group, 3, 3), bias[0, n], padding=1, groups=16 // group)
        for n in range(8)
    )
    with torch.set_grad_enabled(gradient):
        assert torch.allclose(
            kernel_basis_attention(x, attention, weight, bias), expected, atol=1e-10
        )


@pytest.mark.parametrize("group", [4, 2])
def test_few_bases_in_bfloat16_are_mixed_as_well(generator, monkeypatch, group):
    monkeypatch.setattr(kbnet.layers, "TILE", 5000)  # several parts, the last one smaller
    given = [
        torch.randn(shape, generator=generator).bfloat16()
        for shape in [(5, 16, 13, 9), (5, 4, 13, 9), (1, 4, 16 * group * 9), (1, 4, 16)]
    ]
    with torch.no_grad():
        exact = kernel_basis_attention(*(x.double() for x in given))
        by_convolution = kernel_basis_attention(*given).double()
        monkeypatch.setattr(kbnet.layers, "FEW_BASES", 0)
        by_tiles = kernel_basis_attention(*given).double()
    error = (by_tiles - exact).norm()
    assert not torch.equal(by_convolution, by_tiles)
    assert 0 < (by_convolution - exact).norm() < 1.1 * error < 0.01 * exact.norm()


@pytest.mark.parametrize("height", [16, 35])
def test_without_gradient_the_same_by_other_ways(generator, monkeypatch, height):
    for name, value in {"PART": 3000, "BLOCK": 8, "WIDE": 16, "FEW": 2, "TILE": 5000}.items():
        monkeypatch.setattr(kbnet.layers, name, value)
    net = awake(
        KBNet(width=16, encoder=(1, 1, 1), middle=1, decoder=(1, 1, 1), bases=8), generator
    ).double()
    x = torch.randn(5, 1, height, 16, generator=generator, dtype=torch.float64)
    given = x.clone()
    with torch.enable_grad():
        expected = net(x)
    with torch.no_grad():
        assert torch.allclose(net(x), expected, atol=1e-10)
    assert torch.equal(x, given)  # what is worked on in place is the network's own


KERNEL = """
import torch
import torch.nn.functional as F
from denoisers.kbnet.kernels import mixture
from torch.utils.flop_counter import FlopCounterMode

generator = torch.Generator().manual_seed(0)
random = lambda *shape: torch.randn(shape, generator=generator)
for channels, outputs, groups, side, bases in [
    (16, 16, 4, 3, 32),
    (40, 40, 10, 3, 5),  # the last channels and bases fill no tile
    (16, 16, 4, 5, 0),
    (32, 32, 32, 3, 0),
    (256, 8, 8, 3, 0),
]:
    x, share = random(3, channels, 7, 5), random(3, bases, 7, 5) if bases else None
    weight = random(bases or 1, outputs, channels // groups, side, side)
    bias = random(bases or 1, outputs)
    expected = sum(
        (share[:, n : n + 1] if bases else 1) * F.conv2d(x, w, b, padding=side // 2, groups=groups)
        for n, (w, b) in enumerate(zip(weight, bias))
    )
    given = x, share, weight, bias, groups
    assert torch.allclose(mixture(*given), expected, rtol=1e-4, atol=1e-3), (channels, bases)
    # What traces a network is told the same shape and order.
    torch.library.opcheck(mixture, given, test_utils=("test_schema", "test_faketensor"))
    with FlopCounterMode(display=False) as counter:
        mixture(*given)
    assert counter.get_total_flops() == 2 * 3 * 35 * weight.numel()
"""


def test_the_kernel_of_a_gpu_is_a_mixture_of_convolutions():
    pytest.importorskip("triton")
    # Read line by line instead of compiled, which Triton decides when it is imported.
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", KERNEL], env=environment, check=True)


def test_the_way_of_a_gpu_traces_without_a_break(generator, monkeypatch):
    pytest.importorskip("triton")
    from denoisers.kbnet import kernels

    monkeypatch.setattr(kbnet.layers, "gpu_kernels", lambda x, inputs: kernels)
    net = awake(KBNet(**TINY), generator)
    with torch.no_grad():
        graph = torch.export.export(net, (torch.rand(2, 1, 16, 16),), strict=True).graph
    calls = [node.target for node in graph.nodes if node.target is torch.ops.kbnet.mixture.default]
    # Of each of the 7 blocks at least the attention and the depthwise convolution.
    assert len(calls) >= 2 * 7


def test_weights_cast_once_are_as_near_as_under_autocast(generator):
    net = awake(KBNet(**TINY), generator)
    x = torch.rand(4, 1, 32, 32, generator=generator)
    exact = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        error = (net(x) - exact).norm()
    out = net.to(torch.bfloat16)(x)
    assert out.dtype == torch.float32
    assert 0 < (out - exact).norm() < 1.5 * error


def test_size_of_the_published_network():
    with torch.device("meta"):
        grey, light = KBNet(), KBNet(channels=3, lightweight=True, ffn_scale=1.5)
    assert sum(p.numel() for p in grey.parameters()) == 141_964_353
    assert sum(p.numel() for p in light.parameters()) == 128_403_395
    state = grey.state_dict()
    assert len(state) == 1168
    assert state["middle_blks.0.w"].shape == (1, 32, 36864)
    assert state["encoders.0.0.conv11.1.weight"].shape == (64, 4, 5, 5)
    assert state["encoders.0.0.conv2.0.weight"].shape == (32, 2, 3, 3)
    assert state["ups.0.0.weight"].shape == (2048, 1024, 1, 1)


@pytest.mark.parametrize(
    "wrap", [lambda s: {"net": {f"module.{k}": v for k, v in s.items()}, "epoch": 3}, None]
)
@pytest.mark.parametrize(
    "shape",
    [
        TINY,
        TINY | {"channels": 3, "lightweight": True, "ffn_scale": 1.5},
        {"encoder": (1, 1, 1, 1), "middle": 1},
    ],
    ids=["grey", "lightweight", "width 64"],
)
def test_equals_spandrel(tmp_path, generator, shape, wrap):
    spandrel = pytest.importorskip("spandrel")
    net = awake(KBNet(**{"decoder": (1, 1, 1, 1), **shape}), generator)
    torch.save(wrap(net.state_dict()) if wrap else net.state_dict(), tmp_path / "official.pth")
    ours = kbnet.load(str(tmp_path / "official.pth"), sigma_255="25").net.eval()
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "official.pth").model.eval()
    image = torch.rand(2, net.intro.in_channels, 37, 48, generator=generator)
    with torch.no_grad():
        assert torch.allclose(ours(image), theirs(image), rtol=1e-5, atol=1e-5)
        assert not torch.allclose(ours(image), image, atol=0.01)


@pytest.mark.parametrize("wrapper", ["model", "params", "net", "state_dict"])
def test_every_wrapper_loads(tmp_path, wrapper):
    net = KBNet(**TINY)
    torch.save({wrapper: net.state_dict()}, tmp_path / "a.pth")
    loaded = kbnet.load(str(tmp_path / "a.pth"), sigma_255="0-50")
    assert all(
        torch.equal(a, b) for a, b in zip(net.parameters(), loaded.net.parameters(), strict=True)
    )
    assert loaded.spec.sigma_max == pytest.approx(50 / 127.5)
    assert loaded.spec.sigma_min == 0


def test_files_that_do_not_fit(tmp_path):
    path, net = tmp_path / "a.pth", KBNet(**TINY)

    def refused(content, sigma_255="25"):
        torch.save(content, path)
        with pytest.raises(ValueError, match=r"a\.pth") as caught:
            kbnet.load(str(path), sigma_255=sigma_255)
        return str(caught.value)

    state = net.state_dict()
    assert "no card" in refused(state, sigma_255=None)
    assert "intro.weight" in refused({"conv.weight": torch.zeros(3)})
    assert "expected tensors by name" in refused({"a": 1})
    assert "expected tensors by name, found a list of 1" in refused([torch.zeros(3)])
    short = {key: value for key, value in state.items() if key != "middle_blks.1.conv5.bias"}
    assert "middle_blks.1.conv5.bias" in refused(short)
    assert "middle_blks.0.beta" in refused(state | {"middle_blks.0.beta": torch.zeros(1, 3, 1, 1)})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.pth.*truncated"):
        kbnet.load(str(path), sigma_255="25")


@pytest.mark.parametrize("text", ["x", "50-0", "1-2-3", "nan", "-5", ""])
def test_bands_that_are_none(tmp_path, text):
    torch.save(KBNet(**TINY).state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="sigma_255"):
        kbnet.load(str(tmp_path / "a.pth"), sigma_255=text)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (1, 5)])
def test_any_size_goes_in_and_comes_out(generator, size):
    net = awake(KBNet(**TINY), generator)
    assert net(torch.rand(2, 1, *size, generator=generator)).shape == (2, 1, *size)


def test_a_single_level_and_a_band_from_zero_are_uniform_others_generative(generator):
    assert torch.equal(sample_sigma(4, (0.1, 0.1), generator), torch.full((4,), 0.1))
    blind = sample_sigma(10_000, (0.0, 0.2), generator)
    assert blind.mean() == pytest.approx(0.1, rel=0.01)
    wide = sample_sigma(10_000, (0.01, 10.0), generator)
    assert 0.0099 < wide.min() < 0.012
    assert 9 < wide.max() < 10.001
    assert ((wide > 0.2) & (wide < 4)).float().mean() > 0.55  # where a digit is decided


def test_patches_are_turned_flipped_and_cut_from_the_image(generator):
    """Each as numpy cuts, turns and mirrors it; four rows, three columns and eight ways occur."""
    images = torch.rand(1000, 1, 8, 7, generator=generator)
    corners, turns = torch.rand(1000, 2, generator=generator), torch.arange(1000) % 8
    patches, seen = augmented(images, 5, corners, turns), set()
    for image, (down, right), turn, patch in zip(images, corners, turns, patches, strict=True):
        row, column = int(down * 4), int(right * 3)
        piece = np.rot90(image[0, row : row + 5, column : column + 5].numpy(), turn % 4)
        assert np.array_equal(patch[0], np.fliplr(piece) if turn >= 4 else piece)
        seen.add((row, column, int(turn)))
    assert len(seen) == 4 * 3 * 8


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_loss_of_an_oracle_is_zero(generator, norm):
    images = torch.rand(8, 1, 16, 16, generator=generator)
    for band in [(0.1, 0.1), (0.0, 0.2), (0.01, 5.0)]:
        task = restoration(band, norm, None)
        drawn = task.draw([images], task.levels(8, generator), generator)
        assert task.loss(lambda x: images, *drawn) == 0
        assert task.loss(lambda x: x, *drawn) > 0.005
