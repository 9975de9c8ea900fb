"""Extractors are deterministic functions of single images; the cache never lies."""

import functools
import sys
import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchmetrics.image.fid import NoTrainInceptionV3

from bench import cli, experiment
from bench.images import to_float
from bench.scoring import extractors, lenet, preprocessing, pretrained
from bench.scoring.lenet.train import accuracy, jitter
from denoisers.errors import UsageError
from denoisers.weights import sha256

PHOTOGRAPHIC = ("timm:test_resnet", "inception", "inception:half-pixel", "inception:bicubic")


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Files of untrained networks, as those who publish trained ones save them."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), folder / "resnet.pth")
    torch.save(
        timm.create_model("test_resnet", num_classes=0).state_dict(), folder / "headless.pth"
    )
    save_file(timm.create_model("test_vit").state_dict(), folder / "vit.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *args, **kwargs: {}
        )
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        net = FeatureExtractorInceptionV3("inception", ["2048"])
    for parameter in net.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)  # features of order 1, in spite of 94 layers
    torch.save(net.state_dict(), folder / "inception.pth")
    return folder


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, and no caches of networks."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture(scope="session")
def loaded(networks):
    """loaded(name): each of the extractors with those files, made once."""
    return functools.cache(lambda name: extractors.load(name, weights_of(name, networks)))


def weights_of(name, networks):
    if name.startswith("timm:"):
        return networks / "resnet.pth"
    return networks / "inception.pth" if name.startswith("inception") else None


@pytest.mark.parametrize("name", [*extractors.SHIPPED, *PHOTOGRAPHIC])
def test_features_do_not_depend_on_the_batch(name, digits, loaded):
    extractor = loaded(name)
    images = digits.held_out[: 3 if name.startswith("inception") else 40]
    whole = extractor.features(images)
    assert whole.shape[0] == len(images)
    assert whole.dtype == np.float32
    assert whole.std(axis=0).max() > 0.01
    parts = np.concatenate(
        [extractor.features(images[i : i + 2]) for i in range(0, len(images), 2)]
    )
    assert np.allclose(whole, parts, atol=1e-4 * np.abs(whole).max())


def test_more_images_than_a_batch(digits, loaded):
    extractor = loaded("timm:test_resnet")
    whole = extractor.features(digits.held_out[:70])
    assert np.allclose(whole[40:], extractor.features(digits.held_out[40:70]), atol=1e-4)


def test_inception_is_that_of_torch_fidelity_and_torchmetrics(digits, networks, loaded):
    images, path = digits.held_out[:2], networks / "inception.pth"
    rgb = torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1)
    theirs = FeatureExtractorInceptionV3("theirs", ["2048"], path)(rgb)[0].numpy()
    ours = loaded("inception").features(images)
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    theirs = NoTrainInceptionV3("theirs", ["2048"], str(path), antialias=True)(rgb).numpy()
    half_pixel = loaded("inception:half-pixel").features(images)
    assert np.allclose(half_pixel, theirs, rtol=1e-5, atol=1e-6)
    assert not np.allclose(half_pixel, ours, rtol=1e-2)


@pytest.mark.parametrize(
    ("resize", "of_pillow"), [("half-pixel", Image.BILINEAR), ("bicubic", Image.BICUBIC)]
)
def test_resizes_are_those_of_pillow(resize, of_pillow, digits):
    image = digits.held_out[0]
    theirs = np.asarray(Image.fromarray(image.astype(np.float32)).resize((299, 299), of_pillow))
    ours = preprocessing.RESIZES[resize](torch.from_numpy(image)[None, None].float(), (299, 299))[
        0, 0
    ].numpy()
    assert np.abs(ours - theirs).max() < 0.01
    assert ours.max() > 200


