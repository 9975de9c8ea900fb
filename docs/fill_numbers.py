"""The numbers of the pages, and the map of the files: fills what stands between marks in Markdown, from tracked files.

    python docs/fill_numbers.py      (or: make numbers)

A mark names a whole table or one cell of one:

    <!-- numbers:standard -->          the table, on lines of its own
    <!-- numbers:standard/unet mnist/FID -->4.66<!-- /numbers -->   a number in a sentence

What is between a mark and its end is replaced; everything else stays as it was written.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from bench.reporting import words
from bench.reporting.results.entries import CONTROLS
from bench.reporting.table import markdown, percent, printed, short
from bench.scoring.catalogue import DISTANCES

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "results" / "reference"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
ROOMS = ("denoisers", "denoisers/unet", "denoisers/kbnet", "bench", "bench/cli", "bench/sampling")
ROOMS += (
    "bench/scoring",
    "bench/scoring/lenet",
    "bench/scoring/resnet",
    "bench/probes",
    "bench/studies",
    "bench/data",
)
ROOMS += tuple(f"bench/reporting{wing}" for wing in ("", "/results", "/page", "/figures"))
MARK = re.compile(r"(<!-- numbers:([^\n]+?) -->)(.*?)(<!-- /numbers -->)", re.DOTALL)
STDS = ("0.2", "0.5", "0.7", "1")  # of the noise that cards have errors for
STANDARD = "*-n2000-seed0-*"  # what folders of runs of the standard protocol are called
UNET = "unet mnist (seed 0)"
FIVE = ("held-out digits", "ideal", UNET, "kbnet mnist-all", "kbnet gray-blind50")


@cache
def report() -> dict[str, Any]:
    """The tracked report.json."""
    return json.loads((REFERENCE / "report.json").read_text())


def reported(num: int) -> pd.DataFrame:
    """The rows of the report with that many images, as report.json has them, controls among them."""
    rows = pd.DataFrame(report()["rows"])
    mark = rows.loc[(rows["n"] == num) & (rows["kind"] == "run"), "fingerprint"].iloc[0]
    return rows[rows["fingerprint"] == mark].dropna(axis="columns", how="all")


def board(num: int) -> pd.DataFrame:
    """All runs of so many images beside the floor, with the verdict of the report."""
    rows = reported(num)
    table = printed(rows)
    marks = set(rows["fingerprint"])
    verdicts = {
        found["name"]: found["verdict"]
        for found in report()["diagnoses"]
        if found["fingerprint"] in marks or found["name"] not in set(rows["name"])
    }
    return table.assign(verdict=table["denoiser"].map(verdicts).fillna(""))


def standard() -> pd.DataFrame:
    """All runs of the standard protocol."""
    return board(2000)


def five() -> pd.DataFrame:
    """The rows of `standard` that the README shows."""
    table = standard().set_index("denoiser", drop=False).loc[list(FIVE)]
    return table[["", "denoiser", "FID", "KID x 1e3", "conf", "mixed", "copies", "out", "verdict"]]


def scores(num: int = 2000) -> pd.DataFrame:
    """Every score of every row with so many images, and of the control sets, under its name in report.csv."""
    rows = reported(num)
    return rows.select_dtypes("number").map(short).assign(denoiser=rows["name"])


def cost() -> pd.DataFrame:
    """Of the tracked runs: the share of the workers' time that was spent outside the network."""
    rows = []
    for path in sorted(REFERENCE.glob(f"*/{STANDARD}/run.json")):
        facts = json.loads(path.read_text())
        spent = facts.get("cost") or {}
        if "workers" in spent:
            inside = spent["seconds_in_denoiser"] / (spent["seconds"] * spent["workers"])
            rows.append({"denoiser": facts["denoiser"], "outside": percent(1 - inside, 1)})
    return pd.DataFrame(rows).drop_duplicates("denoiser")


