"""What studies of many runs share: each is run unless it is there, and read back with its bootstrap values."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import experiment
from bench.files import Say
from bench.progress import Progress
from bench.report.page.blocks import Span, spans
from bench.sampling.plan import SamplingPlan
from bench.scoring import compare, uncertainty
from bench.scoring.compare import Scored
from bench.scoring.uncertainty import Estimate

# Image-steps that take as long as all else of a run, about, for what is said of the time left.
OVERHEAD = 1500
JUDGED = ("fid", "kid")  # the scores by which one run is surely better than another
SHOWN = ("fid", "kid", "confidence", "ambiguous", "mixed", "ink")  # in tables
Resolve = Callable[..., experiment.Plan]


class Cell(NamedTuple):
    """A cell of a study: runs that differ in their seed alone, as one; and the first images, uint8 (n, H, W)."""

    scored: Scored
    images: np.ndarray


def announced(
    plans: Mapping[str, SamplingPlan], what: str, say: Say, progress: Progress
) -> Iterator[str]:
    """The names of the plans, one after the other, each said and with its share of the time.

    what  one of them is called: rung, run
    """
    work = [OVERHEAD + plan.num * plan.steps for plan in plans.values()]
    for place, name in enumerate(plans):
        say(name)
        progress.part(f"{what} {place + 1} of {len(plans)}", work[place] / sum(work))
        yield name


def measured(
    cells: Mapping[str, SamplingPlan],
    resolve: Resolve,
    seeds: Iterable[int],
    *,
    say: Say,
    progress: Progress,
    shown: int,
) -> tuple[dict[str, Cell], dict[str, str]]:
    """Every cell with each of the seeds, run where it is not there, and why those failed that did, by their names.

    resolve  resolve(name, sampling, seed=...) gives the run
    shown    how many images are kept of each
    """
    plans = {
        f"{name}, seed {seed}": (name, sampling, seed)
        for name, sampling in cells.items()
        for seed in seeds
    }
    parts: dict[str, list[Scored]] = {}
    images: dict[str, np.ndarray] = {}
    failures: dict[str, str] = {}
    sampled = {title: sampling for title, (_, sampling, _) in plans.items()}
    for title in announced(sampled, "run", say, progress):
        name, sampling, seed = plans[title]
        plan = resolve(name, sampling, seed=seed)
        try:
            run = experiment.execute(plan, say=say, progress=progress)
        except FloatingPointError as error:  # a finding, not an accident
            failures[name] = str(error)
            continue
        parts.setdefault(name, []).append(compare.load_one(run, mark=plan.rules.fingerprint))
        if name not in images:
            images[name] = run.read_npz("samples.npz")["arr_0"][:shown, ..., 0]
    whole = {name: found for name, found in parts.items() if name not in failures}
    done = {name: Cell(compare.combined(found), images[name]) for name, found in whole.items()}
    return done, failures


def failed(failures: Mapping[str, str]) -> list[list[Span]]:
    """A line for each cell that failed."""
    return [
        spans(Span(f"{name} failed", strong=True), f": {why}.") for name, why in failures.items()
    ]


def numbers(scored: Scored) -> dict[str, Any]:
    """Of one row of a table: SHOWN scores with the bounds of their 95 % intervals, and what the runs cost."""
    row: dict[str, Any] = {
        "n": scored.num,
        "seeds": len(scored.seeds),
        "calls": scored.facts["nfe"],
    }
    row |= {name: scored.facts.get(name) for name in ("out_of_band", "dtype", "device", "commit")}
    for key in SHOWN:
        low, high = uncertainty.basic(scored.values[key], scored.replicates[key])
        row |= {key: scored.values[key], f"{key}_low": low, f"{key}_high": high}
    row["kid_stderr"] = float(scored.replicates["kid"].std(ddof=1))
    return row


def against(standard: Scored, others: Sequence[Scored]) -> pd.DataFrame:
    """How each of the others differs from a standard, in FID and KID; p corrected for all of them (Holm 1979).

    Columns fid_change, fid_change_low, fid_change_high, fid_holm, the same of KID, and `verdict`.
    Images of one seed and number were made from the same noise: the differences are paired.
    """
    rows = [compare.difference(standard, other, score) for other in others for score in JUDGED]
    holm = uncertainty.holm(np.array([row["p"] for row in rows]))
    lines = []
    for place in range(0, len(rows), len(JUDGED)):
        line: dict[str, Any] = {}
        signs = []
        for row, p in zip(rows[place:][: len(JUDGED)], holm[place:], strict=False):
            change = {"": row["difference"], "_low": row["low"], "_high": row["high"]}
            line |= {f"{row['score']}_change{part}": value for part, value in change.items()}
            line[f"{row['score']}_holm"] = float(p)
            sure = p < compare.LEVEL and row["certain"]
            signs.append(int(np.sign(row["difference"])) if sure else 0)
        lines.append(line | {"verdict": verdict(signs)})
    return pd.DataFrame(lines)


def verdict(signs: Iterable[int]) -> str:
    """In words: surely better in one score and not surely worse in the other; surely worse likewise; or neither."""
    found = set(signs) - {0}
    return {1: "worse", -1: "better"}[found.pop()] if len(found) == 1 else "no sure difference"


def interval(row: "pd.Series[Any]", key: str, digits: int = 2, unit: float = 1.0) -> str:
    """value [low, high] of a column with its bounds."""
    value, low, high = (unit * row[name] for name in (key, f"{key}_low", f"{key}_high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def floor(scored: Scored, key: str) -> Estimate:
    """What as many held-out digits have."""
    score = scored.held_out.scores[key]
    return Estimate(score.value, score.stderr or 0.0)
