"""`bench study samplers`: which sampler and grid suit a denoiser, by the same noise through all of them.

Every member of the family is a run like any other, in `runs/` of the study's folder; the study adds
how each differs from the standard protocol.
"""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench import experiment
from bench.bounds import BOUNDS
from bench.experiment import Say
from bench.progress import SILENT, Progress
from bench.reporting.page.blocks import Block, Page, Picture, Span, about, spans
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.sampling.samplers import SAMPLERS
from bench.scoring.compare import Scored
from bench.shelf import Shelf
from bench.studies import series
from bench.studies.series import Cell, interval
from denoisers.bounds import RHO
from denoisers.errors import UsageError
from denoisers.schedule import GRIDS

SHOWN = 16  # images of each member in the picture
STANDARD = "ddpm/ddpm"
FAMILY = tuple(
    f"{sampler}/{grid}"
    for grid, sampler in itertools.product(
        ("ddpm", "cosine", "karras:3", "karras"),
        ("ddpm", "ddim", "dpmpp_2m", "dpmpp_2m_sde", "heun"),
    )
)
CALLS = (20, 50)
TITLE = "Samplers: the same noise through each member of the family"
RULE = (
    "Differences are paired by image, with p corrected for all members of the table (Holm), at 5 %; FID and KID "
    "must not contradict each other. Surely: by more than two honest sets of digits differ by chance, too; less "
    "than that is within the floor."
)


