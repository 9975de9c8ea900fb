"""What a name leads to is a function that makes a denoiser, or is refused uncalled; its arguments fit or are named."""

import re

import pytest

from denoisers import plugins, registry
from denoisers.errors import UsageError

CALLED = """
import torch
from denoisers.closed_form import Identity
called = []
def ends(): called.append(1)
def fails(): called.append(1)
def needs(width): return Identity()
def position(width, /): return Identity()
class Other: pass
class Loads:
    def __call__(self): called.append(1)
loads, layer, number = Loads(), torch.nn.Identity(), 3
"""


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("Other", "is the class Other; expected a function load"),
        ("loads", "is a Loads; expected a function load"),
        ("layer", "is a Identity; expected a function load"),
        ("number", "is a int; expected a function load"),
        ("needs", "needs width: --option width=..."),
        ("position", "needs width: --option width=..."),
        ("", "has no ''; it has Identity, ends, fails"),
    ],
)
def test_what_is_no_load_function_is_refused_before_it_is_called(tmp_path, attribute, said):
    (tmp_path / "called.py").write_text(CALLED)
    with pytest.raises(UsageError, match=re.escape(said)):
        registry.load(f"{tmp_path / 'called.py'}:{attribute}")
    assert not plugins.from_file(tmp_path / "called.py").called


@pytest.mark.parametrize("name", ["builtins:exit", "sys:exit", "torch.nn:Linear", "torch:nn"])
def test_names_of_other_things_are_refused(name):
    with pytest.raises(UsageError, match="expected a function load"):
        registry.find(name)


LOADS = """
from denoisers.closed_form import Identity
def load(weights="default.pth", width=8, rate=0.5, blind=True, name=None):
    found = Identity()
    found.told = (weights, width, rate, blind, name)
    return found
"""


def test_defaults_are_kept_and_options_take_their_types(tmp_path):
    (tmp_path / "typed.py").write_text(LOADS)
    load = lambda **given: registry.load(f"{tmp_path / 'typed.py'}:load", **given).told  # noqa: E731
    assert load() == ("default.pth", 8, 0.5, True, None)
    assert load(weights="a", width="16", rate="1e-3", blind="False", name="7") == (
        "a",
        16,
        1e-3,
        False,
        "7",
    )
    found = r"--option: option .* must (be (a whole number|a number)|lie) in .*; found|must be true or false; found"
    for key in ("width", "rate", "blind"):
        for value in ("1.5x", "fast", "nan", "inf", "1e999", "9" * 400, "1_0", " 1", "٣"):
            with pytest.raises(UsageError, match=found):
                load(**{key: value})


def test_an_option_it_does_not_have():
    with pytest.raises(UsageError, match="no option 'speed'; it has: none"):
        registry.load("identity", speed="3")


def test_weights_for_a_closed_form():
    with pytest.raises(UsageError, match=r"--weights: .* takes none"):
        registry.load("identity", weights="x")


def test_weights_that_cannot_be_done_without():
    with pytest.raises(
        UsageError, match="--weights: denoiser 'ffdnet' needs them: A file with an FFDNet"
    ):
        registry.load("ffdnet")


def test_a_denoiser_made_from_data_says_so():
    with pytest.raises(UsageError, match="made from training images"):
        registry.load("ideal")
