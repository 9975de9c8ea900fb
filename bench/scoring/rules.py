"""By which rules images are scored: what two runs must share before their numbers may stand in one table."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from bench.runs import fingerprint
from denoisers.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ScoringRules:
    """What scores depend on besides the images.

    scoring        whatever changes a number without changing an image, in words or as name@digest:
                   see `rules_in_words`
    fingerprint    of the rules and of how the images were made; names the files of the scores
    table          of what images must share to be compared, however they were made
    preprocessing  what the extractor does to images before its network, in words
    """

    scoring: Mapping[str, str]
    fingerprint: str
    table: str
    preprocessing: str

    @classmethod
    def of(
        cls,
        scoring: Mapping[str, str],
        num: int,
        sampler: Mapping[str, Any] | None,
        preprocessing: str,
    ) -> "ScoringRules":
        """The rules for `num` images.

        sampler  how they were made; None if that is not ours to know: images made elsewhere join
                 every table of theirs
        """
        table = fingerprint([num, scoring])
        mark = table if sampler is None else fingerprint([sampler, scoring])
        return cls(scoring, mark, table, preprocessing)

    @property
    def file(self) -> str:
        """What the file of the scores is called."""
        return f"metrics-{self.fingerprint}.json"

    def to_json(self) -> dict[str, Any]:
        """As the file of the scores says it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], file: str) -> "ScoringRules":
        """The rules that a file of scores says it keeps.

        Raises UsageError if it says none, or if the file is called as if it had kept others.
        """
        mark, table, scoring = (
            content.get("fingerprint"),
            content.get("table"),
            content.get("scoring"),
        )
        if not isinstance(mark, str) or file != f"metrics-{mark}.json":
            raise UsageError(
                f"{file} holds the scores of the protocol {str(mark)[:40]}, not those that its name says"
            )
        if not isinstance(table, str | None):
            raise UsageError(f"{file} has {type(table).__name__} for table, expected str")
        if not isinstance(scoring, dict) or not all(
            isinstance(value, str) for value in scoring.values()
        ):
            raise UsageError(f"{file} has no scoring, an object of texts")
        return cls(scoring, mark, table or mark, content.get("preprocessing") or "")


def extractor_of(scoring: Mapping[str, str]) -> str:
    """The extractor that images were scored with, without its digest; "?" if the rules do not say."""
    return str(scoring.get("features", "?")).split("@", maxsplit=1)[0]


def rules_in_words(
    dataset: str,
    features: str,
    judge: str,
    *,
    second: str,
    versions: str,
    standardised: bool = True,
    on_black: bool = True,
) -> dict[str, str]:
    """How images are scored, one field for each choice; arguments as name@digest.

    on_black  whether black is what lies around the images: see `memorization.guarded`
    """
    guard = "3x3 median of both"
    if not on_black:
        guard = "Gaussian blur of 2 pixels of both; beyond the rate of held-out images"
    return {
        "dataset": dataset,
        "features": features,
        "judge": judge,
        "second": second,
        "versions": versions,
        "reference": "train, all",
        "control": "held out, first n of a fixed permutation",
        "null": "held out, those that are not the control's first half",
        "quantisation": "uint8, rounded",
        "fid": "raw features, float64, eigenvalues",
        "kid": f"{'standardised' if standardised else 'raw'} features, (x.y/d+1)^3, all pairs",
        "precision": "raw features, as many training images as samples, at most 10000, k 3; density, coverage k 5",
        "copy": f"L2 to all training images, d1/d2 < 1/3; shifts up to 2 pixels; guard: {guard}",
    }
