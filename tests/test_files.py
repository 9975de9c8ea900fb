"""A file is absent, as before, or whole; none is left over; and what is read back is what was stored."""

import errno
import os
import re
import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from bench import files
from denoisers.errors import UsageError
from denoisers.files import TEMPORARY

IDS = np.arange(5)
LAYOUT = {"ids": IDS, "x": ("float32", (5, 2))}


@pytest.fixture
def arrays():
    return {"ids": IDS, "x": np.ones((5, 2), np.float32)}


@pytest.fixture
def say():
    """Takes lines; `say.lines` has them."""

    def take(line):
        take.lines.append(line)

    take.lines = []
    return take


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

    with pytest.raises(OSError, match=r"cannot write .*a\.npz: disk full"):
        files.write(path, fail)
    assert np.array_equal(files.read_npz(path)["a"], np.arange(3))
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_names_the_file_and_stays_what_it_was(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        files.write(tmp_path / "a", lambda file: os.stat(tmp_path / "none"))
    assert str(caught.value) == f"cannot write {tmp_path / 'a'}: No such file or directory"
    assert caught.value.errno == errno.ENOENT


def test_a_file_is_written_into_a_folder_that_is_made_for_it(tmp_path):
    files.write(tmp_path / "a" / "b" / "c", lambda file: file.write(b"x"))
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"


def test_a_full_disk_names_the_file(tmp_path):
    def full(file):
        with open("/dev/full", "wb") as device:
            device.write(b"x")

    with pytest.raises(OSError, match=r"cannot write .*a\.npz: No space left on device$") as caught:
        files.write(tmp_path / "a.npz", full)
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_grow_is_as_before(tmp_path):
    path = tmp_path / "a.npz"
    files.write_npz(path, a=np.arange(3))
    before, ignored = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*a\.npz: File too large$"):
            files.write_npz(path, a=np.zeros(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert np.array_equal(files.read_npz(path)["a"], np.arange(3))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("what", "said"), [(os.mkdir, "a folder"), (os.mkfifo, "no regular file")])
def test_only_a_file_is_replaced(tmp_path, what, said):
    what(tmp_path / "a")
    with pytest.raises(UsageError, match=rf"/a: what is there is {said}; move it away"):
        files.write(tmp_path / "a", lambda file: file.write(b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_text("")
    files.write(tmp_path / "a", lambda file: file.write(b"x"))
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_name_may_be_as_long_as_names_are(tmp_path):
    path = tmp_path / ("é" * 127)
    files.write(path, lambda file: file.write(b"x"))
    assert path.read_bytes() == b"x"


def test_a_folder_is_made_or_what_is_in_the_way_is_named(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(
            UsageError, match=r"a folder belongs at .*/file, where there is a file; move it away"
        ):
            files.make_folder(path)
    with pytest.raises(OSError, match=r"^cannot make the folder /proc/nothing: ") as caught:
        files.make_folder(tmp_path / "/proc/nothing")
    assert caught.value.errno


@pytest.fixture
def outside(tmp_path):
    """A folder with a file of somebody's, and one of results in which links lead there; checked at the end."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    (tmp_path / "results").mkdir()
    yield folder
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("mine", "mine")]


@pytest.mark.parametrize("leads", ["mine", "nowhere", "."])
def test_a_link_in_the_place_of_a_file_is_replaced(tmp_path, outside, leads):
    path = tmp_path / "results" / "a"
    path.symlink_to(outside / leads)
    files.write(path, lambda file: file.write(b"x"), tmp_path / "results")
    assert not path.is_symlink()
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("leads", ["", "nowhere", "mine"])
@pytest.mark.parametrize("name", ["a", "a/b", "a/b/c"])
def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path, outside, name, leads):
    root = tmp_path / "results"
    place = root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside / leads)
    for do in (
        lambda: files.write(root / "a/b/c/d", lambda file: 1 / 0, root),
        lambda: files.make_folder(place, root),
    ):
        with pytest.raises(
            UsageError, match=rf"{name}, where there is a link, which is not followed; move it away"
        ):
            do()
    assert place.is_symlink()


def test_the_folder_that_a_user_names_may_be_a_link(tmp_path):
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "results").symlink_to("large-disk")
    files.write(
        tmp_path / "results" / "a" / "b", lambda file: file.write(b"x"), tmp_path / "results"
    )
    assert (tmp_path / "large-disk" / "a" / "b").read_bytes() == b"x"


def test_a_file_that_a_user_names_is_where_it_leads(tmp_path):
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "again").symlink_to("link")
    for name in ("file", "link", "again"):
        assert files.followed(tmp_path / name) == tmp_path / "file"
        files.write(
            files.followed(tmp_path / name), lambda file, name=name: file.write(name.encode())
        )
        assert (tmp_path / "again").read_bytes() == name.encode()


def test_planted_temporary_files_lead_nowhere(tmp_path, outside):
    results = tmp_path / "results"
    (results / ".a.0123456789abcdef.tmp").symlink_to(outside / "mine")
    os.mkfifo(results / ".a.0123456789abcdff.tmp")
    files.write(results / "a", lambda file: file.write(b"x"))
    files.sweep(results)
    assert (results / "a").read_bytes() == b"x"


def test_a_temporary_file_is_made_or_fails(tmp_path, outside, monkeypatch):
    """If its name could be foreseen, and were a link."""
    (tmp_path / "results" / f".a.{'0' * 16}.tmp").symlink_to(outside / "mine")
    monkeypatch.setattr("denoisers.files.secrets.token_hex", lambda length: "00" * length)
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "results" / "a", lambda file: file.write(b"x"))


@pytest.mark.parametrize("plant", [os.symlink, os.link, lambda outside, lock: os.mkfifo(lock)])
def test_a_lock_is_a_file_of_its_own(tmp_path, outside, plant):
    lock = tmp_path / "results" / ".a.lock"
    plant(outside / "mine", lock)
    with files.alone(lock, pytest.fail):
        assert lock.read_text().startswith("process ")
    assert not os.path.lexists(lock)


WRITER = """
import os, sys, time
from pathlib import Path
from denoisers import files

def fill(file):
    file.write(b"half")
    file.flush()
    print(flush=True)
    time.sleep(60)

files.write(Path(sys.argv[1]), fill)
"""


def test_the_next_to_write_removes_what_the_dead_left_and_nothing_else(tmp_path):
    (tmp_path / ".notes.tmp").write_text("mine")
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a")]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for writer in writers:
            writer.stdout.readline()
        both = [path for path in tmp_path.iterdir() if TEMPORARY.fullmatch(path.name)]
        assert len(both) == 2
        files.write(tmp_path / "b", lambda file: file.write(b"x"))
        assert set(both) < set(tmp_path.iterdir())
        writers[0].kill()
        writers[0].wait()
        files.write(tmp_path / "b", lambda file: file.write(b"x"))
        (left,) = [path for path in tmp_path.iterdir() if TEMPORARY.fullmatch(path.name)]
        assert left in both
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    files.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp", "b"]


def test_writers_and_sweepers_at_once(tmp_path):
    """Every write succeeds, whoever sweeps at the time; and a file is always whole."""
    failures = []

    def work(byte):
        try:
            for _ in range(200):
                files.write(tmp_path / "a", lambda file: file.write(byte * 5000))
                content = (tmp_path / "a").read_bytes()
                assert content == content[:1] * 5000
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(byte,)) for byte in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        files.sweep(tmp_path)
    assert not failures
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    flock, swept = files.write.__globals__["fcntl"].flock, []

    def late(file, operation):
        if not swept:
            swept.append(file.name)
            os.unlink(file.name)
        flock(file, operation)

    monkeypatch.setattr("denoisers.files.fcntl.flock", late)
    files.write(tmp_path / "a", lambda file: file.write(b"x"))
    assert swept
    assert (tmp_path / "a").read_bytes() == b"x"


def test_where_nothing_can_be_locked_nothing_is_removed(tmp_path, monkeypatch):
    def unlockable(file, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("denoisers.files.fcntl.flock", unlockable)
    left = tmp_path / ".a.0123456789abcdef.tmp"
    left.write_text("half")
    files.write(tmp_path / "a", lambda file: file.write(b"x"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [left.name, "a"]


def test_what_was_sealed_comes_back(tmp_path, arrays, say):
    path = tmp_path / "a.npz"
    # Nothing is there, and nothing said.
    assert files.read_back(path, say, name="run", layout=LAYOUT) is None
    files.write_sealed(path, "run", arrays)
    for layout in (None, LAYOUT):
        found = files.read_back(path, say, name="run", layout=layout)
        assert found.keys() == arrays.keys()
        assert all(np.array_equal(found[key], arrays[key]) for key in arrays)
    assert not say.lines


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": IDS + 3}, r"\(ids 3\.\.7, expected 0\.\.4\)"),
        ({"x": np.ones((5, 3), np.float32)}, r"\(x float32 \(5, 3\), expected float32 \(5, 2\)\)"),
        ({"x": np.ones((5, 2))}, r"\(x float64 \(5, 2\), expected float32 \(5, 2\)\)"),
        ({"y": IDS}, r"\(it holds ids, x, y, expected ids, x\)"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, arrays, say, change, said):
    for path, name in ((tmp_path / "sealed.npz", "run"), (tmp_path / "plain.npz", None)):
        changed = arrays | change
        files.write_npz(path, **changed) if name is None else files.write_sealed(
            path, name, changed
        )
        assert files.read_back(path, say, name=name, layout=LAYOUT) is None
    assert len(say.lines) == 2
    for line in say.lines:
        assert re.search(said, line)
        assert line.endswith("made again")


def test_what_has_no_seal_must_be_finite(tmp_path, arrays, say):
    files.write_npz(tmp_path / "a.npz", **arrays | {"x": np.full((5, 2), np.nan, np.float32)})
    assert files.read_back(tmp_path / "a.npz", say, layout=LAYOUT) is None
    assert "(x has values that are not finite)" in say.lines[0]


def test_a_seal_is_of_one_name_and_one_content(tmp_path, arrays, say):
    path = tmp_path / "a.npz"
    files.write_sealed(path, "run", arrays)
    assert files.read_back(path, say, name="another run", layout=LAYOUT) is None
    seal = np.load(path)["seal"]
    files.write_npz(path, **arrays | {"x": 2 * arrays["x"]}, seal=seal)
    assert files.read_back(path, say, name="run", layout=LAYOUT) is None
    files.write_npz(path, **arrays)
    assert files.read_back(path, say, name="run", layout=LAYOUT) is None
    assert ["seal" in line for line in say.lines] == [True, True, True]


def test_no_damage_goes_through(tmp_path, arrays, say, rng):
    """Any byte changed, the file cut anywhere: the same arrays or none, never others."""
    path = tmp_path / "a.npz"
    files.write_sealed(path, "run", arrays)
    whole = path.read_bytes()
    for layout in (LAYOUT, None):
        for place in rng.choice(len(whole), 150, replace=False):
            changed = bytearray(whole)
            changed[place] ^= int(rng.integers(1, 256))
            for content in (bytes(changed), whole[:place]):
                path.write_bytes(content)
                found = files.read_back(path, say, name="run", layout=layout)
                assert found is None or all(
                    np.array_equal(found[key], arrays[key]) for key in arrays
                )
    assert len(say.lines) > 300


def test_sealed_json_comes_back_and_no_damage_goes_through(tmp_path, rng):
    path, content = tmp_path / "a.json", {"b": [1, 0.1, None], "a": {"x": "y"}, 3: True}
    path.write_bytes(files.sealed_json("run a.json", content))
    assert files.json_back(path, "run a.json") == {"b": [1, 0.1, None], "a": {"x": "y"}, "3": True}
    with pytest.raises(
        UsageError, match=r"a\.json is not as it was written: its seal is of other content"
    ):
        files.json_back(path, "another a.json")
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= int(rng.integers(1, 256))
        for text in (bytes(changed), whole[:place]):
            path.write_bytes(text)
            try:
                assert files.json_back(path, "run a.json") == {
                    "b": [1, 0.1, None],
                    "a": {"x": "y"},
                    "3": True,
                }
            except UsageError as error:
                assert str(path) in str(error)
    path.write_text('{"a": 1}')
    with pytest.raises(UsageError, match="it has no seal"):
        files.json_back(path, "run a.json")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, say):
    (tmp_path / "a.npz").mkdir()
    with pytest.raises(
        UsageError, match=r"a file belongs at .*a\.npz, where there is a folder; move it away"
    ):
        files.read_back(tmp_path / "a.npz", say)
