"""Curves on small networks: points, plots that a report draws, and from where on nothing changes."""

import json

import pandas as pd
import pytest

from bench.reporting.figures import pages
from bench.reporting.page import studies
from bench.shelf import Shelf
from bench.studies import convergence
from denoisers import unet, weights
from denoisers.errors import UsageError
from denoisers.unet.net import UNet

BARE = """
from denoisers.closed_form import Identity

def load(weights=None):
    return Identity()
"""


@pytest.fixture
def trained(tmp_path):
    """Two files of weights, of one and of two epochs, and one that does not say."""
    for name, recipe in {"one": {"epochs": 1}, "two": {"epochs": 2}, "none": "by hand"}.items():
        card = {"name": name, "recipe": recipe}
        weights.save(tmp_path / f"{name}.safetensors", UNet().state_dict(), card)
    return lambda name: str(tmp_path / f"{name}.safetensors")


def test_calls_alone(tmp_path):
    path = convergence.convergence(
        tmp_path / "convergence", "gaussian", calls=[9, 3], num=24, dataset="mnist5k"
    )
    frame = pd.read_csv(path.with_suffix(".csv"))
    assert frame["name"].tolist() == ["3 calls", "9 calls"]
    assert (frame["fid"] > 0).all()
    assert (path.parent / "calls.svg").stat().st_size > 1000
    assert not (path.parent / "epochs.svg").exists()
    (shown,), absent = studies.read(tmp_path, pages.inlined)
    assert absent == []
    (plot,) = (block.content for block in shown.blocks if block.kind == "plot")
    assert plot[0].startswith("<svg")
    assert "calls of the denoiser" in plot[1]
    content = json.loads((path.parent / "page.json").read_text())
    (said,) = (block["content"] for block in content["blocks"] if block["kind"] == "plot")
    assert [point[0] for point in said["lines"][0]["points"]] == [3, 9]


def test_epochs_are_those_of_the_cards(tmp_path, trained, monkeypatch):
    monkeypatch.setattr(convergence, "STEPS", 2)
    path = convergence.convergence(
        tmp_path / "convergence",
        "unet",
        weights=[trained("two"), trained("one")],
        calls=[2],
        num=8,
        dataset="mnist5k",
    )
    assert pd.read_csv(path.with_suffix(".csv"))["name"].tolist() == [
        "2 calls",
        "1 epoch",
        "2 epochs",
    ]
    assert "From 1 epoch on" in path.read_text()  # neither is trained
    assert "](epochs.png)" in path.read_text()


def test_weights_must_say_their_epochs(tmp_path, trained):
    with pytest.raises(UsageError, match=r"--weights: .* has no card that says its epochs"):
        convergence.convergence(
            tmp_path / "x", "unet", weights=[trained("one"), trained("none")], dataset="mnist5k"
        )
    with pytest.raises(UsageError, match="--weights: must be of different epochs; found"):
        convergence.points_of("unet", [trained("one")] * 2, None, [5], 24, Shelf("none", None))
    assert not (tmp_path / "x").exists()
    assert (
        convergence.trained("unet", "mnist", None, Shelf("none", None))
        == unet.load().card["recipe"]["epochs"]
    )


def test_a_denoiser_without_a_card_and_one_without_weights_are_told_so(tmp_path):
    (tmp_path / "mine.py").write_text(BARE)
    with pytest.raises(UsageError, match="--weights: a has no card that says its epochs"):
        convergence.trained(f"{tmp_path / 'mine.py'}:load", "a", None, Shelf("none", None))
    with pytest.raises(UsageError, match="takes none"):
        convergence.convergence(tmp_path / "x", "gaussian", weights=["a", "b"], dataset="mnist5k")
    with pytest.raises(UsageError, match=r"--calls: must lie in 1\.\.1000"):
        convergence.convergence(tmp_path / "x", "gaussian", calls=[2000], dataset="mnist5k")


def test_from_where_on_nothing_changes():
    frame = pd.DataFrame(
        {
            "unit": "calls",
            "name": ["5 calls", "10 calls", "20 calls", "50 calls"],
            "fid": [90.0, 5.0, 3.1, 3.0],
            "fid_low": [80, 4.5, 2.9, 2.8],
            "fid_high": [99, 5.5, 3.3, 3.2],
        }
    )
    (line,) = convergence.conclusions(frame)
    assert line[0].text == "From 20 calls on"
    (line,) = convergence.conclusions(frame[:2])
    assert line[0].text == "Still changing"
    frame.loc[0, "fid_low"] = 3.0  # one that meets the last by chance, before some that do not
    (line,) = convergence.conclusions(frame)
    assert line[0].text == "From 20 calls on"
