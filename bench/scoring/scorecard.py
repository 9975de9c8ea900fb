"""All numbers of a set of images, beside those of the control sets."""

from typing import Any

import numpy as np
import pandas as pd

from bench.files import Say
from bench.progress import SILENT, Progress
from bench.scoring import control_scores, extractors, measure
from bench.scoring.extractors import Extractor
from bench.scoring.reference import References


def scored(
    images: np.ndarray,
    noise_left: np.ndarray,
    references: References,
    extractor: Extractor,
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> tuple[dict[str, Any], dict[str, np.ndarray], pd.DataFrame]:
    """All numbers of uint8 images, (N, H, W) or (N, H, W, 3), beside those of their controls: see `measure.score`."""
    name = extractors.second(extractor.name, references.dataset)
    second = extractors.load(name, device=extractor.device)
    against, other = (references.of(each, say) for each in (extractor, second))
    advance = progress.stage("reference", 3)
    for ask in (lambda: against.kid, lambda: against.null, lambda: other.kid):
        ask()  # what is not kept from before is made now
        advance(1)
    controls = control_scores.measured(
        against, len(images), control_scores.names(len(images), references.dataset), say, progress
    )
    advance = progress.stage("scoring", measure.WORK)
    return measure.score(images, noise_left, against, other, controls, advance)
