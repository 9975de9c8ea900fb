"""The former address of `denoisers.closed_form`, kept for a version."""

import warnings

from denoisers.closed_form import *  # noqa: F403

MOVED = "denoisers.controls is now denoisers.closed_form; this address goes with the next version"
warnings.warn(MOVED, FutureWarning, stacklevel=2)
