"""What a report is about: sets of images with their numbers, and the groups within which these compare."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench import names
from bench.reporting import words
from bench.reporting.results.kept import Kept
from bench.runs import Run
from bench.scoring.rules import extractor_of
from bench.scoring.schema import Score, ScoreSet

Subject = tuple[str, str, str, str]
CONTROLS = {
    "held_out": "held-out digits",
    "copies": "training digits",
    "copies_noise_0.05": "training digits, noise 0.05",
    "copies_noise_0.1": "training digits, noise 0.1",
    "copies_noise_0.2": "training digits, noise 0.2",
    "copies_shifted": "training digits, shifted",
    "midpoints": "midpoints of two digits",
    "gaussian": "Gaussian model",
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One set of images scored under one protocol: a run, or images that `bench score` was given.

    name      as it stands alone; in a group, as it is told from the others there
    table     what image sets share with the protocols whose tables they join
    scoring   how the images were scored, field by field
    scored    under which circumstances: preprocessing, versions, commit, argv, time; may be empty
    verdict   memorization in words: {"memorization": ..., "because": ...}; may be empty
    second    FID and KID in a second feature space: {"features": name, "fid": Score, "kid":
              Score}; may be empty
    seed      of a run; None where images were given
    where     its folder, relative to that of the report
    facts     run.json as it is
    kept      what else is in its folder
    bits      per pixel of held-out digits, where its denoiser was gauged so
    stops     where along the noise its denoiser stops being a prior, in words, where that was studied
    """

    run: Run
    where: str
    key: str  # unique within a report, fit for an HTML id
    name: str
    seed: int | None
    fingerprint: str
    table: str
    protocol: str
    scoring: dict[str, str]
    scored: dict[str, Any]
    measured: ScoreSet
    controls: dict[str, ScoreSet]
    verdict: dict[str, str]
    second: dict[str, Any]
    facts: dict[str, Any]
    kept: Kept
    bits: Score | None = None
    stops: str = ""

    @property
    def is_run(self) -> bool:
        """Whether a denoiser generated the images here."""
        return "sampler" in self.facts

    @property
    def subject(self) -> Subject | None:
        """What else may be known of: see `subject`; None where images were given."""
        return subject(self.facts, self.dataset) if self.is_run else None

    @property
    def dataset(self) -> str:
        """What the images are scored against, as name@digest."""
        return str(self.scoring.get("dataset", ""))

    @property
    def features(self) -> str:
        """The extractor that the images were scored with, without its digest."""
        return extractor_of(self.scoring)

    def score(self, name: str) -> Score | None:
        """A score, or None where it was not measured."""
        return self.measured.scores.get(name)

    def band(self) -> tuple[float, float] | None:
        """The noise levels that the network was trained on, in [-1, 1] units; None where there is no network."""
        return trained(self.facts)


def subject(facts: Mapping[str, Any], dataset: str) -> Subject:
    """What makes images of a kind: denoiser with its options, weights and data with their digests, that of its code."""
    code = facts.get("source")
    code = str(code.get("sha256") or "") if isinstance(code, dict) else ""
    return names.describe(facts), str(facts.get("weights") or ""), dataset, code


def trained(facts: Mapping[str, Any]) -> tuple[float, float] | None:
    """The noise levels that a network was trained on, in [-1, 1] units; None where there is no network."""
    spec = facts.get("spec")
    if not isinstance(spec, dict) or not spec.get("weights"):
        return None
    high = spec.get("sigma_max")
    return float(spec.get("sigma_min") or 0), math.inf if high is None else float(high)


def label(control: str, dataset: str) -> str:
    """A control set as tables call it."""
    return words.said(CONTROLS.get(control, control), dataset)


class Group(NamedTuple):
    """Entries whose numbers compare: same data, sampler, number of images, features and reference.

    ranks  key of an entry -> its place, "1" or "2=", where it could be ranked
    notes  sentences to read with the table
    """

    fingerprint: str
    protocol: str
    entries: list[Entry]
    controls: dict[str, ScoreSet]
    ranks: dict[str, str]
    notes: list[str]

    @property
    def dataset(self) -> str:
        """What all of them are scored against, as name@digest."""
        return self.entries[0].dataset if self.entries else ""


def groups(entries: list[Entry]) -> list[Group]:
    """Entries by protocol, the largest group first; image sets join every protocol that scores as they were scored."""
    by_protocol: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.is_run:
            by_protocol.setdefault(entry.fingerprint, []).append(entry)
    for entry in entries:
        if not entry.is_run:
            hosts = [
                group
                for group in by_protocol.values()
                if group[0].is_run and group[0].table == entry.table
            ]
            for group in hosts or [by_protocol.setdefault(f"images {entry.table}", [])]:
                group.append(entry)
    ranked = sorted(
        by_protocol.values(),
        key=lambda group: (-len(group), -((group[0].score("kid") or Score(0)).n or 0)),
    )
    return [
        Group(group[0].fingerprint, group[0].protocol, named(group), controls_of(group), {}, [])
        for group in ranked
    ]


def controls_of(entries: list[Entry]) -> dict[str, ScoreSet]:
    """The controls of one table: those that any of its entries has, as all were measured with as many images."""
    known = {
        name: measured for entry in reversed(entries) for name, measured in entry.controls.items()
    }
    return {name: known.pop(name) for name in CONTROLS if name in known} | known


def named(entries: list[Entry]) -> list[Entry]:
    """The entries of one table, under names that tell them apart, from the controls too."""
    controls = [
        {"kind": "control", "name": label(name, entries[0].dataset if entries else "")}
        for name in CONTROLS
    ]
    rows, folders = [entry.facts for entry in entries], [entry.where for entry in entries]
    called = names.distinct(rows + controls, folders + [""] * len(controls))
    return [
        dataclasses.replace(entry, name=name) for entry, name in zip(entries, called, strict=False)
    ]


def in_order(group: Group) -> list[Entry]:
    """The entries as tables show them: by rising KID, those without one at the end."""
    kids = {entry.key: entry.score("kid") for entry in group.entries}
    return sorted(
        group.entries,
        key=lambda entry: math.inf if kids[entry.key] is None else kids[entry.key].value,
    )
