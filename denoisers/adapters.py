"""Checkpoints read by the libraries that wrote them: spandrel's restorers, diffusers' U-Nets."""

import hashlib
import importlib
import inspect
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import layouts, reading
from denoisers import weights as weights_
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.unet import foreign
from denoisers.wrappers import ResidualDenoiser, VPDenoiser, split_band

CHAIN = (  # what decides the betas of a scheduler
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)
STEM = "diffusion_pytorch_model"  # of the file of weights in a folder of diffusers'
# Attention layers before diffusers 0.14 -> since.
RENAMED = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}
# Not f(image) -> image; spandrel wraps their call.
OTHER_CALLS = ("FBCNN", "IPT", "MixDehazeNet", "RetinexFormer")


def extra(package: str, why: str) -> Any:
    """An optional package, imported. Raises UsageError naming the extra that installs it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".", maxsplit=1)[0]:
            raise
        raise UsageError(
            f"{why} needs the package {package}: pip install 'denoiser-bench[{why}]'"
        ) from None


class NoiseMap(nn.Module):
    """A network that reads its noise level from an extra channel (DRUNet), as f(image, level)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        shape = (len(image), 1, *image.shape[-2:])
        return self.net(torch.cat([image, level.to(image).reshape(-1, 1, 1, 1).expand(shape)], 1))


def load_spandrel(
    weights: str, sigma_255: str | None = None, coupling: str = "ve", size: str | None = None
) -> ResidualDenoiser:
    """A file with a grey or colour restoration network of any architecture that spandrel recognises, on [0, 1].

    sigma_255  noise band in grey levels, "25" or "0-50", unless a card beside the file says it
    coupling   how the network is called: see `wrappers.COUPLINGS`
    size       of the images that it was trained on, if it matters: 28, 28x20 (rows first) or any

    The network itself is used, not spandrel's descriptor, which clamps what comes out and feeds
    networks with a noise map 15/255, whatever the noise is.

    Raises UsageError (no spandrel, no file, not a restoration network).
    """
    state, card = weights_.read(Path(weights))
    descriptor = recognised(state, weights)
    what = f"{weights}, which spandrel takes for {descriptor.architecture.name},"
    if descriptor.architecture.id in OTHER_CALLS:
        raise UsageError(
            f"{what} is called in a way of its own; "
            "write a load function for it (docs/bring-your-own.md)"
        )
    if descriptor.scale != 1 or descriptor.purpose != "Restoration":
        raise UsageError(
            f"{what} has purpose {descriptor.purpose} and scale {descriptor.scale}; "
            "expected Restoration, scale 1"
        )
    channels = descriptor.input_channels
    if channels not in (1, 3) or channels != descriptor.output_channels:
        says = f"{what} would map {channels} channels to {descriptor.output_channels}; expected 1"
        raise UsageError(f"{says} or 3 of both. If it is an FFDNet: --denoiser ffdnet")
    mapped = descriptor.architecture.id == "DRUNet" or "FDnCNN" in descriptor.tags
    sizes, band = descriptor.size_requirements, weights_.band(card, sigma_255)
    spec = Spec(
        "spandrel",
        "sample",
        in_channels=channels,
        multiple_of=math.lcm(max(sizes.multiple_of, 1), max(sizes.minimum, 1)),
        value_range=(0.0, 1.0),
        **split_band(band, channels),
        blind=not mapped,
        weights=weights_.tag(card),
        size=weights_.size(card, size),
    )
    net = NoiseMap(descriptor.model) if mapped else descriptor.model
    net = net.to(memory_format=torch.channels_last)  # on a CPU up to a tenth faster
    denoiser = ResidualDenoiser(net, spec, coupling)
    denoiser.card = {"architecture": descriptor.architecture.name, "tags": descriptor.tags, **card}
    return denoiser


def recognised(state: dict[str, Tensor], weights: str) -> Any:
    """spandrel's descriptor of the network, whose weights may have a prefix before their names."""
    spandrel = extra("spandrel", "spandrel")
    misfits = []
    for inner in layouts.roots(state):
        try:
            with reading.building(f"{weights}, as spandrel takes it,"):
                return spandrel.ModelLoader(device="cpu").load_from_state_dict(inner)
        except spandrel.UnsupportedModelError:
            continue
        except UsageError as error:
            misfits.append(error)
    if misfits:
        raise misfits[0]
    raise UsageError(
        f"{weights} is no network that spandrel recognises; {layouts.keys(state)}; "
        "with its code, a load function of a few lines brings it in (docs/bring-your-own.md)"
    )


