"""How good a denoiser is as a denoiser: its squared error against the noise level."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bench import figures, files
from bench.data import Dataset, to_float
from bench.noise import noise
from denoisers import controls
from denoisers.base import Denoiser
from denoisers.wrappers import pad

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0, 80.0)


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def gauge(
    denoiser: Denoiser, dataset: Dataset, num: int, sigmas: tuple[float, ...] = SIGMAS, seed: int = 0
) -> pd.DataFrame:
    """Mean squared error per pixel on the first `num` held-out images, one row per noise level.

    sigma     in [-1, 1] units; std = sigma / 2 is the same on [0, 1], and 127.5 sigma on 0 .. 255
    mse       of the clipped estimate, with images in [0, 1], over the image without its padding
    mse_mean  the same of the constant mean training image, which needs no denoiser
    psnr      -10 log10(mse)

    Noise depends on (seed, image, level) alone: every denoiser gets the same.
    """
    images = to_float(dataset.held_out[:num], dataset.pad)
    inner = slice(dataset.pad, images.shape[-1] - dataset.pad)
    mean = to_float(dataset.train, dataset.pad).mean(0)
    baseline = ((images - mean) / 2)[..., inner, inner].square().mean().item()
    rows = []
    for level, sigma in enumerate(sigmas):
        total = 0.0
        for ids in torch.arange(len(images)).split(250):
            x0 = images[ids]
            x = x0 + sigma * noise(seed, ids, level, tuple(x0.shape[1:]))
            error = (denoiser(x, torch.tensor(sigma)).clamp(-1, 1) - x0) / 2
            total += error[..., inner, inner].square().mean(dim=(1, 2, 3)).sum().item()
        mse = total / len(images)
        rows.append({"sigma": sigma, "std": sigma / 2, "mse": mse, "mse_mean": baseline, "psnr": -10 * np.log10(mse)})
    return pd.DataFrame(rows)


def keep(frame: pd.DataFrame, name: str, dataset: Dataset, num: int, folder: Path) -> Path:
    """The curve of `name` into `folder`/gauge, where `bench report` finds it; its path. Raises OSError."""
    path = folder / "gauge" / f"{files.slug(name)}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    named = frame.assign(denoiser=name, dataset=dataset.id, num=num)
    files.write(path, lambda file: named.to_csv(file, index=False, float_format="%.6g"))
    return path


def is_kept(path: Path, dataset: Dataset, num: int) -> bool:
    """Whether `path` holds a curve measured on the same digits."""
    try:
        frame = pd.read_csv(path)
        return (frame["dataset"].iloc[0], int(frame["num"].iloc[0])) == (dataset.id, num)
    except (OSError, ValueError, KeyError, IndexError):
        return False


def bounds(dataset: Dataset, num: int, folder: Path, say: Callable[[str], None]) -> None:
    """The curves that others are read against, of the best linear denoiser and of `ideal`, unless they are there.

    `ideal` is exact for the training images: on held-out ones a denoiser that generalises has a lower error.
    """
    train = to_float(dataset.train, dataset.pad)
    for name, load in {"gaussian": controls.gaussian, "ideal": controls.ideal}.items():
        if not is_kept(folder / "gauge" / f"{name}.csv", dataset, num):
            say(f"gauging {name}, to compare with")
            keep(gauge(load(train=train), dataset, num), name, dataset, num, folder)


@torch.no_grad()  # not inference_mode: a denoiser may be the gradient of something
def restore(denoiser: Denoiser, image: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """One image, uint8 (H, W), noisy and denoised, both float64 in [0, 1] but unclipped.

    The protocol of the KBNet authors' test script: noise of `level` grey levels from NumPy's legacy generator seeded
    with 0 for each image, not clipped; sides reflected up to multiples of 8.
    """
    noisy = image / 255 + np.random.RandomState(0).normal(0, level / 255, image.shape)
    x = pad(torch.from_numpy(2 * noisy - 1).float()[None, None], 8)
    denoised = denoiser(x, torch.tensor(level / 127.5))[0, 0, : image.shape[0], : image.shape[1]]
    return noisy, (denoised.double().numpy() + 1) / 2


def restoration(
    denoiser: Denoiser, images: dict[str, np.ndarray], levels: tuple[float, ...] = (15, 25, 50)
) -> pd.DataFrame:
    """PSNR in dB of each image at each noise level in grey levels, rounded to uint8 first, as papers print it."""
    rows = []
    for level in levels:
        for name, image in images.items():
            restored = np.clip(restore(denoiser, image, level)[1] * 255, 0, 255).round()
            mse = np.square(restored - image).mean()
            psnr = 10 * np.log10(255**2 / mse) if mse else np.inf
            rows.append({"image": name, "sigma_255": level, "psnr": psnr})
    return pd.DataFrame(rows)


def summary(denoiser: Denoiser, images: dict[str, np.ndarray]) -> pd.DataFrame:
    """Mean PSNR over the images of each folder: one row per folder, one column per noise level."""
    frame = restoration(denoiser, images)
    frame["folder"] = [str(Path(name).parent) for name in frame["image"]]
    table = frame.pivot_table(index="folder", columns="sigma_255", values="psnr").round(2)
    table.columns = [f"PSNR at {level:g}" for level in table.columns]
    table.insert(0, "images", frame.groupby("folder")["image"].nunique())
    return table.reset_index()


def draw(denoiser: Denoiser, images: dict[str, np.ndarray], path: Path, level: float = 25, rows: int = 4) -> None:
    """noisy | denoised of the first images, as PNG."""
    pairs = [restore(denoiser, image, level) for image in list(images.values())[:rows]]
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, lambda file: figures.restored(pairs, file))
