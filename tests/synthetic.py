"""Synthetic result folders, as `bench run` and `bench score` write them, for the tests of the report."""

import numpy as np
import pandas as pd

from bench import sheets
from bench.runs import Run
from bench.scoring import catalogue

LEVELS = [150, 5, 0.5, 0.01]
SCORES = {"fid": 5.0, "kid": 0.003, "confidence": 0.97, "noise_std": 0.001, "precision": 0.9}
FACTS = {
    "schema_version": 2,
    "status": "finished",
    "weights": "card@01234567",
    "options": {},
    "sampler": {"num": 20, "steps": 4, "sampler": "ddpm", "grid": "ddpm", "eta": 1.0, "clip": True},
    "seed": 0,
    "dataset": "mnist@d3",
    "spec": {"weights": "card@01234567", "sigma_min": 0.0, "sigma_max": 0.4},
    "out_of_band": 0.0,
    "nfe": 4,
    "cost": {"seconds": 1.0, "seconds_per_image": 0.05},
}


def entry(value, n=20, low=None, high=None):
    interval = None if low is None else [low, high]
    return {"value": value, "stderr": 0.001, "ci95": interval, "n": n, "higher_is_better": None}


def measured(copy_rate=0.0, **scores):
    scores = {
        name: entry(value, low=value - 0.002, high=value + 0.002) for name, value in scores.items()
    }
    pixels = {"copy_rate": entry(copy_rate, low=0, high=1), "d1_median": entry(4.0)}
    return {"scores": scores, "memorization": {"pixels": pixels}, "class_histogram": [2] * 10}


def metrics(fingerprint="aaaaaaaa", **changes):
    controls = {"held_out": measured(**SCORES | {"kid": 0.0005}), "gaussian": measured(kid=1.5)}
    said = {
        "verdict": {
            "memorization": "no evidence",
            "because": "distances are as those of held-out digits",
        }
    }
    whole = measured(**SCORES | changes.pop("scores", {}))
    whole |= said
    scoring = {"dataset": "mnist@d3", "features": "lenet-a@ef"}
    base = {
        "schema_version": 2,
        "fingerprint": fingerprint,
        "table": "bbbbbbbb",
        "scoring": scoring,
    }
    return base | whole | {"controls": controls} | changes


def write_run(folder, rng, name, images=None, facts=(), **changes):
    """A finished run of 20 images in `folder`; `facts` go into run.json, `changes` into metrics.json, over the usual.

    scores  those that differ
    """
    digit = np.zeros((28, 28), np.uint8)
    digit[8:20, 10:16] = 255
    run = Run(folder / name / "run")
    run.path.mkdir(parents=True)
    run.write_json(
        "run.json", FACTS | {"denoiser": name, "argv": ["run", "--denoiser", name]} | dict(facts)
    )
    shown = np.stack([digit] * 20) if images is None else images
    run.write_npz("samples.npz", arr_0=shown[..., None], ids=np.arange(20))
    run.write("grid.png", lambda file: sheets.grid(shown, file))
    ratio = np.linspace(0.9, 0.5, 20)
    run.write("nearest.png", lambda file: sheets.nearest(shown, shown, ratio, file))
    run.write("mixed.png", lambda file: sheets.mixed(shown, np.full((20, 2), 1), ratio, file))
    content = metrics(**changes)
    rows = pd.DataFrame({"id": range(20), "nearest": range(100, 120), "d1": 4.0, "ratio": ratio})
    rows.to_csv(run.path / f"per_sample-{content['fingerprint']}.csv", index=False)
    trace = {
        "sigma": LEVELS,
        "sigma_hat": [150, 5, 0.4, 0.02],
        "clipped": 0.1,
        "autocorrelation": 0,
    }
    pd.DataFrame(trace).to_csv(run.path / "trace.csv", index_label="step")
    x = rng.integers(0, 255, (3, len(LEVELS), 28, 28), dtype=np.uint8)
    run.write_npz("trajectory.npz", sigma=np.array(LEVELS), x=x, denoised=x, forward=x)
    run.write_json(f"metrics-{content['fingerprint']}.json", content)
    return run


def write_whole_run(folder, rng, name, kid=0.003, facts=(), **changes):
    """As `write_run`, with all that makes it rank: every score that is compared, with bootstrap values."""
    scores = dict.fromkeys(catalogue.COMPARED, 1.0) | SCORES | {"kid": kid}
    spaces = {
        space: {"copy_rate": entry(0.0, low=0, high=0.01)}
        for space in ("pixels", "shifted", "guarded", "features")
    }
    controls = {"held_out": measured(**scores | {"kid": 0.0}), "gaussian": measured(kid=1.5)}
    second = {"features": "lenet-b@00", "fid": entry(1.0), "kid": entry(kid)}
    whole = {
        "scores": scores,
        "memorization": spaces,
        "second": second,
        "controls": controls,
    } | changes
    run = write_run(folder, rng, name, facts=facts, **whole)
    names = (*catalogue.COMPARED, *catalogue.COPIES)
    values = {name: np.full(50, scores.get(name, 0.0)) for name in names}
    values["kid"] = kid + 0.001 * rng.normal(size=50)
    (mark,) = (path.removeprefix("metrics-").removesuffix(".json") for path in run.metrics)
    run.write_npz(f"replicates-{mark}.npz", **values)
    return run