def ladder() -> pd.DataFrame:
    """The rungs of the ladder: the change, by how much KID changed, and what came out."""
    rows = pd.read_csv(REFERENCE / "ladder" / "ladder.csv", dtype={"against": str})
    return pd.DataFrame(
        {
            "rung": rows["rung"],
            "what is changed": rows["change"],
            "beside": rows["against"].fillna(""),
            "weights": rows["weights"].fillna("-"),
            "KID x 1e3": [short(1e3 * kid) for kid in rows["kid"]],
            "change of KID": [signed(1e3 * change) for change in rows["kid_change"]],
            "conf": [f"{value:.3f}" for value in rows["confidence"]],
            "noise left": [f"{value:.3f}" for value in rows["noise_std"]],
            "out": [percent(share) for share in rows["out_of_band"]],
        }
    )


def times_floor() -> str:
    """FID of the U-Net over that of as many held-out digits, with 10 000 images."""
    rows = reported(10_000)
    (floor,) = rows.loc[rows["name"] == CONTROLS["held_out"], "fid"]
    (own,) = rows.loc[rows["name"].str.startswith("unet"), "fid"]
    return short(own / floor)


def study(name: str) -> Callable[[], pd.DataFrame]:
    """The table on the page of a study."""

    def read() -> pd.DataFrame:
        page = json.loads((REFERENCE / name / "page.json").read_text())
        head, *rows = next(block["content"] for block in page["blocks"] if block["kind"] == "table")
        return pd.DataFrame(rows, columns=head)

    return read


def said(name: str) -> Callable[[], str]:
    """What a study concludes, as the list on its page."""

    def read() -> str:
        folder = REFERENCE / name
        text = (folder / f"{folder.name}.md").read_text()
        return "\n".join(line for line in text.splitlines() if line.startswith("- "))

    return read


def signed(change: float) -> str:
    """Three digits with a sign; empty for what is missing."""
    return "" if pd.isna(change) else f"{'+' if change > 0 else ''}{short(change)}"


def controls() -> pd.DataFrame:
    """What the statistics of copies make of each control set, and the verdict on it."""
    run = next((REFERENCE / "unet").glob(f"{STANDARD}/metrics-*.json"))
    measured = json.loads(run.read_text())["controls"]

    def row(name: str, title: str) -> dict[str, str]:
        found = measured[name]["memorization"]
        pixels, shifted, median = found["pixels"], found["shifted"], found["guarded"]
        return {
            "control": title,
            "copy rate: pixels": percent(pixels["copy_rate"]["value"]),
            "shifted": percent(shifted["copy_rate"]["value"]),
            "median": percent(median["copy_rate"]["value"]),
            "excess at 1 %: pixels": excess(pixels["excess_1"]["value"]),
            "excess, median": excess(median["excess_1"]["value"]),
            "AUC": f"{pixels['auc']['value']:.3f}",
            "AuthPct": percent(pixels["authpct"]["value"]),
            "verdict": measured[name]["verdict"]["memorization"],
        }

    return pd.DataFrame([row(*named) for named in CONTROLS.items()])


def excess(share: float) -> str:
    """A share in percent; with a decimal where it is below one percent, and none of it a minus zero."""
    return percent(share, 0 if abs(share) >= 0.01 else 1).replace("-0.0%", "0.0%")


def cards(folder: str) -> dict[str, dict]:
    """The cards in a folder of weights, by their names."""
    return {
        path.stem: json.loads(path.read_text()) for path in sorted((ROOT / folder).glob("*.json"))
    }


def unet() -> pd.DataFrame:
    """The cards of the U-Net of digits: squared error on held-out digits."""
    found = cards("denoisers/unet").items()
    return errors({name: card for name, card in found if card["data"].startswith("mnist")})


def errors(found: dict[str, dict]) -> pd.DataFrame:
    """Cards as rows, with the squared errors that they hold."""
    rows = [
        {"card": f"`{name}`", "parameters": f"{card['parameters'] / 1e6:.1f} M"}
        | {f"std {std}": f"{card['held_out_mse_x_1e3'][f'std {std}']:.3f}" for std in STDS}
        for name, card in found.items()
        if "held_out_mse_x_1e3" in card
    ]
    return pd.DataFrame(rows)


