"""Memorization: statistics of the distances from images to the training set, each beside those of held-out images.

Every set is described by its distances in one space: pixels, pixels under small shifts,
pixels with noise taken away, or features. A number here means nothing without its control.
"""

import dataclasses

import numpy as np
from einops import rearrange

from bench.channels import with_channels
from bench.scoring.nearest import Index, Neighbours
from bench.scoring.uncertainty import Estimate, Rate, Statistic, rate, surely_more

COPY_RATIO = 1 / 3  # Yoon et al. 2023; Gu et al. 2023 (arXiv 2310.02664)
RELATIVE = 0.5  # alpha of Carlini et al. 2023 (arXiv 2301.13188)
AROUND = 50  # neighbours whose mean distance stands for the density there, as in Carlini et al.
REACH = 2  # pixels that a copy may be shifted by
SHIFTS = (2 * REACH + 1) ** 2
SHIFTED = 2**28  # bytes of shifted images held at once, about: all of 10 000 digits
LEAST = 5  # images of a class on both sides that `auc` needs
CELL_SHARE = 20  # images a cell needs at least: tau |G| in the code of Meehan et al.
RARE_COPIES, RARE_EXCESS = 0.001, 0.01  # lower bounds above which the verdict is "memorizing"
MANY_COPIES = 0.05  # that no honest images have beyond held-out ones, however few these are


@dataclasses.dataclass(frozen=True)
class Distances:
    """Of N images to the training set, in one space.

    d1, d2  float64 (N,), to the two nearest training images
    index   int64 (N,), the nearest training image; None where it is not known
    around  float64 (N,), mean distance to the nearest 50; None where it was not measured
    lonely  float64 (N,), from the nearest training image to its own nearest training image; None
            where not measured
    groups  int64 (N,), predicted class of each image; distances depend on it
    cells   int64 (N,), the cell of a partition of the training set that each lies in; None outside
            pixel space
    """

    d1: np.ndarray
    d2: np.ndarray
    groups: np.ndarray
    index: np.ndarray | None = None
    around: np.ndarray | None = None
    lonely: np.ndarray | None = None
    cells: np.ndarray | None = None

    def part(self, chosen: slice) -> "Distances":
        """Of some of the images."""
        return Distances(
            **{name: None if x is None else x[chosen] for name, x in vars(self).items()}
        )

    @property
    def ratio(self) -> np.ndarray:
        """d1 / d2 in [0, 1]; 0 where both are 0, an exact copy of a training image that occurs twice."""
        return np.divide(self.d1, self.d2, out=np.zeros_like(self.d1), where=self.d2 > 0)

    @property
    def copies(self) -> np.ndarray:
        """bool (N,): far nearer to one training image than to any other, d1 / d2 < 1/3."""
        return self.ratio < COPY_RATIO


