"""What may be compared, and what is refused before anything runs."""

import dataclasses

import pytest
import torch

from bench.runs import fingerprint
from bench.sampling.plan import PRESETS, SamplingPlan
from denoisers import schedule
from denoisers.errors import UsageError

STANDARD = PRESETS["standard"]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"num": 0}, "--num"),
        ({"num": -5}, "--num"),
        ({"num": 10**20}, "--num"),
        ({"steps": 0}, "--steps"),
        ({"steps": 5000}, "--steps"),
        ({"sampler": "euler"}, "--sampler"),
        ({"sampler": "nowhere:sampler"}, "--sampler"),
        ({"sampler": "heun"}, "--eta: heun has none; it has --churn"),
        ({"sampler": "ks", "eta": None, "churn": 1.0}, "--churn: ks has none; it has --beta, --h0"),
        ({"sampler": "ks", "eta": None, "beta": 0.0}, "--beta"),
        ({"sampler": "ks", "eta": None, "h0": 2.0}, "--h0"),
        ({"sampler": "heun", "eta": None, "churn": -1.0}, "--churn"),
        ({"grid": "linear"}, "--grid"),
        ({"eta": 1.5}, "--eta"),
        ({"eta": float("nan")}, "--eta"),
        ({"sampler": "ddpm-beta", "eta": 0.5}, "--eta"),
        ({"sigma_max": 0.0}, "--sigma-max"),
        ({"sigma_max": float("nan")}, "--sigma-max"),
        ({"sigma_max": -1.0, "grid": "karras"}, "--sigma-max"),
        ({"sigma_max": 0.05}, "--sigma-max"),  # 50 steps out of fewer levels
        (
            {"sigma_max": 0.002 * (1 + 1e-12), "grid": "karras"},
            "--steps: must be fewer: 50 levels between",
        ),
        ({"num": 10**7, "steps": 10**5, "grid": "karras"}, "--steps: times --num must lie in"),
        ({"num": 10**7, "steps": 1001, "grid": "karras"}, "--steps: times --num must lie in"),
        ({"start": "digits"}, "--start"),
        ({"rho": 3.0}, "--rho: is a setting of --grid karras; found --grid ddpm"),
        ({"rho": 3.0, "grid": "karras", "sampler": "ks", "eta": None}, "--rho: is of samplers"),
        ({"rho": 0.5, "grid": "karras"}, "--rho: must lie in 1..100"),
        ({"rho": float("nan"), "grid": "karras"}, "--rho: must lie in"),
    ],
)
def test_wrong_values_name_their_flag(change, flag):
    with pytest.raises(UsageError, match=flag):
        dataclasses.replace(STANDARD, **change)


def test_a_sampler_brings_its_eta():
    assert SamplingPlan(10, 5, sampler="ddim").eta == 0
    assert SamplingPlan(10, 5, sampler="ddpm").eta == 1
    assert SamplingPlan(10, 5, sampler="ddpm", eta=0.5).eta == 0.5


def test_everything_that_changes_images_changes_the_fingerprint():
    changes = [
        {"num": 100},
        {"steps": 49},
        {"sampler": "ddim", "eta": 0.0},
        {"grid": "cosine"},
        {"eta": 0.123},
        {"clip": False},
        {"sigma_max": 0.4},
        {"grid": "karras"},
        {"grid": "karras", "rho": 3.0},
        {"start": "mean"},
        {"sampler": "heun", "eta": None},
        {"sampler": "heun", "eta": None, "churn": 3.0},
        {"sampler": "ks", "eta": None},
        {"sampler": "ks", "eta": None, "beta": 0.9},
        {"sampler": "ks", "eta": None, "h0": 0.1},
    ]
    prints = {
        fingerprint(dataclasses.replace(STANDARD, **change).to_json()) for change in [{}, *changes]
    }
    assert len(prints) == len(changes) + 1


def test_the_fingerprint_does_not_depend_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_the_facts_of_the_family_are_those_of_earlier_runs():
    """Their fingerprints head tables, and their hashes name folders."""
    facts = {"num", "steps", "sampler", "grid", "eta", "clip", "variance"}
    assert STANDARD.to_json().keys() == facts
    assert fingerprint(STANDARD.to_json()) == "851d23ce"


def test_a_sampler_from_a_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def still(denoiser, x, sigmas, noise, *, clip=True, callback=None):\n    return x\n"
    )
    first = SamplingPlan(10, 5, sampler=f"{path}:still")
    assert first.member.solve(None, 3, None, None) == 3
    assert first.eta is None
    before = first.to_json()
    path.write_text(path.read_text() + "# changed\n")
    after = SamplingPlan(10, 5, sampler=f"{path}:still").to_json()
    assert before["source"]["sha256"] != after["source"]["sha256"]
    assert fingerprint(before) != fingerprint(after)


@pytest.mark.parametrize(
    "what", ["3", "lambda x: x", "lambda *, clip, callback: 1", "print", "type(3)"]
)
def test_what_is_no_sampler_is_refused(tmp_path, what):
    (tmp_path / "mine.py").write_text(f"it = {what}\n")
    with pytest.raises(UsageError, match=r"--sampler: .* is no sampler: expected a function"):
        SamplingPlan(10, 5, sampler=f"{tmp_path / 'mine.py'}:it")


def test_rho_is_of_the_karras_grid_and_its_own_is_not_spelled_out():
    karras = dataclasses.replace(STANDARD, grid="karras")
    assert dataclasses.replace(karras, rho=7.0) == karras
    assert "rho" not in karras.to_json()
    finer = dataclasses.replace(karras, rho=3.0)
    assert finer.to_json() == karras.to_json() | {"rho": 3.0}
    assert torch.equal(finer.sigmas, schedule.karras_grid(50, rho=3.0))


def test_a_whole_chain_from_noise_is_not_spelled_out():
    assert {"sigma_max", "start"}.isdisjoint(STANDARD.to_json())
    short = dataclasses.replace(STANDARD, sigma_max=0.4, start="mean")
    assert short.to_json() | STANDARD.to_json() == short.to_json()
    assert 0.35 < short.sigmas[0] <= 0.4
    assert len(short.sigmas) == 51
