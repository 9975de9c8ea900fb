"""Where named datasets are looked for: the folder asked for, $BENCH_DATA, our own, and the net last."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.data.dataset import Dataset
from bench.notices import notice
from denoisers import places
from denoisers.errors import UsageError
from denoisers.weights import home


class Source(NamedTuple):
    """How a dataset is had.

    name      of it, in sentences
    expected  what of it lies in a folder
    read      read(folder, about): the dataset, or None if none of it is there; raises UsageError,
              about that flag, for damaged files
    download  download(folder): the dataset, kept below that folder if there is one; None without a
              network
    """

    name: str
    expected: str
    read: Callable[[Path, str], Dataset | None]
    download: Callable[[Path | None], Dataset | None]


def found(source: Source, data_dir: Path | None) -> Dataset | None:
    """The dataset, from `data_dir`, or else $BENCH_DATA, $BENCH_HOME/data or the net; None if it is nowhere.

    Raises UsageError if `data_dir` is given and holds none, and for damaged files: nothing takes the
    place of those, except what is downloaded into $BENCH_HOME/data.
    """
    if data_dir is not None:
        dataset = source.read(data_dir, "--data-dir")
        if dataset is None:
            raise UsageError(
                f"no {source.name} in {data_dir}: expected {data_dir}/{source.expected}",
                "--data-dir",
            )
        return dataset
    return given(source) or kept(source)


def here(source: Source, data_dir: Path | None) -> Dataset | None:
    """The same, where nothing is downloaded."""
    if data_dir is not None:
        return source.read(data_dir, "--data-dir")
    folder = own_folder()
    return given(source) or (source.read(folder, "") if folder else None)


def given(source: Source) -> Dataset | None:
    """From $BENCH_DATA; None if that is not set, or holds none."""
    folder = places.variable("BENCH_DATA")
    return source.read(folder, "BENCH_DATA") if folder else None


def own_folder() -> Path | None:
    """Where downloads are kept: $BENCH_HOME/data, if there is a home."""
    folder = home()
    return folder / "data" if folder else None


def kept(source: Source) -> Dataset | None:
    """From our own folder, or downloaded into it; None if neither can be.

    Raises UsageError for damaged files in it that no download can replace.
    """
    folder, damage = own_folder(), None
    try:
        if folder and (dataset := source.read(folder, "")):
            return dataset
    except UsageError as error:
        damage = error
        notice(f"{error}; trying to download it again")
    dataset = source.download(folder)
    if dataset is None and damage:
        raise damage
    return dataset


def searched() -> str:
    """The folders that were looked into, in words."""
    folders = [str(folder) for folder in (places.variable("BENCH_DATA"), own_folder()) if folder]
    return " and ".join(folders) or "any place"


def required(source: Source, data_dir: Path | None) -> Dataset:
    """As `found`; raises UsageError if it is nowhere."""
    dataset = found(source, data_dir)
    if dataset is None:
        raise UsageError(
            f"no {source.name} in {searched()}, and none could be downloaded; "
            f"point --data-dir or BENCH_DATA at a folder that holds {source.expected}",
            "--dataset",
        )
    return dataset
