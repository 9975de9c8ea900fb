"""Code of others, by entry point, module or file: found, imported and digested."""

import difflib
import importlib.util
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from denoisers import imports
from denoisers.errors import FEW, ForeignError, UsageError, listed, said

GROUP = "bench.denoisers"


def plug_ins() -> dict[str, EntryPoint]:
    """Entry points of other distributions by name; of two with one name, the first."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return found


def distribution(point: EntryPoint) -> str:
    """Name and version of the distribution that brings a plug-in."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def is_installed(target: str) -> bool:
    """Whether the top-level package of "package.module:attr" can be found; finding it imports nothing."""
    try:
        return (
            importlib.util.find_spec(target.split(":", maxsplit=1)[0].split(".", maxsplit=1)[0])
            is not None
        )
    except (ImportError, ValueError):
        return False


def imported(target: str, who: str) -> Any:
    """The object at "module:attr" or "path/to/file.py:attr".

    Raises UsageError for what is not there, ForeignError for code that fails when it is imported;
    both say `who`.
    """
    place, _, attribute = target.rpartition(":")
    try:
        module = from_file(Path(place)) if place.endswith(".py") else from_package(place)
    except (Exception, SystemExit) as error:
        absent = isinstance(error, ModuleNotFoundError | TypeError | ValueError) and not executed(
            error
        )
        beside = place.endswith(".py") and isinstance(error, ModuleNotFoundError)
        hint = (
            "; it is neither installed nor beside the file; PYTHONPATH=FOLDER finds it elsewhere"
            if beside
            else ""
        )
        kind = UsageError if absent else ForeignError
        raise kind(f"{who} {target} does not import: {said(error)}{hint}") from error
    found = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise UsageError(
            f"{who} {target} leads nowhere: {place} has no {attribute!r}; {alternatives(module, attribute)}"
        )
    return found


def executed(error: BaseException) -> bool:
    """Whether an import got as far as running foreign code before it failed, and did not just find nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    own = (__file__, imports.__file__)
    return any(frame.filename not in own and "importlib" not in frame.filename for frame in frames)


def alternatives(module: Any, attribute: str) -> str:
    """In words, a few of the functions of a module: those that are called nearly as was asked for come first."""
    functions = [
        key for key, value in vars(module).items() if callable(value) and not key.startswith("_")
    ]
    if not functions:
        return "it has no functions"
    near = difflib.get_close_matches(attribute, functions, n=FEW)
    return f"it has {listed(near or functions, len(functions))}"


def from_file(path: Path) -> Any:
    """The module that a Python file makes, once for each content of it and of what it imports."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    return imports.world(str(path)).main


def from_package(name: str) -> Any:
    """An importable module; of a plug-in's package, as its files are now."""
    with world(name).loading():
        return importlib.import_module(name)


def world(place: str) -> imports.World:
    """What a Python file, or the package of a module, has imported."""
    return imports.world(place if place.endswith(".py") else place.partition(".")[0])


def digest(place: str) -> str | None:
    """sha256 of a Python file, or of all Python files of the top-level package of a module; None if it has no file.

    With the files that they import, outside the standard library, installed distributions and this
    project.
    """
    from denoisers import weights

    if place.endswith(".py"):
        return world(place).digest()
    from_package(place)
    top = from_package(place.partition(".")[0])
    found = imports.place(top)
    if hasattr(top, "__path__"):
        folder = next(iter(top.__path__))
        return world(place).digest(weights.tree(Path(folder), "*.py"), str(folder))
    there = found is not None and Path(found).is_file()
    return world(place).digest(weights.sha256(Path(found)) if there else None, found)
