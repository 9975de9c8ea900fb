"""Checkpoints that people have, read by the libraries that wrote them: spandrel's restorers, diffusers' U-Nets."""

import hashlib
import importlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from denoisers import weights as weights_
from denoisers.base import Spec
from denoisers.errors import UsageError
from denoisers.schedule import chain_of
from denoisers.wrappers import ResidualDenoiser, VPDenoiser, split_band

OTHER_CALLS = ("FBCNN", "IPT", "MixDehazeNet", "RetinexFormer")  # not f(image) -> image; spandrel wraps their call


def extra(package: str, why: str) -> Any:
    """An optional package, imported. Raises ImportError naming the extra that installs it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".", maxsplit=1)[0]:
            raise
        raise UsageError(f"{why} needs the package {package}: pip install 'denoiser-bench[{why}]'") from None


class NoiseMap(nn.Module):
    """A network that reads its noise level from an extra channel (DRUNet, FDnCNN), as f(image, level)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        shape = (len(image), 1, *image.shape[-2:])
        return self.net(torch.cat([image, level.to(image).reshape(-1, 1, 1, 1).expand(shape)], 1))


def load_spandrel(weights: str, sigma_255: str | None = None, coupling: str = "ve") -> ResidualDenoiser:
    """A file with a grey or colour restoration network of any architecture that spandrel recognises, on [0, 1].

    sigma_255  noise band in grey levels, "25" or "0-50", unless a card beside the file says it
    coupling   how the network is called: see `wrappers.COUPLINGS`

    The network itself is used, not spandrel's descriptor, which clamps what comes out and feeds networks with a noise
    map 15/255, whatever the noise is.

    Raises ImportError (no spandrel), FileNotFoundError, ValueError (not a restoration network).
    """
    spandrel = extra("spandrel", "spandrel")
    state, card = weights_.read(Path(weights))
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
    except (spandrel.UnsupportedModelError, RuntimeError, KeyError, ValueError) as error:
        raise UsageError(f"{weights} is no network that spandrel recognises: {str(error).splitlines()[:1]}") from None
    what = f"{weights}, which spandrel takes for {found.architecture.name},"
    if found.architecture.id in OTHER_CALLS:
        raise UsageError(f"{what} is called in a way of its own; write a load function for it (docs/bring-your-own.md)")
    if found.scale != 1 or found.purpose != "Restoration":
        raise UsageError(f"{what} has purpose {found.purpose} and scale {found.scale}; expected Restoration, scale 1")
    if found.input_channels not in (1, 3) or found.input_channels != found.output_channels:
        raise UsageError(
            f"{what} would map {found.input_channels} channels to {found.output_channels}; expected 1 or 3 of both. "
            "If it is an FFDNet: --denoiser ffdnet"
        )
    mapped = found.architecture.id == "DRUNet" or "FDnCNN" in found.tags
    sizes, low_high = found.size_requirements, weights_.band(card, sigma_255)
    spec = Spec(
        "spandrel",
        "sample",
        in_channels=found.input_channels,
        multiple_of=math.lcm(max(sizes.multiple_of, 1), max(sizes.minimum, 1)),
        value_range=(0.0, 1.0),
        **split_band(low_high, found.input_channels),
        blind=not mapped,
        weights=weights_.tag(card),
    )
    denoiser = ResidualDenoiser(NoiseMap(found.model) if mapped else found.model, spec, coupling)
    denoiser.card = {"architecture": found.architecture.name, "tags": found.tags, **card}
    return denoiser


class FirstChannels(nn.Module):
    """A diffusers U-Net as f(x_t, t); of a network that predicts variances too, the first half of the channels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.net(x_t, t).sample[:, : x_t.shape[1]]


def load_diffusers(weights: str) -> VPDenoiser:
    """A folder with an unconditional UNet2DModel and its scheduler, as a pipeline's `save_pretrained` writes it.

    Beta schedule and prediction type (epsilon, sample or v_prediction) are the scheduler's.

    Raises ImportError (no diffusers), FileNotFoundError, ValueError (another network, or no VP chain).
    """
    diffusers = extra("diffusers", "diffusers")
    folder = Path(weights)
    unet, scheduler = part(folder, "unet", "config.json"), part(folder, "scheduler", "scheduler_config.json")
    config, chain = weights_.read_card(unet / "config.json"), weights_.read_card(scheduler / "scheduler_config.json")
    if config.get("_class_name") != "UNet2DModel" or config.get("class_embed_type") or config.get("num_class_embeds"):
        raise UsageError(f"{unet} holds {config.get('_class_name')}; expected an unconditional UNet2DModel")
    if not (chain.get("beta_schedule") or chain.get("trained_betas")):
        raise UsageError(f"{scheduler} holds {chain.get('_class_name')}; expected a scheduler of a VP chain with betas")
    try:
        net = diffusers.UNet2DModel.from_pretrained(unet, local_files_only=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"{unet} cannot be read as a UNet2DModel: {str(error).splitlines()[0]}") from None
    abar = diffusers.DDPMScheduler.from_config(chain).alphas_cumprod
    levels = chain_of(abar)
    digest = hashlib.sha256(json.dumps([config, chain], sort_keys=True).encode())
    for path in sorted(unet.glob("diffusion_pytorch_model*")):
        digest.update(path.read_bytes())
    card = {"name": folder.resolve().name, "sha256": digest.hexdigest(), "unet": config, "scheduler": chain}
    spec = Spec(
        "diffusers",
        chain.get("prediction_type", "epsilon"),
        in_channels=net.config.in_channels,
        multiple_of=2 ** (len(net.config.block_out_channels) - 1),
        **split_band((levels[0].item(), levels[-1].item()), net.config.in_channels),
        weights=weights_.tag(card),
    )
    denoiser = VPDenoiser(FirstChannels(net), abar, spec)
    denoiser.card = card
    return denoiser


def part(folder: Path, name: str, file: str) -> Path:
    """The subfolder `name` of a pipeline's folder, or the folder itself. Raises FileNotFoundError without `file`."""
    for place in (folder / name, folder):
        if (place / file).is_file():
            return place
    raise UsageError(f"no {file} in {folder} or {folder / name}; expected a folder that diffusers saved", "--weights")
