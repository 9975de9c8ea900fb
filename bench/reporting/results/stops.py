"""Where denoisers stop being priors: what `bench study band` found of each, in a file of its study's folder."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

from bench import folders
from bench.reporting.results import damage, parse
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Entry, Subject, subject
from denoisers import reading
from denoisers.errors import UsageError

FILE = "verdict.json"
SCHEMA_VERSION = 1
LONGEST = 2**16  # bytes of the file
MOST = 100  # bands
KINDS = ("somewhere", "nowhere", "untold")


class Part(NamedTuple):
    """The noise levels above `low` and up to `high`; what they carry of the excess, with its 95 % interval."""

    low: float
    high: float
    share: float
    share_low: float
    share_high: float


@dataclasses.dataclass(frozen=True)
class Stop:
    """The verdict on one denoiser.

    identity  denoiser, weights, options and dataset, as in run.json
    name      of the denoiser, and of the reference that it was compared with
    kind      "somewhere", "nowhere" or "untold": where it fails
    sentence  the verdict in words
    excess    by how much its KID is above the reference's, and the bounds of the 95 % interval
    fails     the levels outside of which it is as good as the reference; None if there are none
    trained   the levels that it was trained on; None for a closed form
    core      where most of the excess is lost
    parts     the bands between the levels of the study; empty if there is no excess to share
    """

    identity: dict[str, Any]
    name: str
    reference: str
    kind: str
    sentence: str
    num: int
    excess: tuple[float, float, float]
    fails: tuple[float, float] | None
    trained: tuple[float, float] | None
    core: Part | None
    parts: tuple[Part, ...]

    def to_json(self) -> dict[str, Any]:
        """As the file holds it; infinity as null."""
        return {"schema_version": SCHEMA_VERSION} | {
            key: finite(value) for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Stop":
        """Raises UsageError for anything that `to_json` does not write."""
        if content.get("schema_version") != SCHEMA_VERSION:
            raise UsageError(f"{FILE} is not of version {SCHEMA_VERSION}")
        try:
            words = {key: content[key] for key in ("name", "reference", "kind", "sentence")}
            pairs = {key: stretch(content[key]) for key in ("fails", "trained")}
            whole = cls(
                dict(content["identity"]),
                **words,
                num=int(content["num"]),
                excess=numbers(content["excess"], 3),
                **pairs,
                core=None if content["core"] is None else part(content["core"]),
                parts=tuple(map(part, content["parts"][:MOST])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{FILE} is not what `bench study band` writes ({error!r})") from None
        if whole.kind not in KINDS:
            raise UsageError(f"{FILE} is of kind {whole.kind!r}; expected {', '.join(KINDS)}")
        if not all(isinstance(word, str) for word in words.values()):
            raise UsageError(f"{FILE} has something else where text belongs")
        return whole


def finite(value: Any) -> Any:
    """A value as JSON has it: lists, and null for infinity."""
    if isinstance(value, tuple | list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and math.isinf(value) else value


def stretch(content: Any) -> tuple[float, float] | None:
    """From one level to one that is not lower, or None. Raises ValueError."""
    if content is None:
        return None
    low, high = numbers(content, 2)
    if not 0 <= low <= high or math.isinf(low):
        raise ValueError("expected a level and one that is not lower")
    return low, high


def part(content: Any) -> Part:
    """What a band carries. Raises ValueError."""
    low, high = stretch(content[:2]) or (0.0, math.inf)
    share = numbers(content[2:], 3)
    if not all(map(math.isfinite, share)):
        raise ValueError("expected shares that are finite")
    return Part(low, high, *share)


def numbers(content: Any, count: int) -> tuple[float, ...]:
    """So many numbers, of which null is infinity. Raises ValueError."""
    found = tuple(math.inf if value is None else value for value in content)
    if len(found) != count or any(
        isinstance(value, bool) or not isinstance(value, int | float) for value in found
    ):
        raise ValueError(f"expected {count} numbers")
    return tuple(map(float, found))


def read(path: Path) -> Stop:
    """The verdict in a file. Raises UsageError."""
    reading.regular(path, LONGEST)
    return Stop.from_json(parse.plain(reading.json_object(path), FILE))


def attach(entries: list[Entry], folder: Path, absent: list[Absent]) -> list[Entry]:
    """The entries, each with the sentence about its denoiser on the same data, where there is one below `folder`.

    Of several that of most images.
    """
    known: dict[Subject | None, Stop] = {}
    for path in folders.named(folder, FILE):
        with damage.noted(absent, path.relative_to(folder).as_posix(), folder):
            stop = read(path)
            of = subject(stop.identity, str(stop.identity.get("dataset")))
            if of not in known or known[of].num < stop.num:
                known[of] = stop
    return [
        dataclasses.replace(entry, stops=known[entry.subject].sentence)
        if entry.subject in known
        else entry
        for entry in entries
    ]
