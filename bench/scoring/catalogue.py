"""All scores, one row each: what tables, comparisons, detection and the glossary need to know of one.

To add a score, write its function in quality.py, under the score's key, and its row here.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class ScoreSpec:
    """One score.

    key          its name in files and columns
    title        its name in tables for people
    better       which values are: "higher" or "lower"; None where neither is
    help         what it measures, in a sentence or two
    format       of its values: "digits" (three that count), "decimals" (three), "thousandths" (with
                 the standard error) or "share" (in percent, with the interval)
    heading      of its column in the terminal; empty: it has none
    leaderboard  whether it has a column on the page
    card         whether it stands on the card of a run
    compared     whether runs are compared by it: it then has bootstrap values
    detects      whether the detection table says which control sets it tells from held-out digits
    judged       whether it takes a classifier that knows the dataset's classes
    unit         where the scale of its intervals turns logarithmic on the page; None: none are drawn
    """

    key: str
    title: str
    better: Literal["higher", "lower"] | None
    help: str
    format: Literal["digits", "decimals", "thousandths", "share"] = "decimals"
    heading: str = ""
    leaderboard: bool = False
    card: bool = True
    compared: bool = False
    detects: bool = False
    judged: bool = False
    unit: float | None = None

    @property
    def direction(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where neither is."""
        return {"higher": 1, "lower": -1, None: 0}[self.better]


SCORES = (
    ScoreSpec(
        "fid",
        "FID",
        "lower",
        "Fréchet distance between two Gaussians fitted to features of generated and of training "
        "images; 0 is equal. It falls with the number of images: compare within a table. The "
        "interval has that bias taken out, and may lie below FID itself.",
        format="digits",
        heading="FID",
        leaderboard=True,
        compared=True,
        detects=True,
        unit=1.0,
    ),
    ScoreSpec(
        "fid_infinity",
        "FID∞",
        "lower",
        "The limit of FID for many images, extrapolated.",
        format="digits",
    ),
    ScoreSpec(
        "kid",
        "KID × 10³",
        "lower",
        "Squared kernel distance (MMD) between the same features. It does not depend on the number "
        "of images, and as an unbiased estimate it can be negative. ± is one standard error.",
        format="thousandths",
        heading="KID x 1e3",
        leaderboard=True,
        compared=True,
        detects=True,
        unit=0.005,
    ),
    ScoreSpec(
        "mifid",
        "MiFID",
        "lower",
        "FID, raised where images lie closer to training images than held-out ones do.",
        format="digits",
    ),
    ScoreSpec(
        "precision",
        "precision",
        "higher",
        "Share of the images that lie among the training images, by nearest neighbours of features.",
        leaderboard=True,
        compared=True,
        detects=True,
    ),
    ScoreSpec(
        "recall",
        "recall",
        "higher",
        "Share of the training images that lie among the generated ones.",
        leaderboard=True,
        compared=True,
        detects=True,
    ),
    ScoreSpec(
        "density",
        "density",
        None,
        "As precision, less moved by outliers: 1 for the training images' own kind.",
        compared=True,
    ),
    ScoreSpec(
        "coverage",
        "coverage",
        "higher",
        "As recall, less moved by outliers: share of the training images with a generated one close by.",
        leaderboard=True,
        compared=True,
        detects=True,
    ),
    ScoreSpec(
        "classifier_score",
        "classifier score",
        "higher",
        "Inception score with a classifier of the dataset: sure of each image, and of all classes alike.",
        judged=True,
        compared=True,
    ),
    ScoreSpec(
        "class_distance",
        "class distance",
        "lower",
        "Total variation between the predicted classes and equal shares: 0 for equal, 0.9 for one "
        "class.",
        judged=True,
        compared=True,
    ),
    ScoreSpec(
        "confidence",
        "confidence",
        "higher",
        "Mean probability of the class that a classifier of the dataset predicts. It is no proof: "
        "of digits, textures get 0.95 to 1.00.",
        heading="conf",
        leaderboard=True,
        judged=True,
        compared=True,
        detects=True,
    ),
    ScoreSpec(
        "ambiguous",
        "ambiguous",
        "lower",
        "Share of the images of whose class the classifier is less than 70 % sure.",
        judged=True,
        compared=True,
    ),
    ScoreSpec(
        "mixed",
        "mixed digits",
        "lower",
        "Share of the images of whose class two classifiers, trained apart, are less than 70 % sure.",
        format="share",
        heading="mixed",
        leaderboard=True,
        judged=True,
        compared=True,
    ),
    ScoreSpec(
        "ink",
        "ink",
        None,
        "Mean grey level, of 1: strokes that are too faint or too bold move it from the data's own.",
        compared=True,
    ),
    ScoreSpec(
        "cosine_distance",
        "cosine distance",
        None,
        "Mean distance of an image to its nearest training image in the angle of features.",
        card=False,
    ),
    ScoreSpec(
        "noise_std",
        "noise left",
        "lower",
        "Median standard deviation of white noise in the images, from their finest diagonal "
        "details; grey levels span −1 to 1. Digits have less than 0.01.",
        leaderboard=True,
    ),
)