@pytest.mark.parametrize(
    ("name", "file"), [("timm:test_resnet", "resnet.pth"), ("inception", "inception.pth")]
)
def test_a_prefix_before_all_names_makes_no_difference(name, file, networks, loaded, tmp_path):
    state = torch.load(networks / file, weights_only=True)
    wrapped = {"state_dict": {f"net.{key}": value for key, value in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "lightning.ckpt")
    assert extractors.load(name, tmp_path / "lightning.ckpt").digest == loaded(name).digest


@pytest.mark.parametrize("file", ["resnet.pth", "headless.pth"])
def test_a_model_of_timm_is_what_it_is_by_hand(file, digits, networks):
    extractor = extractors.load("timm:test_resnet", networks / file)
    net = timm.create_model("test_resnet", num_classes=0).eval()
    state = torch.load(networks / file, weights_only=True)
    net.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    data = timm.data.resolve_model_data_config(net)
    assert data["interpolation"] == "bilinear"
    resized = [
        Image.fromarray(image.astype(np.float32) / 255).resize(
            data["input_size"][:0:-1], Image.BILINEAR
        )
        for image in digits.held_out[:4]
    ]
    rgb = torch.from_numpy(np.stack([np.stack([np.asarray(image)] * 3) for image in resized]))
    mean, std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    with torch.inference_mode():
        by_hand = net((rgb - mean) / std).numpy()
    assert np.allclose(extractor.features(digits.held_out[:4]), by_hand, rtol=1e-3, atol=1e-4)
    assert "160" in extractor.preprocessing


def test_the_digest_is_of_tensors_and_preprocessing(networks, loaded, tmp_path):
    state = torch.load(networks / "resnet.pth", weights_only=True)
    save_file(state, tmp_path / "same.safetensors")
    next(iter(state.values()))[0] += 1e-3
    torch.save(state, tmp_path / "other.pth")
    first = loaded("timm:test_resnet").digest
    assert extractors.load("timm:test_resnet", tmp_path / "same.safetensors").digest == first
    assert extractors.load("timm:test_resnet", tmp_path / "other.pth").digest != first
    assert len({loaded(name).digest for name in PHOTOGRAPHIC[1:]}) == 3


def test_weights_of_another_network(networks, tmp_path):
    for name, file in (("timm:test_resnet", "vit.safetensors"), ("inception", "vit.safetensors")):
        with pytest.raises(
            ValueError, match=r"^--features-weights: .*vit.safetensors does not fit .*Missing key"
        ) as said:
            extractors.load(name, networks / file)
        assert "\n" not in str(said.value)
        assert len(str(said.value)) < 400
    (tmp_path / "list.pth").write_bytes(b"not weights")
    with pytest.raises(UsageError, match=r"^--features-weights: .*list.pth cannot be read: it is"):
        extractors.load("inception", tmp_path / "list.pth")
    with pytest.raises(ValueError, match="lenet-a is complete as it is; --features-weights is for"):
        extractors.load("lenet-a", networks / "resnet.pth")
    with pytest.raises(UsageError, match=r"^--features-weights: no file nowhere.pth: No such file"):
        extractors.load("inception", Path("nowhere.pth"))


def test_missing_weights_without_a_network(offline, home):
    with pytest.raises(UsageError) as said:
        extractors.load("inception")
    for part in (
        "weights-inception-2015-12-05-6726825d.pth",
        "6726825d0af5",
        str(home / "features"),
        "--features-weights",
    ):
        assert part in str(said.value)
    with pytest.raises(
        UsageError, match=r"timm:resnet18 needs model.safetensors, .*timm/resnet18.*--features-w"
    ):
        extractors.load("timm:resnet18")


def test_a_file_with_the_official_name_must_be_the_official_one(
    networks, loaded, tmp_path, monkeypatch
):
    name = pretrained.INCEPTION_FILES[0]
    (tmp_path / name).symlink_to(networks / "inception.pth")
    with pytest.raises(ValueError, match=f"expected sha256 {pretrained.INCEPTION_SHA256}, found"):
        extractors.load("inception", tmp_path / name)
    monkeypatch.setattr(pretrained, "INCEPTION_SHA256", sha256(networks / "inception.pth"))
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / name).symlink_to(networks / "inception.pth")
    assert extractors.load("inception").digest == loaded("inception").digest


def test_unknown_features():
    with pytest.raises(
        UsageError,
        match="unknown features 'incepton'; available: lenet-a, lenet-b, cifar-a, cifar-b, pixels, timm:MODEL",
    ):
        extractors.load("incepton")
    with pytest.raises(
        UsageError, match=r"unknown timm model 'restnet18'; did you mean .*resnet18"
    ):
        extractors.load("timm:restnet18")
    with pytest.raises(
        UsageError, match=r"unknown timm model 'resnet18.nope'; did you mean resnet18.a1_in1k"
    ):
        extractors.load("timm:resnet18.nope")
    with pytest.raises(UsageError, match="unknown timm model ''"):
        extractors.load("timm:")
    with pytest.raises(
        UsageError,
        match="unknown features 'inception:lanczos'; available: inception, inception:half-",
    ):
        extractors.load("inception:lanczos")


def test_the_flags_of_a_run(networks, loaded, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = str(networks / "resnet.pth")
    plans = []
    monkeypatch.setattr(
        experiment, "execute", lambda plan, **kwargs: plans.append(plan) or sys.exit(0)
    )
    run = ["bench", "run", "--denoiser", "identity", "--dataset", "mnist5k", "--features"]
    for arguments in (
        ["timm:test_resnet", "--features-weights", path],
        ["inception", "--inception-weights", path],
    ):
        monkeypatch.setattr(sys, "argv", [*run, *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        if arguments[0] == "inception":  # refused before anything is written
            assert stopped.value.code == 2
            assert "does not fit the Inception of FID" in capsys.readouterr().err
    (plan,) = plans
    extractor = loaded("timm:test_resnet")
    assert plan.rules.scoring["features"] == f"timm:test_resnet@{extractor.digest}"
    assert plan.rules.preprocessing == extractor.preprocessing
    assert not list(tmp_path.rglob("run.json"))


def test_the_two_classifiers_are_different_networks():
    assert extractors.load("lenet-a").digest != extractors.load("lenet-b").digest


def test_classes_and_confidence(digits):
    probabilities = extractors.classify(digits.held_out, "lenet-a")
    assert (probabilities.argmax(1) == digits.held_out_labels).mean() > 0.99
    assert 0.9 < probabilities.max(1).mean() <= 1
    assert np.allclose(probabilities.sum(1), 1, atol=1e-5)


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["lenet-a", "lenet-b"])
def test_accuracy_of_the_shipped_classifiers(name, mnist):
    net, card = lenet.load(name)
    found = accuracy(net, to_float(mnist.held_out), torch.from_numpy(mnist.held_out_labels))
    assert found >= 0.994
    assert found == pytest.approx(card["held_out_accuracy"], abs=2e-4)


def test_jitter_moves_digits_a_little_and_keeps_the_background(digits, generator):
    images = to_float(digits.train[:50])
    moved = jitter(images, generator)
    assert moved.shape == images.shape
    assert moved.min() >= -1 - 1e-5
    assert moved[..., 0, 0].max() <= -1 + 1e-5
    assert 0 < (moved - images).abs().mean() < 0.3
