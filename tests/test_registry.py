"""Names, plug-ins and what is said when they are wrong."""

import re
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from denoisers import plugins, registry
from denoisers.errors import ForeignError, UsageError


def plug_in(monkeypatch, name, value):
    monkeypatch.setattr(plugins, "entry_points", lambda group: [EntryPoint(name, value, group)])


def test_unknown_name_suggests_and_lists():
    with pytest.raises(
        UsageError,
        match=r"unknown denoiser 'unt'; did you mean 'unet'\? available: .*identity.*unet",
    ):
        registry.load("unt")


def test_a_plug_in_is_listed_and_loaded(monkeypatch):
    plug_in(monkeypatch, "extra", "denoisers.closed_form:identity")
    assert "extra" in registry.names()
    assert registry.load("extra").spec.name == "identity"


def test_a_built_in_is_not_replaced(monkeypatch):
    plug_in(monkeypatch, "ideal", "denoisers.closed_form:identity")
    assert registry.table()["ideal"] == registry.BUILT_IN["ideal"]


def test_a_broken_plug_in_is_listed_and_fails_only_when_asked_for(monkeypatch):
    plug_in(monkeypatch, "broken", "no_such_module:load")
    assert "broken" in registry.names()
    assert registry.load("identity")
    with pytest.raises(
        UsageError, match=r"'broken' of .* no_such_module:load does not import.*No module named"
    ):
        registry.load("broken")


def test_what_is_wrong_with_plug_ins_is_said_without_importing_them(monkeypatch):
    points = [
        ("ideal", "a:b"),
        ("gone", "no_such_module:load"),
        ("twice", "json:loads"),
        ("twice", "json:dumps"),
    ]
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [EntryPoint(n, v, group) for n, v in points]
    )
    said = list(registry.complaints())
    assert len(said) == 3
    assert "'ideal' of an unknown distribution is hidden by the built-in" in said[0]
    assert (
        "'gone' of an unknown distribution is broken: there is no module for 'no_such_module:load'"
        in said[1]
    )
    assert "'twice' of an unknown distribution is hidden by the one of" in said[2]
    assert list(registry.complaints("gone")) == said[1:2]
    assert list(registry.complaints("unet")) == []
    assert registry.table()["twice"] == "json:loads"


@pytest.mark.parametrize(
    "target", ["denoisers.closed_form:identity", "denoisers.closed_form:Identity", "FILE:identity"]
)
def test_functions_classes_and_files(target, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from denoisers.closed_form import Identity\nidentity = Identity()\n"
    )
    assert registry.load(target.replace("FILE", str(tmp_path / "mine.py"))).spec.name == "identity"


def test_the_source_of_foreign_code_is_recorded(monkeypatch, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("x = 1")
    assert registry.source("unet") == {}
    first = registry.source(f"{path}:x")
    path.write_text("x = 2")
    assert registry.source(f"{path}:x") != first
    package = registry.source("denoisers.closed_form:identity")
    assert len(package["sha256"]) == 64
    # All of the package: modules import one another.
    assert registry.source("denoisers.classical:tv") == package
    assert len(registry.source("json.decoder:JSONDecoder")["sha256"]) == 64
    # Built into the interpreter: there is no file.
    assert registry.source("sys:path") == {"sha256": None}
    assert registry.source(f"splice:unet,{path}:x@1") == {f"{path}:x": registry.source(f"{path}:x")}
    plug_in(monkeypatch, "extra", "denoisers.closed_form:identity")
    assert registry.source("extra") == {"distribution": "an unknown distribution"} | package


CALLED = """
import sys
def ends(): sys.exit(0)
def fails(): raise RuntimeError("no luck\\nat all")
"""


@pytest.mark.parametrize(
    ("attribute", "said"), [("ends", "SystemExit: 0"), ("fails", "RuntimeError: no luck (")]
)
def test_what_foreign_code_raises_is_named_with_it(tmp_path, attribute, said):
    (tmp_path / "called.py").write_text(CALLED)
    with pytest.raises(ForeignError, match=re.escape(f":{attribute} failed: {said}")):
        registry.load(f"{tmp_path / 'called.py'}:{attribute}")


def test_listing_imports_no_torch():
    code = "import sys, denoisers; denoisers.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
