"""The former address of `bench.probes.conformance`, kept for a version."""

import warnings

from bench.probes.conformance import *  # noqa: F403

MOVED = "bench.check is now bench.probes.conformance; this address goes with the next version"
warnings.warn(MOVED, FutureWarning, stacklevel=2)
