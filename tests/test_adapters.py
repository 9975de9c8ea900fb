"""Checkpoints of other libraries behave as in those libraries, and foreign files are refused in words."""

import itertools
import json
import shutil
import sys
from pathlib import Path

import pytest
import spandrel
import torch
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from torch import nn

import denoisers
from bench.data import photographs
from bench.probes import conformance, denoising
from bench.sampling import samplers
from denoisers import schedule
from denoisers.adapters import NoiseMap
from denoisers.errors import UsageError
from denoisers.wrappers import split_noise


@pytest.fixture
def images(generator):
    return torch.rand(2, 1, 32, 32, generator=generator)


def test_spandrel_is_the_network_without_the_clamp(checkpoints, images):
    denoiser = denoisers.load("spandrel", **checkpoints["spandrel"])
    descriptor = spandrel.ModelLoader(device="cpu").load_from_file(
        checkpoints["spandrel"]["weights"]
    )
    with torch.inference_mode():
        # Far beyond [0, 1], where the descriptor would clamp.
        expected = 2 * descriptor.model(3 * images) - 1
        assert torch.allclose(denoiser(2 * 3 * images - 1, torch.tensor(0.2)), expected, atol=1e-5)
    assert denoiser.spec.sigma_max == pytest.approx(25 / 127.5)
    assert denoiser.spec.blind
    assert denoiser.card["architecture"] == "DnCNN"


@pytest.mark.third_party
@pytest.mark.parametrize(
    ("name", "file", "band", "published"),
    [
        ("spandrel", "dncnn_25/dncnn_25.pth", "25", 30.44),  # DnCNN-S of Zhang et al. 2017
        ("ffdnet", "ffdnet_gray/ffdnet_gray.pth", "0-75", 30.43),  # Zhang et al. 2018
    ],
)
def test_third_party_networks_conform_and_reach_what_is_published(
    name, file, band, published, third_party
):
    denoiser = denoisers.load(name, str(third_party / file), sigma_255=band)
    conformance.assert_conforms(denoiser, num=8)
    images = photographs.read(third_party.parent / "data" / "restoration" / "test" / "set12")
    assert denoising.restoration(denoiser, images, levels=(25,))["psnr"].mean() == pytest.approx(
        published, abs=0.15
    )


@pytest.mark.third_party
def test_a_third_party_file_that_spandrel_takes_for_another(third_party):
    with pytest.raises(ValueError, match=r"takes for DnCNN.*--denoiser ffdnet"):
        denoisers.load(
            "spandrel", str(third_party / "ffdnet_gray" / "ffdnet_gray.pth"), sigma_255="0-75"
        )


def saved(path, channels_in, channels_out):
    """A plain network of DnCNN's depth with random weights, saved at `path`."""
    widths = [channels_in, *[8] * 16, channels_out]
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    net = nn.ModuleDict({"model": nn.Sequential(*layers[:-1])})
    torch.save(net.state_dict(), path)
    return path, net["model"]


@pytest.fixture
def mapped(tmp_path):
    """A network of the FDnCNN kind: image and noise map in, image out."""
    return saved(tmp_path / "fdncnn.pth", 2, 1)


def test_a_colour_network_gets_noise_that_differs_between_its_channels(tmp_path, images):
    path, net = saved(tmp_path / "colour.pth", 3, 3)
    denoiser = denoisers.load("spandrel", str(path), sigma_255="25")
    assert denoiser.spec.in_channels == 3
    assert denoiser.spec.sigma_max == pytest.approx(25 / 127.5 / 3**0.5)  # splitting makes 25 of it
    x, sigma = 2 * images - 1, torch.tensor(denoiser.spec.sigma_max)
    split = (split_noise(x, sigma, 3)[0] + 1) / 2
    with torch.inference_mode():
        expected = (split - net(split)).mean(1, keepdim=True)
        assert torch.allclose((denoiser(x, sigma) + 1) / 2, expected, atol=1e-5)


