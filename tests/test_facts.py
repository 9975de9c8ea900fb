"""What run.json says: the identity of a run, in one level with all else, and refused where it cannot be."""

import dataclasses
import json

import pytest

from bench import facts
from bench.facts import Identity
from denoisers.errors import UsageError

PLAN = {"num": 40, "steps": 4, "sampler": "ddpm", "grid": "ddpm", "eta": 1.0, "clip": True}
OURS = Identity("unet", "mnist@01", {}, PLAN, 0, "mnist@02", "float32", 2)
THEIRS = dataclasses.replace(OURS, source={"sha256": "ab"}, arguments={"weights": "cd"})
OTHERS = {
    "denoiser": "gaussian",
    "weights": "mnist@03",
    "options": {"a": "1"},
    "sampler": PLAN | {"clip": False},
    "seed": 1,
    "dataset": "mnist5k@04",
    "dtype": "bfloat16",
    "noise_version": 3,
}


def test_an_id_is_what_it_has_always_been():
    """Runs on disk are found by it."""
    assert OURS.run_id == "ddpm-ddpm-4steps-n40-seed0-8ea35062"


@pytest.mark.parametrize("field", OTHERS)
def test_whatever_changes_the_images_changes_the_id(field):
    assert dataclasses.replace(OURS, **{field: OTHERS[field]}).run_id != OURS.run_id


def test_code_that_is_ours_is_not_spelled_out():
    assert not {"source", "arguments"} & OURS.to_json().keys()
    assert {"source", "arguments"} <= THEIRS.to_json().keys()
    assert THEIRS.run_id != OURS.run_id


def test_a_run_on_disk_has_the_fields_of_its_type(make_run):
    facts.check(json.loads((make_run("one").path / "run.json").read_text()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"denoiser": None}, "names no denoiser"),
        ({"seed": -1}, "-1 for seed, expected a whole number"),
        ({"seed": True}, "True for seed"),
        ({"warnings": {}}, "dict for warnings, expected list"),
        ({"cost": {"seconds": "1"}}, "str for seconds"),
        ({"spec": {"sigma_min": 2.0, "sigma_max": 1.0}}, "from 2.0 to 1.0"),
        ({"sampler": {"num": 1}}, "does not say the steps"),
        ({"sampler": PLAN | {"steps": 2.5}}, "2.5 for steps"),
        ({"sampler": PLAN | {"sigma_max": None}}, "no number for sigma_max"),
        ({"sampler": PLAN | {"rho": None}}, "no number for rho"),
    ],
)
def test_what_cannot_be_is_named(change, said):
    with pytest.raises(UsageError, match=said):
        facts.check(OURS.to_json() | change)
