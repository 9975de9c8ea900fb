"""How good a denoiser is as a denoiser: its squared error against the noise level."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bench import files, names, sheets
from bench.data import photographs
from bench.data.dataset import Dataset
from bench.images import inside, to_float
from bench.noise import noise
from bench.probes.contract import in_both_units
from denoisers import closed_form
from denoisers.base import Denoiser, Spec
from denoisers.splice import SpliceSpec
from denoisers.units import from_grey_levels
from denoisers.wrappers import pad

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 80.0)
RESULTS = ("mse", "psnr", "ssim", "bits", "upper bound")  # what depends on the denoiser
WINDOW = 11  # pixels: side of the window of SSIM


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def gauge(
    denoiser: Denoiser,
    dataset: Dataset,
    num: int,
    sigmas: tuple[float, ...] = SIGMAS,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean squared error per pixel on the first `num` held-out images, one row per noise level.

    sigma     in [-1, 1] units; std = sigma / 2 is the same on [0, 1], and 127.5 sigma on 0 .. 255
    mse       of the clipped estimate, with images in [0, 1], over the image without its padding
    mse_mean  the same of the constant mean training image, which needs no denoiser
    psnr      -10 log10(mse)
    out_of_band  whether the denoiser was not trained at this level

    Noise depends on (seed, image, level) alone: every denoiser gets the same.

    Raises UsageError if there are fewer images.
    """
    images = to_float(dataset.first(num), dataset.pad)
    mean = to_float(dataset.train, dataset.pad).mean(0)
    baseline = inside((images - mean) / 2, dataset.pad).square().mean().item()
    rows = []
    for level, sigma in enumerate(sigmas):
        total = 0.0
        for ids in torch.arange(len(images)).split(250):
            x0 = images[ids]
            x = x0 + sigma * noise(seed, ids, level, tuple(x0.shape[1:]))
            error = (denoiser(x, torch.tensor(sigma)).clamp(-1, 1) - x0) / 2
            total += inside(error, dataset.pad).square().mean(dim=(1, 2, 3)).sum().item()
        mse = total / len(images)
        row = {
            "sigma": sigma,
            "std": sigma / 2,
            "mse": mse,
            "mse_mean": baseline,
            "psnr": -10 * np.log10(mse),
        }
        rows.append(row | {"out_of_band": not denoiser.spec.in_band(sigma)})
    return pd.DataFrame(rows)


def keep(
    frame: pd.DataFrame,
    facts: Mapping[str, Any],
    dataset: Dataset,
    num: int,
    folder: Path,
    what: str = "gauge",
) -> Path:
    """What was measured of a denoiser, into `folder`/WHAT, where `bench report` finds it; its path.

    facts  denoiser, weights, options and source, as in run.json
    num    held-out images that it was measured on
    what   gauge, for errors against the noise, or likelihood

    Raises OSError, and UsageError if there are fewer images.
    """
    dataset.first(num)
    name, weights = names.describe(facts), str(facts.get("weights") or "")
    path = place(name, weights, dataset, folder, what)
    code = str((facts.get("source") or {}).get("sha256") or "")
    named = frame.assign(denoiser=name, weights=weights, code=code, dataset=dataset.id, num=num)
    files.write(path, lambda file: named.to_csv(file, index=False, float_format="%.6g"), folder)
    return path


def place(name: str, weights: str, dataset: Dataset, folder: Path, what: str = "gauge") -> Path:
    """Where what was measured of a denoiser is kept; on other data than digits under their name too."""
    digests = re.findall("@([0-9a-f]{8})", weights)
    of = [] if dataset.what == "digits" else [dataset.name, dataset.digest[:8]]
    return folder / what / f"{files.slug(' '.join([name, *digests, *of]))}.csv"


def is_kept(path: Path, dataset: Dataset, num: int) -> bool:
    """Whether `path` holds a whole curve measured on the same digits."""
    try:
        frame = pd.read_csv(path)
        same = (frame["dataset"] == dataset.id) & (frame["num"] == num) & (frame["mse"] > 0)
        return bool(same.all()) and np.allclose(frame["sigma"], SIGMAS)
    except (OSError, ValueError, KeyError, TypeError):  # damaged in some way
        return False


