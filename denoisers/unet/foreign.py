"""The U-Net as a folder for diffusers: its weights, its chain, and its code, for which this package is not needed.

A UNet2DModel it cannot be: the network works on patches of 2 x 2 pixels, knows the time by more
sinusoids than that has channels, and has another number of blocks at each level.
"""

import inspect
import json
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from denoisers import precision, schedule
from denoisers import weights as weights_
from denoisers.unet import net

MODULE, MODEL = "bench_unet", "BenchUNet"
VERSION = "0.35.0"  # of diffusers, the first that loads code from a folder by `trust_remote_code`
PARTS = (  # of the code, each after what it needs
    *(precision.where, precision.able, precision.double),
    *(schedule.linear_betas, schedule.alphas_cumprod, schedule.abar_at),
    *(net.time_embedding, net.ResBlock, net.Attention, net.Level, net.UNet),
)
SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": VERSION,
    "num_train_timesteps": schedule.TIMESTEPS,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "variance_type": "fixed_small",
    "clip_sample": True,
}
INDEX = {
    "_class_name": "DDPMPipeline",
    "_diffusers_version": VERSION,
    "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": [MODULE, MODEL],
}
HEAD = f'''"""A U-Net that predicts eps, with what it is made of. Written by `bench export`; licence: MIT."""

import itertools
import math
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from einops import rearrange
from torch import Tensor, nn

TIMESTEPS = {schedule.TIMESTEPS}
WITHOUT = {precision.WITHOUT!r}  # kinds of devices that know no float64
'''
TAIL = f'''class {MODEL}(ModelMixin, ConfigMixin):
    """eps(x_t, t), as a UNet2DModel: images in [-1, 1], t from 0 to {schedule.TIMESTEPS - 1}, fractions allowed."""

    @register_to_config
    def __init__(
        self,
        sample_size: int = 32,
        in_channels: int = 1,
        channels: int = 64,
        multipliers: tuple[int, ...] = (1, 2, 2),
        blocks: tuple[int, ...] = (1, 3, 2),
        attention: tuple[bool, ...] = (False, True, True),
        patch: int = 2,
    ) -> None:
        super().__init__()
        self.net = UNet(channels, multipliers, blocks, attention, patch, in_channels)

    def forward(self, sample: Tensor, timestep: Any, return_dict: bool = True) -> Any:
        t = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        eps = self.net(sample, t).to(sample.dtype)
        return UNet2DOutput(sample=eps) if return_dict else (eps,)
'''


def files(
    state: dict[str, Tensor], shape: dict[str, Any], size: tuple[int, int]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files.

    state  of a `net.UNet`; shape  what it is made with, as `unet.shape_of` says
    size   (H, W) of the images that it was trained on, for pipelines that draw some
    """
    side = size[0] if size[0] == size[1] else list(size)
    config = {"_class_name": MODEL, "_diffusers_version": VERSION, "sample_size": side}
    config |= {("in_channels" if key == "images" else key): value for key, value in shape.items()}
    yield "model_index.json", in_json(INDEX)
    yield "scheduler/scheduler_config.json", in_json(SCHEDULER)
    yield "unet/config.json", in_json(config)
    yield f"unet/{MODULE}.py", code().encode()
    inner = {f"net.{key}": tensor for key, tensor in state.items()}
    yield "unet/diffusion_pytorch_model.safetensors", weights_.packed(inner, {"format": "pt"})


def code() -> str:
    """The module: this package's own source, and the class that diffusers calls."""
    return "\n\n".join([HEAD, *map(inspect.getsource, PARTS), TAIL])


def in_json(content: dict[str, Any]) -> bytes:
    """A file of settings."""
    return (json.dumps(content, indent=2) + "\n").encode()
