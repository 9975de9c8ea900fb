"""What studies of many runs share: each is run unless it is there, and read back with its bootstrap values."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import experiment, sheets
from bench.channels import without_channels
from bench.files import Say
from bench.progress import Progress
from bench.reporting.figures import pages
from bench.reporting.page import blocks, markdown
from bench.reporting.page.blocks import Page, Span, spans
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.scoring import compare, uncertainty
from bench.scoring.compare import Scored
from bench.scoring.uncertainty import Estimate
from denoisers import reading
from denoisers.errors import ForeignError, UsageError

# Image-steps that take as long as all else of a run, about, for what is said of the time left.
OVERHEAD = 1500
JUDGED = ("fid", "kid")  # the scores by which one run is better than another
SHOWN = ("fid", "kid", "confidence", "ambiguous", "mixed", "ink")  # in tables
SAME = "no sure difference"
VERDICTS = {
    -2: "surely better",
    -1: "better, within the floor",
    1: "worse, within the floor",
    2: "surely worse",
}
Resolve = Callable[..., experiment.Plan]


class Cell(NamedTuple):
    """A cell of a study: runs that differ in their seed alone, as one; and the first images, uint8 (n, H, W)."""

    scored: Scored
    images: np.ndarray


def whose(plan: experiment.Plan) -> dict[str, Any]:
    """Whose a study of one denoiser is, by one of its runs: what must stay when more is asked for."""
    identity = plan.facts.identity.to_json()
    names = ("denoiser", "weights", "options", "dataset", "dtype", "seed", "source")
    known = {name: identity[name] for name in names if name in identity}
    return known | {"num": plan.sampling.num}


def claim(study: Run, name: str, whose: Mapping[str, Any], **asked: Any) -> None:
    """Write `study.json`, unless the folder is that of another study.

    whose  what must be as it was
    asked  what may be more or less, or other, than before

    Raises UsageError about --out.
    """
    try:
        there = reading.json_object(study.path / "study.json")
    except (OSError, UsageError):  # none, or none that was written by a study
        there = {}
    whole = {"study": name} | json.loads(json.dumps(whose))
    if other := [
        f"{key} {there[key]}" for key in whole if key in there and there[key] != whole[key]
    ]:
        raise UsageError(
            f"{study.path} holds a study with {', '.join(other)}; take another folder, or move it away",
            "--out",
        )
    study.write_json("study.json", whole | asked)


def planned(calls: int, num: int, about: str = "", **settings: Any) -> SamplingPlan:
    """A plan with so many calls of the denoiser for each image, at most. Raises UsageError about --calls.

    about  what it is of, for the error
    """
    # Two calls a step, but one in the last.
    steps = (calls + 1) // 2 if settings.get("sampler") == "heun" else calls
    try:
        return SamplingPlan(num, steps, **settings)
    except UsageError as error:
        flag = {"--steps": "--calls", "--rho": "--members"}.get(error.about, error.about)
        found = f" ({about})" if about else ""
        raise UsageError(f"{error.message}{found}", flag) from None


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
        except (FloatingPointError, ForeignError) as error:  # a finding, not an accident
            failures[name] = str(error)
            continue
        parts.setdefault(name, []).append(compare.load_one(run, mark=plan.rules.fingerprint))
        if name not in images:
            images[name] = without_channels(run.read_npz("samples.npz")["arr_0"][:shown])
    whole = {name: found for name, found in parts.items() if name not in failures}
    done = {name: Cell(compare.combined(found), images[name]) for name, found in whole.items()}
    return done, failures


def publish(
    study: Run,
    name: str,
    frame: pd.DataFrame,
    images: Sequence[tuple[str, np.ndarray]],
    page: Page,
    float_format: str | None = "%.6g",
    **strips: int,
) -> None:
    """Write NAME.csv; NAME.png with images under their labels, if any; the page with its figures, and as NAME.md.

    strips  how the images are laid out, for `sheets.strips`
    """
    study.write(
        f"{name}.csv", lambda file: frame.to_csv(file, index=False, float_format=float_format)
    )
    if images:
        study.write(f"{name}.png", lambda file: sheets.strips(list(images), file, **strips))
    pages.export(page, study.path)
    study.write_json(blocks.FILE, blocks.to_json(page))
    study.write(f"{name}.md", lambda file: file.write(markdown.study(page).encode()))


def dataset(scored: Scored) -> str:
    """Name and digest of what the images are held against."""
    return str(scored.rules.scoring.get("dataset", ""))


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
    for key in (key for key in SHOWN if key in scored.values):
        known = estimate(scored, key)
        row |= {key: known.value, f"{key}_low": known.ci95[0], f"{key}_high": known.ci95[1]}
    row["kid_stderr"] = estimate(scored, "kid").stderr
    return row


def estimate(scored: Scored, key: str) -> Estimate:
    """A score with its standard error; of FID too, with the bias that all sets of this size have."""
    return Estimate(scored.values[key], float(scored.replicates[key].std(ddof=1)))


def against(standard: Scored, others: Sequence[Scored]) -> pd.DataFrame:
    """How each of the others differs from a standard, in FID and KID; p corrected for all of them (Holm 1979).

    Columns fid_change, fid_change_low, fid_change_high, fid_holm, the same of KID, and `verdict`.
    Images of one seed and number were made from the same noise: the differences are paired.
    """
    rows = [compare.difference(standard, other, score) for other in others for score in JUDGED]
    frame = pd.DataFrame(rows)
    frame["holm"] = uncertainty.holm(frame["p"].to_numpy())
    lines = []
    for _, part in frame.groupby(np.arange(len(frame)) // len(JUDGED)):
        line: dict[str, Any] = {}
        for row in part.itertuples():
            change = {"": row.difference, "_low": row.low, "_high": row.high, "_holm": row.holm}
            line |= {
                f"{row.score}{'' if name == '_holm' else '_change'}{name}": value
                for name, value in change.items()
            }
        lines.append(line | {"verdict": verdict([strength(row) for row in part.itertuples()])})
    return pd.DataFrame(lines)


def strength(row: Any) -> int:
    """How sure it is that a score is worse than the standard's (negative: better): 2, 1 or 0.

    2 is what `compare.better` asks for; 1 is as sure, of a difference within the held-out floor: it
    matters between two ways to sample one network, and not to call one of them a prior.
    """
    if row.holm >= compare.LEVEL or not row.certain:
        return 0
    return int(np.sign(row.difference)) * (2 if abs(row.difference) > row.margin else 1)


def verdict(strengths: Sequence[int]) -> str:
    """Of two scores in words; where they contradict each other, neither counts."""
    low, high = min(strengths), max(strengths)
    if low < 0 < high or low == high == 0:
        return SAME
    return VERDICTS[low if low < 0 else high]


def said(row: "pd.Series[Any]", key: str, form: str) -> str:
    """A value of a row in a format; nothing where it was not measured."""
    value = row.get(key)
    return "" if value is None or pd.isna(value) else format(value, form)


def interval(row: "pd.Series[Any]", key: str, digits: int = 2, unit: float = 1.0) -> str:
    """value [low, high] of a column with its bounds."""
    value, low, high = (unit * row[name] for name in (key, f"{key}_low", f"{key}_high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def interval_of(drawn: np.ndarray) -> tuple[float, float]:
    """From where to where 95 % of bootstrap values lie."""
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return low, high


def floor(scored: Scored, key: str) -> Estimate:
    """What as many held-out images have."""
    score = scored.held_out.scores[key]
    return Estimate(score.value, score.stderr or 0.0)
