"""What runs, image sets and curves are called wherever people read it: tables, pages, plots.

A name says what the images come from. Rows of one table that would be called the same are told
apart by whatever they differ in, and by that alone.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

Facts = Mapping[str, Any]  # run.json, or as much of it as is known

# What decides the images, in the order of names; and what decides no more than their rounding.
MADE = ("weights", "options", "sampler", "seed", "dataset", "num", "dtype", "way", "noise_version")
MADE += ("source", "arguments", "digest")
MACHINE = ("device", "workers", "batch_size")
DIGESTED = ("weights", "dataset", "source", "arguments", "digest")
IMPLIED = ("sampler.variance", "sampler.order")  # by the sampler's name


def describe(facts: Facts) -> str:
    """Denoiser, weights and options in words; or the name of what no denoiser of ours has made.

    facts  denoiser, weights, options; or name
    """
    if "denoiser" not in facts:
        return str(facts["name"])
    weights = re.sub("@[0-9a-f]{8}", "", str(facts.get("weights") or ""))
    words = [str(facts["denoiser"])]
    if weights:
        words.append(weights)
    for key, value in sorted((facts.get("options") or {}).items()):
        shown = key.rpartition(".")[2] == "weights" and Path(str(value)).stem in weights.split(",")
        if not shown:
            words.append(f"{key}={value}")
    return " ".join(words)


def distinct(rows: Sequence[Facts], folders: Sequence[str] = ()) -> list[str]:
    """The names of the rows of one table, no two of them alike.

    folders  of the rows, if they have any: part of the name where nothing that decides the images
             differs
    """
    details: list[list[str]] = [[] for _ in rows]

    def names() -> list[str]:
        shown = (f" ({', '.join(words)})" if words else "" for words in details)
        return [describe(row) + words for row, words in zip(rows, shown, strict=True)]

    def tell_apart(words: Callable[[list[int]], list[list[str]]]) -> None:
        for same in alike(names()):
            for place, more in zip(same, words(same), strict=True):
                details[place] += more

    for fields in (("kind",), MADE):
        tell_apart(lambda same, fields=fields: differences([rows[place] for place in same], fields))
    tell_apart(
        lambda same: elsewhere(
            [rows[i] for i in same], [folders[i] for i in same] if folders else []
        )
    )
    while alike(names()):
        tell_apart(lambda same: [[str(place + 1)] for place in range(len(same))])
    return names()


def alike(names: Sequence[str]) -> list[list[int]]:
    """The places of names that occur more than once, name by name."""
    places = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    return [same for same in places.values() if len(same) > 1]


def elsewhere(rows: Sequence[Facts], folders: Sequence[str]) -> list[list[str]]:
    """What tells the same images apart that were made twice: the machine, and the folder."""
    differing = differences([{**(row.get("cost") or {}), **row} for row in rows], MACHINE)
    places = apart(folders or [""] * len(rows))
    pairs = zip(differing, places, strict=True)
    return [[*words, place] if place else words for words, place in pairs]


def differences(
    rows: Sequence[Facts], fields: Sequence[str], apart_from: Sequence[str] = ()
) -> list[list[str]]:
    """For each row, in words, the facts in `fields` that are not the same in all rows.

    apart_from  paths of facts that do not count
    """
    flat = [dict(leaves({name: row.get(name) for name in fields})) for row in rows]
    left_out = (*IMPLIED, *apart_from)
    keys = dict.fromkeys(key for row in flat for key in row if key not in left_out)
    texts = {key: [json.dumps(row.get(key), default=str) for row in flat] for key in keys}
    differing = [key for key in keys if len(set(texts[key])) > 1]
    differing.sort(key=lambda key: fields.index(key.split(".")[0]))
    return [
        [in_words(key, row[key]) for key in differing if row.get(key) is not None] for row in flat
    ]


def leaves(facts: Facts, under: str = "") -> Iterator[tuple[str, Any]]:
    """The facts of nested objects, by their path."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{under}{key}.")
        else:
            yield f"{under}{key}", value


def in_words(path: str, value: Any) -> str:
    """One fact; digests by their first eight digits."""
    field, _, key = path.partition(".")
    last = path.rpartition(".")[2]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if field in DIGESTED:  # a whole number has the same digits, and is none
        text = re.sub(r"\b([0-9a-f]{8})[0-9a-f]{8,}\b", r"\1", text)
    if path in WORDS:
        return WORDS[path](text)
    if field == "options":
        return f"{key}={text}"
    if last == "sha256":
        return f"code {text}"
    return text if field == "source" else f"{last.replace('_', ' ')} {text}"


WORDS: dict[str, Callable[[str], str]] = {
    "weights": lambda text: f"weights {','.join(re.findall('@([0-9a-f]{8})', text)) or text}",
    "sampler.num": lambda text: f"{text} images",
    "sampler.steps": lambda text: f"{text} steps",
    "sampler.grid": lambda text: f"{text} grid",
    "sampler.clip": lambda text: "clipped" if text == "True" else "not clipped",
    "sampler.sampler": str,
    "sampler.start": lambda text: f"started from {text}",
    "seed": lambda text: f"seeds {text}" if "," in text else f"seed {text}",
    "num": lambda text: f"{text} images",
    "dataset": str,
    "dtype": str,
    "way": lambda text: re.sub(r"[][']", "", text),
    "kind": str,
    "digest": lambda text: f"images {text[:8]}",
    "device": str,
    "workers": lambda text: "1 worker" if text == "1" else f"{text} workers",
}


def apart(folders: Sequence[str]) -> list[str]:
    """The parts in which paths differ: without what all of them begin with and end in."""
    parts = [list(PurePath(folder).parts) for folder in folders]
    for end in (-1, 0):
        while all(parts) and len({part[end] for part in parts}) == 1:
            for part in parts:
                del part[end]
    return ["/".join(part) for part in parts]
