"""A file is absent, as before, or whole."""

import numpy as np
import pytest

from bench import files


def test_arrays_come_back_and_the_same_arrays_give_the_same_bytes(tmp_path):
    arrays = {"a": np.arange(5), "b": np.eye(2, dtype=np.float32)}
    for name in ("one.npz", "two.npz"):
        files.write_npz(tmp_path / name, **arrays)
    found = files.read_npz(tmp_path / "one.npz")
    assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"PK not a zip", "half"])
def test_what_cannot_be_read_is_none(tmp_path, content):
    path = tmp_path / "a.npz"
    if content == "half":
        files.write_npz(path, a=np.arange(1000))
        content = path.read_bytes()[:2000]
    if content is not None:
        path.write_bytes(content)
    assert files.read_npz(path) is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.npz"
    files.write_npz(path, a=np.arange(3))

    def fail(file):
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write(path, fail)
    assert np.array_equal(files.read_npz(path)["a"], np.arange(3))
    assert list(tmp_path.iterdir()) == [path]
