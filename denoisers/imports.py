"""What a plug-in imports: looked for beside it, kept apart from others', counted in its digest.

Two plug-ins may each have a `helper.py`; Python would give the second the module of the first. So
each has a `World`: its own modules and its own additions to sys.path, which are in force while its
code is loaded and whenever a line of it imports something. Modules are compiled from their source
alone, without `__pycache__`, whose times cannot tell two edits within one second apart.

Nothing smaller will do. A helper is imported by the name that its author wrote, so it cannot be
renamed; by `importlib` too, so an `__import__` alone is not enough; and when the denoiser is called,
so neither is what is done while it is loaded.
"""

import builtins
import contextlib
import hashlib
import importlib
import itertools
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from denoisers.origins import SHARED, below, imported, is_theirs, offered, place, sha256

LOCK = threading.RLock()
# By the file or module of the plug-in: the one that was loaded last.
WORLDS: dict[str, "World"] = {}
NUMBERS = itertools.count()


class Source(SourceFileLoader):
    """A Python file of a plug-in: what it imports, now or later, is looked for in its world."""

    def __init__(self, name: str, path: str, world: "World") -> None:
        super().__init__(name, path)
        self.world = world

    def get_code(self, fullname: str) -> Any:
        """From the source, as it is now."""
        content = self.get_data(self.path)
        self.world.executed[self.path] = hashlib.sha256(content).hexdigest()
        return self.source_to_code(content, self.path)

    def exec_module(self, module: ModuleType) -> None:
        """As ever, with an `__import__` of its own."""
        module.__dict__["__builtins__"] = vars(builtins) | {"__import__": self.world.imports}
        super().exec_module(module)