def kbnet_digits() -> pd.DataFrame:
    """The cards of KBNet that were trained on digits."""
    found = cards("denoisers/kbnet").items()
    return errors({name: card for name, card in found if card["data"].startswith("mnist")})


def tiles() -> pd.DataFrame:
    """The cards of both networks that were trained on tiles of photographs: squared error on held-out tiles."""
    rooms = {"U-Net": "denoisers/unet", "KBNet": "denoisers/kbnet"}
    parts = [
        errors({"patches": cards(folder)["patches"]}).assign(network=network)
        for network, folder in rooms.items()
    ]
    return pd.concat(parts).set_index("network").reset_index()


def kbnet_photographs() -> pd.DataFrame:
    """The cards of KBNet trained on photographs, PSNR, a star outside the noise they know; then published ones."""
    found = {
        name: card
        for name, card in cards("denoisers/kbnet").items()
        if card.get("psnr") is not None
    }
    rows = [
        {"card": f"`{name}`"} | decibels(card["psnr"], card.get("out_of_band", ()))
        for name, card in found.items()
    ]
    published = next(iter(found.values()))["psnr_published"]
    rows += [{"card": f"{name}, published"} | decibels(psnr) for name, psnr in published.items()]
    return pd.DataFrame(rows)


def decibels(psnr: dict[str, dict[str, float]], outside: Sequence[str] = ()) -> dict[str, str]:
    """PSNR of both sets of photographs at each noise level; empty where there is none."""
    return {
        f"{title}, {level}": f"{psnr[folder][level]:.2f}{'*' * (level in outside)}"
        if level in psnr[folder]
        else ""
        for folder, title in (("set12", "Set12"), ("bsd68", "BSD68"))
        for level in ("15", "25", "50")
    }


def speed(device: str) -> pd.DataFrame:
    """What benchmarks/gpu.py or benchmarks/speed.py measured last, line by line; nothing before the first time."""
    found = measured(device)
    rows = [
        {
            "part": line["part"],
            "what": line["what"],
            "measured": f"{short(line['value'])} {line['unit']}",
            "beside": beside(line["ratio"], line["beside"]),
            "memory": "" if line["memory"] is None else f"{line['memory']:.2f} GB",
        }
        for lines in found.get("parts", {}).values()
        for line in lines
    ]
    failed = found.get("failed", {}).items()
    rows += [
        {"part": name, "what": "", "measured": why, "beside": "", "memory": ""}
        for name, why in failed
    ]
    table = pd.DataFrame(rows, columns=["part", "what", "measured", "beside", "memory"])
    table["part"] = table["part"].where(table["part"].ne(table["part"].shift()), "")
    return table


def measured(device: str) -> dict[str, Any]:
    """The file of a benchmark; empty where there is none yet."""
    path = REFERENCE / "speed" / f"{device}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def scale() -> pd.DataFrame:
    """What benchmarks/scale.py measured last: each stage, and the most memory in it."""
    stages = measured("scale").get("stages", [])
    return pd.DataFrame(
        {
            "stage": line["stage"],
            "seconds": short(line["seconds"]),
            "memory": f"{line['own_gb']:.1f} GB",
            "with pages of files": f"{line['with_files_gb']:.1f} GB",
        }
        for line in stages
    )


def scale_asked() -> str:
    """How much it was measured with, and on what."""
    found = measured("scale")
    if not found:
        return "Not measured yet."
    asked, machine = found["asked"], found["machine"]
    over = any(line["stage"].startswith("scores") for line in found["stages"])
    return (
        f"{asked['num']} images of {asked['side']} x {asked['side']} against {asked['train']}, beside "
        f"{asked['held_out']} held out; neighbours of {asked['searched'] or asked['num']} of them; on "
        f"{machine['device']}, one thread (torch {machine['torch']}, commit {machine['commit']})."
        f"{'' if over else ' The scores themselves were not over when this was written.'}"
    )