NO_JUDGE = "none"  # in the place of classifiers that know the classes of a dataset, where none do
DEFAULTS = ("lenet-a", "cifar-a")  # extractors, of digits and of other images
DISTANCES = ("pixels", "shifted", "guarded", "features")
# Of each of DISTANCES; what detects says by rising, or falling, that images are near to the training set.
MEMORIZATION = (
    ScoreSpec(
        "copy_rate",
        "copies",
        "lower",
        "Share with d1/d2 < 1/3, the distances to the nearest and second nearest training image: "
        "far nearer to one than to any other. Shifted: over small shifts too.",
        format="share",
        heading="copies",
        detects=True,
    ),
    ScoreSpec(
        "relative",
        "relative",
        "lower",
        "Share nearer than half the mean distance to the 50 nearest.",
        detects=True,
    ),
    ScoreSpec(
        "authpct",
        "AuthPct",
        None,
        "Share farther from their nearest training image than that is from its own; two thirds of "
        "honest digits.",
    ),
    ScoreSpec(
        "authpct_excess",
        "AuthPct excess",
        None,
        "AuthPct less that of held-out digits.",
        card=False,
        detects=True,
    ),
    ScoreSpec(
        "excess_1",
        "excess 1 %",
        "lower",
        "Share nearer than the nearest 1 % of held-out digits, less 1 %.",
        detects=True,
    ),
    ScoreSpec(
        "excess_5",
        "excess 5 %",
        "lower",
        "Share nearer than the nearest 5 % of held-out digits, less 5 %.",
        detects=True,
    ),
    ScoreSpec(
        "auc",
        "AUC",
        None,
        "How often an image is nearer to the training set than a held-out digit: one half by chance.",
        detects=True,
    ),
    ScoreSpec("ct", "C_T", None, "The same, cell by cell, as a z-score.", detects=True),
    ScoreSpec("d1_median", "median d1", None, "Median distance to the training set."),
)
# Of those that are neither better high nor low: which way they go as images near the training set.
NEARER = {"authpct_excess": -1, "auc": 1, "ct": -1}

COMPARED = tuple(spec.key for spec in SCORES if spec.compared)
COPIES = tuple(f"copy_rate_{space}" for space in DISTANCES)


def compared(judge: str | None) -> tuple[str, ...]:
    """The scores by which runs with this judge are compared: without one, those that need none."""
    return tuple(key for key in COMPARED if judge != NO_JUDGE or not BY_KEY[key].judged)


def higher_is_better(key: str) -> bool | None:
    """Whether more of a score is better; None where neither more nor less is."""
    direction = BY_KEY[key].direction
    return None if direction == 0 else direction > 0


BY_KEY = {spec.key: spec for spec in (*SCORES, *MEMORIZATION)}


def nearer(spec: ScoreSpec) -> int:
    """1 for a statistic of memorization that rises as images near the training set, -1 if it falls."""
    return NEARER.get(spec.key) or -spec.direction
