"""Run folders to one table per protocol. Reads what runs have written; computes nothing anew."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from bench import runs
from bench.protocol import SETTINGS
from bench.runs import Run

COLUMNS = ["denoiser", "N", "FID", "KID x 1e3", "confidence", "copy rate", "out of band", "NFE", "s/image"]
HELD_OUT = "held-out digits"


def collect(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """One row per finished run below `folder`, and a sentence for every run that is not finished or not readable.

    Columns of the frame: fingerprint, protocol (in words), denoiser, path, and for each score of a run and of its
    control the value and, where there is one, its stderr and interval.

    Raises FileNotFoundError if there is no folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; `bench run --out {folder}` writes one")
    rows, unfinished = [], []
    for run in runs.find(folder):
        try:
            facts = run.read_json("run.json")
            if not run.complete:
                unfinished.append(f"{run.path}: {describe_status(facts)}")
                continue
            rows.append(flatten(run, facts, run.read_json("metrics.json")))
        except ValueError as error:
            unfinished.append(str(error))
        except (KeyError, TypeError, AttributeError) as error:
            unfinished.append(f"{run.path}: not a run this version can read (at {error})")
    return pd.DataFrame(rows), unfinished


def describe_status(facts: dict[str, Any]) -> str:
    """Why a run has no numbers."""
    if facts.get("status") == "failed":
        return f"failed: {facts.get('error')}"
    return "started, not finished; the same `bench run` command resumes it"


def flatten(run: Run, facts: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """The parts of `run.json` and `metrics.json` that tables show, in one level."""
    sampler = facts["sampler"]
    options = "".join(f" {key}={value}" for key, value in facts["options"].items())
    row = {
        "fingerprint": scores["fingerprint"],
        "protocol": f"{facts['dataset'].split('@')[0]}, {sampler['num']} images, {sampler['steps']} steps, "
        f"{describe_sampler(sampler)} on the {sampler['grid']} grid, {describe_start(sampler)}"
        f"features {facts['scoring']['features']}",
        "denoiser": f"{facts['denoiser']} {re.sub('@[0-9a-f]{8}', '', facts['weights'])}".rstrip() + options,
        "weights": facts["weights"],
        "seed": facts["seed"],
        "out_of_band": facts["out_of_band"],
        "nfe": facts["nfe"],
        "seconds_per_image": facts["cost"]["seconds_per_image"],
        "path": run.path.as_posix(),
    }
    for prefix, values in (("", scores), ("held_out_", scores["controls"]["held_out"])):
        for name in ("fid", "kid", "confidence", "copy_rate"):
            number = values[name]
            row |= {
                f"{prefix}{name}": number["value"],
                f"{prefix}{name}_stderr": number["stderr"],
                f"{prefix}n": number["n"],
            }
        row[f"{prefix}copy_rate_low"], row[f"{prefix}copy_rate_high"] = values["copy_rate"]["ci95"]
    return row


def describe_sampler(sampler: dict[str, Any]) -> str:
    """Name and settings, as in "ddpm (eta 1)"."""
    settings = ", ".join(f"{key} {sampler[key]:g}" for key in SETTINGS if key in sampler)
    return f"{sampler['sampler']} ({settings})" if settings else sampler["sampler"]


def describe_start(sampler: dict[str, Any]) -> str:
    """What is unusual about a protocol, in words; empty if nothing is."""
    words = []
    if "start" in sampler or "sigma_max" in sampler:
        level = f" at sigma {sampler['sigma_max']:g}" if "sigma_max" in sampler else ""
        words.append(f"started from {sampler.get('start', 'noise')}{level}")
    if not sampler["clip"]:
        words.append("not clipped")
    return "".join(f"{word}, " for word in words)


def table(group: pd.DataFrame) -> pd.DataFrame:
    """One protocol's runs by rising KID, below their control, as text."""
    group = group.sort_values("kid")
    control = group.iloc[0].filter(like="held_out_").rename(lambda name: name.removeprefix("held_out_"))
    rows = [cells(HELD_OUT, control)]
    for _, run in group.iterrows():
        seeds = f" (seed {run['seed']})" if run["seed"] else ""
        extra = [f"{run['out_of_band']:.0%}", f"{run['nfe']:.4g}", f"{run['seconds_per_image']:.3g}"]
        rows.append(cells(run["denoiser"] + seeds, run)[:-3] + extra)
    return pd.DataFrame(rows, columns=COLUMNS)


def cells(name: str, row: pd.Series) -> list[str]:
    """The cells that a run and a control have in common; the others stay empty."""
    copies = f"{row['copy_rate']:.2%} [{row['copy_rate_low']:.2%}, {row['copy_rate_high']:.2%}]"
    kid = f"{1e3 * row['kid']:.2f} ± {1e3 * row['kid_stderr']:.2f}"
    return [name, str(row["n"]), f"{row['fid']:.2f}", kid, f"{row['confidence']:.3f}", copies, "", "", ""]


def markdown(frame: pd.DataFrame) -> str:
    """A table that reads as well in a terminal as in a rendered page."""
    lines = [list(frame.columns), *frame.to_numpy().tolist()]
    widths = [max(len(line[i]) for line in lines) for i in range(len(frame.columns))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def tables(frame: pd.DataFrame, unfinished: list[str]) -> str:
    """What `bench report` prints: a table per protocol, then the runs without numbers."""
    parts = []
    for fingerprint, group in frame.groupby("fingerprint", sort=False) if len(frame) else []:
        parts.append(f"Protocol {fingerprint}: {group['protocol'].iloc[0]}\n\n{markdown(table(group))}")
    if not parts:
        parts.append("No finished runs.")
    if unfinished:
        parts.append("Without numbers:\n\n" + "\n".join(f"- {line}" for line in unfinished))
    return "\n\n".join(parts) + "\n"


NOTES = """\
Numbers compare within a table only: its runs share data, sampler, number of images, features and reference.

- **held-out digits** is the control: test images, as many as there are samples (or all), scored in the same way.
- **FID** and **KID** are taken to the training set in the features named above. FID falls with N; KID does not, and as
  an unbiased estimate it can be negative. Its ± is one jackknife standard error.
- **confidence** is the mean probability of the predicted class, according to lenet-a.
- **copy rate** is the share of images with d1/d2 < 1/3 to the training set, with its exact 95 % interval. It sees
  near-exact copies only: a shift by one pixel escapes it.
- **out of band** is the share of steps at noise levels outside those the network was trained on.
- **s/image** is wall time, network and sampler together, on the device in `run.json`.
"""


def write(folder: Path, frame: pd.DataFrame, unfinished: list[str]) -> None:
    """`report.md` and `report.csv` into `folder`. Raises OSError if it cannot be written."""
    pages = ["# Report", tables(frame, unfinished), NOTES]
    for _, row in frame.iterrows():
        path = Path(row["path"]).relative_to(folder).as_posix()
        pages.append(
            f"## {row['denoiser']}, N = {row['n']}, seed {row['seed']} (protocol {row['fingerprint']})\n\n"
            f"![samples]({path}/grid.png)\n\n"
            f"Each sample beside its nearest training image, by rising d1/d2:\n\n![nearest]({path}/nearest.png)\n"
        )
    for study in sorted(folder.rglob("study.json")):
        name = study.parent.name
        path = study.parent.relative_to(folder).as_posix()
        pages.append(f"## Study: [{name}]({path}/{name}.md)\n\n![{name}]({path}/{name}.png)\n")
    page = Run(folder)
    page.write("report.md", lambda file: file.write("\n\n".join(pages).encode()))
    page.write("report.csv", lambda file: frame.to_csv(file, index=False))