def test_a_noise_map_holds_our_sigma_and_not_spandrels(mapped, images):
    path, net = mapped
    denoiser = denoisers.load("spandrel", str(path), sigma_255="0-75")
    assert not denoiser.spec.blind
    for level in (5.0, 60.0):
        with torch.inference_mode():
            expected = net(torch.cat([images, torch.full_like(images, level / 255)], 1))
            found = denoiser(2 * images - 1, torch.tensor(level / 127.5))
        assert torch.allclose((found + 1) / 2, expected, atol=1e-5)


def test_a_noise_map_is_one_level_per_image(images):
    levels = torch.tensor([0.1, 0.7])
    appended = NoiseMap(nn.Identity())(images, levels)
    assert appended.shape == (2, 2, 32, 32)
    assert torch.equal(appended[:, 1].amax((1, 2)), levels)
    assert torch.equal(appended[:, 1].amin((1, 2)), levels)


def test_ffdnet_is_told_the_noise_level(checkpoints, images):
    denoiser = denoisers.load("ffdnet", **checkpoints["ffdnet"])
    with torch.inference_mode():
        quiet, loud = denoiser(images, torch.tensor(0.02)), denoiser(images, torch.tensor(0.5))
    assert not torch.allclose(quiet, loud)
    assert denoiser.spec.multiple_of == 2


def test_a_network_that_spandrel_takes_for_another(checkpoints):
    """FFDNet's keys are those of DnCNN."""
    net = {f"model.{2 * i}.{kind}": value for i, kind, value in ffdnet_like()}
    path = Path(checkpoints["ffdnet"]["weights"]).with_name("like.pth")
    torch.save(net, path)
    with pytest.raises(
        ValueError, match=r"takes for DnCNN, would map 4 channels to 4.*--denoiser ffdnet"
    ):
        denoisers.load("spandrel", str(path), sigma_255="25")


def ffdnet_like():
    widths = [5, *[8] * 14, 4]
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        yield i, "weight", torch.zeros(after, before, 3, 3)
        yield i, "bias", torch.zeros(after)


@pytest.mark.parametrize("name", ["spandrel", "ffdnet"])
def test_files_of_other_networks_are_refused(name, tmp_path):
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"other\.pth (is no network that spandrel recognises|holds no FFDNet)"
    ):
        denoisers.load(name, str(tmp_path / "other.pth"), sigma_255="25")
    with pytest.raises(UsageError, match=r"^--weights: .*nowhere\.pth: No such file"):
        denoisers.load(name, str(tmp_path / "nowhere.pth"), sigma_255="25")
    with pytest.raises(UsageError, match=f"^--weights: denoiser '{name}' needs them"):
        denoisers.load(name)


@pytest.mark.parametrize("name", ["spandrel", "ffdnet"])
def test_a_band_that_nobody_states_is_asked_for(name, checkpoints):
    with pytest.raises(ValueError, match="--option sigma_255=25"):
        denoisers.load(name, checkpoints[name]["weights"])


