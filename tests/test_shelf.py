"""What a series of runs has in common is loaded once, and no run sees what another did to it."""

import pytest
import torch

import denoisers
from bench.data.dataset import ingredients
from bench.scoring import extractors
from bench.shelf import Shelf
from denoisers.errors import UsageError

SPLICE = "splice:unet,gaussian@0.4"


@pytest.fixture
def shelf():
    return Shelf("mnist5k", None)


def test_a_denoiser_is_loaded_once_and_changed_by_no_run(shelf, monkeypatch):
    first = shelf.denoiser("kbnet", "gray25")
    monkeypatch.setattr(denoisers, "load", lambda *args, **options: pytest.fail("loaded again"))
    next(first.parameters()).data.add_(1)
    second, third = (shelf.denoiser("kbnet", "gray25") for _ in range(2))
    changed, *same = (next(part.parameters()) for part in (first, second, third))
    assert same[0] is not same[1]
    assert torch.equal(*same)
    assert not torch.equal(changed, same[0])


def test_options_and_weights_tell_denoisers_apart(shelf):
    one, other = (shelf.denoiser("one-image", index=index) for index in "01")
    x = torch.zeros(1, 1, 32, 32)
    assert not torch.equal(one(x, torch.tensor(1.0)), other(x, torch.tensor(1.0)))
    cards = [shelf.denoiser("kbnet", card).spec.weights for card in ("gray25", "mnist-all")]
    assert cards[0].startswith("gray25@")
    assert cards[1].startswith("mnist-all@")


def test_a_splice_is_made_of_what_is_there_and_the_same_as_without_a_shelf(shelf):
    options = {"above.weights": "mnist-41"}
    own, usual = (
        shelf.denoiser(SPLICE, **options),
        denoisers.load(SPLICE, **ingredients(lambda: shelf.dataset), **options),
    )
    assert own.spec == usual.spec
    x = torch.linspace(-1, 1, 32 * 32).reshape(1, 1, 32, 32)
    for level in (0.2, 3.0):
        assert torch.equal(own(x, torch.tensor(level)), usual(x, torch.tensor(level)))
    assert {key[0] for key in shelf.denoisers} == {"unet", "gaussian"}


def test_code_that_is_not_ours_is_loaded_each_time(shelf, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from denoisers import closed_form\n\ndef load():\n    return closed_form.identity()\n"
    )
    shelf.denoiser(f"{tmp_path / 'mine.py'}:load")
    assert not shelf.denoisers


def test_what_images_are_scored_against_is_made_once(shelf):
    extractor = extractors.load("pixels")
    assert shelf.references.of(extractor, print) is shelf.references.of(extractor, print)
    assert shelf.references.of(extractors.load("lenet-a"), print).dataset is shelf.dataset


def test_an_option_may_be_called_name(shelf, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from denoisers import closed_form\n\ndef load(name):\n    assert name == 'x'\n"
        "    return closed_form.identity()\n"
    )
    assert shelf.denoiser(f"{tmp_path / 'mine.py'}:load", None, name="x").spec.name == "identity"


def test_nothing_is_read_before_it_is_asked_for():
    with pytest.raises(UsageError, match="--dataset: unknown 'none'"):
        _ = Shelf("none", None).dataset
