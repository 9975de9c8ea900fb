"""Two networks that learnt two kinds of images, asked for each: what training data carry, and what architecture."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bench.scoring import compare
from bench.scoring.compare import Scored
from bench.studies import series
from bench.studies.series import interval_of

NETWORKS = ("U-Net", "KBNet")  # a generative prior by its design, a restoration network by its
KINDS = ("digits", "patches")


class Place(NamedTuple):
    """A cell: which network, of what it learnt, is asked for what."""

    network: str
    learnt: str
    asked: str

    @property
    def title(self) -> str:
        """In tables, and as a name."""
        return f"{self.network} of {self.learnt}, asked for {self.asked}"


PLACES = tuple(Place(*parts) for parts in itertools.product(NETWORKS, KINDS, KINDS))


class Effect(NamedTuple):
    """By how much KID rises, in powers of ten, and the share of what lies between four cells; with 95 % intervals."""

    orders: float
    ends: tuple[float, float]
    share: float
    share_ends: tuple[float, float]


class Effects(NamedTuple):
    """Of one kind of images asked for.

    data     learning the other kind in the place of this
    network  KBNet in the place of the U-Net
    both     half of what the first costs KBNet beyond the U-Net
    """

    data: Effect
    network: Effect
    both: Effect


def not_asked(asked: str) -> str:
    """The other kind of images."""
    return next(kind for kind in KINDS if kind != asked)


def orders(scored: Scored) -> tuple[float, np.ndarray]:
    """log10 of KID, and of its bootstrap values; never below what as many held-out images have by chance."""
    floor = series.floor(scored, "kid")
    least = max(floor.ci95[1], np.finfo(float).tiny)
    drawn = np.log10(np.maximum(scored.replicates["kid"], least))
    return float(np.log10(max(scored.values["kid"], least))), drawn


def effects(found: Mapping[Place, Scored], asked: str) -> Effects:
    """Of the four cells that are asked for one kind of images.

    Each effect is half the sum of two differences (a 2 x 2 design in contrasts); the shares are those
    of their squares, which add up to what lies between the cells.
    """
    other = not_asked(asked)
    cells = {
        (network, learnt): orders(found[Place(network, learnt, asked)])
        for network in NETWORKS
        for learnt in KINDS
    }
    number = min(len(drawn) for _, drawn in cells.values())
    parts = {key: np.append(value, drawn[:number]) for key, (value, drawn) in cells.items()}
    (unet, unet_off), (kbnet, kbnet_off) = (
        (parts[network, asked], parts[network, other]) for network in NETWORKS
    )
    lost, lost_too = unet_off - unet, kbnet_off - kbnet
    contrasts = {
        "data": (lost + lost_too) / 2,
        "network": ((kbnet - unet) + (kbnet_off - unet_off)) / 2,
        "both": (lost_too - lost) / 2,
    }
    total = sum(np.square(part) for part in contrasts.values())
    total = np.where(total > 0, total, 1)
    return Effects(
        **{name: effect(part, np.square(part) / total) for name, part in contrasts.items()}
    )


def effect(contrast: np.ndarray, share: np.ndarray) -> Effect:
    """From the value, first, and its bootstrap values; the same of the share."""
    return Effect(
        float(contrast[0]), interval_of(contrast[1:]), float(share[0]), interval_of(share[1:])
    )


def better(found: Mapping[Place, Scored], asked: str) -> dict[tuple[str, str], str]:
    """Which of two priors is surely better by KID, asked for one kind: the pair of their titles -> one of them, or tie.

    As `compare.better` has it; p is corrected for all pairs.
    """
    runs = [
        dataclasses.replace(found[place], name=place.title)
        for place in PLACES
        if place.asked == asked
    ]
    rows = compare.compare(runs, ["kid"]).itertuples()
    return {(row.first, row.second): row.better for row in rows}


def ranged(effect: Effect) -> str:
    """The factor of an effect with its interval, in the direction of the effect."""
    sign = 1 if effect.orders >= 0 else -1
    low, high = sorted(sign * end for end in effect.ends)
    return f"{10 ** (sign * effect.orders):.3g} [{10**low:.3g}, {10**high:.3g}]"


def sentence(effects: Effects, asked: str) -> str:
    """What carries how much, asked for one kind of images."""
    other = not_asked(asked)
    turn = "raises" if effects.data.orders >= 0 else "lowers"
    data = f"having learnt {other} {turn} KID by a factor of {ranged(effects.data)}"
    turn = "raises" if effects.network.orders >= 0 else "lowers"
    network = f"KBNet in the place of the U-Net {turn} it by {ranged(effects.network)}"
    return (
        f"Asked for {asked}, {data}; {network}. Of what lies between the four priors the training "
        f"data carry {shared(effects.data)}, the architecture {shared(effects.network)}, and the "
        f"two together {shared(effects.both)}."
    )


def shared(effect: Effect) -> str:
    """A share with its interval, in percent."""
    low, high = (100 * end for end in effect.share_ends)
    return f"{100 * effect.share:.0f} % [{low:.0f}, {high:.0f}]"


def verdict(
    effects: Mapping[str, Effects], wins: Mapping[str, Mapping[tuple[str, str], str]]
) -> str:
    """Prior or architecture, in a sentence."""
    digits, patches = (crossed(wins[asked], asked) for asked in KINDS)
    carried = [effects[asked].data.share_ends[0] for asked in KINDS]
    built = [effects[asked].network.share_ends[0] for asked in KINDS]
    if min(carried) > 0.5:
        cause = "what a network has learnt decides, not how it is built"
    elif min(built) > 0.5:
        cause = "how a network is built decides, not what it has learnt"
    else:
        cause = "neither the training data nor the architecture surely carries more than half of it on both sides"
    return f"Prior or architecture? {digits[0].upper()}{digits[1:]}, and {patches}: {cause}."


def crossed(wins: Mapping[tuple[str, str], str], asked: str) -> str:
    """Which of the two that the failed experiment put side by side is better, asked for one kind."""
    pair = Place("U-Net", "digits", asked).title, Place("KBNet", "patches", asked).title
    won = wins.get(pair) or wins.get(pair[::-1], "")
    if won not in pair:
        return f"on {asked} the U-Net of digits and the KBNet of patches cannot be told apart"
    best, worst = ("U-Net of digits", "KBNet of patches")[:: 1 if won == pair[0] else -1]
    return f"on {asked} the {best} surely beats the {worst}"