@pytest.mark.parametrize("name", ["spandrel", "diffusers"])
def test_a_missing_package_names_the_extra(name, checkpoints, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # as Python marks what cannot be imported
    with pytest.raises(UsageError, match=rf"pip install 'denoiser-bench\[{name}\]'"):
        denoisers.load(name, **checkpoints[name])


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_a_diffusers_folder_samples_what_its_pipeline_samples(
    prediction, tmp_path, monkeypatch, generator
):
    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=32,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        layers_per_block=1,
    ).eval()
    pipeline = DDIMPipeline(net, DDIMScheduler(prediction_type=prediction, clip_sample=False))
    pipeline.save_pretrained(tmp_path / "saved")
    pipeline.set_progress_bar_config(disable=True)
    z = torch.randn(2, 1, 32, 32, generator=generator)
    monkeypatch.setattr(
        "diffusers.pipelines.ddim.pipeline_ddim.randn_tensor", lambda *a, **k: z.clone()
    )
    expected = pipeline(batch_size=2, num_inference_steps=20, eta=0.0, output_type="np").images
    denoiser = denoisers.load("diffusers", str(tmp_path / "saved"))
    assert denoiser.spec.prediction_type == prediction
    chain = schedule.sigmas_of(schedule.alphas_cumprod(schedule.linear_betas()))
    sigmas = torch.cat([chain[pipeline.scheduler.timesteps], torch.zeros(1)])
    with torch.inference_mode():
        x = samplers.sample(
            denoiser, samplers.start(z, sigmas[0].item()), sigmas, None, eta=0.0, clip=False
        )
    assert (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy() == pytest.approx(
        expected, abs=1e-4
    )


@pytest.mark.parametrize(
    ("sample_size", "size"), [(28, (28, 28)), ([28, 20], (28, 20)), (64, (64, 64)), (None, None)]
)
def test_a_diffusers_network_is_asked_about_images_of_its_sample_size(
    checkpoints, tmp_path, images, sample_size, size
):
    folder = altered(checkpoints, tmp_path, "unet", sample_size=sample_size)
    sized, plain = (
        denoisers.load("diffusers", folder, **option) for option in ({}, {"size": "any"})
    )
    assert (sized.spec.size, plain.spec.size) == (size, None)
    if sample_size == 28:
        with torch.inference_mode():
            cut = plain(images[..., 2:30, 2:30].contiguous(), torch.tensor(0.7))
            found = sized(images, torch.tensor(0.7))
        assert torch.equal(found[..., 2:30, 2:30], cut)
        assert (found[..., :2, :] == -1).all()
        assert not torch.allclose(plain(images, torch.tensor(0.7))[..., 2:30, 2:30], cut, atol=1e-3)


def test_a_diffusers_model_beside_its_scheduler(checkpoints, tmp_path, images):
    """Both in one folder, as two `save_pretrained` into the same place leave them."""
    pipeline = Path(checkpoints["diffusers"]["weights"])
    for path in (*(pipeline / "unet").iterdir(), *(pipeline / "scheduler").iterdir()):
        shutil.copy(path, tmp_path)
    flat, nested = (
        denoisers.load("diffusers", str(tmp_path)),
        denoisers.load("diffusers", str(pipeline)),
    )
    with torch.inference_mode():
        assert torch.equal(flat(images, torch.tensor(0.7)), nested(images, torch.tensor(0.7)))
    assert flat.card["sha256"] == nested.card["sha256"]


def altered(checkpoints, tmp_path, part, **changes):
    folder = shutil.copytree(checkpoints["diffusers"]["weights"], tmp_path / "altered")
    path = folder / part / {"unet": "config.json", "scheduler": "scheduler_config.json"}[part]
    content = json.loads(path.read_text())
    path.write_text(
        json.dumps({key: value for key, value in (content | changes).items() if value is not ...})
    )
    return str(folder)


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        (
            "unet",
            {"_class_name": "UNet2DConditionModel"},
            "holds a UNet2DConditionModel, which is told a text",
        ),
        (
            "unet",
            {"_class_name": "AutoencoderKL"},
            "holds a AutoencoderKL; expected an unconditional UNet2DModel",
        ),
        ("unet", {"num_class_embeds": 10}, r"class-conditional network \(num_class_embeds 10\)"),
        (
            "unet",
            {"class_embed_type": "timestep"},
            r"class-conditional network \(class_embed_type timestep\)",
        ),
        (
            "unet",
            {"block_out_channels": [8, 24]},
            r"does not fit UNet2DModel: at 'down_.* expected .* found",
        ),
        ("unet", {"block_out_channels": 8}, "describes a network that cannot be made: TypeError"),
        ("unet", {"block_out_channels": [8, 10**6]}, "takes more than 2 GB of memory.*--max-bytes"),
        (
            "unet",
            {"in_channels": 4, "out_channels": 4},
            "a network from 4 channels to 4; expected 1 or 3",
        ),
        (
            "scheduler",
            {"beta_schedule": ..., "trained_betas": ..., "_class_name": "Flow"},
            "expected a scheduler of a VP",
        ),
        ("scheduler", {"prediction_type": "flow"}, "found 'flow'"),
        (
            "scheduler",
            {"beta_schedule": ..., "trained_betas": None},
            "expected a scheduler of a VP",
        ),
        (
            "scheduler",
            {"num_train_timesteps": 10**10},
            r"expected a scheduler of a VP chain .* of 2\.\.100000 steps",
        ),
        (
            "scheduler",
            {"beta_schedule": "sinusoidal"},
            "cannot be made: NotImplementedError: sinusoidal",
        ),
    ],
)
def test_other_diffusers_models_are_refused(checkpoints, tmp_path, part, changes, said):
    with pytest.raises(ValueError, match=said):
        denoisers.load("diffusers", altered(checkpoints, tmp_path, part, **changes))


