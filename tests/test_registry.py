"""Names, plug-ins and what is said when they are wrong."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from denoisers import registry


def plug_in(monkeypatch, name, value):
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint(name, value, group)])


def test_unknown_name_suggests_and_lists():
    with pytest.raises(LookupError, match=r"unknown denoiser 'unt'; did you mean 'unet'\? available: .*identity.*unet"):
        registry.load("unt")


def test_a_plug_in_is_listed_and_loaded(monkeypatch):
    plug_in(monkeypatch, "extra", "denoisers.controls:identity")
    assert "extra" in registry.names()
    assert registry.load("extra").spec.name == "identity"


def test_a_built_in_is_not_replaced(monkeypatch):
    plug_in(monkeypatch, "ideal", "denoisers.controls:identity")
    assert registry.table()["ideal"] == registry.BUILT_IN["ideal"]


def test_a_broken_plug_in_is_listed_and_fails_only_when_asked_for(monkeypatch):
    plug_in(monkeypatch, "broken", "no_such_module:load")
    assert "broken" in registry.names()
    assert registry.load("identity")
    with pytest.raises(ImportError, match=r"'broken' of .*\(no_such_module:load\).*No module named"):
        registry.load("broken")


def test_an_option_it_does_not_have():
    with pytest.raises(TypeError, match="no option 'speed'; it has: none"):
        registry.load("identity", speed="3")


def test_weights_for_a_closed_form():
    with pytest.raises(TypeError, match="takes no --weights"):
        registry.load("identity", weights="x")


def test_a_denoiser_made_from_data_says_so():
    with pytest.raises(TypeError, match="made from training images"):
        registry.load("ideal")


def test_listing_imports_no_torch():
    code = "import sys, denoisers; denoisers.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
