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


def test_a_file_is_executed_once_for_each_content(tmp_path):
    path = tmp_path / "counted.py"
    path.write_text(
        "import denoisers.closed_form as c\nc.count = getattr(c, 'count', 0) + 1\nx = c.Identity()\n"
    )
    for _ in range(3):
        registry.load(f"{path}:x")
    from denoisers import closed_form

    assert closed_form.count == 1
    del closed_form.count
    path.write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(ForeignError, match="ZeroDivisionError"):
            registry.load(f"{path}:x")


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


def test_a_module_that_is_nowhere_is_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text("from net7 import A")
    said = "No module named 'net7'; it is neither installed nor beside the file; PYTHONPATH=FOLDER finds it elsewhere"
    with pytest.raises(ForeignError, match=said):
        registry.load(f"{tmp_path / 'mine.py'}:load")


CALLED = """
import sys, torch
from denoisers.closed_form import Identity
called = []
def ends(): sys.exit(0)
def fails(): raise RuntimeError("no luck\\nat all")
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


@pytest.mark.parametrize(
    ("attribute", "said"), [("ends", "SystemExit: 0"), ("fails", "RuntimeError: no luck (")]
)
def test_what_foreign_code_raises_is_named_with_it(tmp_path, attribute, said):
    (tmp_path / "called.py").write_text(CALLED)
    with pytest.raises(ForeignError, match=re.escape(f":{attribute} failed: {said}")):
        registry.load(f"{tmp_path / 'called.py'}:{attribute}")


def test_a_few_names_are_offered():
    with pytest.raises(
        UsageError, match=r"torch\.nn has no 'Linar'; it has (\w+, ){1,5}\w+ and \d+ more"
    ) as said:
        registry.find("torch.nn:Linar")
    assert "Linear" in str(said.value)


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


def test_listing_imports_no_torch():
    code = "import sys, denoisers; denoisers.names(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
