"""Differences between scored runs: with interval and p-value, corrected for their number, and ties called ties.

Reads what runs have written. The bootstrap of every run draws the same rows in the same replicate,
and image i of runs of one seed was made from the same noise: their differences are those of pairs.
"""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import names
from bench.facts import check_named
from bench.runs import Run
from bench.scoring import catalogue, uncertainty
from bench.scoring.catalogue import COPIES
from bench.scoring.rules import ScoringRules, extractor_of
from bench.scoring.schema import ScoreSet, objects, second_from_json
from denoisers.errors import UsageError

MADE = ("denoiser", "weights", "options", "sampler", "dtype")
MADE += ("source", "arguments", "noise_version", "digest")
LEVEL = 0.05
CONCORDANT = 0.8  # Kendall's tau below which two extractors are said to disagree


@dataclasses.dataclass(frozen=True)
class Scored:
    """One run, or several that differ in their seed alone, under one scoring protocol."""

    # As it stands alone; of several that `selection.load` loads, as it is told from the others.
    name: str
    seeds: tuple[int, ...]
    facts: dict[str, Any]  # run.json of the first
    rules: ScoringRules
    scores: ScoreSet  # of the first
    held_out: ScoreSet  # the control of as many held-out images
    second: dict[str, Any]  # in a second feature space, of the first: see `second_from_json`
    values: dict[str, float]
    replicates: dict[str, np.ndarray]
    path: Path  # of the first

    @property
    def num(self) -> int:
        """Images of each run."""
        return self.scores.scores["kid"].n

    def margin(self, score: str) -> float:
        """What separates two honest sets of this size by chance, 95 % of the time: the floor, twice over."""
        if score in COPIES:
            return 0.0
        return 1.96 * math.sqrt(2) * (self.held_out.scores[score].stderr or 0.0)


