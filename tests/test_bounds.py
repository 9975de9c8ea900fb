"""Every number of a command line lies within a bound that --help shows, and is checked before anything is begun."""

import math
import re
from typing import get_args, get_type_hints

import numpy as np
import pytest

from bench.bounds import BOUNDS, DIGITS, EMA, EPOCHS, TRAINING_SEED, WORK
from bench.cli.entry import app
from denoisers.bounds import FINITE, GREY, LEVEL, SIDE, WHOLE, grey_levels, number
from denoisers.errors import UsageError

ALL = [*BOUNDS.values(), DIGITS, EMA, EPOCHS, TRAINING_SEED, WORK, LEVEL, GREY, SIDE, WHOLE, FINITE]
ODD = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "0x10",
    "1_0",
    "½",
    "٣",
    "1e",
    "--1",
    "9" * 301,
    "1.",
    "1e3 ",
    "twelve",
)


@pytest.mark.parametrize("bound", ALL, ids=str)
def test_a_bound_takes_its_ends_and_nothing_beyond(bound):
    for end, step in ((bound.low, -1), (bound.high, 1)):
        beyond = math.nextafter(end, step * math.inf) if bound.fraction else end + step
        if not (bound.above and end == bound.low):
            assert bound.parse(repr(end)) == end
        for value in (beyond, step * math.inf, math.nan):
            with pytest.raises(UsageError, match=re.escape(f"must lie in {bound}; found ")):
                bound.check(value, "")
    if bound.above:
        with pytest.raises(UsageError):
            bound.check(bound.low, "")


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_number_is_refused(text):
    for bound in ALL:
        if bound.fraction and text == "1.":
            continue
        with pytest.raises(UsageError, match=r"must (be a (whole )?number|lie) in .*; found"):
            bound.parse(text)


def test_a_number_is_shown_as_it_is():
    assert [number(value) for value in (2**63, 10**31, -(10**40), 1e300, 0.05, 7)] == [
        str(2**63),
        str(10**31),
        "-1e+40",
        "1e+300",
        "0.05",
        "7",
    ]


@pytest.mark.parametrize(
    ("text", "levels"),
    [("25", (25, 25)), ("0-50", (0, 50)), ("0.5-1e2", (0.5, 100)), ("7-7", (7, 7))],
)
def test_grey_levels(text, levels):
    assert grey_levels(text) == levels


@pytest.mark.parametrize(
    "text", ["0", "0-0", "50-0", "-5", "5-", "1-2-3", "nan", "1-inf", "1e300", "all", ""]
)
def test_other_grey_levels_are_refused(text):
    with pytest.raises(UsageError, match="must be a grey level or a range such as 0-50, in 0"):
        grey_levels(text)


def parameters():
    """(flag or argument, whether it takes no value, what typer is told of it) of all commands."""
    for command in app.registered_commands:
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            if name != "return":
                kind, info = get_args(hint)[:2]
                # Where typer first puts the flag.
                flag = info.default if isinstance(info.default, str) else name
                yield flag, bool in (kind, *get_args(kind)), info


def test_help_shows_what_is_taken():
    """Nothing that has a value is read by a type of typer's own, which would take any number and show no range."""
    found = [(name, info) for name, flag, info in parameters() if not flag]
    assert len(found) > 60
    for name, info in found:
        assert info.parser is not None, name
        assert info.metavar, name
    first = dict(reversed(found))  # of each flag: as `bench run` has it, if it does
    shown, helps = (
        {name: getattr(info, field) for name, info in first.items()}
        for field in ("metavar", "help")
    )
    for key, bound in BOUNDS.items():
        assert str(bound) in shown[f"--{key}"]
    assert str(GREY) in shown["--sigma"]
    assert ".." in shown["--max-bytes"]
    assert str(WORK) in helps["--steps"]
    assert str(LEVEL) in helps["--denoiser"]


PLUG = "from denoisers.closed_form import Identity\ndef load(width=8, rate=0.5):\n    return Identity()\n"
RUN = "run --denoiser identity"
REFUSED = {
    f"{RUN} --grid karras --sigma-max 1e300": "--sigma-max: must lie in >0..1000000; found 1e+300",
    f"{RUN} --grid karras --sigma-max 0.002": "--sigma-max: must lie in >0.002..",
    f"{RUN} --grid karras --sigma-max 0.00200000000001 --sampler dpmpp_2m": "--steps: must be fewer: 50 levels",
    f"{RUN} --grid karras --num 10000000 --steps 100000": "--steps: times --num must lie in 1..10000000000; found",
    f"{RUN} --start held-out --num 1001": "--start: held-out has 1000 images",
    f"{RUN} --batch-size 0": "--batch-size: must lie in",
    f"{RUN} --workers 257": "--workers: must lie in",
    f"{RUN} --seed 9223372036854775808": "--seed: must lie in 0..9223372036854775807; found 9223372036854775808",
    f"{RUN} --device cuda:{'9' * 30}": "--device: no device",
    f"{RUN} --max-bytes 0": "--max-bytes: must be a number of bytes",
    f"{RUN} --max-bytes 1e9": "--max-bytes: must be a number of bytes",
    "run --denoiser splice:mean,identity@1e300": "--denoiser: expected splice:A,B@SIGMA, two denoisers and a level",
    "run --denoiser splice:mean,identity@nan": "--denoiser: expected splice:A,B@SIGMA, two denoisers and a level",
    "run --denoiser gmm --option components=0": "--option: components must lie in 1..500; found 0",
    "run --denoiser gmm --option components=1e9": "--option: components must be label or a whole number in 1..500",
    "run --denoiser one-image --option index=4000": "--option: index must lie in 0..3999; found 4000",
    "run --denoiser median --option largest=33": "--option: largest must lie in 1..31; found 33",
    "run --denoiser plug.py:load --option rate=1e999": "--option: option 'rate' of 'plug.py:load' must lie in",
    "run --denoiser kbnet --option size=4097": "--option: size must be 28, 28x20 (rows first), sides in 1..4096",
    "gauge --denoiser identity --num 1001": "--num: mnist5k has 1000 held-out images; found 1001",
    "gauge --denoiser identity --option x=1": "--option: denoiser 'identity' has no option 'x'",
    "study ladder --num 1001": "--start: held-out has 1000 images; found --num 1001",
    "score few.npz --num 21": "--num: must lie in 6..20, the images in few.npz; found 21",
    "train kbnet --sigma 1e300": "--sigma: must be a grey level or a range such as 0-50, in 0..127500000",
    "train kbnet --sigma 50-0": "--sigma: must be a grey level",
    "train kbnet --epochs 100001": "--epochs: must lie in 1..100000",
    "train lenet --seed 2147483648": "--seed: must lie in",
}


@pytest.mark.parametrize("line", REFUSED)
def test_nothing_is_begun_before_all_are_checked(bench, tmp_path, line):
    (tmp_path / "plug.py").write_text(PLUG)
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
    np.savez(tmp_path / "few.npz", arr_0=images)
    before = sorted(tmp_path.rglob("*"))
    data = [] if line.startswith("train") else ["--dataset", "mnist5k"]
    status, out, said = bench(*line.split(), *data, "--out", "new")
    assert status == 2
    assert f"error: {REFUSED[line]}" in said
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before
