"""What is imported is what pyproject.toml declares: an install has all it needs, and nothing else."""

import ast
import functools
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"bench", "denoisers"}
BROUGHT = {"triton"}  # by torch for CUDA, and asked for only where that is
BY_NAME = ("extra", "import_module", "importorskip")  # called with the name of what they import


def name_of(requirement):
    """The normalised distribution of a requirement: torch-fidelity of "Torch_Fidelity[image]>=0.3"."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


DEPENDENCIES = {name_of(each) for each in PROJECT["dependencies"]}
EXTRAS = {
    extra: {name_of(each) for each in each}
    for extra, each in PROJECT["optional-dependencies"].items()
}
OPTIONAL = {
    (extra, name)
    for extra, names in EXTRAS.items()
    if extra not in ("dev", "docs")  # which no code here imports
    for name in names
}


def imports_of(code):
    """Packages that Python code imports, anywhere in it; and (extra, package) of its calls `extra(package, extra)`."""
    found, optional = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            if called == "extra" and len(words) == 2:
                optional.add((words[1], words[0].split(".")[0]))
            elif called in BY_NAME and words:
                found.add(words[0])
    return {name.split(".")[0] for name in found}, optional


def imports_below(*folders):
    """`imports_of` all Python files below these folders of the checkout, without the standard library."""
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert files
    found = [imports_of(path.read_text()) for path in files]
    named, optional = (set().union(*parts) for parts in zip(*found, strict=True))
    return named - set(sys.stdlib_module_names) - BROUGHT, optional


@functools.cache
def distributions():
    return packages_distributions()


def distribution_of(package):
    """The normalised distribution that brings a package: scikit-learn for sklearn; its own name if none does."""
    return name_of(distributions().get(package, [package])[0])


def test_imports_are_found_wherever_they_are():
    inside = ["from d.e import g", "from . import h", "extra('i.j', 'k')", "l.import_module('m')"]
    code = "\n    ".join(["import a.b, c\ndef f():", *inside])
    assert imports_of(code) == ({"a", "c", "d", "m"}, {("k", "i")})
    assert [
        distribution_of(name) for name in ("PIL", "sklearn", "torch_fidelity", "no_such_package")
    ] == [*("pillow", "scikit-learn", "torch-fidelity", "no-such-package")]


def test_what_is_imported_is_a_dependency_and_the_other_way_round():
    found, optional = imports_below(*OURS)
    assert {(extra, distribution_of(name)) for extra, name in optional} == OPTIONAL
    assert {distribution_of(name) for name in found - OURS} - {
        name for _, name in OPTIONAL
    } == DEPENDENCIES


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "examples"])
def test_the_rest_imports_only_what_an_extra_brings(folder):
    beside = {path.stem for path in (ROOT / folder).glob("*.py")}
    found = {distribution_of(name) for name in imports_below(folder)[0] - OURS - beside}
    assert found <= DEPENDENCIES.union(*EXTRAS.values())


def test_the_lock_holds_all_that_is_declared():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {name_of(line) for line in lines if not line.startswith("#")}
    assert all("==" in line for line in lines if not line.startswith("#"))
    developers = EXTRAS["dev"] - {name_of(PROJECT["name"])}
    named = re.findall(
        r"\w+", re.search(r"\[(.*)\]", PROJECT["optional-dependencies"]["dev"][0])[1]
    )
    assert DEPENDENCIES | developers | set().union(*(EXTRAS[extra] for extra in named)) <= locked
