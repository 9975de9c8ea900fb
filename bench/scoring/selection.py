"""Which runs are meant: a folder, a name, or all that a folder of results holds; of one protocol, to be compared."""

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import names, runs
from bench.files import Say
from bench.runs import Run
from bench.scoring import compare
from bench.scoring.compare import Scored
from denoisers.errors import UsageError, listed

RESULTS = Path("results")  # where names are looked up, unless a folder of results is given


def load(
    words: Sequence[Path], features: str | None = None, say: Say = lambda line: None
) -> list[Scored]:
    """What is to be compared, under names that tell them apart; runs that differ in their seed alone are one.

    words     run folders; folders of runs; names, as tables or --denoiser have them, of runs in
              results/ or in the folder of results that is another of the words; or such a folder
              alone, for all that it holds
    features  the extractor, where images have been scored with several

    Of runs of several protocols those are taken that most of the words have, and of these the ones
    with most images. Raises UsageError naming what is missing or does not fit.
    """
    places = [word for word in words if is_results(word)]
    everything = len(words) == len(places) == 1
    if everything:
        meant = by_name(runs.find(places[0]))
    else:
        place = places[0] if len(places) == 1 else RESULTS
        meant = [candidates(word, place) for word in words if [word] != places]
    parts = [
        part
        for found in alike(scored(meant, features, everything), say, everything)
        for part in combined(found)
    ]
    rows = [part.facts | {"seed": ", ".join(map(str, part.seeds))} for part in parts]
    called = names.distinct(rows, [str(part.path) for part in parts])
    return [dataclasses.replace(part, name=name) for part, name in zip(parts, called, strict=True)]


def is_results(word: Path) -> bool:
    """Whether a folder holds runs, but neither is one nor has any directly in it, as that of a denoiser has."""
    below = runs.find(word) if word.is_dir() else []
    return bool(below) and not direct(word, below)


def direct(folder: Path, below: Iterable[Run]) -> list[Run]:
    """Of the runs found below a folder the one that it is itself, or those directly in it."""
    return [run for run in below if folder in (run.path, run.path.parent)]


def candidates(word: Path, place: Path) -> list[Run]:
    """The runs that a word stands for: a folder's, or those below `place` that are called so.

    Raises UsageError.
    """
    if word.is_dir() and (matching := runs.find(word)):
        return direct(word, matching) or matching
    below = runs.find(place) if place.is_dir() else []
    named = {run: titles(run) for run in below}
    if matching := [run for run, known in named.items() if str(word) in known]:
        return matching
    if word.is_dir():
        raise UsageError(f"no run in {word}: expected run.json in it, or in folders below it")
    known = list(dict.fromkeys(title for titles in named.values() for title in titles[:2]))
    close = difflib.get_close_matches(str(word), known, n=1)
    hint = (
        f"did you mean {close[0]!r}?"
        if close
        else f"there are {listed(known) if known else 'none at all'}"
    )
    raise UsageError(
        f"{str(word)[:100]!r} is no folder, and no run in {place} is called so; {hint}"
    )


def titles(run: Run) -> list[str]:
    """What a run can be called: its denoiser, that with its weights and options, its folders."""
    try:
        facts = run.read_json("run.json")
        return [
            str(facts.get("denoiser", facts.get("name"))),
            names.describe(facts),
            run.path.parent.name,
            run.id,
        ]
    except (UsageError, KeyError, TypeError, AttributeError):  # another's file
        return []


def by_name(found: Iterable[Run]) -> list[list[Run]]:
    """Runs by what tables call them, without those that cannot be read."""
    groups: dict[str, list[Run]] = {}
    for run in found:
        if known := titles(run):
            groups.setdefault(known[1], []).append(run)
    return list(groups.values())


def scored(meant: list[list[Run]], features: str | None, everything: bool) -> list[list[Scored]]:
    """The runs with scores; of one that is there twice, the one that lies higher.

    everything  whether it is of no matter if some have none

    Raises UsageError about what has none.
    """
    whole = []
    for same_word in meant:
        once = {
            run.id: run
            for run in sorted(same_word, key=lambda run: (-len(run.path.parts), str(run.path)))
        }
        parts, errors = [], []
        for run in once.values():
            try:
                parts.append(compare.load_one(run, features))
            except UsageError as error:
                errors.append(error)
        if errors and not parts and not everything:
            raise errors[0]
        whole += [parts] * bool(parts)
    return whole


def alike(meant: list[list[Scored]], say: Say, everything: bool) -> list[list[Scored]]:
    """Of each word the runs of one protocol, the same for all; where that is not possible, of one table.

    everything  whether words that have none are left out

    Where each is one run it is taken as it is: `compare.compare` says in which field they differ.
    """
    every = [part for found in meant for part in found]
    if not everything and len(every) == len(meant):
        return meant
    for fits in (same_protocol, same_table):
        chosen = best(
            [[[part for part in found if fits(part, one)] for found in meant] for one in every]
        )
        count = sum(map(bool, chosen))
        if count == len(meant) or (everything and count > 1):
            if (left := len(every) - sum(map(len, chosen))) > 0:
                one = next(part for found in chosen for part in found)
                mark = one.rules.fingerprint
                say(
                    f"compared at {one.num} images, protocol {mark}; {left} other runs are left out"
                )
            return chosen
    kinds = listed(sorted({f"{part.name}, {part.num} images" for part in every}))
    raise UsageError(
        f"no two are scored alike ({kinds or 'nothing is scored'}); run one again as the other was made"
    )


def best(choices: list[list[list[Scored]]]) -> list[list[Scored]]:
    """The choice in which most words have something; of these the one of most images, then the latest."""

    def worth(choice: list[list[Scored]]) -> tuple[int, int, str]:
        parts = [part for of_word in choice for part in of_word]
        return (
            sum(map(bool, choice)),
            parts[0].num,
            max(str(part.facts.get("started")) for part in parts),
        )

    return max(choices, key=worth, default=[])


def same_protocol(part: Scored, other: Scored) -> bool:
    """Whether both were made by the same sampler, and scored alike; images made elsewhere join every table."""
    if "images" in (part.facts.get("kind"), other.facts.get("kind")):
        return same_table(part, other)
    return part.rules.fingerprint == other.rules.fingerprint


def same_table(part: Scored, other: Scored) -> bool:
    """Whether both are scored alike, and as many."""
    return not compare.differing(part, other)


def combined(found: Sequence[Scored]) -> list[Scored]:
    """One for each way in which runs were made; those that differ in their seed alone are one."""
    groups: list[list[Scored]] = []
    for part in found:
        for group in groups:
            if not compare.generated_otherwise(group[0], part) and part.seeds[0] not in {
                p.seeds[0] for p in group
            }:
                group.append(part)
                break
        else:
            groups.append([part])
    return [compare.combined(group) for group in groups]