def gpus() -> pd.DataFrame:
    """Seconds of sampling, from the rates that benchmarks/gpu.py measured on one GPU, and of all else of a run."""
    parts = measured("gpu")["parts"]
    rates = {line["part"]: line["value"] for line in parts["sampler"] if line["what"] == "sampler"}
    few, many = min(rates.values()), max(rates.values())
    runs = {"standard": (2000, 50, few), "paper": (10_000, 1000, many), "": (50_000, 1000, many)}
    rows = [
        {
            "protocol": f"`{name}`" if name else "",
            "images": f"{num}",
            "steps": f"{steps}",
            "one GPU": f"{num * steps / rate:.1f} s",
            "eight": f"{num * steps / rate / 8:.1f} s",
        }
        for name, (num, steps, rate) in runs.items()
    ]
    whole, sampling = (line["value"] for line in parts["protocols"][2:4])
    rest = f"{whole - sampling:.1f} s"
    rows.append({"protocol": "all else of `standard`", "images": "2000", "one GPU": rest})
    return pd.DataFrame(rows).fillna("")


def beside(ratio: float | None, other: str) -> str:
    """How many times as fast as something else."""
    return "" if ratio is None else f"{ratio:.3g} x {other}"


def measured_on(device: str) -> str:
    """When and on what these speeds were measured, in a sentence."""
    facts = measured(device).get("machine")
    if facts is None:
        return "Not measured yet."
    cores = f"{facts['cores']} cores, torch {facts['torch']}, Python {facts['python']}"
    return (
        f"Measured in {facts['month']} on {facts['device']}, {cores}, at commit {facts['commit']}."
    )


def lenet() -> pd.DataFrame:
    """The cards of the classifiers."""
    rows = [
        {
            "card": f"`{name}`",
            "parameters": f"{card['parameters'] / 1e6:.2f} M",
            "test accuracy": percent(card["held_out_accuracy"], 2),
        }
        for name, card in cards("bench/scoring/lenet").items()
    ]
    return pd.DataFrame(rows)


def classifiers() -> pd.DataFrame:
    """The cards of the classifiers of natural images."""
    rows = [
        {
            "card": f"`{name}`",
            "parameters": f"{card['parameters'] / 1e6:.2f} M",
            "in colour": percent(card["held_out_accuracy"], 2),
            "in grey": percent(card["in_grey"], 2),
        }
        for name, card in cards("bench/scoring/resnet").items()
    ]
    return pd.DataFrame(rows)


def panels() -> pd.DataFrame:
    """What benchmarks/panel.py measured, of all datasets."""
    paths = sorted((REFERENCE / "panel").glob("*.csv"))
    frames = [pd.read_csv(path).assign(data=path.stem) for path in paths]
    return pd.concat(frames, ignore_index=True)


def panel_ladder() -> pd.DataFrame:
    """KID x 1e3 of held-out images, worse from left to right, in the features of both classifiers."""
    found = panels()
    found = found[found["at"].notna()]
    rows = []
    for (data, kind), part in found.groupby(["data", "set"], sort=False):
        for name in ("cifar-a", "cifar-b"):
            kids = 1e3 * part.sort_values("at")[f"kid_{name}"]
            steps = [short(kid) if abs(kid) >= 1 else f"{kid:.1f}" for kid in kids]
            in_order = "yes" if kids.is_monotonic_increasing else "no"
            rows.append([data, kind, name, *steps, in_order])
    count = len(rows[0]) - 5
    heading = ["data", "worse by", "features", "as they are", *map(str, range(1, count + 1))]
    return pd.DataFrame(rows, columns=[*heading, "in order"])


