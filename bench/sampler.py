"""The former address of `bench.sampling.samplers`, kept for a version."""

import warnings

from bench.sampling.samplers import *  # noqa: F403

MOVED = "bench.sampler is now bench.sampling.samplers; this address goes with the next version"
warnings.warn(MOVED, FutureWarning, stacklevel=2)
