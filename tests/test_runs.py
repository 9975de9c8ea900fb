"""A run folder is whole or absent, file by file."""

import math

import numpy as np
import pytest

from bench.runs import Run, find
from denoisers.errors import UsageError


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


def test_remove_keeps_what_is_not_ours(run):
    (run.path / "notes.txt").write_text("mine")
    run.remove()
    assert [path.name for path in run.path.iterdir()] == ["notes.txt"]


def test_find_sees_runs_at_any_depth(run, tmp_path):
    (tmp_path / "foreign").mkdir()
    assert [found.path for found in find(tmp_path)] == [run.path]


def test_only_our_own_chunks_are_cleared(run):
    run.write_chunk(range(8), {"ids": np.arange(8)})
    left = run.path / "chunks" / ".000000-000008.npz.0123456789abcdef.tmp"
    left.write_text("left by the dead")
    (run.path / "chunks" / "mine.npz").write_text("mine")
    run.clear_chunks()
    assert [path.name for path in (run.path / "chunks").iterdir()] == ["mine.npz"]
    (run.path / "chunks" / "mine.npz").unlink()
    run.clear_chunks()
    assert not (run.path / "chunks").exists()


def test_chunks_are_kept_where_another_process_has_cleared_them(run):
    run.clear_chunks()
    run.write_chunk(range(8), {"ids": np.arange(8)})
    (ids, chunk), *others = run.read_chunks(
        8, lambda ids: {"ids": np.array(ids)}, pytest.fail
    ).items()
    assert (ids, chunk["ids"].sum(), others) == (range(8), 28, [])


def test_of_chunks_that_overlap_one_is_used(run):
    for ids in (range(16, 24), range(8), range(4, 12), range(8, 16), range(24, 40)):
        run.write_chunk(ids, {"ids": np.array(ids)})
    for name in (
        "mine.npz",
        "0000000-000008.npz",
        "999999999999999999-999999999999999999.npz",
        "000008-000002.npz",
    ):
        (run.path / "chunks" / name).write_text("mine")
    found = run.read_chunks(24, lambda ids: {"ids": np.array(ids)}, pytest.fail)
    assert list(found) == [range(8), range(8, 16), range(16, 24)]


def test_a_folder_of_the_users_is_never_removed(run):
    (run.path / "samples.npz" / "mine").mkdir(parents=True)
    with pytest.raises(
        UsageError, match=r"a file belongs at .*samples\.npz, where there is a folder; move it away"
    ):
        run.remove()
    assert (run.path / "samples.npz" / "mine").is_dir()


def test_what_the_dead_left_is_swept_from_the_run_and_its_chunks(run):
    for folder in (run.path, run.path / "chunks"):
        (folder / ".x.0123456789abcdef.tmp").write_text("half")
    run.sweep()
    assert sorted(path.name for path in run.path.rglob("*")) == ["chunks", "run.json"]