def bounds(dataset: Dataset, num: int, folder: Path, say: Callable[[str], None]) -> None:
    """The curves to read others against, of the best linear denoiser and `ideal`, unless kept.

    `ideal` is exact for the training images: on held-out ones a denoiser that generalises has a
    lower error.
    """
    train = to_float(dataset.train, dataset.pad)
    for name, load in {"gaussian": closed_form.gaussian, "ideal": closed_form.ideal}.items():
        if not is_kept(place(name, "", dataset, folder), dataset, num):
            say(f"gauging {name}, to compare with")
            keep(gauge(load(train=train), dataset, num), {"denoiser": name}, dataset, num, folder)


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def restore(denoiser: Denoiser, image: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """One image, uint8 (H, W), noisy and denoised, both float64 in [0, 1] but unclipped.

    The protocol of the KBNet authors' test script: noise of `level` grey levels from NumPy's legacy
    generator seeded with 0 for each image, not clipped; sides reflected up to multiples of 8.
    """
    noisy = image / 255 + np.random.RandomState(0).normal(0, level / 255, image.shape)
    x = pad(torch.from_numpy(2 * noisy - 1).float()[None, None], 8)
    height, width = image.shape
    denoised = denoiser(x, torch.tensor(from_grey_levels(level)))[0, 0, :height, :width]
    return noisy, (denoised.double().numpy() + 1) / 2


def restoration(
    denoiser: Denoiser, images: dict[str, np.ndarray], levels: tuple[float, ...] = (15, 25, 50)
) -> pd.DataFrame:
    """PSNR in dB and SSIM of each image at each noise level, rounded to uint8 first, as in papers.

    sigma_255    noise level in grey levels
    psnr, ssim   see `fidelity`
    out_of_band  whether the denoiser was not trained at this level
    """
    rows = []
    for level in levels:
        outside = not denoiser.spec.in_band(from_grey_levels(level))
        for name, image in images.items():
            _, restored = restore(denoiser, image, level)
            scores = fidelity(np.clip(restored * 255, 0, 255).round(), image)
            rows.append((name, level, *scores, outside))
    return pd.DataFrame(rows, columns=["image", "sigma_255", "psnr", "ssim", "out_of_band"])


def fidelity(restored: np.ndarray, image: np.ndarray) -> tuple[float, float]:
    """PSNR in dB and SSIM of two images (H, W) of 0 .. 255; infinite and 1 if they are the same.

    SSIM as in Wang et al. 2004 and in the KBNet authors' script: a Gaussian window of 11 x 11 and
    sigma 1.5, constants 0.01 and 0.03, the mean over all places where the window lies inside the
    image; NaN if there is none. It is computed in float32, which is enough for four digits.
    """
    sheets.matplotlib()  # which torchmetrics imports
    from torchmetrics.functional import image as measures  # takes a second

    pair = np.stack([restored, image]).astype(np.float64)
    ours, theirs = torch.from_numpy(pair)[:, None, None]
    psnr = measures.peak_signal_noise_ratio(ours, theirs, data_range=255.0).item()
    if min(image.shape) < WINDOW:
        return psnr, np.nan
    _, places = measures.structural_similarity_index_measure(
        ours.float(),
        theirs.float(),
        sigma=1.5,
        k1=0.01,
        k2=0.03,
        data_range=255.0,
        return_full_image=True,
    )
    inside = slice(WINDOW // 2, -(WINDOW // 2))  # at the edge it reflects the image
    return psnr, places[..., inside, inside].double().mean().item()


def summary(denoiser: Denoiser, images: dict[str, np.ndarray], root: Path) -> pd.DataFrame:
    """The mean of `restoration` of images below `root`: one row per folder and noise level."""
    frame = restoration(denoiser, images)
    frame["folder"] = [photographs.folder_of(name, root) for name in frame["image"]]
    parts = {"images": ("image", "nunique"), "psnr": ("psnr", "mean"), "ssim": ("ssim", "mean")}
    levels = frame.groupby(["folder", "sigma_255"]).agg(**parts, out_of_band=("out_of_band", "any"))
    return levels.round({"psnr": 2, "ssim": 4}).reset_index()


def marked(frame: pd.DataFrame) -> pd.DataFrame:
    """What was measured, as text; results at noise levels beyond the training end in *.

    out_of_band  whether that is so, which the mark says; or the share of the levels, which is shown
                 beside it
    """
    outside = frame["out_of_band"]
    frame = frame.drop(columns="out_of_band")
    text = frame.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value))
    for column in text.columns.intersection(RESULTS):
        text[column] += np.where(outside > 0, "*", "")
    if outside.dtype == bool:
        return text
    return text.assign(**{"out of band": outside.map("{:.0%}".format)})


def note(frame: pd.DataFrame, spec: Spec) -> str:
    """What the * of `marked` means, with the levels of the training; empty if there is none."""
    outside = (frame["out_of_band"] > 0).any()
    return f"* outside the noise levels it was trained on: {band(spec)}" if outside else ""


def band(spec: Spec) -> str:
    """The noise levels of a denoiser's training; of a splice, its parts' and where they change."""
    if isinstance(spec, SpliceSpec):
        return f"above {spec.switch:g} {band(spec.above)}, below it {band(spec.below)}"
    return in_both_units(spec)


def draw(
    denoiser: Denoiser, images: dict[str, np.ndarray], path: Path, level: float = 25, rows: int = 4
) -> None:
    """noisy | denoised of the first images, as PNG; a link at `path` is followed."""
    pairs = [restore(denoiser, image, level) for image in list(images.values())[:rows]]
    files.write(files.followed(path), lambda file: sheets.restored(pairs, file))