class World:
    """The modules of one plug-in.

    home      its file, or the name of its top-level package
    names     of top-level modules that are its own, whatever Python knows by them
    modules   name -> module, of what belongs to it
    brought   path -> name, of what was imported while it was loaded
    executed  path -> sha256 of the source that was run
    state     path -> sha256 of all its files, as they were loaded
    path      what it added to sys.path
    """

    def __init__(self, home: str) -> None:
        self.home, self.loads = home, 0
        self.folder = Path(home).resolve().parent if home.endswith(".py") else None
        self.main: ModuleType | None = None
        self.modules: dict[str, ModuleType] = {}
        self.brought: dict[str, str] = {}
        self.executed: dict[str, str] = {}
        self.state: dict[str, str] = {}
        self.path: list[str] = []
        if self.folder is not None:
            self.names = offered(self.folder)
        else:
            known = sys.modules.get(home)
            alive = known is not None and home not in SHARED | {"__main__"}
            self.names = {home} if alive and is_theirs(place(known) or os.devnull) else set()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """For the import system: `spec_of`, with our loader for what belongs to the plug-in."""
        spec = self.spec_of(name, path, target)
        origin = None if spec is None else place(spec)
        if origin is None or not is_theirs(origin):
            return spec
        if type(spec.loader) is SourceFileLoader:
            spec.loader, spec.cached = Source(spec.loader.name, spec.loader.path, self), None
        if self.loads:
            self.brought.setdefault(origin, name)
        return spec

    def spec_of(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module: beside the plug-in, or of whichever finder has one."""
        beside = [] if path is not None or self.folder is None else [str(self.folder)]
        neighbour = PathFinder.find_spec(name, beside) if name in self.names and beside else None
        if neighbour is not None:
            return neighbour
        for finder in sys.meta_path:
            find = None if isinstance(finder, World) else getattr(finder, "find_spec", None)
            if find is not None and (spec := find(name, path, target)) is not None:
                return spec
        # A folder without __init__.py.
        return PathFinder.find_spec(name, beside) if beside else None

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """`entered`; what is imported inside counts in the digest."""
        with self.entered():
            known, self.loads = set(sys.modules), self.loads + 1
            try:
                yield
                self.keep(set(sys.modules) - known)
                self.state = self.files() | self.executed
            finally:
                self.loads -= 1

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, Python knows the plug-in's modules and searches its path; then all is as before."""
        with LOCK:
            if sys.meta_path[0] is self:
                yield
                return
            hidden = {name: sys.modules.pop(name) for name in self.strangers()}
            sys.modules.update(self.modules)
            known, path, before = set(sys.modules), sys.path, list(sys.path)
            sys.path[:] = [*(entry for entry in self.path if entry not in before), *before]
            searched = list(sys.path)
            sys.meta_path.insert(0, self)
            try:
                yield
            finally:
                self.keep(set(sys.modules) - known)
                self.path += [entry for entry in sys.path if entry not in searched]
                sys.path, sys.path[:] = path, before
                sys.meta_path.remove(self)
                for name in self.modules.keys() & sys.modules.keys():
                    del sys.modules[name]
                sys.modules.update(hidden)

    def strangers(self) -> list[str]:
        """Modules that Python could take for the plug-in's own: of other plug-ins, or the user's."""
        others = [finder for finder in sys.meta_path if isinstance(finder, World)]
        strangers = {name for other in others for name in other.modules}
        strangers &= sys.modules.keys()
        if self.names & sys.modules.keys():
            strangers |= {name for name in sys.modules if name.partition(".")[0] in self.names}
        return list(strangers)

    def keep(self, names: set[str]) -> None:
        """Take those of the modules that belong to the plug-in, however it came by them."""
        for name in names:
            origin = place(sys.modules[name])
            if origin is not None and is_theirs(origin):
                self.modules[name] = sys.modules[name]
                if self.loads:
                    self.brought.setdefault(origin, name)

    def imports(
        self, name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        """`__import__` of the plug-in's files."""
        if level == 0 and name.partition(".")[0] in SHARED:
            return builtins.__import__(name, globals, locals, fromlist, level)
        with self.entered():
            return builtins.__import__(name, globals, locals, fromlist, level)

    def run(self) -> None:
        """Run the file of the plug-in."""
        path = str(Path(self.home).resolve())
        name = f"{Path(path).stem}_{sha256(path)[:16]}_{next(NUMBERS)}"
        spec = spec_from_file_location(name, path, loader=Source(name, path, self))
        self.brought[path], self.main = Path(path).stem, module_from_spec(spec)
        sys.modules[name] = self.main  # dataclasses look it up
        spec.loader.exec_module(self.main)

    def forget(self) -> None:
        """Take the plug-in from the modules that Python knows."""
        if self.main is not None:
            sys.modules.pop(self.main.__name__, None)

    def files(self) -> dict[str, str]:
        """path -> sha256, as they are now, of the files it brought and of all that they import."""
        return {path: digest for path in self.closure() if (digest := sha256(path)) is not None}

    def closure(self) -> dict[str, str]:
        """path -> name of the module, of those files."""
        names = dict(self.brought)
        todo = list(names)
        with self.entered():
            while todo:
                path = todo.pop()
                for wanted in imported(path, names[path], sha256(path)):
                    for origin, name in self.located(wanted):
                        if origin not in names:
                            names[origin] = name
                            todo.append(origin)
        return names

    def located(self, name: str) -> Iterator[tuple[str, str]]:
        """File and name of "a", "a.b" and so on, as far as they are modules of the plug-in.

        Imports nothing.
        """
        path, parts = None, name.split(".")
        for end in range(1, len(parts) + 1):
            module = ".".join(parts[:end])
            spec = None if module in SHARED else self.spec_of(module, path)
            origin = None if spec is None else place(spec)
            if origin is None or not is_theirs(origin):
                return
            yield origin, module
            path = spec.submodule_search_locations
            if path is None:
                return

    def digest(self, start: str | None = None, covered: str | None = None) -> str | None:
        """sha256 of its files and their names; of a single one, that of the file; None of none.

        start    a digest of what lies in `covered`: a file, or the Python files in a folder
        """
        state, names = self.state, self.closure()
        within = {covered}
        if covered is not None:
            within |= {path for path in state if below(path, covered)}
        rest = sorted((names.get(path, ""), state[path]) for path in state.keys() - within)
        if start is None and len(rest) == 1:
            return rest[0][1]
        lines = [f"{name} {digest}\n" for name, digest in rest]
        if not lines:
            return start
        return hashlib.sha256("".join([*lines, start or ""]).encode()).hexdigest()


def world(home: str) -> World:
    """The plug-in in a file or a top-level package, loaded; anew if one of its files has changed.

    Raises whatever its code raises.
    """
    key = str(Path(home).resolve()) if home.endswith(".py") else home
    before = WORLDS.get(key)
    if before is not None and before.files() == before.state:
        return before
    if before is not None:
        before.forget()
    importlib.invalidate_caches()
    fresh = WORLDS[key] = World(key)
    try:
        with fresh.loading():
            if fresh.folder is not None:
                fresh.run()
    except BaseException:
        del WORLDS[key]
        fresh.forget()
        raise
    return fresh
