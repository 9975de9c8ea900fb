"""Which rooms may know which: the arrows that docs/design.md draws, held to the imports in the code."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = ("data", "sampling", "scoring", "probes", "studies", "reporting", "cli")
# The ground: it imports nothing of a wing. `images` is numpy and torch; `machine` asks denoisers.base for a dtype.
GROUND = (
    "arrays",
    "bounds",
    "facts",
    "files",
    "folders",
    "images",
    "machine",
    "names",
    "noise",
    "progress",
    "runs",
    "samples",
    "sheets",
)
GROUND += ("crew", "lease", "notices", "ranks", "shards", "text")
# Of denoisers, what reading, checking and failing need, whoever does it.
COMMON = (
    "bounds",
    "checkpoints",
    "errors",
    "facts",
    "files",
    "layouts",
    "memory",
    "pickled",
    "places",
    "precision",
    "reading",
    "units",
    "weights",
)


def modules():
    """Module -> its path, for all of the product's code."""
    paths = [
        path for name in ("bench", "denoisers") for path in sorted((ROOT / name).rglob("*.py"))
    ]
    names = (path.relative_to(ROOT).with_suffix("").parts for path in paths)
    return {
        ".".join(parts[:-1] if parts[-1] == "__init__" else parts): path
        for parts, path in zip(names, paths, strict=True)
    }


MODULES = modules()


def imports(module, lazily=True):
    """The modules of ours that one imports; those inside its functions only where `lazily`."""
    tree = ast.parse(MODULES[module].read_text())
    nodes = ast.walk(tree) if lazily else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {whole if whole in MODULES else node.module for whole in named.values()}
    return {name for name in found & MODULES.keys() if name != module}


def room(module):
    """The wing of a module, `ground`, or what stands alone: experiment, recipes, denoisers, denoisers' common."""
    package, *rest = module.split(".")
    if package == "denoisers":
        return "common" if rest and rest[0] in COMMON else "denoisers"
    if not rest or rest[0] == "__main__":
        return "door"
    return "ground" if rest[0] in GROUND else rest[0]


ARROWS = sorted(
    {(room(a), room(b), a, b) for a in MODULES for b in imports(a) if room(a) != room(b)}
)
NEVER = {
    "scoring": ("sampling", "probes"),
    "sampling": ("scoring", "probes"),
    "probes": ("sampling", "scoring"),
    "reporting": ("sampling", "probes", "denoisers", "experiment"),
    "ground": (*WINGS, "experiment", "recipes"),
    "denoisers": (*WINGS, "ground", "experiment", "recipes", "door"),
    "common": (*WINGS, "ground", "experiment", "recipes", "door", "denoisers"),
}


@pytest.mark.parametrize("wing", NEVER)
def test_a_wing_knows_nothing_of_those_it_must_not(wing):
    assert [
        f"{a} -> {b}" for start, end, a, b in ARROWS if start == wing and end in NEVER[wing]
    ] == []


def test_nobody_knows_the_command_line():
    assert {a for start, end, a, _ in ARROWS if end == "cli"} <= {"bench.__main__"}


def test_samplers_know_nothing_of_bench():
    assert {name for name in imports("bench.sampling.samplers") if room(name) != "common"} == set()


def test_no_module_is_part_of_a_circle():
    """Of imports at the top or in functions: whoever is begun with, all it reaches is without it."""
    known = {
        module: {name for name in imports(module) if not MODULES[name].match("__init__.py")}
        for module in MODULES
    }

    def reached(start):
        found, left = set(), [start]
        while left:
            new = known[left.pop()] - found
            found |= new
            left += new
        return found

    assert [module for module in MODULES if module in reached(module)] == []


def test_every_room_says_what_it_is_for():
    for wing in WINGS:
        assert ast.get_docstring(ast.parse((ROOT / "bench" / wing / "__init__.py").read_text()))


@pytest.mark.parametrize("room", ["bench", "denoisers"])
def test_what_is_long_says_why(room):
    """No file of more than 300 lines; above a function of more than 50, a comment."""
    for path in [path for name, path in MODULES.items() if f"{name}.".startswith(f"{room}.")]:
        lines = path.read_text().splitlines()
        assert len(lines) <= 300, path
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 50:
                first = min([node.lineno, *(part.lineno for part in node.decorator_list)])
                assert lines[first - 2].lstrip().startswith("#"), f"{path}: {node.name}"


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("bench.check", "assert_conforms"),
        ("bench.sampler", "Step"),
        ("denoisers.controls", "identity"),
    ],
)
def test_a_former_address_leads_to_the_new_one_and_says_so(former, name):
    sys.modules.pop(former, None)
    with pytest.warns(FutureWarning, match=f"{former} is now "):
        module = importlib.import_module(former)
    assert getattr(module, name).__module__ != former


@pytest.mark.parametrize("module", ["bench.reporting.exports", "bench.scoring.selection"])
def test_what_only_reads_results_does_not_wait_for_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
