"""Where things are: paths from flags and from the environment are read alike, and only when they are needed."""

import pwd
from pathlib import Path

import pytest

from denoisers import places, weights
from denoisers.errors import UsageError


@pytest.fixture
def nobody(monkeypatch):
    """A user whom the system knows no home directory of, as in a container."""

    def unknown(number):
        raise KeyError(f"uid not found: {number}")

    for name in ("HOME", "BENCH_HOME", "XDG_CACHE_HOME", "BENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places.pwd, "getpwuid", unknown)


def test_paths_are_expanded_as_a_shell_does(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("PLACE", "/p")
    root = pwd.getpwuid(0)
    cases = {
        "~/x": "/h/x",
        "~": "/h",
        "$PLACE/x": "/p/x",
        "${PLACE}x": "/px",
        "a~/b": "a~/b",
        "./~": "./~",
        "$": "$",
    }
    cases |= {f"~{root.pw_name}/x": f"{root.pw_dir}/x", "$HOME/x": "/h/x"}
    assert {text: places.expand(text) for text in cases} == cases
    with pytest.raises(UsageError, match=r"there is no variable NOWHERE"):
        places.expand("$NOWHERE/x")
    (tmp_path / "$NOWHERE").mkdir()
    assert places.expand("$NOWHERE") == "$NOWHERE"
    with pytest.raises(
        UsageError, match=r"there is no user nobody-at-all; write \./~nobody-at-all"
    ):
        places.expand("~nobody-at-all/x")


def test_without_a_home_directory(nobody, monkeypatch):
    assert weights.home() is None
    monkeypatch.setenv("BENCH_HOME", "/b")
    assert weights.home() == Path("/b")
    monkeypatch.setenv("BENCH_HOME", "~/b")
    with pytest.raises(
        UsageError, match=r"^BENCH_HOME: ~/b leads nowhere: user \d+ has no home directory"
    ):
        weights.home()
    monkeypatch.setenv("HOME", "/h")
    assert weights.home() == Path("/h/b")


def test_which_home(nobody, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/h")
    assert weights.home() == Path("/h/.cache/bench")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # its specification: to be ignored
    assert weights.home() == Path("/h/.cache/bench")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/c")
    assert weights.home() == Path("/h/c/bench")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCH_HOME", "b")
    assert weights.home() == tmp_path / "b"


def test_a_path_whose_variable_is_not_set(bench, nobody):
    status, _, err = bench("score", "$IMAGES")
    assert (status, err) == (
        2,
        "error: PATH: $IMAGES names $IMAGES, and there is no variable IMAGES in the environment\n",
    )


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["run", "--denoiser", "~/d.py:load"], "--denoiser"),
        (["run", "--denoiser", "unet", "--weights", "~/w"], "--weights"),
        (["run", "--denoiser", "unet", "--option", "path=~/w"], "--option"),
        (["run", "--denoiser", "unet", "--sampler", "~/s.py:s"], "--sampler"),
        (["run", "--denoiser", "unet", "--data-dir", "~/d"], "--data-dir"),
        (["run", "--denoiser", "unet", "--features-weights", "~/w"], "--features-weights"),
        (["run", "--denoiser", "unet", "--out", "~/o"], "--out"),
        (["gauge", "--denoiser", "unet", "--images", "~/o"], "--images"),
        (["gauge", "--denoiser", "unet", "--figure", "~/o"], "--figure"),
        (["score", "~/x"], "PATH"),
        (["report", "~/x"], "FOLDER"),
        (["compare", "~/x", "y"], "RUN..."),
        (["check", "~/x.py:y"], "NAME"),
        (["train", "kbnet", "--data", "~/x"], "--data"),
    ],
)
def test_every_flag_that_takes_a_path_expands_it(bench, nobody, arguments, about):
    status, _, err = bench(*arguments)
    assert status == 2
    assert err.startswith(f"error: {about}: ~/")
    assert "leads nowhere: user" in err