def shifted(images: np.ndarray, reach: int = REACH, *, on_black: bool = True) -> np.ndarray:
    """uint8 (N, H, W[, C]) to (N, (2 reach + 1)^2, H W C): all shifts by up to `reach` pixels.

    on_black  whether what enters is black; else it continues the edge, as photographs go on
    """
    channels = with_channels(images)
    height, width = channels.shape[1:3]
    around = ((0, 0), (reach, reach), (reach, reach), (0, 0))
    padded = np.pad(channels, around, mode="constant" if on_black else "edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    return rearrange(views, "n down right c h w -> n (down right) (h w c)")


def nearest_shifted(images: np.ndarray, among: Index, on_black: bool) -> Neighbours:
    """The two nearest points of uint8 images under all their shifts, a block of images after the other."""
    least = at_once(among)  # whole ones, wherever a set begins
    size = max(least, SHIFTED // (SHIFTS * images[0].size) // least * least)
    blocks = (images[i : i + size] for i in range(0, len(images), size))
    found = [among.nearest(shifted(block, on_black=on_black), 2) for block in blocks]
    return Neighbours(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def at_once(among: Index) -> int:
    """Images under all their shifts that are compared with points at once."""
    return min(among.block_size(SHIFTS), max(1, SHIFTED // (SHIFTS * among.points.shape[1])))


def auc(distances: Distances, null: Distances) -> Estimate | None:
    """P(d1 of an image < d1 of a held-out one of its class), weighted by the held-out classes; 0.5 if they are alike.

    Above 0.5: nearer to the training set than held-out images are. Ties count half. Standard error:
    DeLong et al. 1988, summed over classes. None where no class has LEAST images on both sides.
    """
    weights, values, variances = [], [], []
    for group in np.unique(null.groups):
        ours, theirs = distances.d1[distances.groups == group], null.d1[null.groups == group]
        if min(len(ours), len(theirs)) < LEAST:
            continue
        # Per image: share of held-out ones that are farther.
        below = 1 - midranks(ours, theirs) / len(theirs)
        above = midranks(theirs, ours) / len(ours)
        weights.append(len(theirs))
        values.append(below.mean())
        # Of a complete separation, which is not certain either.
        least = 1 / (2 * min(len(ours), len(theirs))) ** 2
        variances.append(
            max(least, below.var(ddof=1) / len(ours) + above.var(ddof=1) / len(theirs))
        )
    if not weights:
        return None
    share = np.array(weights) / np.sum(weights)
    return Estimate(float(share @ values), float(np.sqrt(np.square(share) @ variances)))


def midranks(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """How many of `among` are below each value, equal ones counting half."""
    ordered = np.sort(among)
    return (
        np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    ) / 2


def excess(distances: Distances, null: Distances, share: float) -> Estimate | None:
    """Share of images with d1 below the `share`-quantile of held-out ones of their class, less `share`.

    0 if they are alike. The error joins that of the share with that of the quantile, whose true
    level among m held-out images has variance share (1 - share) / (m + 2). None where no class has
    1 / share held-out images to tell it from.
    """
    hits = n = 0
    level = 0.0
    for group in np.unique(distances.groups):
        ours, theirs = distances.d1[distances.groups == group], null.d1[null.groups == group]
        if (len(theirs) + 1) * share < 1:
            continue
        # Below which a new image falls with probability `share`.
        limit = np.quantile(theirs, share, method="weibull")
        hits, n = hits + int((ours < limit).sum()), n + len(ours)
        level += len(ours) ** 2 * share * (1 - share) / (len(theirs) + 2)
    if n == 0:
        return None
    part = rate(hits, n)
    own = (part.high - part.low) / (2 * 1.96)
    return Estimate(part.value - share, float(np.hypot(own, np.sqrt(level) / n)))


def ct(distances: Distances, null: Distances) -> float | None:
    """C_T of Meehan et al. 2020 (arXiv 2004.05675): far below 0 if images copy, far above if they underfit.

    Per cell the Z-score of the Mann-Whitney U of d1 against held-out d1, averaged over cells with
    at least CELL_SHARE images, weighted by the held-out share. Under the null it has a standard
    deviation of at most 1.
    """
    weights, scores = [], []
    for cell in np.unique(null.cells):
        ours, theirs = distances.d1[distances.cells == cell], null.d1[null.cells == cell]
        if len(ours) < CELL_SHARE or len(theirs) < CELL_SHARE:
            continue
        n, m, u = len(ours), len(theirs), midranks(ours, theirs).sum()
        weights.append(m)
        scores.append((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
    return float(np.average(scores, weights=weights)) if weights else None


def statistics(
    distances: Distances, null: Distances | None
) -> dict[str, Rate | Estimate | float | None]:
    """Every statistic that these distances allow, by name; those against held-out images only if there are any.

    copy_rate      share with d1 / d2 < 1/3
    relative       share nearer than half the mean distance to the 50 nearest (Carlini et al. 2023)
    authpct        share farther from their nearest training image than that is from its own (Alaa
                   et al. 2022, arXiv 2102.08921); 2/3 of honest digits, so what counts is
                   authpct_excess, less that of the null
    excess_1, _5   see `excess`; auc, see `auc`; ct, see `ct`
    d1_median      median distance to the training set
    """
    n = len(distances.d1)
    values: dict[str, Rate | Estimate | float | None] = {
        "copy_rate": rate(int(distances.copies.sum()), n)
    }
    if distances.around is not None:
        values["relative"] = rate(int((distances.d1 < RELATIVE * distances.around).sum()), n)
    if distances.lonely is not None:
        values["authpct"] = rate(int((distances.lonely < distances.d1).sum()), n)
    if null is not None:
        if distances.lonely is not None:
            own, honest = (
                Statistic.mean(part.lonely < part.d1).estimate for part in (distances, null)
            )
            values["authpct_excess"] = Estimate(
                own.value - honest.value, float(np.hypot(own.stderr, honest.stderr))
            )
        values |= {
            "excess_1": excess(distances, null, 0.01),
            "excess_5": excess(distances, null, 0.05),
        }
        values["auc"] = auc(distances, null)
        if distances.cells is not None:
            values["ct"] = ct(distances, null)
    values["d1_median"] = float(np.median(distances.d1))
    return {name: value for name, value in values.items() if value is not None}


def verdict(
    spaces: dict[str, dict[str, Rate | Estimate | float | None]],
    honest: dict[str, Rate],
    *,
    of_class: bool = True,
) -> dict[str, str]:
    """What the statistics of all spaces amount to: "memorizing", or "no evidence" of it; never "novel".

    Memorizing if a copy rate is above 0.1 % and above that of held-out images (see `beyond`), or an
    excess at the 1 % quantile is above 1 %; each for certain (95 %). Held-out digits have no copies;
    of photographs cut to tiles a few are flat and have twins. An excess does not count where the
    images as a whole are surely farther than held-out ones: faint textures that are no digits may be
    near to thin digits. Features are left out: images more typical than held-out ones are near to
    training images there without copying.

    honest    copy rates of held-out images by space; in a space that is not there, those of pixels
    of_class  whether the images have classes, within which the excess is taken; only the words differ
    """
    reasons, usuals = [], []
    for space, values in spaces.items():
        copied, near = values["copy_rate"], values.get("excess_1")
        if space == "features":
            continue
        usual = honest.get(space, honest["pixels"])
        if copied.low > RARE_COPIES and beyond(copied, usual):
            reasons.append(
                f"{copied.value:.2%} of the images are copies ({space}, surely over {copied.low:.2%})"
            )
        elif copied.low > RARE_COPIES:
            usuals.append(
                f"{copied.value:.1%} of the images are copies ({space}), {usual.value:.1%} of {usual.n} held-out ones"
            )
        farther = "auc" in values and values["auc"].ci95[1] < 0.5
        if near is not None and near.ci95[0] > RARE_EXCESS and not farther:
            whose = "held-out images of their class" if of_class else "held-out images"
            reasons.append(
                f"{near.value + 0.01:.1%} are nearer to the training set than 99 % of {whose} ({space})"
            )
    if reasons:
        return {"memorization": "memorizing", "because": "; ".join(reasons)}
    because = f"copies are not surely above {RARE_COPIES:.1%}"
    if usuals:
        because = f"{'; '.join(usuals)}: not surely more"
    if "excess_1" in spaces["pixels"]:
        because += (
            f", nor images nearer than 99 % of held-out ones surely above {0.01 + RARE_EXCESS:.0%}"
        )
    else:
        because += "; there are too few held-out images to tell which are uncommonly near"
    return {"memorization": "no evidence", "because": because}


def beyond(copied: Rate, usual: Rate) -> bool:
    """Whether there are surely more copies than among held-out images.

    Of these there may be too few to say so, where copies are common: then MANY_COPIES more are enough.
    """
    return surely_more(copied, usual) or copied.low > usual.value + MANY_COPIES
