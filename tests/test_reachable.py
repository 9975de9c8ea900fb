"""A network that is not there costs seconds, not minutes."""

import subprocess
import sys
import threading
import time

from bench.data import reachable


def test_a_network_that_never_answers_costs_seconds(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(reachable, "PROBE_SECONDS", 0.2)
    try:
        assert not reachable.reachable(["a", "b"], lambda url: never.wait(30))
    finally:
        never.set()


def test_the_end_of_the_program_waits_for_no_answer():
    code = "import time; from bench.data import reachable; reachable.PROBE_SECONDS = 0.1; "
    code += "reachable.reachable(['a'], wait)"
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", f"def wait(url): time.sleep(60)\n{code}"], check=True, timeout=50
    )
    assert time.monotonic() - began < 30


def test_one_answer_is_enough_whoever_else_is_silent():
    never = threading.Event()
    assert reachable.reachable(["a", "b"], lambda url: url == "b" or never.wait(30))
    never.set()


def test_one_answer_is_enough():
    assert reachable.reachable(["a", "b"], lambda url: url == "b")
    assert not reachable.reachable(["a", "b"], lambda url: False)


def test_what_responds(tmp_path):
    (tmp_path / "file").touch()
    assert reachable.reachable([(tmp_path / "file").as_uri()])
    for url in ((tmp_path / "none").as_uri(), "http://127.0.0.1:1/", "no url"):
        assert not reachable.reachable([url])
