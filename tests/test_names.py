"""Names: what something is, and what rows of one table differ in; nothing else, and no two alike."""

import itertools
import re

import pytest

from bench import experiment, names
from bench.reporting.figures import plots
from bench.sampling.plan import SamplingPlan

SAMPLER = {
    "num": 20,
    "steps": 5,
    "sampler": "ddpm",
    "grid": "ddpm",
    "clip": True,
    "eta": 1.0,
    "variance": "posterior",
}
UNET = {
    "denoiser": "unet",
    "weights": "mnist@6e58d28b",
    "options": {},
    "sampler": SAMPLER,
    "seed": 0,
    "dataset": "mnist@d3a53d8b21379d5b",
    "dtype": "float32",
    "noise_version": 2,
    "device": "cpu (x86_64)",
    "cost": {"seconds": 600.0, "workers": 2},
    "versions": {"torch": "2.14.1"},
}
FILE = {
    "source": {"sha256": "0123456789abcdef" * 4},
    "arguments": {"weights": "fedcba9876543210" * 4, "width": "8"},
}


def differing(**changes):
    """Names of the U-Net as it is and with changes."""
    return names.distinct([UNET, UNET | changes])


def test_a_single_row_is_what_it_is():
    assert names.distinct([UNET]) == ["unet mnist"]
    assert names.distinct([UNET, UNET | {"denoiser": "kbnet", "dtype": "bfloat16", "seed": 3}]) == [
        "unet mnist",
        "kbnet mnist",
    ]
    assert names.distinct([{"kind": "images", "name": "my vae", "digest": "0" * 16}]) == ["my vae"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "bfloat16"}, "float32|bfloat16"),
        ({"seed": 1}, "seed 0|seed 1"),
        ({"weights": "mnist@00000000"}, "weights 6e58d28b|weights 00000000"),
        ({"sampler": SAMPLER | {"sampler": "ddim", "eta": 0.0}}, "ddpm, eta 1|ddim, eta 0"),
        (
            {"sampler": SAMPLER | {"clip": False, "steps": 50}},
            "5 steps, clipped|50 steps, not clipped",
        ),
        ({"sampler": SAMPLER | {"start": "mean"}}, "|started from mean"),
        ({"seed": 1, "dtype": "bfloat16"}, "seed 0, float32|seed 1, bfloat16"),
        ({"noise_version": 3}, "noise version 2|noise version 3"),
        (FILE, "|code 01234567, weights fedcba98, width 8"),
        ({"device": "cuda (H100)"}, "cpu (x86_64)|cuda (H100)"),
        ({"cost": {"seconds": 90.0, "workers": 1}}, "2 workers|1 worker"),
    ],
)
def test_what_differs_is_said_and_nothing_else(changes, said):
    assert differing(**changes) == [
        f"unet mnist ({words})" if words else "unet mnist" for words in said.split("|")
    ]


def test_options_are_part_of_what_a_denoiser_is():
    assert names.distinct([UNET | {"options": {"width": "8", "a": "b"}}, UNET]) == [
        "unet mnist a=b width=8",
        "unet mnist",
    ]


def test_code_and_files_that_changed_under_one_name():
    other = FILE | {
        "source": {"sha256": "f" * 64},
        "arguments": FILE["arguments"] | {"weights": "0" * 64},
    }
    found = names.distinct([UNET | FILE, UNET | other])
    assert found == [
        "unet mnist (code 01234567, weights fedcba98)",
        "unet mnist (code ffffffff, weights 00000000)",
    ]


def test_the_machine_and_the_folder_are_said_of_the_same_images_only():
    folders = ["unet/run-f08b91da", "reference/unet/run-f08b91da"]
    assert names.distinct([UNET, UNET], folders) == ["unet mnist", "unet mnist (reference)"]
    assert names.distinct([UNET, UNET | {"dtype": "bfloat16", "device": "cuda"}], folders) == [
        "unet mnist (float32)",
        "unet mnist (bfloat16)",
    ]
    eight = UNET | {"cost": {"workers": 8}}
    assert names.distinct([eight, UNET], folders) == [
        "unet mnist (8 workers)",
        "unet mnist (2 workers, reference)",
    ]
    assert names.distinct([UNET, UNET], ["results/a/x", "results/b/x"]) == [
        "unet mnist (a)",
        "unet mnist (b)",
    ]
    assert names.distinct([UNET, UNET], ["same", "same"]) == ["unet mnist (1)", "unet mnist (2)"]


