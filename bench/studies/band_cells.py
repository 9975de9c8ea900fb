"""The cells of a study of bands: a denoiser in the place of a reference, below and above levels of noise."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench import sheets
from bench.probes import likelihood
from bench.scoring import compare
from bench.scoring.catalogue import COPIES
from bench.scoring.compare import Scored
from bench.scoring.uncertainty import Estimate, paired_difference
from bench.studies import bands, series
from bench.studies.bands import Cost, Costs
from bench.studies.series import Cell

BESIDE = ("below", "above", "start")  # the kinds of places that have a level
WORDS = {"below": "up to sigma", "above": "above sigma", "start": "from digits at sigma"}
SHOWN = 6  # images of each place in a row of the picture


class Place(NamedTuple):
    """Where the denoiser stands in a cell: nowhere, everywhere, below, above, or start, and of which level."""

    kind: str
    level: float = 0.0

    @property
    def title(self) -> str:
        """In tables and pictures."""
        return f"{WORDS[self.kind]} {self.level:g}" if self.kind in WORDS else self.kind


REFERENCE, OWN = Place("nowhere"), Place("everywhere")


class Study(NamedTuple):
    """All that was measured.

    names    of the denoiser and of the reference, told apart
    squares  squared errors of each held-out digit at each level of `likelihood.grid`, (num,
             levels), of what could be measured: "own", "reference", and the bounds by their names
    """

    names: tuple[str, str]
    levels: Sequence[float]
    found: Mapping[Place, Cell]
    failures: Mapping[str, str]
    squares: Mapping[str, np.ndarray]

    @property
    def own(self) -> Scored:
        """The denoiser at all levels."""
        return self.found[OWN].scored

    @property
    def reference(self) -> Scored:
        """The reference at all levels."""
        return self.found[REFERENCE].scored

    def costs(self) -> Costs:
        """By how much KID rises in each cell; levels of which a cell failed are left out."""
        base = self.reference

        def cost(place: Place) -> Cost:
            scored = self.found[place].scored
            drawn = compare.paired(base.replicates["kid"], scored.replicates["kid"])
            return Cost(scored.values["kid"] - base.values["kid"], drawn)

        halves = {level: (Place("below", level), Place("above", level)) for level in self.levels}
        whole = [level for level, pair in halves.items() if self.found.keys() >= set(pair)]
        below, above = (
            {level: cost(pair[i]) for level, pair in halves.items() if pair[i] in self.found}
            for i in (0, 1)
        )
        return Costs(whole, below, above, excess=cost(OWN), margin=base.margin("kid"))

    def excess_bits(self, low: float, high: float) -> Estimate | None:
        """Bits per image that the denoiser's errors between two levels cost beyond the reference's (I-MMSE)."""
        if not {"own", "reference"} <= self.squares.keys():
            return None
        sigmas, _ = likelihood.grid()
        middle = np.array([math.inf, *np.sqrt(sigmas[1:] * sigmas[:-1])])
        inside = (middle > low) & (middle <= high)
        pair = (
            likelihood.nats(self.squares[role])[:, inside].sum(1) / math.log(2)
            for role in ("reference", "own")
        )
        return paired_difference(*pair)


def table(study: Study, costs: Costs) -> pd.DataFrame:
    """One row for each band between two levels: what it carries; what ends at its upper level.

    Bands beside a level of which a half failed carry nothing that is known.
    """
    rows = []
    known, fails = {0.0, *costs.levels, math.inf}, bands.kind(costs) == "somewhere"
    for low, high in itertools.pairwise([0.0, *study.levels, math.inf]):
        row: dict[str, float] = {"over": low, "up_to": high}
        if {low, high} <= known:
            carried = costs.carried(low, high)
            row |= bounded("carried", carried.value, carried.interval)
            if fails:
                share, *ends = costs.share(low, high)
                row |= bounded("share", share, ends)
        if (excess := study.excess_bits(low, high)) is not None:
            row |= {"excess_bits": excess.value, "excess_bits_stderr": excess.stderr}
        for kind, of in (("below", costs.below), ("above", costs.above)):
            if high in of:
                row |= bounded(f"{kind}_cost", of[high].value, of[high].interval)
        for kind in BESIDE:
            if (cell := study.found.get(Place(kind, high))) is not None:
                row |= quality_of(kind, cell.scored)
        rows.append(row)
    return pd.DataFrame(rows)


def quality_of(kind: str, scored: Scored) -> dict[str, float]:
    """Columns of a cell."""
    kid = series.estimate(scored, "kid")
    others = {"confidence": "confidence", "ink": "ink", "copies": COPIES[0]}
    known = {name: key for name, key in others.items() if key in scored.values}
    values = {f"{kind}_{name}": scored.values[key] for name, key in known.items()}
    return bounded(f"{kind}_kid", kid.value, kid.ci95) | values


def bounded(name: str, value: float, ends: Sequence[float]) -> dict[str, float]:
    """Columns of a value with its 95 % interval."""
    return {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}


def strips(study: Study) -> list[tuple[str, np.ndarray]]:
    """A row of images for each level, and one for each denoiser alone."""
    own, reference = study.names
    alone = [(reference, study.found[REFERENCE].images), (own, study.found[OWN].images)]
    size = alone[0][1].shape[1:]
    empty, apart = (np.full((n, *size), sheets.BACKGROUND, np.uint8) for n in (SHOWN, 1))
    rows = []
    for level in study.levels:
        cells = (study.found.get(Place(kind, level)) for kind in BESIDE)
        below, above, start = (empty if cell is None else cell.images[:SHOWN] for cell in cells)
        row = np.concatenate([below, apart, above, apart, start])
        rows.append((f"sigma {level:g}", row))
    return [*alone, *rows]
