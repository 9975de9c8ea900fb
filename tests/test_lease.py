"""A lease is held by one at a time, kept by signs of life, and taken over from the dead."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from bench import lease
from bench.lease import holder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, seconds in {"BEAT": 0.05, "STALE": 0.5, "LOOK": 0.02}.items():
        monkeypatch.setattr(lease, name, seconds)


def test_one_after_the_other(tmp_path):
    path, inside, said = tmp_path / "folder" / "l", [], []

    def work(name):
        with lease.lease(path, said.append):
            inside.append(name)
            time.sleep(0.8)  # longer than without a sign of life
            inside.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside[::2] == inside[1::2]
    assert sorted(inside) == list("aabbcc")
    assert len(said) == 2
    assert all(line.startswith(f"process {os.getpid()} of ") for line in said)
    assert not list(path.parent.iterdir())


def test_of_a_dead_process_here_nothing_is_left(tmp_path):
    path = tmp_path / "l"
    with lease.lease(path, pytest.fail):
        text = path.read_text()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path.write_text(text.replace(f"process {os.getpid()} ", f"process {gone.pid} "))
    with lease.lease(path, pytest.fail):
        assert holder(path) != text
    assert not path.exists()


def test_of_another_machine_it_is_taken_when_it_is_stale(tmp_path):
    path = tmp_path / "l"
    path.write_text("process 1 of somebody on another-machine, since 2026\nfor me\n")
    said, began = [], time.monotonic()
    with lease.lease(path, said.append):
        assert time.monotonic() - began >= 0.4
    assert said == ["process 1 of somebody on another-machine, since 2026"]


def test_what_another_has_taken_over_stays(tmp_path):
    path = tmp_path / "l"
    with lease.lease(path, pytest.fail):
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_where_no_file_can_be_made_work_goes_on(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with lease.lease(tmp_path / "file" / "l", pytest.fail):
        pass


def test_it_goes_with_a_process_that_is_stopped(tmp_path):
    path = tmp_path / "l"
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            with lease.lease(path, print):
                time.sleep(60)
        finally:
            os._exit(0)
    while not holder(path):
        time.sleep(0.001)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    assert not path.exists()
