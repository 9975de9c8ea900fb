"""Code of others, by entry point, module or file: found, imported and digested."""

import difflib
import importlib.util
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from denoisers import imports, origins
from denoisers.errors import FEW, ForeignError, UsageError, in_one_line, listed

GROUP, DATASETS = "bench.denoisers", "bench.datasets"  # entry points


def plug_ins(group: str = GROUP) -> dict[str, EntryPoint]:
    """Entry points of other distributions by name; of two with one name, the first."""
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        points.setdefault(point.name, point)
    return points


def distribution(point: EntryPoint) -> str:
    """Name and version of the distribution that brings a plug-in."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def is_installed(target: str) -> bool:
    """Whether the top-level package of "package.module:attr" can be found; finding it imports nothing."""
    try:
        package = target.partition(":")[0].partition(".")[0]
        return importlib.util.find_spec(package) is not None
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
        hint = ""
        if place.endswith(".py") and isinstance(error, ModuleNotFoundError):
            hint = "; it is neither installed nor beside the file"
            hint += "; PYTHONPATH=FOLDER finds it elsewhere"
        absent = isinstance(error, ModuleNotFoundError | TypeError | ValueError)
        kind = UsageError if absent and not executed(error) else ForeignError
        raise kind(f"{who} {target} does not import: {in_one_line(error)}{hint}") from error
    value = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        others = alternatives(module, attribute)
        raise UsageError(f"{who} {target} leads nowhere: {place} has no {attribute!r}; {others}")
    return value


def executed(error: BaseException) -> bool:
    """Whether an import ran foreign code before it failed, and did not just find nothing."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = (__file__, imports.__file__, origins.__file__)
    return any(frame.filename not in ours and "importlib" not in frame.filename for frame in frames)


def alternatives(module: Any, attribute: str) -> str:
    """In words, a few functions of a module; those with nearly the name asked for, if there are."""
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
    """sha256 of a Python file, or of all of the top-level package of a module; None without a file.

    With the files that they import, outside the standard library, installed distributions and this
    project.
    """
    from denoisers import weights

    if place.endswith(".py"):
        return world(place).digest()
    from_package(place)
    top = from_package(place.partition(".")[0])
    origin = origins.place(top)
    if hasattr(top, "__path__"):
        folder = next(iter(top.__path__))
        return world(place).digest(weights.tree(Path(folder), "*.py"), str(folder))
    is_file = origin is not None and Path(origin).is_file()
    return world(place).digest(weights.sha256(Path(origin)) if is_file else None, origin)