def test_folders_that_diffusers_did_not_save(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=r"^--weights: no config\.json in "):
            denoisers.load("diffusers", str(place))


def test_the_scheduler_is_part_of_the_digest(checkpoints, tmp_path):
    changed = denoisers.load(
        "diffusers", altered(checkpoints, tmp_path, "scheduler", beta_end=0.03)
    )
    assert changed.spec.sigma_max > 157.5
    shutil.rmtree(tmp_path / "altered")
    other = denoisers.load("diffusers", altered(checkpoints, tmp_path, "unet", norm_eps=1e-3))
    assert (
        other.card["sha256"]
        != denoisers.load("diffusers", **checkpoints["diffusers"]).card["sha256"]
    )
    assert (
        changed.card["sha256"]
        != denoisers.load("diffusers", **checkpoints["diffusers"]).card["sha256"]
    )


@pytest.fixture
def folder(checkpoints, tmp_path):
    """A copy of the pipeline, to be changed."""
    return shutil.copytree(checkpoints["diffusers"]["weights"], tmp_path / "pipeline")


def refile(folder, name, change=lambda state: state):
    """The weights in another file, alone."""
    plain = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = change(load_file(plain))
    plain.unlink()
    (save_file if name.endswith(".safetensors") else torch.save)(state, folder / "unet" / name)


@pytest.mark.parametrize(
    "name",
    [
        "diffusion_pytorch_model.bin",
        "diffusion_pytorch_model.fp16.safetensors",
        "diffusion_pytorch_model.fp16.bin",
    ],
)
def test_weights_of_diffusers_in_other_files(name, folder, images, capfd):
    expected = denoisers.load("diffusers", str(folder))
    refile(
        folder, name, lambda state: {k: v.half() if "fp16" in name else v for k, v in state.items()}
    )
    found = denoisers.load("diffusers", str(folder))
    assert capfd.readouterr() == ("", "")  # no advice of a library
    with torch.inference_mode():
        a, b = (denoiser(images, torch.tensor(0.7)) for denoiser in (expected, found))
    assert a.dtype == b.dtype == torch.float32
    assert torch.allclose(a, b, atol=3e-3 if "fp16" in name else 0)
    assert found.card["read_from"] == name
    said = [f"{name} was read, a variant; diffusion_pytorch_model itself is not there"]
    assert found.card.get("warnings", []) == (said if "fp16" in name else [])


def test_attention_layers_have_had_other_names(folder, images):
    expected = denoisers.load("diffusers", str(folder))
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}

    def rename(state):
        for new, name in old.items():
            state = {key.replace(new, name): value for key, value in state.items()}
        return state

    refile(folder, "diffusion_pytorch_model.bin", rename)
    with torch.inference_mode():
        a, b = (
            denoiser(images, torch.tensor(0.7))
            for denoiser in (expected, denoisers.load("diffusers", str(folder)))
        )
    assert torch.equal(a, b)


