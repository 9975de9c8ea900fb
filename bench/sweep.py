"""Many runs as one job: what is missing of each, in this process or by shards and ranks that share them."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import experiment, sharing
from bench.cells import Cell
from bench.experiment import Plan
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.runs import Run
from bench.shards import Shard
from bench.shelf import Shelf
from denoisers.errors import ForeignError, UsageError

# Image-steps that take as long as all else of a run, about, for what is said of the time left.
OVERHEAD = 1500
# What ends a run and not the others.
FAILURES = (FloatingPointError, ForeignError, MemoryError, ChildProcessError, UsageError)
Settings = Mapping[str, Any]  # of all runs: keywords of `experiment.resolve`


@dataclasses.dataclass
class Outcome:
    """What a sweep came to: its cells, the run of each and the fingerprint of its scores, and why some failed."""

    cells: Sequence[Cell]
    runs: list[tuple[Run, str]] = dataclasses.field(default_factory=list)
    failed: dict[int, str] = dataclasses.field(default_factory=dict)  # by place

    @property
    def scored(self) -> list[tuple[Run, str]]:
        """The runs that have their scores by now, and have not failed."""
        return [
            (run, mark)
            for place, (run, mark) in enumerate(self.runs)
            if mark in run.fingerprints and place not in self.failed
        ]


def sweep(
    cells: Sequence[Cell],
    shelf: Shelf,
    settings: Settings,
    shard: Shard | None = None,
    *,
    say: Say = lambda line: None,
    progress: Progress = SILENT,
) -> Outcome:
    """Generate and score what is missing of each cell; the data and every network are loaded once.

    shard  one of several jobs for the same cells, which divide each run among them

    A run that fails is said, and the others go on. Raises UsageError, before the first image, about
    a cell that cannot be run; OSError for a disk that takes no more.
    """
    for cell in first_of_each(cells):
        resolve(cell, shelf, settings)
    outcome = Outcome(cells)
    work = [OVERHEAD + cell.sampling.num * cell.sampling.steps for cell in cells]
    for place, cell in enumerate(cells):
        say(cell)
        progress.part(f"run {place + 1} of {len(cells)}", work[place] / sum(work))
        plan = resolve(cell, shelf, settings)
        outcome.runs.append((plan.run, plan.rules.fingerprint))
        for line in plan.facts.doubts:
            say(f"warning: {line}")
        try:
            if shard is None:
                experiment.execute(plan, say=say, progress=progress)
            else:
                turned(plan, shard, place, say, progress)
        except FAILURES as error:
            outcome.failed[place] = str(error) or "there is not enough free memory for this"
            say(f"failed: {outcome.failed[place]}")
    return outcome


def first_of_each(cells: Sequence[Cell]) -> Iterator[Cell]:
    """One cell of each that differ in more than their seed."""
    alike = {dataclasses.replace(cell, seed=0): cell for cell in reversed(cells)}
    return reversed(alike.values())


def resolve(cell: Cell, shelf: Shelf, settings: Settings) -> Plan:
    """The run of a cell. Raises UsageError that names it."""
    try:
        return experiment.resolve(
            cell.denoiser,
            cell.sampling,
            weights=cell.weights,
            options=dict(cell.options),
            seed=cell.seed,
            shelf=shelf,
            **settings,
        )
    except UsageError as error:
        raise UsageError(f"{error.message} ({cell})", error.about) from None


def turned(plan: Plan, shard: Shard, place: int, say: Say, progress: Progress) -> None:
    """A shard's part of the run at a place; if it makes a part, and none is missing then, it joins and scores, too.

    The parts go round from run to run, so that runs of one part each are dealt out.
    """
    part = Shard((shard.index + place) % shard.count, shard.count)
    sharing.begin(plan)  # whose batches decide what the parts are
    plan = sharing.as_begun(plan, say)
    if not sharing.has_work(plan, part):
        return
    if not sharing.generate(plan, part, say=say, progress=progress):
        sharing.join(plan, say=say, progress=progress)
