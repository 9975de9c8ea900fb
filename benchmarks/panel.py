"""Are the features and the detector of copies worth anything on a dataset? Sets whose answer is known, scored.

    python benchmarks/panel.py DATASET [--name NAME]      (or: make panel)

Held-out images made worse step by step must be put in that order by KID, in the features of both
classifiers; copies must be called in every disguise, held-out images and a Gaussian model's must
not. One CSV for each dataset, in results/reference/panel/.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from torchvision.transforms.functional import gaussian_blur

from bench.data import datasets
from bench.data.dataset import Dataset
from bench.images import to_float, to_uint8
from bench.noise import noise
from bench.scoring import control_scores, control_sets, extractors, fid_kid
from bench.scoring.catalogue import DISTANCES
from bench.scoring.reference import Reference

FOLDER = Path(__file__).parent.parent / "results" / "reference" / "panel"
SEED = 20261128
BLURS = (0.5, 0.8, 1.2, 2.0, 4.0)  # pixels of standard deviation
NOISES = (0.02, 0.05, 0.1, 0.2, 0.4)  # standard deviation on [0, 1]
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)  # of a Gaussian model's images among held-out ones


def blurred(images: np.ndarray, width: float) -> np.ndarray:
    """Under a Gaussian blur."""
    side = 2 * max(1, round(3 * width)) + 1
    return to_uint8(gaussian_blur(to_float(images), [side, side], [width, width]))


def noised(images: np.ndarray, std: float) -> np.ndarray:
    """With white noise, clipped."""
    x = to_float(images)
    z = noise(SEED, torch.arange(len(x)), 0, tuple(x.shape[1:]))
    return to_uint8(x + 2 * std * z)


def ladders(dataset: Dataset, num: int) -> dict[tuple[str, float], np.ndarray]:
    """Sets of held-out images, worse from rung to rung."""
    images = dataset.held_out[:num]
    model = control_sets.gaussian(dataset, len(images))
    rungs = {(kind, 0.0): images for kind in ("blur", "noise", "mixture")}
    rungs |= {("blur", width): blurred(images, width) for width in BLURS}
    rungs |= {("noise", std): noised(images, std) for std in NOISES}
    for share in SHARES:
        mixed = images.copy()
        mixed[: round(share * len(mixed))] = model[: round(share * len(mixed))]
        rungs["mixture", share] = mixed
    return rungs


def main(
    dataset: str,
    name: Annotated[str | None, typer.Option(help="Of the file; the dataset's own.")] = None,
    num: Annotated[int, typer.Option(help="Images of a set.")] = 2000,
) -> None:
    """Score the sets of a dataset, and write its panel."""
    found = datasets.load(dataset)
    pair = extractors.known(found)
    references = {each: Reference(found, extractors.load(each)) for each in pair}
    rows = []
    for (kind, at), images in ladders(found, num).items():
        row = {"dataset": found.id, "n": len(images), "set": kind, "at": at}
        for each, against in references.items():
            kid = fid_kid.kid(against.kid, against.extractor.features(images)).estimate
            row |= {f"kid_{each}": kid.value, f"kid_{each}_stderr": kid.stderr}
        rows.append(row)
        print(row, flush=True)
    controls = control_scores.measured(references[pair[0]], num, control_sets.CONTROLS, print)
    for control, scores in controls.items():
        kid = scores["scores"]["kid"]
        row = {"dataset": found.id, "n": kid["n"], "set": control, "at": np.nan}
        row |= {f"kid_{pair[0]}": kid["value"], f"kid_{pair[0]}_stderr": kid["stderr"]}
        for space in DISTANCES:
            rate = scores["memorization"][space]["copy_rate"]
            row |= {f"copies_{space}": rate["value"], f"copies_{space}_n": rate["n"]}
        rows.append(row | {"verdict": scores["verdict"]["memorization"]})
        print(rows[-1], flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name or found.name}.csv"
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.5g")
    print(path)


if __name__ == "__main__":
    typer.run(main)
