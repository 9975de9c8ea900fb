"""KID of the U-Net under every member of the sampler family: how the protocols' sampler was chosen.

make samplers    (or: python benchmarks/samplers.py 50 1000, for steps and images)
"""

import itertools
import sys

import torch

import denoisers
from bench import machine
from bench.data import datasets
from bench.sampling.generation import Setup, generate
from bench.sampling.samplers import SAMPLERS
from bench.scoring import extractors, fid_kid
from bench.scoring.reference import Reference
from denoisers.schedule import GRIDS

MEMBERS = SAMPLERS | {"eta 0.5": SAMPLERS["ddpm"].set(eta=0.5)}


def main(steps: int, num: int) -> None:
    """One line per grid and member, same seed and ids, so that differences are the sampler's."""
    dataset, extractor = datasets.load("mnist"), extractors.load("lenet-a")
    reference = Reference(dataset, extractor)
    denoiser = denoisers.load("unet").to(memory_format=torch.channels_last)
    dtype = machine.choose_dtype("auto", denoiser, "cpu")
    print(
        f"{steps} steps, {num} images, seed 0\n\n| grid | sampler | KID x 1e3 | FID |\n| --- | --- | --- | --- |",
        flush=True,
    )
    for (grid, make), (name, member) in itertools.product(GRIDS.items(), MEMBERS.items()):
        options = {
            "seed": 0,
            "shape": dataset.shape,
            "pad": dataset.pad,
            "batch_size": 128,
            "dtype": dtype,
        }
        images = generate(Setup(denoiser, make(steps), member, **options), range(num)).images
        found = extractor.features(images)
        kid = fid_kid.kid(reference.kid, found)
        fid = fid_kid.fid(reference.moments, found)
        print(
            f"| {grid} | {name} | {1e3 * kid.value:.2f} ± {1e3 * kid.stderr:.2f} | {fid:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:] or ("50", "1000")))