def test_images_that_are_called_like_a_run_or_like_a_control():
    called = [
        {"kind": "images", "name": name, "digest": "0" * 16}
        for name in ("unet mnist", "held-out digits")
    ]
    control = {"kind": "control", "name": "held-out digits"}
    assert names.distinct([UNET, *called, control])[:3] == [
        "unet mnist",
        "unet mnist (images)",
        "held-out digits (images)",
    ]
    two = [called[0], called[0] | {"digest": "1" * 16, "source": "b.npz"}]
    assert names.distinct(two) == [
        "unet mnist (images 00000000)",
        "unet mnist (b.npz, images 11111111)",
    ]


def test_no_two_are_alike_and_what_all_share_is_in_none():
    """Every combination of changes, beside names that look like those of others."""
    kinds = {
        "dtype": ("float32", "bfloat16"),
        "seed": (0, 1),
        "weights": ("mnist@6e58d28b", "mnist@00000000"),
        "options": ({}, {"width": "8"}),
        "device": ("cpu", "cuda"),
    }
    every = [
        UNET | dict(zip(kinds, values, strict=True))
        for values in itertools.product(*kinds.values())
    ]
    odd = [
        {"kind": "images", "name": name}
        for name in ("unet mnist", "unet mnist (seed 1)", "unet mnist (1)")
    ]
    for chosen in (every, every[::3], every[::5] * 2, every + odd * 2):
        found = names.distinct(chosen)
        assert len(set(found)) == len(found)
        details = {}
        for name, row in zip(found, chosen, strict=True):
            inside = re.search(r"\((.*)\)$", name.removeprefix(names.describe(row)))
            details.setdefault(names.describe(row), []).append(
                set(inside[1].split(", ")) if inside else set()
            )
        for base, words in details.items():
            if base != "unet mnist (1)":
                assert len(words) == 1 or not set.intersection(*words), base


@pytest.mark.parametrize("order", [1, -1])
def test_a_gauged_splice_has_the_name_of_its_run(bench, tmp_path, order):
    options = [("below.weights", "gray-all"), ("below.coupling", "naive")][::order]
    setting = SamplingPlan(num=6, steps=3)
    name = "splice:unet,kbnet@0.4"
    plan = experiment.resolve(
        name, setting, options=dict(options[::-1]), dataset_name="mnist5k", out=tmp_path
    )
    given = [word for key, value in options for word in ("--option", f"{key}={value}")]
    assert (
        bench(
            "gauge",
            "--denoiser",
            name,
            *given,
            "--dataset",
            "mnist5k",
            "--num",
            2,
            "--out",
            tmp_path,
        )[0]
        == 0
    )
    (curve,) = (curve for curve in plots.gauged(tmp_path) if curve.name.startswith("splice"))
    assert (
        curve.name
        == names.describe(plan.facts.to_json())
        == f"{name} mnist,gray-all below.coupling=naive"
    )
    assert curve.weights == plan.facts.identity.weights


@pytest.mark.parametrize(
    "seed", [2**63 - 1, 12345678901234567890, "12345678901234567, 12345678901234568"]
)
def test_a_long_number_is_no_digest(seed):
    assert names.in_words("seed", seed).split(" ", 1)[1] == str(seed)
    assert names.in_words("options.components", str(seed)) == f"components={seed}"
    assert names.in_words("digest", "1234567890123456") == "images 12345678"


def test_rows_that_differ_in_how_the_network_was_run_say_so():
    way = ["cast weights", "compiled"]
    assert names.distinct([UNET, UNET | {"way": way}]) == [
        names.describe(UNET),
        f"{names.describe(UNET)} (cast weights, compiled)",
    ]
