"""How long the stages of scoring take, roughly: for a bar that says from the beginning when all will be done."""

from bench.data.dataset import Dataset
from bench.scoring import control_scores, extractors, reference
from bench.scoring.extractors import Extractor
from bench.scoring.reference import Reference

LARGE = 60_000  # training images, for which the seconds below were measured, on two cores
FEATURES, SUMS = 6.0, 6.0  # of a reference: of its training images, and of their half of KID
NULL = 60.0  # of its held-out images
FIXED, PER_IMAGE = 5.0, 0.015  # of a set of images that is scored
CONTROL = 12.0  # of each control set but the held-out one, which is scored as the images are


def expected(dataset: Dataset, extractor: Extractor, num: int) -> dict[str, float]:
    """Seconds by stage that `record.finish` will take for `num` images; what is kept from before takes none."""
    size = len(dataset.train) / LARGE
    against, second = (
        Reference(dataset, each)
        for each in (extractor, extractors.load(extractors.second(extractor.name, dataset)))
    )
    made = {against.null_key: NULL} | {
        key: seconds
        for each in (against, second)
        for key, seconds in ((each.features_key, FEATURES), (each.sums_key, SUMS))
    }
    once = size * (FIXED + PER_IMAGE * num)
    absent = control_scores.missing(against, num, control_scores.names(num, dataset))
    controls = sum(once if name == control_scores.HELD_OUT else size * CONTROL for name in absent)
    stages = {
        "reference": size
        * sum(seconds for key, seconds in made.items() if not reference.is_kept(key))
    }
    return stages | ({"control sets": controls} if absent else {}) | {"scoring": once}
