"""Scores as values with their conditions: made from estimates, written as JSON, read back and checked."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.bounds import BOUNDS, is_number
from bench.scoring import catalogue
from bench.scoring.uncertainty import Estimate, Rate
from denoisers.errors import UsageError

SETS = 64  # of scores in a file: controls, distances
# Names of scores become columns beside those that a table has anyway.
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
TAKEN = (
    *("fingerprint", "rank", "kind", "name", "diagnosis", "seed", "n", "memorization"),
    *("path", "key"),
)


class Score(NamedTuple):
    """A number with its conditions.

    stderr     its standard error; None where there is none
    low, high  its 95 % interval; None where there is none
    n          images that it was measured on
    """

    value: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @classmethod
    def of(
        cls, value: Estimate | Rate | float, n: int, ci95: tuple[float, float] | None = None
    ) -> "Score":
        """What was measured on n images; an interval of its own wins over that of a standard error."""
        if isinstance(value, Rate):
            return cls(float(value.value), None, float(value.low), float(value.high), n)
        if isinstance(value, Estimate):
            low, high = ci95 or value.ci95
            return cls(float(value.value), float(value.stderr), float(low), float(high), n)
        return cls(float(value), n=n)

    def to_json(self, key: str) -> dict[str, Any]:
        """As files of scores hold the score called `key`."""
        return {
            "value": self.value,
            "stderr": self.stderr,
            "ci95": None if self.low is None else [self.low, self.high],
            "n": self.n,
            "higher_is_better": catalogue.higher_is_better(key),
        }

    @classmethod
    def from_json(cls, entry: Any, name: str) -> "Score | None":
        """What `to_json` gave; None where nothing was measured. Raises UsageError."""
        if entry is None:
            return None
        if not isinstance(entry, dict):
            raise UsageError(
                f"{type(entry).__name__} for {name}, expected an object with its value"
            )
        value, stderr, interval, n = (entry.get(key) for key in ("value", "stderr", "ci95", "n"))
        if value is None:
            return None
        ends = [None, None] if interval is None else interval
        if not isinstance(ends, list) or len(ends) != 2 or sum(end is None for end in ends) == 1:
            raise UsageError(f"{name} has an interval that is no pair of numbers")
        if not all(isinstance(part, int | float | None) for part in (value, *ends)):
            raise UsageError(f"{name} has something else than numbers")
        if any(isinstance(part, bool) for part in (value, *ends)):
            raise UsageError(f"{name} has something else than numbers")
        counted = n is None or (is_number(n, int) and n <= BOUNDS["num"].high)
        if not counted or not (stderr is None or is_number(stderr)):
            raise UsageError(f"{name} has a standard error or a number of images that cannot be")
        low, high = (None if end is None else float(end) for end in ends)
        return cls(float(value), None if stderr is None else float(stderr), low, high, n)


class ScoreSet(NamedTuple):
    """What was measured on one set of images: a run's, or a control's.

    scores        name -> Score
    memorization  distance (pixels, shifted, guarded, features) -> name -> Score
    histogram     images per predicted class, 10 of them, or empty
    """

    scores: dict[str, Score]
    memorization: dict[str, dict[str, Score]]
    histogram: list[int]

    def to_json(self) -> dict[str, Any]:
        """As files of scores hold them."""
        return {
            "scores": scores_to_json(self.scores),
            "memorization": {
                space: scores_to_json(scores) for space, scores in self.memorization.items()
            },
            "class_histogram": self.histogram,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ScoreSet":
        """What `to_json` gave, in an object that may hold more; whatever is null is left out.

        Raises UsageError.
        """
        memorization = {}
        for kind, values in objects(content, "memorization").items():
            check_name(kind)
            memorization[kind] = scores_from_json(values)
        histogram = content.get("class_histogram") or []
        if not isinstance(histogram, list) or not all(is_number(n, int) for n in histogram):
            raise UsageError("a class_histogram that is no list of counts")
        return cls(scores_from_json(content.get("scores") or {}), memorization, histogram)


def scores_to_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Name -> JSON."""
    return {name: score.to_json(name) for name, score in scores.items()}


def scores_from_json(entries: Any) -> dict[str, Score]:
    """Name -> Score for those that are numbers. Raises UsageError."""
    if not isinstance(entries, dict):
        raise UsageError(f"{type(entries).__name__} for scores, expected an object")
    for name in entries:
        check_name(name)
    read = {name: Score.from_json(entry, name) for name, entry in entries.items()}
    return {name: score for name, score in read.items() if score is not None}


def second_from_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Scores in a second feature space, and its name. Raises UsageError."""
    scores = content.get("second")
    if not scores:
        return {}
    if not isinstance(scores, dict) or not isinstance(scores.get("features"), str):
        raise UsageError("second scores without the name of their features")
    return {"features": scores["features"]} | scores_from_json(
        {key: v for key, v in scores.items() if key != "features"}
    )


def objects(content: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Objects by their names, in one of the fields; none if that is null. Raises UsageError."""
    value = content.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > SETS:
        raise UsageError(
            f"{type(value).__name__} for {field}, expected an object of {SETS} at most"
        )
    for key, inner in value.items():
        if not isinstance(inner, dict) or len(key) > 100:
            raise UsageError(
                f"{type(inner).__name__} for {key[:40]} in {field}, expected an object"
            )
    return value


def check_name(name: str) -> None:
    """Raise UsageError for what no score is called."""
    if not NAME.fullmatch(name) or name in TAKEN:
        raise UsageError(f"a score called {name[:40]!r}, which none is")