class FirstChannels(nn.Module):
    """A diffusers U-Net as f(x_t, t); where it predicts variances too, the first half of the channels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.net(x_t, t).sample[:, : x_t.shape[1]]


def load_diffusers(weights: str, size: str | None = None) -> VPDenoiser:
    """A folder with an unconditional UNet2DModel and its scheduler, as a pipeline's `save_pretrained` writes it.

    size       of the images that it was trained on, if it is not its `sample_size`: 28, 28x20 (rows
               first) or any

    Beta schedule and prediction type (epsilon, sample or v_prediction) are the scheduler's. What
    else it does to the estimate of x0 is the sampler's here, and noted in the card's `warnings`.

    Raises UsageError (no diffusers, no such folder, another network, no VP chain).
    """
    folder = Path(weights)
    unet = part(folder, "unet", "config.json")
    scheduler = part(folder, "scheduler", "scheduler_config.json")
    config = reading.json_object(unet / "config.json")
    chain = reading.json_object(scheduler / "scheduler_config.json")
    net, abar = unconditional(config, unet), chain_of_scheduler(chain, scheduler)
    path = weights_file(unet)
    state = weights_.read_state(path)
    weights_.load_into(net, current(state, net), str(path))
    facts = json.dumps([config, chain], sort_keys=True).encode()
    card = {
        "name": folder.resolve().name,
        "sha256": hashlib.sha256(facts + path.read_bytes()).hexdigest(),
        "unet": config,
        "scheduler": chain,
        "read_from": path.name,
    }
    if warnings := [*of_variant(path), *of_clipping(chain)]:
        card["warnings"] = warnings
    spec = Spec(
        "diffusers",
        chain.get("prediction_type", "epsilon"),
        in_channels=net.config.in_channels,
        multiple_of=2 ** (len(net.config.block_out_channels) - 1),
        weights=weights_.tag(card),
        size=weights_.size({"size": config.get("sample_size")}, size),
    )
    # Not channels_last, in which bfloat16 took a tenth longer.
    denoiser = VPDenoiser(FirstChannels(net), abar, spec)
    denoiser.card = card
    return denoiser


def unconditional(config: dict[str, Any], folder: Path) -> Any:
    """The UNet2DModel that a config describes, without weights.

    Raises UsageError for any other network.
    """
    diffusers = extra("diffusers", "diffusers")
    name = str(config.get("_class_name"))[:100]
    if name != "UNet2DModel":
        why = ", which is told a text or another condition" if "Condition" in name else ""
        if name == foreign.MODEL:
            why = ", exported from here: --denoiser unet reads the .safetensors beside it"
        raise UsageError(f"{folder} holds a {name}{why}; expected an unconditional UNet2DModel")
    for key in ("num_class_embeds", "class_embed_type"):
        if config.get(key):
            raise UsageError(
                f"{folder} holds a class-conditional network ({key} {str(config[key])[:40]}); "
                "expected an unconditional one; a load function that always asks for one class brings it in "
                "(docs/bring-your-own.md)"
            )
    known = inspect.signature(diffusers.UNet2DModel.__init__).parameters
    with reading.building(str(folder)):
        net = diffusers.UNet2DModel(**{key: value for key, value in config.items() if key in known})
        channels = net.config.in_channels, net.config.out_channels
        if channels[0] not in (1, 3) or channels[1] not in (channels[0], 2 * channels[0]):
            raise UsageError(
                f"{folder} holds a network from {channels[0]} channels to {channels[1]}; "
                "expected 1 or 3, of both, or twice as many of the second where it predicts variances too"
            )
    return net


def chain_of_scheduler(chain: dict[str, Any], folder: Path) -> Tensor:
    """abar of each step of a scheduler. Raises UsageError if it has no chain with betas."""
    diffusers = extra("diffusers", "diffusers")
    steps = chain.get("num_train_timesteps", 1000)
    has_betas = chain.get("beta_schedule") or chain.get("trained_betas")
    if not has_betas or steps not in range(2, 100_001):
        raise UsageError(
            f"{folder} holds a {str(chain.get('_class_name'))[:100]}; "
            "expected a scheduler of a VP chain with betas, of 2..100000 steps"
        )
    options = {key: chain[key] for key in CHAIN if key in chain}
    with reading.building(str(folder)):
        return diffusers.DDPMScheduler(**options).alphas_cumprod


def weights_file(folder: Path) -> Path:
    """The file of weights in a folder of diffusers': the plain one, or the only variant.

    Raises UsageError.
    """
    files = [
        path for path in sorted(folder.glob(f"{STEM}*")) if path.suffix in (".safetensors", ".bin")
    ]
    files.sort(key=lambda path: (path.stem != STEM, path.suffix == ".bin"))
    if files and (files[0].stem == STEM or len({path.stem for path in files}) == 1):
        return files[0]
    names = ", ".join(path.name for path in files[:6])
    if any(folder.glob(f"{STEM}*.index.json")):
        raise UsageError(
            f"{folder} holds its weights in {len(files)} parts ({names}); save them in one: "
            "net.save_pretrained(FOLDER, max_shard_size='100GB')"
        )
    raise UsageError(
        f"{folder} holds no {STEM}.safetensors or .bin; it has {names or 'no weights'}"
    )


def current(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """`state` with today's names of attention layers, where it has those of before diffusers 0.14."""
    if any(".proj_attn." in key for key in net.state_dict()):
        return state
    for old, new in RENAMED.items():
        state = {key.replace(old, new): value for key, value in state.items()}
    return state


def of_variant(path: Path) -> list[str]:
    """What to say of a file of weights that is not the plain one."""
    if path.stem == STEM:
        return []
    return [f"{path.name} was read, a variant; {STEM} itself is not there"]


def of_clipping(chain: dict[str, Any]) -> list[str]:
    """What to say of a scheduler that does not clamp the estimate of x0 to [-1, 1]."""
    here = "here the sampler clamps it to [-1, 1] (--clip) or leaves it (--no-clip)"
    if chain.get("thresholding"):
        does = "rescales the estimate of x0 by its own quantile (thresholding)"
    elif chain.get("clip_sample") and chain.get("clip_sample_range", 1) != 1:
        does = f"clamps the estimate of x0 to +-{chain['clip_sample_range']} (clip_sample_range)"
    elif chain.get("clip_sample") is False:
        does = "leaves the estimate of x0 as it is (clip_sample false)"
    else:
        return []
    return [f"its scheduler {does}; {here}"]


def part(folder: Path, name: str, file: str) -> Path:
    """The subfolder `name` of a pipeline's folder, or the folder itself.

    Raises UsageError without `file`.
    """
    for place in (folder / name, folder):
        if (place / file).is_file():
            return place
    raise UsageError(
        f"no {file} in {folder} or {folder / name}; expected a folder that diffusers saved",
        "--weights",
    )
