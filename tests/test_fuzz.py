"""Wrong command lines: whatever is typed, the answer is one sentence that names its flag, and nothing is written."""

import random
from pathlib import Path

import numpy as np
import pytest
import typer

from bench.cli.entry import app

COMMANDS = typer.main.get_command(app).commands
LINES = 320
NUMBERS = [
    "",
    " ",
    "x",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "٣",
    "1_0",
    "0x10",
    "9" * 30,
    "9" * 5000,
    "-1",
    "1,5",
    "-0.5",
]
WORDS = ["", " ", "a" * 5000]
NAMES = [
    "zzz",
    ":",
    "zzz:",
    ":zzz",
    "a:b:c",
    "builtins:exit",
    "sys:exit",
    "os:getcwd",
    "torch.nn:Linear",
    "zzz.py:x",
]
PLACES = {"--out": ["/proc/nowhere/x", "file/x"], "--figure": [".", "/proc/nowhere/x.png"]}
INPUTS = ["nowhere", "/dev/null", "file", "/proc/nowhere"]
WRONG = {  # what is wrong with flags and arguments whose values are words of their own
    "--denoiser": NAMES,
    "--sampler": NAMES,
    "--features": ["zzz", "timm:zzz", "inception:zzz", "lenet-a ", "Lenet-a"],
    "--features-weights": INPUTS,
    "--weights": ["zzz", "nowhere.safetensors", "file"],
    "--option": ["zzz", "=1", "zzz=1", "weights=x", "train=1", "labels=2"],
    "--device": ["tpu", "cpu:99", "cuda:99", "cpu:", "CPU", "mps:3"],
    "--max-bytes": ["0", "-1", "x", "1Z", "1e3", "٣", "9" * 30],
    "--workers": ["0", "-1", "all", "٣", "1.5", "9" * 25],
    "--images": INPUTS,
    "--data": ["nowhere", "file"],
    "--sigma": ["zzz", "-5", "50-0", "nan", "1-2-3"],
    "--format": ["pdf", "html,", ",", "html,pdf", "HTML"],
    "NAME": NAMES,
    "KIND": ["zzz", "denoiser", "Denoisers"],
    "NETWORK": ["zzz", "resnet"],
    "PATH": INPUTS,
    "FOLDER": ["nowhere", "file"],
}
FILE_NAMES = ["../x", "/abs", "a/b", "..", ".hidden", "-x ", "é", "a b", "a" * 101]
TITLES = ["...", "\n", "a" * 200, "\x1b[31m"]


@pytest.fixture
def place(bench, tmp_path, make_run):
    """A folder with what right command lines need; gives what runs a line there, and the right lines."""
    np.savez(
        tmp_path / "samples.npz",
        arr_0=np.random.default_rng(0).integers(0, 256, (8, 28, 28), np.uint8),
    )
    (tmp_path / "file").write_text("no weights, no images")
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        make_run(name)
    runs = [str(path.parent) for path in sorted((tmp_path / "results").rglob("run.json"))]
    small = ["--dataset", "mnist5k"]
    return bench, {
        "run": ["--denoiser", "kbnet", *small, "--num", "6", "--steps", "2"],
        "report": ["results"],
        "score": ["samples.npz", *small],
        "compare": runs,
        "list": ["denoisers"],
        "info": ["kbnet"],
        "check": ["kbnet"],
        "gauge": ["--denoiser", "kbnet", *small, "--num", "4"],
        "study": ["ladder", *small, "--num", "6"],
        "train": ["kbnet", "--epochs", "1", "--data", "photos"],
    }


def wrong_values(command: str, flag: str, shown: str) -> list[str]:
    """Values that a flag or argument must refuse; `shown` is what its help says it takes."""
    own = {
        ("train", "--name"): FILE_NAMES,
        ("score", "--name"): TITLES,
        ("study", "NAME"): ["zzz", "ladders"],
    }
    if (command, flag) in own:
        return [*WORDS, *own[command, flag]]
    first = shown.split("|", maxsplit=1)[0]
    if flag in PLACES or flag in WRONG:
        return [*WORDS, *PLACES.get(flag, []), *WRONG.get(flag, [])]
    if ".." in shown:
        return NUMBERS
    return [*WORDS, "zzz", first.upper(), f"{first} ", shown] if "|" in shown else WORDS


def one_of_many(draw: random.Random, lines: dict[str, list[str]]) -> tuple[list[str], str]:
    """A wrong line, and the flag, argument or word that its answer must name."""
    command = draw.choice(sorted(lines))
    params = [param for param in COMMANDS[command].params if param.name != "help"]
    param = draw.choice(params)
    flag = param.opts[0] if param.opts[0].startswith("-") else param.metavar
    line = [command, *lines[command]]
    kind = draw.choice(["value"] * 8 + ["unknown", "nothing", "extra"])
    if kind == "unknown":
        return [
            *line,
            draw.choice(["--zzz", "--zzz=1", f"{flag}z", "-q"] if flag[0] == "-" else ["--zzz"]),
        ], "-"
    if kind == "extra" and command not in ("compare", "list", "report"):
        return [*line, "superfluous"], "superfluous"
    if param.metavar is None:  # a switch
        return [*line, f"{flag}=maybe"], flag
    if kind == "nothing" and flag.startswith("-"):
        return [*line, flag], flag
    value = draw.choice(wrong_values(command, flag, param.metavar))
    if not flag.startswith("-"):
        return [command, "--", value, *[value] * (command == "compare")], flag
    return [*line, f"{flag}={value}"], flag


@pytest.mark.parametrize("part", range(8))
def test_wrong_lines_end_in_one_sentence_that_names_the_flag(place, tmp_path, part):
    bench, lines = place
    draw = random.Random(f"wrong {part}")
    before = sorted(path for path in tmp_path.rglob("*"))
    for _ in range(LINES // 8):
        line, named = one_of_many(draw, lines)
        status, out, err = bench(*line)
        told = [said for said in err.splitlines() if said.startswith("error:")]
        assert status in (1, 2), (line, out, err)
        assert len(told) == 1, (line, err)
        assert err.splitlines()[-1] == told[0], (line, err)
        assert named in told[0], (line, told)
        assert len(told[0]) < 600, (line, told)
        assert "BENCH_DEBUG" not in told[0], (line, told)
        tables = line[0] == "report" and named == "--out"  # printed, even if nothing can be written
        assert out == "" or tables, (line, out)
        after = sorted(path for path in tmp_path.rglob("*"))
        assert [path for path in after if path not in before and not empty(path)] == [], line


def empty(path: Path) -> bool:
    """A folder that was made to see whether it can be."""
    return path.is_dir() and not any(path.iterdir())
