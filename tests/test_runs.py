"""A run folder is whole or absent, file by file."""

import math

import numpy as np
import pytest

from bench.runs import Run, find


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path / "d" / "id")
    run.begin({"denoiser": "d"})
    return run


def test_a_new_run_is_started_and_not_complete(run):
    assert run.read_json("run.json")["status"] == "started"
    assert not run.complete
    run.write_json("metrics-0123abcd.json", {})
    assert run.complete


def test_a_failed_write_leaves_the_old_file_and_no_litter(run):
    with pytest.raises(ValueError, match="JSON"):
        run.write_json("run.json", {"a": math.nan})
    assert run.read_json("run.json")["denoiser"] == "d"
    assert sorted(path.name for path in run.path.iterdir()) == ["chunks", "run.json"]


def test_the_same_arrays_give_the_same_bytes(run):
    for name in ("a.npz", "b.npz"):
        run.write_npz(name, arr_0=np.arange(10), ids=np.arange(3))
    assert (run.path / "a.npz").read_bytes() == (run.path / "b.npz").read_bytes()


@pytest.mark.parametrize("keep", [0, 10, 100])
def test_a_damaged_npz_reads_as_missing(run, keep):
    run.write_npz("a.npz", arr_0=np.arange(100))
    content = (run.path / "a.npz").read_bytes()
    (run.path / "a.npz").write_bytes(content[:keep])
    assert run.read_npz("a.npz") is None
    assert run.read_npz("never.npz") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00"])
def test_damaged_json_is_named(run, text):
    (run.path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is not readable"):
        run.read_json("run.json")
    assert not run.readable


def test_remove_keeps_what_is_not_ours(run):
    (run.path / "notes.txt").write_text("mine")
    run.remove()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_find_sees_runs_at_any_depth(run, tmp_path):
    (tmp_path / "foreign").mkdir()
    assert [found.path for found in find(tmp_path)] == [run.path]
