"""Networks trained on photographs: any of timm's, and the 2015 Inception of FID.

Files first, downloads last.
"""

import contextlib
import difflib
import hashlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bench.channels import with_channels
from bench.data import reachable
from bench.images import as_tensor
from bench.scoring.preprocessing import Preprocessing
from denoisers import files, layouts, memory, reading
from denoisers.errors import UsageError, concerning
from denoisers.weights import home, read_state, sha256

if TYPE_CHECKING:
    import timm

# Converted from TensorFlow's file by torch-fidelity; pytorch-fid publishes the same bytes as pt_inception-... .
INCEPTION_URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_FILES = (
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)


Network = tuple[nn.Module, Preprocessing]


@torch.inference_mode()
def features(net: nn.Module, prepare: Preprocessing, device: str, images: np.ndarray) -> np.ndarray:
    """Features float32 (N, d) of uint8 images (N, H, W) or (N, H, W, 3)."""
    size = block(device)
    # TF32 keeps 10 bits of each factor: the same images would have other features on a GPU than on a CPU.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        channels = np.moveaxis(with_channels(images), -1, 1)
        batches = (as_tensor(channels[i : i + size]) for i in range(0, len(images), size))
        return torch.cat(
            [net(prepare(batch.to(device))).float().cpu() for batch in batches]
        ).numpy()


def block(device: str) -> int:
    """Images that a network takes at once: of 299 x 299 pixels each, 32 take 0.4 GB on the way through Inception."""
    return 256 if device.startswith("cuda") else 32


def digest(net: nn.Module, prepare: Preprocessing) -> str:
    """Sixteen digits of the sha256 of the preprocessing and of all tensors, whatever file they came in."""
    sha = hashlib.sha256(repr(prepare).encode())
    for name, tensor in net.state_dict().items():
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()[:16]