def panel_copies() -> pd.DataFrame:
    """The share of copies in each control set, by distance, and the verdict."""
    found = panels()
    found = found[found["at"].isna()]
    rows = [
        {"data": row["data"], "control": words.said(CONTROLS[row["set"]], row["dataset"])}
        | {space: percent(row[f"copies_{space}"], 1) for space in DISTANCES}
        | {"verdict": row["verdict"]}
        for _, row in found.iterrows()
    ]
    return pd.DataFrame(rows)


def recipes() -> str:
    """How each card was trained, by the command that it names."""
    found = [card for folder in ("unet", "kbnet") for card in cards(f"denoisers/{folder}").values()]
    for kind in ("lenet", "resnet"):
        found += cards(f"bench/scoring/{kind}").values()
    return "\n".join(f"- `{card['name']}`: `{card['command']}`" for card in found)


def hypotheses() -> str:
    """What the study says of its hypotheses, in its own words."""
    return (REFERENCE / "ladder" / "ladder.md").read_text().partition("## Hypotheses\n")[2].strip()


def files() -> str:
    """Every module of the product, room by room, with the first line of its docstring."""
    parts = []
    for folder in ROOMS:
        title = f"**`{folder}/`**"
        lines = [
            f"- `{path.name}`: {line}"
            for path in sorted((ROOT / folder).glob("*.py"))
            if path.name != "__init__.py" and (line := first_line(path))
        ]
        about = first_line(ROOT / folder / "__init__.py")
        parts.append("\n".join([f"{title} {about}", "", *lines]))
    return "\n\n".join(parts)


def first_line(path: Path) -> str:
    """What the docstring of a module begins with."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "standard": standard,
    "10000": lambda: board(10_000),
    "ink": lambda: scores(10_000),
    "five": five,
    "scores": scores,
    "cost": cost,
    "ladder": ladder,
    "samplers": study("samplers"),
    "finalists": study("finalists/samplers"),
    "convergence": study("convergence"),
    "band": study("band"),
    "controls": controls,
    "unet": unet,
    "kbnet digits": kbnet_digits,
    "tiles": tiles,
    "kbnet photographs": kbnet_photographs,
    "lenet": lenet,
    "classifiers": classifiers,
    "cross": study("cross"),
    "panel ladder": panel_ladder,
    "panel copies": panel_copies,
    "speed cpu": lambda: speed("cpu"),
    "speed gpu": lambda: speed("gpu"),
    "scale": scale,
    "gpus": gpus,
}
TEXTS: dict[str, Callable[[], str]] = {
    "hypotheses": hypotheses,
    "times floor": times_floor,
    "samplers said": said("samplers"),
    "finalists said": said("finalists/samplers"),
    "convergence said": said("convergence"),
    "band said": said("band"),
    "cross said": said("cross"),
    "recipes": recipes,
    "files": files,
    "machine cpu": lambda: measured_on("cpu"),
    "scale asked": scale_asked,
    "machine gpu": lambda: measured_on("gpu"),
}
INLINE = ("times floor",)  # inside a sentence
table = cache(lambda name: TABLES[name]())


def text_of(name: str) -> str:
    """What belongs between the marks of that name.

    Raises KeyError for a name of nothing.
    """
    if name in TEXTS:
        text = TEXTS[name]()
        return text if name in INLINE else f"\n{text}\n"
    source, *cell = name.split("/", 1)
    found = table(source)
    if not cell:
        return f"\n{markdown(found)}\n"
    row, _, column = cell[0].rpartition("/")
    first = next(
        title
        for title in ("denoiser", "rung", "control", "card", "member", "point")
        if title in found
    )
    return found.set_index(found[first].str.strip("`")).loc[row, column]


def filled(page: str) -> str:
    """A page of Markdown with what belongs between its marks."""
    return MARK.sub(lambda found: f"{found[1]}{text_of(found[2])}{found[4]}", page)


def main() -> None:
    """Write every page whose numbers are not those of the tracked files, and say which."""
    for path in PAGES:
        before = path.read_text()
        after = filled(before)
        if after != before:
            path.write_text(after)
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