def test_weights_of_diffusers_that_are_not_read(folder):
    unet = folder / "unet"
    plain = unet / "diffusion_pytorch_model.safetensors"
    state = load_file(plain)
    plain.unlink()
    with pytest.raises(
        UsageError, match=r"unet holds no .*model\.safetensors or \.bin; it has no weights"
    ):
        denoisers.load("diffusers", str(folder))
    for name in ("fp16", "non_ema"):
        save_file(state, unet / f"diffusion_pytorch_model.{name}.safetensors")
    with pytest.raises(
        UsageError, match=r"or \.bin; it has diffusion_pytorch_model\.fp16\.safetensors, .*non_ema"
    ):
        denoisers.load("diffusers", str(folder))
    UNet2DModel.from_config(json.loads((unet / "config.json").read_text())).save_pretrained(
        folder / "sharded", max_shard_size="20KB"
    )
    shutil.copy(folder / "scheduler" / "scheduler_config.json", folder / "sharded")
    with pytest.raises(
        UsageError, match=r"in \d+ parts \(.*-00001-of-.*save_pretrained\(FOLDER, max"
    ):
        denoisers.load("diffusers", str(folder / "sharded"))
    torch.save({**state, "more": torch.zeros(1)}, unet / "diffusion_pytorch_model.bin")
    with pytest.raises(
        UsageError, match=r"\.bin does not fit UNet2DModel: at 'more' expected no such key"
    ):
        denoisers.load("diffusers", str(folder))
    torch.save({"a": Path("x")}, unet / "diffusion_pytorch_model.bin")
    with pytest.raises(
        UsageError,
        match=r"^--weights: .*\.bin cannot be read: expected tensors by name, found none",
    ):
        denoisers.load("diffusers", str(folder))


HERE = "here the sampler clamps it to [-1, 1] (--clip) or leaves it (--no-clip)"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"clip_sample": True, "clip_sample_range": 1.0, "sample_max_value": 2.0}, None),
        (
            {"thresholding": True},
            "its scheduler rescales the estimate of x0 by its own quantile (thresholding)",
        ),
        (
            {"clip_sample_range": 2.5},
            "its scheduler clamps the estimate of x0 to +-2.5 (clip_sample_range)",
        ),
        (
            {"clip_sample": False, "clip_sample_range": 2.5},
            "its scheduler leaves the estimate of x0 as it is (clip_sample false)",
        ),
    ],
)
def test_what_a_scheduler_does_to_the_estimate_is_said(changes, said, checkpoints, tmp_path):
    denoiser = denoisers.load("diffusers", altered(checkpoints, tmp_path, "scheduler", **changes))
    assert denoiser.card.get("warnings") == ([f"{said}; {HERE}"] if said else None)
    plain = denoisers.load("diffusers", **checkpoints["diffusers"])
    assert torch.equal(
        denoiser.chain.sigmas if hasattr(denoiser.chain, "sigmas") else denoiser.chain[0],
        plain.chain[0],
    )


@pytest.mark.parametrize(
    "changes", [{"beta_schedule": "squaredcos_cap_v2"}, {"rescale_betas_zero_snr": True}]
)
def test_the_chain_is_that_of_the_scheduler(changes, checkpoints, tmp_path, capfd):
    path = altered(
        checkpoints,
        tmp_path,
        "scheduler",
        _class_name="DDIMScheduler",
        set_alpha_to_one=True,
        **changes,
    )
    found = denoisers.load("diffusers", path).chain
    assert capfd.readouterr() == ("", "")
    config = json.loads((Path(path) / "scheduler" / "scheduler_config.json").read_text())
    theirs = schedule.chain_of(DDIMScheduler.from_config(config).alphas_cumprod)
    assert torch.equal(found, theirs)
