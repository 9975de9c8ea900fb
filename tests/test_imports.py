"""What a plug-in imports counts in its digest, is its own, and leaves no trace behind."""

import hashlib
import itertools
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import torch

from denoisers import registry
from denoisers.errors import ForeignError

PLUG = """
from denoisers.closed_form import Identity
{top}
class Constant(Identity):
    def forward(self, x, sigma):
        {lazy}
        return torch.full_like(x, helper.VALUE)
def load(name="helper"):
    {inside}
    return Constant()
import torch
"""
ROOT = Path(__file__).parent.parent
X, SIGMA = torch.zeros(1, 1, 2, 2), torch.tensor(1.0)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def plug(folder, top="import helper", lazy="pass", inside="pass", **helpers):
    write(folder, {"plug.py": PLUG.format(top=top, lazy=lazy, inside=inside)})
    write(folder, {f"{name.replace('__', '/')}.py": text for name, text in helpers.items()})
    return f"{folder / 'plug.py'}:load"


def value(name):
    return registry.load(name)(X, SIGMA).max().item()


def digest(name):
    return registry.source(name)["sha256"]


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    """Neither in sys.path nor on disk nor in the import system; and what Python knew, it knows."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = (
        list(sys.path),
        sys.path,
        list(sys.meta_path),
        {name: sys.modules[name] for name in ("torch", "synthetic")},
    )
    yield
    monkeypatch.undo()
    assert (list(sys.path), sys.path, list(sys.meta_path)) == before[:3]
    assert all(sys.modules[name] is module for name, module in before[3].items())
    assert not list(tmp_path.rglob("__pycache__"))


WAYS = {
    "beside it": ({}, "helper.py"),
    "of a package": ({"top": "from pkg import helper"}, "pkg/helper.py"),
    "in a folder that is no package": (
        {"top": "from folder.sub import helper"},
        "folder/sub/helper.py",
    ),
    "relative, inside a package": ({"top": "from pkg.deep import helper"}, "pkg/inner.py"),
    "of a name": ({"top": "from helper import VALUE\nclass helper: VALUE = VALUE"}, "helper.py"),
    "all of it": ({"top": "from far import *\nclass helper: VALUE = V"}, "far.py"),
    "by a path of its own": (
        {
            "top": "import sys, os\nsys.path.insert(0, os.path.dirname(__file__) + '/lib')\nimport helper"
        },
        "lib/helper.py",
    ),
    "by a new list of paths": (
        {
            "top": "import sys, os\nsys.path = [os.path.dirname(__file__) + '/lib', *sys.path]\nimport helper"
        },
        "lib/helper.py",
    ),
    "when it is loaded": ({"top": "", "inside": "global helper; import helper"}, "helper.py"),
    "by a computed name": (
        {"top": "import importlib\nhelper = importlib.import_module('hel' + 'per')"},
        "helper.py",
    ),
    "by a computed name, when it is loaded": (
        {
            "top": "import importlib",
            "inside": "global helper; helper = importlib.import_module(name)",
        },
        "helper.py",
    ),
    "when it is called": ({"top": "", "lazy": "import helper"}, "helper.py"),
    "when it is called, by a path of its own": (
        {
            "top": "import sys, os\nsys.path.append(os.path.dirname(__file__) + '/lib')",
            "lazy": "import helper",
        },
        "lib/helper.py",
    ),
    "by another": ({"top": "import first as helper"}, "second.py"),
    "from its file": (
        {
            "top": "import importlib.util as u, os, sys\n"
            "spec = u.spec_from_file_location('odd', os.path.dirname(__file__) + '/odd/helper.py')\n"
            "helper = sys.modules['odd'] = u.module_from_spec(spec)\nspec.loader.exec_module(helper)"
        },
        "odd/helper.py",
    ),
}
FILES = {
    "pkg/__init__.py": "",
    "pkg/deep/__init__.py": "",
    "pkg/deep/helper.py": "from ..inner import VALUE\nfrom . import other\n",
    "pkg/deep/other.py": "",
    "first.py": "from second import VALUE\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_helper_counts_however_it_is_imported(tmp_path, monkeypatch, way):
    """Edited within one second and to the same length, which what Python keeps in `__pycache__` does not notice."""
    keywords, helper = WAYS[way]
    write(tmp_path, FILES)
    name = plug(tmp_path, **keywords)
    content = "VALUE = V = {}\n"
    # Python's own loader keeps what it compiled, and tells edits apart by time and length.
    if way == "from its file":
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(tmp_path, {helper: content.format(1)})
    assert value(name) == 1
    first = digest(name)
    assert first == digest(name)
    write(tmp_path, {helper: content.format(2)})
    assert value(name) == 2
    assert digest(name) != first
    write(tmp_path, {helper: content.format(1)})
    assert (value(name), digest(name)) == (1, first)


def test_a_file_that_imports_nothing_has_its_own_digest(tmp_path):
    name = plug(tmp_path, top="")
    assert digest(name) == hashlib.sha256((tmp_path / "plug.py").read_bytes()).hexdigest()


def test_what_is_not_imported_does_not_count(tmp_path):
    name = plug(tmp_path, helper="VALUE = 1", other="VALUE = 1")
    first = digest(name)
    write(tmp_path, {"other.py": "VALUE = 2"})
    assert digest(name) == first


def test_the_digest_does_not_depend_on_the_place(tmp_path):
    names = [
        plug(tmp_path / folder, "from pkg import helper", pkg__helper="VALUE = 1")
        for folder in ("a", "deep/b")
    ]
    assert digest(names[0]) == digest(names[1])
    write(tmp_path, {"a/pkg/helper.py": "VALUE = 2"})
    assert digest(names[0]) != digest(names[1])


@pytest.mark.parametrize("lazy", ["pass", "import helper"])
def test_two_plug_ins_with_helpers_of_one_name_are_not_mixed_up(tmp_path, lazy):
    top = "import helper" if lazy == "pass" else ""
    names = [
        plug(tmp_path / place, top, lazy, helper=f"VALUE = {i}") for i, place in enumerate("abc")
    ]
    found = [registry.load(name) for name in names]
    for i, j in itertools.permutations(range(3), 2):
        assert [found[k](X, SIGMA).max().item() for k in (i, j)] == [i, j]
    assert len({digest(name) for name in names}) == 3


def test_neither_with_a_module_of_the_users(tmp_path, monkeypatch):
    write(tmp_path / "mine", {"helper.py": "VALUE = 5"})
    monkeypatch.syspath_prepend(tmp_path / "mine")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    helper = __import__("helper")
    name = plug(tmp_path / "a", helper="VALUE = 1")
    assert value(name) == 1
    assert sys.modules.pop("helper") is helper
    assert helper.VALUE == 5


def test_a_plug_in_that_fails_leaves_nothing(tmp_path):
    name = plug(tmp_path, helper="VALUE = 1 / 0")
    for _ in range(2):
        with pytest.raises(ForeignError, match="ZeroDivisionError"):
            registry.load(name)
    assert "helper" not in sys.modules
    write(tmp_path, {"helper.py": "VALUE = 1"})
    assert value(name) == 1


def test_what_is_installed_does_not_count_and_is_not_replaced(tmp_path):
    """A file beside a plug-in is not taken for a module of the standard library, or for torch, by its name."""
    name = plug(
        tmp_path,
        "import json, torch, numpy, einops, helper",
        helper="VALUE = 1",
        torch="1 / 0",
        json="1 / 0",
    )
    first = digest(name)
    assert value(name) == 1
    write(tmp_path, {"torch.py": "2 / 0"})
    assert digest(name) == first


def test_an_older_denoiser_keeps_its_helper(tmp_path):
    name = plug(tmp_path, "import helper", "import helper", helper="VALUE = 1")
    before = registry.load(name)
    write(tmp_path, {"helper.py": "VALUE = 2"})
    after = registry.load(name)
    assert [found(X, SIGMA).max().item() for found in (before, after, before)] == [1, 2, 1]


def test_a_helper_in_an_archive(tmp_path, monkeypatch):
    def pack(number):
        with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
            archive.writestr("helper.py", f"VALUE = {number}")

    monkeypatch.syspath_prepend(tmp_path / "lib.zip")
    (tmp_path / "a").mkdir()
    found = []
    for number in (1, 2):
        pack(number)
        name = plug(tmp_path / "a")
        found.append(digest(name))
    assert found[0] != found[1]


def test_a_compiled_module_counts(tmp_path):
    """Which one it is decides nothing here: a copy of one of the standard library's, with something after its end."""
    suffix = EXTENSION_SUFFIXES[0]
    source = next(Path(entry) for entry in sys.path if entry.endswith("lib-dynload")).glob(
        f"_crypt*{suffix}"
    )
    path = tmp_path / f"_crypt{suffix}"
    shutil.copy(next(source), path)
    name = plug(
        tmp_path,
        "class helper: VALUE = 1\ntry:\n    import compiled\nexcept ImportError:\n    pass",
    )
    shutil.move(path, tmp_path / f"compiled{suffix}")
    first = digest(name)
    with open(tmp_path / f"compiled{suffix}", "ab") as file:
        file.write(b"\0")
    assert digest(name) != first


def test_helpers_of_a_module_count_too(tmp_path, monkeypatch):
    """One that is found by PYTHONPATH, or through an editable install, which is a folder on the path."""
    write(
        tmp_path,
        {
            "plug.py": PLUG.format(top="import helper", lazy="pass", inside="pass"),
            "helper.py": "VALUE = 1",
        },
    )
    write(
        tmp_path,
        {"package/__init__.py": "", "package/inner.py": (tmp_path / "plug.py").read_text()},
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ["plug:load", "package.inner:load"]
    first = [digest(name) for name in names]
    assert [value(name) for name in names] == [1, 1]
    write(tmp_path, {"helper.py": "VALUE = 2"})
    assert [value(name) for name in names] == [2, 2]
    second = [digest(name) for name in names]
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_every_process_finds_the_same_digest(tmp_path):
    """Whatever was loaded or called before."""
    name = plug(tmp_path, "import helper", "import late", helper="VALUE = 1", late="")
    early = digest(name)
    assert value(name) == 1
    code = "import sys; from denoisers import registry as r; print(r.source(sys.argv[1])['sha256'])"
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert digest(name) == early == done.stdout.strip()
