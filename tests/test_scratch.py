"""Arrays larger than memory are what they would be in it, and leave no file."""

import errno
import os

import numpy as np
import pytest

from bench.scoring import scratch


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Everything is too large for memory, and made a few rows at once; the cache of $BENCH_HOME."""
    monkeypatch.setattr(scratch, "HELD", 10)
    monkeypatch.setattr(scratch, "BLOCK", 100)
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def double(rows):
    return (2.5 * rows).astype(np.float32)


def test_a_function_of_each_row_is_that_of_all(small, rng):
    rows = rng.integers(0, 256, (33, 4, 5), np.uint8)
    assert len(list(scratch.blocks(rows))) == 7
    found = scratch.mapped(double, rows)
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, double(rows))
    assert list(small.iterdir()) == []  # the file has no name


def test_what_fits_is_in_memory(rng):
    found = scratch.mapped(double, rng.random((3, 2)))
    assert type(found) is np.ndarray


def test_a_full_disk_is_an_error_and_no_crash(small, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        scratch.mapped(double, np.ones((33, 4)))


def test_where_there_is_no_cache_it_lies_elsewhere(small, monkeypatch):
    small.rmdir()
    assert (scratch.mapped(double, np.ones((33, 4))) == 2.5).all()