def inception(resize: str, weights: Path | None = None) -> Network:
    """The network whose 2048 pooled features FID is defined on, and its preprocessing.

    weights  file of its state dict; by default the official one in $BENCH_HOME/features or in
             torch's cache, or downloaded

    Raises UsageError if there are none, or for a file that is not what its name says or does not
    fit.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = existing(weights) if weights else official_inception()
    if path.name in INCEPTION_FILES and (reason := damage(path, INCEPTION_SHA256)):
        raise UsageError(
            f"{reason}; delete it, or rename it if it is meant to be another", "--features-weights"
        )
    with concerning("--features-weights"):
        state = read_state(path)

    def make(inner: dict[str, Tensor]) -> nn.Module:
        file = io.BytesIO()  # its constructor unpickles what it is given: it is given tensors only
        torch.save(inner, file)
        file.seek(0)
        return FeatureExtractorInceptionV3("inception", ["2048"], file)

    net = fitting(path, "the Inception of FID", state, make)
    trunk = list(net.children())[:-1]  # in the order they are called in; without `fc`
    prepare = Preprocessing(
        resize, (net.INPUT_IMAGE_SIZE, net.INPUT_IMAGE_SIZE), mean=(128.0,) * 3, std=(128.0,) * 3
    )
    return nn.Sequential(*trunk, nn.Flatten()).eval(), prepare


def official_inception() -> Path:
    """The official weights, where they are, or where they have been downloaded to: in the place of a damaged file."""
    place = home()
    here = place / "features" / INCEPTION_FILES[0] if place else None
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    own = "" if here is None or not os.path.lexists(here) else damage(here, INCEPTION_SHA256)
    for path in (
        *([here] if here and not own else ()),
        *(cache / name for name in INCEPTION_FILES),
    ):
        if path.is_file():
            return path
    reason = "there is no network to download it"
    if here and reachable.reachable([INCEPTION_URL]):
        try:
            files.make_folder(here.parent, place)
            torch.hub.download_url_to_file(INCEPTION_URL, str(here), hash_prefix=INCEPTION_SHA256)
            return here
        except (OSError, RuntimeError) as error:
            reason = f"its download failed ({error})"
    raise UsageError(
        f"inception needs {INCEPTION_FILES[0]} (sha256 {INCEPTION_SHA256}), and {f'{own}; ' if own else ''}{reason}; "
        f"{f'put it at {here}, or ' if here else ''}say where it is: --features-weights FILE"
    )


def damage(path: Path, expected: str) -> str:
    """Why a file is not the one with that sha256, in words; nothing if it is."""
    try:
        actual = sha256(path)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"
    return f"{path} is not the file its name says: expected sha256 {expected}, found {actual}" * (
        actual != expected
    )


def timm_model(model: str, weights: Path | None = None) -> Network:
    """A model of timm's without its classifier, and the preprocessing it was evaluated with, but for the crop.

    weights  its state dict as timm or its authors publish it, or a checkpoint of one's own; by
             default what timm publishes, downloaded unless it is in Hugging Face's cache

    Raises UsageError for an unknown model, without weights, and for those of another model.
    """
    import timm
    from timm.data import resolve_model_data_config

    cfg = published(model)
    theirs = (cfg.hf_hub_id, cfg.hf_hub_filename, cfg.url)
    path = existing(weights) if weights else official_timm(model, *theirs)
    with concerning("--features-weights"):
        state = read_state(path)
    heads = [cfg.classifier] if isinstance(cfg.classifier, str) else cfg.classifier or []

    def make(inner: dict[str, Tensor], count: int) -> nn.Module:
        overlay = {
            "state_dict": inner,
            "num_classes": count,
            "label_offset": 0,
            "custom_load": False,
        }
        return timm.create_model(
            model, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=count
        )

    def make_any(inner: dict[str, Tensor]) -> nn.Module:
        classes = [
            inner[key].shape[0]
            for head in heads
            if (key := f"{head}.weight") in inner and inner[key].ndim
        ]
        if classes:
            return make(inner, classes[0])
        try:
            return make(inner, 0)
        except MISFITS:  # timm is strict only with a file that has as many classes as the model
            return make(inner, cfg.num_classes)

    net = fitting(path, f"timm's {model}", state, make_any)
    net.reset_classifier(0)
    data = resolve_model_data_config(net)
    resize = {"bilinear": "half-pixel", "bicubic": "bicubic"}[data["interpolation"]]
    levels = [tuple(255 * value for value in data[key]) for key in ("mean", "std")]
    return net.eval(), Preprocessing(resize, data["input_size"][1:], *levels)


def published(model: str) -> "timm.models.PretrainedCfg":
    """What timm says of the weights that it publishes for `model`. Raises UsageError for an unknown one."""
    import timm

    try:
        cfg = timm.models.get_pretrained_cfg(model)
    except RuntimeError:  # the part after the point
        raise unknown(model, timm.list_pretrained(f"{model.partition('.')[0]}.*")) from None
    if cfg is None:
        raise unknown(model, difflib.get_close_matches(model, timm.list_models(), n=3))
    return cfg


def official_timm(model: str, hub_id: str | None, name: str | None, url: str | None) -> Path:
    """The file that timm publishes for `model`, in Hugging Face's cache."""
    from huggingface_hub import hf_hub_download

    name = name or "model.safetensors"
    damaged = ""
    if hub_id:
        with contextlib.suppress(OSError):
            path = Path(hf_hub_download(hub_id, name, local_files_only=True))
            named = path.resolve().name  # the cache calls a large file by its digest
            damaged = damage(path, named) if re.fullmatch("[0-9a-f]{64}", named) else ""
            if not damaged:
                return path
    source = f"https://huggingface.co/{hub_id}/resolve/main/{name}" if hub_id else url
    if not source:
        raise UsageError(
            f"timm publishes no weights of {model}; name yours: --features-weights FILE"
        )
    reason = "there is no network to download it"
    if hub_id and reachable.reachable([source]):
        try:
            return Path(hf_hub_download(hub_id, name, force_download=bool(damaged)))
        except Exception as error:  # of whichever HTTP client the hub uses
            reason = f"its download failed ({type(error).__name__})"
    raise UsageError(
        f"timm:{model} needs {source.rpartition('/')[2]}, and {f'{damaged}; ' if damaged else ''}{reason}; "
        f"fetch it from {source} and say where it is: --features-weights FILE"
    )


# Of constructors, and of timm's converters.
MISFITS = (RuntimeError, LookupError, TypeError, ValueError)


def fitting(
    path: Path,
    network: str,
    state: dict[str, Tensor],
    make: Callable[[dict[str, Tensor]], nn.Module],
) -> nn.Module:
    """`make` of the weights in `path`, as they are named or without a prefix.

    Raises UsageError if neither fits.
    """
    misfits = []
    for inner in layouts.roots(state):
        try:
            with memory.at_most(2 * reading.allowed()):
                return make(inner)
        except MISFITS as error:
            misfits.append(misfit(path, network, error))
    raise misfits[0]


def existing(path: Path) -> Path:
    """`path`, if there is such a file, no larger than allowed."""
    with concerning("--features-weights"):
        reading.regular(path)
    return path


def unknown(model: str, near: list[str]) -> LookupError:
    """The error for a model that timm does not have."""
    hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() has their names"
    return UsageError(f"unknown timm model {model!r}; {hint}", "--features")


def misfit(path: Path, network: str, error: Exception) -> ValueError:
    """The error for weights of another network, with the first thing that PyTorch found wrong with them."""
    first = str(error).strip().split("\n")
    reason = " ".join(first[1 if len(first) > 1 else 0].split())
    short = reason if len(reason) < 160 else reason[:160] + " ..."
    return UsageError(f"{path} does not fit {network}: {short}", "--features-weights")
