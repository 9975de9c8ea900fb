"""Control sets that a run did not measure, added to what the report reads."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

from bench.reporting.results import damage
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import CONTROLS, Entry
from bench.scoring.schema import ScoreSet

# Scoring rules, images -> scores by control set.
Measure = Callable[[Mapping[str, str], int], dict[str, Any]]


def completed(
    entries: list[Entry], measure: Measure, absent: list[Absent] | None = None
) -> list[Entry]:
    """The entries with all control sets: those that their files lack are asked of `measure`, once for all alike.

    absent  takes a line for each entry for which they cannot be measured
    """
    measured: dict[str, dict[str, ScoreSet]] = {}
    whole = []
    for entry in entries:
        whole.append(entry)
        with damage.noted(
            [] if absent is None else absent, f"{entry.where}, control sets", entry.run.path
        ):
            whole[-1] = complete(entry, measure, measured)
    return whole


def complete(entry: Entry, measure: Measure, measured: dict[str, dict[str, ScoreSet]]) -> Entry:
    """One entry with all control sets.

    found  what has been measured before, by scoring rules and number of images
    """
    kid = entry.score("kid")
    if CONTROLS.keys() <= entry.controls.keys() or kid is None or kid.n is None:
        return entry
    alike = json.dumps([entry.scoring, kid.n], sort_keys=True)
    if alike not in measured:
        measured[alike] = {
            name: ScoreSet.from_json(scores)
            for name, scores in measure(entry.scoring, kid.n).items()
        }
    return dataclasses.replace(entry, controls=measured[alike] | entry.controls)
