"""`bench study ladder`: from the experiment that failed to one that works, one change per rung.

Every rung is a run like any other, from the same noise, in `runs/` of the study's folder; the study
adds what lies between two of them.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import experiment
from bench.channels import without_channels
from bench.experiment import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.sampling.plan import SamplingPlan
from bench.scoring import extractors, fid_kid
from bench.scoring.reference import Reference
from bench.scoring.uncertainty import Estimate
from bench.shelf import Shelf
from bench.studies import findings, series
from bench.studies.findings import Outcome, confidence_change
from denoisers.errors import UsageError

SHOWN = 16  # images of each rung in the picture
BAND = 50 / 127.5  # the noise that restoration networks are trained on ends here
LONG = {"num": 64, "steps": 1000, "sampler": "ddpm-beta"}  # the original experiment's chain


@dataclasses.dataclass(frozen=True)
class Rung:
    """One run of the ladder, and what it changes relative to another rung.

    against  name of that rung; None where nothing is compared
    setting  departures from `Protocol(num, steps=50)`
    """

    name: str
    change: str
    denoiser: str = "kbnet"
    weights: str | None = None
    against: str | None = None
    coupling: str | None = None
    setting: dict[str, Any] = dataclasses.field(default_factory=dict)


RAW = {"clip": False}
# Knock-in: from the failed experiment, a network for natural photographs up to 50/255, one repair
# after the other. Knock-out: from a network of the same architecture that works, the repairs taken
# back one by one.
LADDER = (
    Rung("A0", "the failed experiment: eps := x_t - f(x_t)", coupling="naive", setting=RAW),
    Rung("A1", "residual divided by its own std", against="A0", coupling="normalised", setting=RAW),
    Rung("A2", "residual divided by sqrt(1 - abar)", against="A0", coupling="scaled", setting=RAW),
    Rung("A3", "image range [0, 1]", against="A2", coupling="vp", setting=RAW),
    Rung("A4", "x_t divided by sqrt(abar): VE", against="A3", setting=RAW),
    Rung("A5", "estimate of x0 clipped", against="A4"),
    Rung(
        "A6a",
        "start in band, mean image",
        against="A5",
        setting={"sigma_max": BAND, "start": "mean"},
    ),
    Rung(
        "A6b",
        "start in band, Gaussian sample",
        against="A6a",
        setting={"sigma_max": BAND, "start": "gaussian"},
    ),
    Rung(
        "A6c",
        "start in band, held-out digit",
        against="A6b",
        setting={"sigma_max": BAND, "start": "held-out"},
    ),
    Rung("A11", "photographs, all noise levels, L2", weights="gray-all", against="A5"),
    Rung("A12", "digits instead of photographs", weights="mnist-all", against="A11"),
    Rung("A10", "L1 instead of L2", weights="mnist-all-l1", against="A12"),
    Rung("K4", "A12 without clipping", weights="mnist-all", against="A12", setting=RAW),
    Rung(
        "K3", "and x_t instead of VE", weights="mnist-all", against="K4", coupling="vp", setting=RAW
    ),
    Rung(
        "K2", "and range [-1, 1]", weights="mnist-all", against="K3", coupling="scaled", setting=RAW
    ),
    Rung(
        "K1",
        "and residual by its own std",
        weights="mnist-all",
        against="K2",
        coupling="normalised",
        setting=RAW,
    ),
    Rung(
        "K0",
        "and residual as it is: naive",
        weights="mnist-all",
        against="K1",
        coupling="naive",
        setting=RAW,
    ),
    Rung("R", "the U-Net", denoiser="unet", against="A12"),
    Rung("W", "Gaussian model (Wiener filter)", denoiser="gaussian", against="A12"),
    Rung("A0L", "A0, 1000 steps", coupling="naive", setting=RAW | LONG),
    Rung("A11L", "A11 naive, 1000 steps", weights="gray-all", coupling="naive", setting=RAW | LONG),
    Rung("K0L", "K0, 1000 steps", weights="mnist-all", coupling="naive", setting=RAW | LONG),
)


def ladder(
    out: Path,
    *,
    num: int = 256,
    seed: int = 0,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Path:
    """Run all rungs that are not done, and write what they say into `out`; the path of ladder.md.

    num  images of each rung, except those of 1000 steps, which have 64
    """
    shelf = Shelf(dataset, data_dir)
    if shelf.dataset.what != "digits":
        raise UsageError(f"must be of digits, as the ladder is; found {dataset}", "--dataset")
    resolve = functools.partial(
        resolved,
        out=out,
        num=num,
        seed=seed,
        shelf=shelf,
        device=device,
        dtype_name=dtype,
    )
    # What is wrong with the options is said before anything is written, by the rung that asks most.
    resolve(next(rung for rung in LADDER if rung.setting.get("start") == "held-out"))
    study = Run(out, out.parent)
    series.claim(study, "ladder", {"num": num, "seed": seed, "dataset": dataset})
    outcomes, failures = climb(resolve, num, say, progress)
    reference = shelf.references.of(extractors.load("lenet-a"), say)
    write(study, outcomes, failures, reference)
    return out / "ladder.md"


def setting(rung: Rung, num: int) -> SamplingPlan:
    """How a rung samples."""
    return SamplingPlan(**{"num": num, "steps": 50, **rung.setting})


def resolved(rung: Rung, *, out: Path, num: int, **options: Any) -> experiment.Plan:
    """The run of a rung, with the options that all rungs share."""
    coupling = {} if rung.coupling is None else {"coupling": rung.coupling}
    return experiment.resolve(
        rung.denoiser,
        setting(rung, num),
        weights=rung.weights,
        options=coupling,
        out=out / "runs",
        within=out.parent,
        **options,
    )


def climb(
    resolve: Callable[[Rung], experiment.Plan], num: int, say: Say, progress: Progress
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """What each rung gave, and why the others failed, by their names."""
    outcomes, failures = {}, {}
    rungs = {f"{rung.name}: {rung.change}": rung for rung in LADDER}
    plans = {title: setting(rung, num) for title, rung in rungs.items()}
    for title in series.announced(plans, "rung", say, progress):
        rung = rungs[title]
        plan = resolve(rung)
        try:
            outcomes[rung.name] = read(experiment.execute(plan, say=say, progress=progress), plan)
        except FloatingPointError as error:  # a finding, not an accident: naive rungs may diverge
            failures[rung.name] = str(error)
    return outcomes, failures


def write(
    study: Run, outcomes: dict[str, Outcome], failures: dict[str, str], reference: Reference
) -> None:
    """The table, the picture and the page of a study."""

    @functools.cache
    def kid_change(first: str, second: str) -> Estimate:
        before, after = (
            fid_kid.kid(reference.kid, outcomes[name].features) for name in (first, second)
        )
        return after.minus(before).estimate

    frame = table(outcomes, failures, kid_change)
    page = findings.page(frame, findings.findings(outcomes, kid_change))
    series.publish(study, "ladder", frame, strips(outcomes), page, float_format=None)


def read(run: Run, plan: experiment.Plan) -> Outcome:
    """What the study needs of a finished run."""
    samples = run.read_npz("samples.npz")
    images = without_channels(samples["arr_0"])
    mark = plan.rules.fingerprint
    rows = pd.read_csv(run.path / f"per_sample-{mark}.csv")
    scores, facts = run.read_json(f"metrics-{mark}.json"), run.read_json("run.json")
    return Outcome(scores["scores"], facts, plan.extractor.features(images), rows, images[:SHOWN])


def table(
    outcomes: dict[str, Outcome],
    failures: dict[str, str],
    kid_change: Callable[[str, str], Estimate],
) -> pd.DataFrame:
    """One row per rung: its numbers, and how they differ from those of the rung compared with."""
    rows = []
    for rung in LADDER:
        row = {"rung": rung.name, "change": rung.change, "against": rung.against}
        row |= {"failed": failures.get(rung.name), "kid_change": None}
        if outcome := outcomes.get(rung.name):
            row |= {
                "weights": outcome.facts["weights"].split("@")[0],
                "n": len(outcome.rows),
                "steps": outcome.facts["nfe"],
                "out_of_band": outcome.facts["out_of_band"],
                "kid": outcome.scores["kid"]["value"],
                "kid_stderr": outcome.scores["kid"]["stderr"],
                "confidence": outcome.scores["confidence"]["value"],
                "noise_std": outcome.scores["noise_std"]["value"],
            }
            if rung.against in outcomes:
                kid = kid_change(rung.against, rung.name)
                confidence = confidence_change(outcomes, rung.against, rung.name)
                row |= {"kid_change": kid.value, "kid_change_stderr": kid.stderr}
                row |= {
                    "confidence_change": confidence.value,
                    "confidence_change_stderr": confidence.stderr,
                }
        rows.append(row)
    return pd.DataFrame(rows)


def strips(outcomes: dict[str, Outcome]) -> list[tuple[str, np.ndarray]]:
    """Label and first images of each rung, in the order of the ladder."""
    return [
        (f"{rung.name} {rung.change}", outcomes[rung.name].images)
        for rung in LADDER
        if rung.name in outcomes
    ]
