"""What is kept in $BENCH_HOME/cache is what was computed under that name, or is computed again."""

import errno

import numpy as np
import pytest

from bench import files
from bench.scoring import extractors, reference


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    monkeypatch.setattr(reference, "UNKEPT", {})
    monkeypatch.setattr(reference, "COMPLAINED", set())
    return tmp_path / "cache"


def ask(key, value=1.0, said=None):
    """What `cached` gives, and how often it had to compute."""
    calls = []

    def compute():
        calls.append(key)
        return {"x": np.full(1000, value), "y.z": np.arange(3)}

    found = reference.cached(key, compute, [].append if said is None else said.append)
    assert sorted(found) == ["x", "y.z"]
    assert np.array_equal(found["x"], np.full(1000, value))
    return len(calls)


def test_what_was_computed_is_kept(cache):
    assert [ask("a"), ask("a"), ask("b", 2.0), ask("a"), ask("b", 2.0)] == [1, 0, 1, 0, 0]
    assert sorted(path.name for path in cache.iterdir()) == ["a.npz", "b.npz"]


def truncated(path):
    path.write_bytes(path.read_bytes()[:500])


def exchanged(path):
    ask("other", 2.0)
    (path.parent / "other.npz").replace(path)


def altered(path):
    arrays = files.read_npz(path)
    np.savez(path, **arrays | {"x": 2 * arrays["x"]})


def shorter(path):
    arrays = files.read_npz(path)
    np.savez(path, **arrays | {"x": arrays["x"][:10]})


def unsealed(path):
    arrays = files.read_npz(path)
    arrays.pop(files.SEAL)
    np.savez(path, **arrays)


@pytest.mark.parametrize("damage", [truncated, exchanged, altered, shorter, unsealed])
def test_what_is_not_that_is_computed_again_and_said(cache, damage):
    ask("a")
    damage(cache / "a.npz")
    said = []
    assert ask("a", said=said) == 1
    (line,) = said
    assert line.startswith(f"{cache / 'a.npz'} does not fit (")
    assert [ask("a", said=said), said] == [0, [line]]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A folder that stands for the one of the package, with one file in it."""
    folder = tmp_path / "shipped"
    arrays = {"x": np.full(1000, 1.0), "y.z": np.arange(3)}
    files.write_sealed(folder / "a.npz", "a", arrays)
    monkeypatch.setattr(reference, "SHIPPED", folder)
    return folder


def test_what_is_shipped_is_neither_computed_nor_copied(cache, shipped):
    assert [reference.is_kept("a"), reference.is_kept("b")] == [True, False]
    assert [ask("a"), ask("b", 2.0), ask("a")] == [0, 1, 0]
    assert [path.name for path in cache.iterdir()] == ["b.npz"]
    assert reference.is_kept("b")


def test_what_is_shipped_and_damaged_is_computed_and_kept(cache, shipped):
    truncated(shipped / "a.npz")
    said = []
    assert [ask("a", said=said), ask("a", said=said)] == [1, 0]
    assert all(line.startswith(f"{shipped / 'a.npz'} does not fit (") for line in said)
    assert [path.name for path in cache.iterdir()] == ["a.npz"]


def test_a_cache_that_cannot_be_written_costs_time_alone(cache):
    cache.write_text("a file")
    said = []
    assert [ask(key, said=said) for key in ("a", "a", "b")] == [1, 0, 1]  # once in a process
    (line,) = said
    assert line.startswith(f"a folder belongs at {cache}, where there is a file")
    assert f"what would be kept in {cache} is computed each time" in line


def test_a_file_of_the_cache_that_cannot_be_written(cache):
    (cache / "a.npz").mkdir(parents=True)
    said = []
    assert ask("a", said=said) == 1
    assert "a.npz: what is there is a folder" in said[0]


def test_without_a_home_nothing_is_kept(cache, monkeypatch):
    monkeypatch.setattr(reference, "home", lambda: None)
    said = []
    assert [ask(key, said=said) for key in ("a", "a", "b")] == [1, 0, 1]
    assert [line.partition(";")[0] for line in said] == [f"{files.whoami()} has no home directory"]


def test_a_reference_says_it(cache, digits):
    said = []
    against = reference.Reference(digits, extractors.load("pixels"), said.append)
    key = f"cells-{reference.VERSION}-{digits.digest}"
    cells = against.cells
    truncated(cache / f"{key}.npz")
    again = reference.Reference(digits, extractors.load("pixels"), said.append).cells
    assert np.array_equal(cells, again)
    assert len(said) == 1


def test_a_home_that_can_only_be_read_is_read_and_said_once(cache, monkeypatch):
    ask("a")

    def read_only(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "write_sealed", read_only)
    said = []
    assert [ask(key, said=said) for key in ("a", "b", "b", "c")] == [0, 1, 0, 1]
    (line,) = said
    assert "Read-only file system; what would be kept in" in line
