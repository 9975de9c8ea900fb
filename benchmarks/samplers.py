"""KID of the U-Net under every member of the sampler family: how the protocols' sampler was chosen.

make samplers    (or: python benchmarks/samplers.py 50 1000, for steps and images)
"""

import dataclasses
import itertools
import sys

from bench import experiment
from bench.sampling.generation import generate
from bench.sampling.plan import SamplingPlan
from bench.sampling.samplers import SAMPLERS
from bench.scoring import fid_kid
from bench.scoring.reference import Reference
from denoisers.schedule import GRIDS

MEMBERS = SAMPLERS | {"eta 0.5": SAMPLERS["ddpm"].set(eta=0.5)}


def main(steps: int, num: int) -> None:
    """One line per grid and member, same seed and ids, so that differences are the sampler's."""
    plan = experiment.resolve("unet", SamplingPlan(num, steps), device="cpu")
    reference, setup = Reference(plan.dataset, plan.extractor), plan.setup()
    print(
        f"{steps} steps, {num} images, seed 0\n\n| grid | sampler | KID x 1e3 | FID |\n| --- | --- | --- | --- |",
        flush=True,
    )
    for (grid, make), (name, member) in itertools.product(GRIDS.items(), MEMBERS.items()):
        sampled = dataclasses.replace(setup, sigmas=make(steps), member=member)
        found = plan.extractor.features(generate(sampled, range(num)).images)
        kid = fid_kid.kid(reference.kid, found)
        fid = fid_kid.fid(reference.moments, found)
        print(
            f"| {grid} | {name} | {1e3 * kid.value:.2f} ± {1e3 * kid.stderr:.2f} | {fid:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:] or ("50", "1000")))