# Half of it is what can be asked for.
def samplers(
    out: Path,
    denoiser: str,
    *,
    weights: str | None = None,
    options: dict[str, str] | None = None,
    members: Sequence[str] = FAMILY,
    calls: Sequence[int] = CALLS,
    num: int = 2000,
    seeds: int = 1,
    seed: int = 0,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Path:
    """Run all members that are not done, and write what they say into `out`; the path of samplers.md.

    members  SAMPLER/GRID, the grid karras:RHO with a rho of its own; the standard is always among them
    calls    of the denoiser, for each image, at most
    seeds    how many, from `seed` on; their mean is shown
    """
    BOUNDS["seed"].check(seed + seeds - 1, "--seed")
    standard = f"{STANDARD}, {max(calls)} calls"
    cells = {standard: plan_of(STANDARD, max(calls), num)}  # first: without it nothing can be said
    for count, member in itertools.product(calls, members):
        plan = plan_of(member, count, num)
        cells[f"{called(plan)}, {count} calls"] = plan
    resolve = functools.partial(
        resolved,
        denoiser,
        out=out,
        weights=weights,
        options=options,
        shelf=Shelf(dataset, data_dir),
        device=device,
        dtype_name=dtype,
    )
    first = resolve(standard, cells[standard], seed=seed)
    study = Run(out, out.parent)
    series.claim(
        study, "samplers", series.whose(first), seeds=seeds, calls=list(calls), cells=list(cells)
    )
    found, failures = series.measured(
        cells, resolve, range(seed, seed + seeds), say=say, progress=progress, shown=SHOWN
    )
    if standard not in found:
        raise FloatingPointError(f"the standard, {standard}, failed: {failures[standard]}")
    write(study, found, failures, standard)
    return out / "samplers.md"


def plan_of(member: str, calls: int, num: int) -> SamplingPlan:
    """How SAMPLER/GRID samples with at most `calls` calls of the denoiser. Raises UsageError."""
    sampler, _, grid = member.partition("/")
    grid, colon, rho = grid.partition(":")
    known = [name for name in SAMPLERS if name != "ks"]  # it follows no grid
    if sampler not in known or grid not in GRIDS:
        raise UsageError(
            f"must be SAMPLER/GRID of {', '.join(known)} and {', '.join(GRIDS)}, "
            f"as ddpm/karras:3; found {member[:100]!r}",
            "--members",
        )
    value = RHO.parse(rho, "--members") if colon else None
    return series.planned(calls, num, member, sampler=sampler, grid=grid, rho=value)


def called(plan: SamplingPlan) -> str:
    """A member by its plan: one name for each."""
    return f"{plan.sampler}/{plan.grid}" + ("" if plan.rho is None else f":{plan.rho:g}")


def resolved(
    denoiser: str, name: str, sampling: SamplingPlan, *, out: Path, **options: Any
) -> experiment.Plan:
    """The run of a member, with the options that all of them share."""
    return experiment.resolve(denoiser, sampling, out=out / "runs", within=out.parent, **options)


def write(study: Run, found: dict[str, Cell], failures: dict[str, str], standard: str) -> None:
    """The table, the picture and the page of a study."""
    frame = table(found, standard)
    images = [(name, found[name].images) for name in frame["name"]]
    said = [*conclusions(frame, standard), *series.failed(failures)]
    shown = page(frame, found[standard].scored, said)
    dataset = series.dataset(found[standard].scored)
    series.publish(study, "samplers", frame, images, about(shown, dataset))


def table(found: dict[str, Cell], standard: str) -> pd.DataFrame:
    """One row for each member, by rising calls and FID: its numbers, and how they differ from the standard's."""
    others = [name for name in found if name != standard]
    rows = pd.DataFrame([{"name": name} | series.numbers(found[name].scored) for name in found])
    if others:
        changes = series.against(found[standard].scored, [found[name].scored for name in others])
        rows = rows.merge(changes.assign(name=others), how="left", on="name")
    else:
        rows["verdict"] = None
    rows["budget"] = [int(name.rpartition(", ")[2].split()[0]) for name in rows["name"]]
    return rows.sort_values(["budget", "fid"], kind="stable").reset_index(drop=True)


def page(frame: pd.DataFrame, standard: Scored, said: list[list[Span]]) -> Page:
    """What was found, the table and the picture."""
    forms = {"fid": ".2f", "confidence": ".3f", "mixed": ".2%", "ink": ".4f"}
    usual = {key: series.floor(standard, key) for key in forms if key in standard.values}
    kid = series.floor(standard, "kid")
    fid, *others = (f"{key} {format(found.value, forms[key])}" for key, found in usual.items())
    known = f"KID x 1e3 {1e3 * kid.value:.2f} ± {1e3 * kid.stderr:.2f}"
    values = ", ".join([fid.upper(), known, *others])
    floor = f"As many held-out digits: {values}."
    seeds = (
        f"{len(standard.seeds)} seeds" if len(standard.seeds) > 1 else f"seed {standard.seeds[0]}"
    )
    made = f"{standard.name}, {standard.num} images, {seeds}. {RULE}"
    return Page(
        TITLE,
        [
            Block("text", spans(made)),
            Block("list", said),
            Block("table", cells(frame)),
            Block("text", spans(floor)),
            Block("text", spans("The first images of each, from the same noise:")),
            Block("picture", Picture("samplers.png", "samples of each member")),
        ],
    )


def conclusions(frame: pd.DataFrame, standard: str) -> list[list[Span]]:
    """The choice in words: who is better than the standard, who cannot be told from it, who is worse."""
    by = {word: rows.sort_values("fid") for word, rows in frame.groupby("verdict")}
    own = frame.set_index("name").loc[standard]
    lines = [
        spans(Span(f"The standard is {standard}", strong=True), f": FID {interval(own, 'fid')}.")
    ]
    sure = by.get(series.VERDICTS[-2])
    if sure is not None:
        text = f": {named(sure)}. The standard can be chosen anew."
        lines.append(spans(Span("Surely better", strong=True), text))
    else:
        text = f" of {len(frame) - 1}: the standard stays."
        lines.append(spans(Span("None is surely better", strong=True), text))
    for word in (series.VERDICTS[-1], series.SAME, series.VERDICTS[1]):
        if word in by:
            lines.append(spans(Span(word.capitalize(), strong=True), f": {named(by[word])}."))
    if (worse := by.get(series.VERDICTS[2])) is not None:
        lines.append(
            spans(Span("Surely worse", strong=True), f": {len(worse)} of {len(frame) - 1}.")
        )
    return lines


def named(rows: pd.DataFrame) -> str:
    """Members with the change of their FID."""
    return "; ".join(
        f"{row['name']} (FID by {interval(row, 'fid_change')})" for _, row in rows.iterrows()
    )


def cells(frame: pd.DataFrame) -> list[list[str]]:
    """The heading and the rows of the table."""
    lines = []
    for _, row in frame.iterrows():
        standard = pd.isna(row["verdict"])
        lines.append(
            [
                row["name"],
                interval(row, "fid"),
                "" if standard else interval(row, "fid_change"),
                f"{1e3 * row['kid']:.2f} ± {1e3 * row['kid_stderr']:.2f}",
                "" if standard else interval(row, "kid_change", unit=1e3),
                series.said(row, "confidence", ".4f"),
                series.said(row, "ambiguous", ".1%"),
                series.said(row, "mixed", ".1%"),
                f"{row['ink']:.4f}",
                f"{row['out_of_band']:.0%}",
                "the standard" if standard else row["verdict"],
            ]
        )
    scores = ["FID", "change", "KID x 1e3", "change", "conf", "ambiguous", "mixed", "ink"]
    return [["member", *scores, "out", "than the standard"], *lines]
