"""Where the modules of a plug-in lie: which files are its own, what they hold, and what they import.

What belongs to a plug-in are files outside the standard library, the installed distributions and
this project.
"""

import ast
import contextlib
import functools
import hashlib
import os
import site
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from types import ModuleType

OURS = ("denoisers", "bench")
# There is one of each, whatever lies beside a plug-in.
SHARED = {*sys.stdlib_module_names, *OURS, "torch", "numpy"}
INSTALLED = ("site-packages", "dist-packages")


@functools.cache
def libraries() -> tuple[str, ...]:
    """The folders of the standard library, of installed distributions and of this project."""
    known = [sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    known += [*site.getsitepackages(), site.getusersitepackages()]
    ours = [str(Path(__file__).parents[1] / name) for name in OURS]
    folders = [*known, *ours]
    return tuple({path for folder in folders for path in (folder, os.path.realpath(folder))})


@functools.lru_cache(maxsize=4096)
def is_theirs(path: str) -> bool:
    """Whether a file or folder belongs to a plug-in."""
    path = os.path.abspath(path)
    inside = any(path == folder or path.startswith(folder + os.sep) for folder in libraries())
    return not inside and not set(INSTALLED) & set(Path(path).parts)


def place(module: ModuleType | ModuleSpec) -> str | None:
    """The file of a module, or the folder of a package without one; None for what is built in."""
    spec = module if isinstance(module, ModuleSpec) else getattr(module, "__spec__", None)
    located = spec is not None and spec.has_location
    origin = spec.origin if located else getattr(module, "__file__", None)
    folders = getattr(spec, "submodule_search_locations", None) or getattr(module, "__path__", None)
    return origin or next(iter(folders or ()), None)


def offered(folder: Path) -> set[str]:
    """The names that modules and packages in a folder have, but those of SHARED."""
    names = {
        path.name.split(".")[0]
        for path in folder.glob("*")
        if path.name.endswith((".py", *EXTENSION_SUFFIXES))
    }
    names |= {path.parent.name for path in folder.glob("*/__init__.*")}
    return names - SHARED


def below(path: str, folder: str) -> bool:
    """Whether a file is a Python file in a folder or in one below it."""
    return path.startswith(folder + os.sep) and path.endswith(".py")


def sha256(path: str) -> str | None:
    """Digest of a file, or of the archive that it lies in; None where there is none."""
    with contextlib.suppress(StopIteration, OSError):
        file = next(place for place in (Path(path), *Path(path).parents) if place.exists())
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return None


@functools.lru_cache(maxsize=4096)
def imported(path: str, name: str, digest: str | None) -> list[str]:
    """The modules, and the names from them, that a Python file imports; wherever the lines stand.

    name    of its own module
    digest  of its content, with which the answer changes
    """
    if digest is None or not path.endswith(".py"):
        return []
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    package = name if Path(path).name == "__init__.py" else name.rpartition(".")[0]
    modules = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            modules += [f"{base}.{alias.name}" for alias in node.names] if base else []
    return modules
