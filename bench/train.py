"""`bench train`: a network from scratch to shipped form, weights and card, resuming where it stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench import data
from bench.gauge import gauge
from bench.lenet import train as lenet_train
from denoisers import unet
from denoisers import weights as weights_
from denoisers.training import Progress
from denoisers.unet import train as unet_train

LICENCE = "MIT"
CARD_SIGMAS = (0.4, 1.0, 1.4, 2.0)  # std 0.2, 0.5, 0.7, 1.0 on [0, 1]: the window in which a digit is decided

Report = Callable[[Progress], None]


def train(
    network: str,
    *,
    name: str | None = None,
    out: Path = Path("weights"),
    epochs: int | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    device: str = "cpu",
    report: Report = lambda progress: None,
) -> Path:
    """Train `network` (`unet` or `lenet`) on MNIST's training set; returns the path of the safetensors file.

    The checkpoint lies beside it; the same command continues from there after an interruption.

    Raises LookupError for an unknown network, OSError if `out` cannot be written.
    """
    if network not in NETWORKS:
        raise LookupError(f"unknown network {network!r}; available: {', '.join(NETWORKS)}")
    if epochs is not None and epochs < 1:
        raise ValueError(f"--epochs must be at least 1; found {epochs}")
    make, default_name, default_epochs = NETWORKS[network]
    name, epochs = name or default_name, epochs or default_epochs
    path = out / f"{name}.safetensors"
    out.mkdir(parents=True, exist_ok=True)
    dataset = data.load("mnist", data_dir)
    options = {"epochs": epochs, "seed": seed, "device": device, "report": report}
    card = {
        "licence": LICENCE,
        "data": f"{dataset.name}@{dataset.digest}",
        "split": f"train, all {len(dataset.train)} images",
        "command": f"bench train {network} --name {name} --epochs {epochs} --seed {seed}",
    }
    make(path, dataset, card, options)
    return path


def make_unet(path: Path, dataset: data.Dataset, card: dict[str, Any], options: dict[str, Any]) -> None:
    """Train the U-Net, save it, and complete its card with what it measures on held-out images."""
    images = data.to_float(dataset.train, dataset.pad)
    net = unet_train.train(images, path.with_suffix(".ckpt"), **options)
    chain = unet_train.CHAIN
    card |= {
        "recipe": "eps-prediction, v-weighted loss, AdamW 1e-3 with cosine decay, batch 128, EMA 0.999, bfloat16",
        "parameters": sum(p.numel() for p in net.parameters()),
        "sigma_min": chain[0].item(),
        "sigma_max": chain[-1].item(),
    }
    state = {key: value.cpu() for key, value in net.state_dict().items()}
    weights_.save(path, state, card)
    errors = gauge(unet.load(str(path)), dataset, num=len(dataset.held_out), sigmas=CARD_SIGMAS)
    quality = {f"std {row.std:g}": round(1e3 * row.mse, 3) for row in errors.itertuples()}
    weights_.save(path, state, card | {"held_out_mse_x_1e3": quality})


def make_lenet(path: Path, dataset: data.Dataset, card: dict[str, Any], options: dict[str, Any]) -> None:
    """Train the classifier, save it with its accuracy on held-out images."""
    labels, held_out_labels = (torch.from_numpy(a) for a in (dataset.train_labels, dataset.held_out_labels))
    net = lenet_train.train(data.to_float(dataset.train), labels, path.with_suffix(".ckpt"), **options).cpu()
    card |= {
        "recipe": "cross-entropy; digits rotated, scaled and shifted; AdamW 1e-3, batch 128, EMA 0.999",
        "parameters": sum(p.numel() for p in net.parameters()),
        "held_out_accuracy": round(lenet_train.accuracy(net, data.to_float(dataset.held_out), held_out_labels), 4),
    }
    weights_.save(path, net.state_dict(), card)


NETWORKS: dict[str, tuple[Callable[..., None], str, int]] = {
    "unet": (make_unet, "mnist", 18),
    "lenet": (make_lenet, "lenet-a", 8),
}