@contextlib.contextmanager
def naming(run: Run) -> Iterator[None]:
    """Usage errors inside say which run they are of."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{run.path}: {error.message}", error.about) from None


def load_one(run: Run, features: str | None = None, *, mark: str | None = None) -> Scored:
    """One run folder, by the name of the extractor or by the fingerprint of the scoring protocol.

    Raises UsageError naming what is missing.
    """
    facts = run.read_json("run.json")
    by_extractor: dict[str, list[dict[str, Any]]] = {}
    for file in run.metrics if mark is None else [f"metrics-{mark}.json"]:
        metrics = run.read_json(file)
        with naming(run):
            rules = ScoringRules.from_json(metrics, file)
        by_extractor.setdefault(extractor_of(rules.scoring), []).append(metrics)
    if not by_extractor:
        raise UsageError(
            f"{run.path} has no scores; the same `bench run` or `bench score` command writes them"
        )
    usual = [*by_extractor] if len(by_extractor) == 1 else catalogue.DEFAULTS
    name = features or next((each for each in usual if each in by_extractor), usual[0])
    if name not in by_extractor:
        raise UsageError(
            f"{run.path} is not scored with {name!r}; found {', '.join(by_extractor)}", "--features"
        )
    if len(by_extractor[name]) > 1:
        marks = ", ".join(metrics["fingerprint"] for metrics in by_extractor[name])
        raise UsageError(
            f"{run.path} is scored with {name} under several protocols ({marks}); remove the older files"
        )
    return complete(run, facts, by_extractor[name][0])


def complete(run: Run, facts: dict[str, Any], metrics: dict[str, Any]) -> Scored:
    """Values and bootstrap values together. Raises UsageError if some are missing."""
    file = f"replicates-{metrics['fingerprint']}.npz"
    replicates = run.read_npz(file)
    with naming(run):
        rules = ScoringRules.from_json(metrics, f"metrics-{metrics['fingerprint']}.json")
    compared = catalogue.compared(rules.scoring.get("judge"))
    if replicates is None or {*compared, *COPIES} - replicates.keys():
        raise UsageError(
            f"{run.path}/{file} is missing or damaged; the same command scores the images again"
        )
    with naming(run):
        check_named(facts)
        scores = ScoreSet.from_json(metrics)
        held_out = ScoreSet.from_json(objects(metrics, "controls").get("held_out") or {})
        second = second_from_json(metrics)
    values = {key: scores.scores.get(key) for key in compared}
    for key in COPIES:
        values[key] = scores.memorization.get(key.removeprefix("copy_rate_"), {}).get("copy_rate")
    absent = [key for key, score in values.items() if score is None]
    absent += [f"{key} of held-out images" for key in compared if key not in held_out.scores]
    if absent or values["kid"].n is None:
        lacking = absent[0] if absent else "the number of images"
        with naming(run):
            raise UsageError(f"the scores lack {lacking}; score again with the same command")
    return Scored(
        names.describe(facts),
        (facts.get("seed", 0),),
        facts,
        rules,
        scores,
        held_out,
        second,
        {key: score.value for key, score in values.items()},
        replicates,
        run.path,
    )


def combined(parts: Sequence[Scored]) -> Scored:
    """Runs that differ in their seed alone as one: means of values and of bootstrap values, whose spread falls."""
    first = parts[0]
    return dataclasses.replace(
        first,
        seeds=tuple(seed for part in parts for seed in part.seeds),
        values={
            name: float(np.mean([part.values[name] for part in parts])) for name in first.values
        },
        replicates={
            name: np.mean([part.replicates[name] for part in parts], 0) for name in first.replicates
        },
    )


def differing(first: Scored, second: Scored) -> list[str]:
    """What keeps the numbers of two runs apart, field by field; empty if they compare."""
    fields = [("images", first.num, second.num)]
    rules = [part.rules.scoring for part in (first, second)]
    fields += [
        (name, rules[0].get(name), rules[1].get(name))
        for name in sorted(rules[0].keys() | rules[1].keys())
    ]
    return [f"{name} {a} and {b}" for name, a, b in fields if a != b]


def generated_otherwise(first: Scored, second: Scored) -> list[str]:
    """In what two runs were made differently, besides the seed: denoiser, weights, options, sampler, code."""
    pairs = [(name, first.facts.get(name), second.facts.get(name)) for name in MADE]
    return [f"{name} {a} and {b}" for name, a, b in pairs if a != b]


def compare(runs: Sequence[Scored], scores: Sequence[str] = ()) -> pd.DataFrame:
    """Every score of every pair, or those named.

    Columns score, first, second, difference (second - first), p, and

    low, high  95 % basic interval of the paired bootstrap
    holm       p corrected for all rows of the table
    better     name of the better run, "tie" where the corrected p is above 5 % or the difference is
               inside the held-out floor, "" where more is neither better nor worse

    Raises UsageError, naming the fields, for runs whose numbers do not compare.
    """
    rows = []
    for first, second in itertools.combinations(runs, 2):
        if fields := differing(first, second):
            raise UsageError(
                f"{first.name} and {second.name} are not scored alike and cannot be ranked: {'; '.join(fields)}"
            )
        rows += [difference(first, second, score) for score in scores or first.values]
    frame = pd.DataFrame(rows)
    frame["holm"] = uncertainty.holm(frame["p"].to_numpy())
    frame["better"] = [better(row) for row in frame.itertuples()]
    return frame.drop(columns=["certain", "margin", "higher"])


def pairing(first: Scored, second: Scored) -> str:
    """In words, what two runs share and where they differ."""
    images = "images" in (first.facts.get("kind"), second.facts.get("kind"))
    shared = not images and first.seeds == second.seeds
    noise = "made from the same noise" if shared else "independent: their noise differs"
    sampler = [part.facts.get("sampler") for part in (first, second)]
    also = "" if images or sampler[0] == sampler[1] else f"; samplers differ: {described(*sampler)}"
    return f"{first.name} and {second.name}: {noise}{also}"


def described(first: dict[str, Any], second: dict[str, Any]) -> str:
    """The settings in which two samplers differ."""
    names = sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )
    return ", ".join(f"{name} {first.get(name)} and {second.get(name)}" for name in names)


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `compare` as text."""
    interval = [
        f"{row.difference:.4g} [{row.low:.4g}, {row.high:.4g}]" for row in frame.itertuples()
    ]
    columns = {"score": frame["score"], "first": frame["first"], "second": frame["second"]}
    columns |= {"second - first": interval, "p": [f"{p:.3f}" for p in frame["p"]]}
    return pd.DataFrame(
        columns | {"Holm": [f"{p:.3f}" for p in frame["holm"]], "better": frame["better"]}
    )


