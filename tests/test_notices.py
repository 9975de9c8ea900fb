"""A notice is a Python warning; on the command line, a line on stderr, every time."""

import subprocess
import sys
import warnings

import pytest

from bench import notices


def test_it_is_a_warning_of_who_asked():
    def asked():
        notices.notice("something else was taken")

    with pytest.warns(notices.Notice, match="something else was taken") as found:
        asked()
    assert found[0].filename == __file__


def test_it_is_given_each_time_it_happens_unless_the_caller_says_otherwise():
    code = "from bench import notices\nfor _ in range(2): notices.notice('once more')"
    for flags, count in (([], 2), (["-W", "ignore"], 0)):
        done = subprocess.run(
            [sys.executable, *flags, "-c", code], check=True, capture_output=True, text=True
        )
        assert done.stderr.count("Notice: once more") == count


def test_on_a_terminal_it_is_a_line_and_others_stay_as_they_are(capsys):
    with warnings.catch_warnings(record=True) as others:
        notices.on_terminal()
        for _ in range(2):
            notices.notice("something else was taken")
        warnings.warn("of another kind", stacklevel=1)
    assert capsys.readouterr().err == "something else was taken\n" * 2
    assert [str(other.message) for other in others] == ["of another kind"]


def test_the_command_says_it_first_and_as_a_line(home, tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # no network
    command = "from bench import cli; import sys; sys.argv = ['bench', 'info', '--dataset', 'mnist']; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", command], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[:1] == ["loading PyTorch"]
    assert lines[1].startswith("NOTICE: no MNIST in ")
    assert "Warning" not in done.stderr
