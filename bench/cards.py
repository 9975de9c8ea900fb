"""What a card says of weights that `bench train` made: what they are for, and how good on held-out images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from torch import nn

from bench import machine
from bench.data import datasets, photographs
from bench.data.dataset import Dataset
from bench.probes import denoising
from denoisers import weights as weights_
from denoisers.base import Denoiser
from denoisers.errors import UsageError

# Std 0.2, 0.5, 0.7, 1.0 on [0, 1]: the window in which a digit is decided.
CARD_SIGMAS = (0.4, 1.0, 1.4, 2.0)

# Grey images, dB at 15 / 25 / 50 grey levels (Zhang et al. 2017 and 2023), for comparison in the cards.
PUBLISHED = {
    "DnCNN-S": {
        "set12": {"15": 32.86, "25": 30.44, "50": 27.18},
        "bsd68": {"15": 31.73, "25": 29.23, "50": 26.23},
    },
    "KBNet_s": {
        "set12": {"15": 33.40, "50": 28.04},
        "bsd68": {"15": 31.98, "25": 29.54, "50": 26.65},
    },
}


class Data(NamedTuple):
    """The dataset that is learnt, if it is not of photographs, and where those with names are looked for."""

    name: str | None
    folder: Path | None

    def load(self, card: dict[str, Any]) -> Dataset:
        """The dataset, noted in `card`."""
        dataset = datasets.load(self.name or "mnist", self.folder)
        split = f"train, all {len(dataset.train)} images"
        card |= {"data": dataset.id, "split": "; ".join(filter(None, (split, dataset.origin)))}
        card |= {"trained_size": list(dataset.shape[1:])}  # with its frame
        return dataset


def check_unclaimed(path: Path, command: str) -> None:
    """Raises UsageError if weights of another origin lie at `path`.

    A checkpoint beside them says it by its recipe.
    """
    card = path.with_suffix(".json")
    if path.with_suffix(".ckpt").exists() or not path.exists():
        return
    made = weights_.read_card(card).get("command") if card.exists() else None
    if made != command:
        origin = f"by `{str(made)[:300]}`" if made else "in a way that no card tells"
        raise UsageError(f"{path} was made {origin}; take another name, or move it away", "--name")


def size_in_words(dataset: Dataset) -> str:
    """As in: digits of 32 x 32."""
    what = "digits" if dataset.what == "digits" else f"images like those of {dataset.name}"
    return f"{what} of {dataset.shape[1]} x {dataset.shape[2]}"


def training(net: nn.Module, recipe: Mapping[str, Any], device: str) -> dict[str, Any]:
    """What every card says of how its network was made."""
    return {
        "recipe": recipe,
        "trained_on": machine.device_name(device),
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def on_photographs(denoiser: Denoiser, folder: Path) -> dict[str, Any]:
    """What a card says of the test photographs below `folder`; nothing if there are none.

    psnr, ssim   folder -> noise in grey levels -> dB, or SSIM
    out_of_band  those of these levels that the denoiser was not trained at, if there are any
    """
    if not folder.is_dir():
        return {}
    table = denoising.summary(denoiser, photographs.read(folder), folder)
    table["level"] = table["sigma_255"].map("{:g}".format)
    facts: dict[str, Any] = {}
    for measure in ("psnr", "ssim"):
        known = table.dropna(subset=[measure]).groupby("folder")
        facts[measure] = {
            name: dict(zip(rows["level"], rows[measure], strict=True)) for name, rows in known
        }
    return facts | outside(table)


def on_held_out(denoiser: Denoiser, dataset: Dataset) -> dict[str, Any]:
    """What a card says of all held-out images: squared error x 1e3 where an image is decided.

    out_of_band  those of these levels that the denoiser was not trained at, if there are any
    """
    errors = denoising.gauge(denoiser, dataset, num=len(dataset.held_out), sigmas=CARD_SIGMAS)
    errors["level"] = errors["std"].map("std {:g}".format)
    by_level = dict(zip(errors["level"], (1e3 * errors["mse"]).round(3), strict=True))
    return {"held_out_mse_x_1e3": by_level} | outside(errors)


def outside(table: pd.DataFrame) -> dict[str, list[str]]:
    """The levels in a table of `gauge` at which its denoiser was not trained, by name, for a card."""
    levels = table.loc[table["out_of_band"], "level"].unique().tolist()
    return {"out_of_band": levels} if levels else {}