def difference(first: Scored, second: Scored, score: str) -> dict[str, Any]:
    """One row of `compare`, before the correction."""
    change = second.values[score] - first.values[score]
    drawn = paired(first.replicates[score], second.replicates[score])
    unbiased = 2 * change - float(drawn.mean())
    low, high = uncertainty.basic(change, drawn)
    return {
        "score": score,
        "first": first.name,
        "second": second.name,
        "difference": change,
        "low": low,
        "high": high,
        "p": float(
            uncertainty.p_value(np.array(change), drawn.mean(), drawn.std(ddof=1), len(drawn))
        ),
        # Else only the bias of resampling speaks for a difference.
        "certain": unbiased * change > 0,
        "margin": max(first.margin(score), second.margin(score)),
        "higher": catalogue.higher_is_better("copy_rate" if score in COPIES else score),
    }


def paired(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Replicates of the difference; of wide features some scores have fewer."""
    number = min(len(first), len(second))
    return second[:number].astype(np.float64) - first[:number]


def better(row: Any) -> str:
    """Which of two runs a corrected row prefers."""
    if row.higher is None:
        return ""
    if row.holm >= LEVEL or abs(row.difference) <= row.margin or not row.certain:
        return "tie"
    return row.second if (row.difference > 0) == row.higher else row.first


def ranks(runs: Sequence[Scored], score: str = "kid") -> list[str]:
    """The place of each run by a score of which less is better, "1", "2=", ...: one more than the runs surely better.

    Surely: as in `better`, with p corrected over all pairs. All pairs at once, as a report may have
    many runs.
    """
    number = min(len(run.replicates[score]) for run in runs)
    drawn = np.stack([run.replicates[score][:number].astype(np.float64) for run in runs])
    values, means = np.array([run.values[score] for run in runs]), drawn.mean(1)
    i, j = np.triu_indices(len(runs), 1)
    covariance = np.atleast_2d(np.cov(drawn))
    spread = np.sqrt((covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]).clip(min=0))
    change, moved = values[j] - values[i], means[j] - means[i]
    corrected = uncertainty.holm(uncertainty.p_value(change, moved, spread, number))
    margins = np.array([run.margin(score) for run in runs])
    sure = (
        (corrected < LEVEL)
        & (np.abs(change) > np.maximum(margins[i], margins[j]))
        & (change * (2 * change - moved) > 0)
    )
    beaten = np.bincount(np.where(change > 0, j, i)[sure], minlength=len(runs)).tolist()
    return [f"{place + 1}{'=' if beaten.count(place) > 1 else ''}" for place in beaten]


def concordance(runs: Sequence[Scored], score: str = "kid") -> float | None:
    """Kendall's tau-b between the orders in which two extractors put the runs.

    None for fewer than three runs, and where one of the two puts none before another.
    """
    if len(runs) < 3:
        return None
    from scipy.stats import kendalltau  # takes a second to import

    first = [run.scores.scores[score].value for run in runs]
    tau = float(kendalltau(first, [run.second[score].value for run in runs]).statistic)
    return None if math.isnan(tau) else tau
