"""One run by several jobs: shards that know nothing of each other, or the ranks of `torchrun`."""

import contextlib
import dataclasses
from collections.abc import Hashable, Iterator

from bench import chunks, crew, experiment, ranks
from bench.experiment import Plan
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.ranks import World
from bench.runs import Run
from bench.sampling import generation
from bench.scoring import extractors
from bench.scoring.spaces import Spaces
from bench.shards import Shard


def generate(
    plan: Plan, shard: Shard, *, say: Say = lambda line: None, progress: Progress = SILENT
) -> int:
    """Generate the images of a shard, after another job that does; how many of the others are missing then.

    With none missing `join` joins and scores them. Raises what `experiment.execute` raises.
    """
    run, num = plan.run, plan.sampling.num
    with run.part(f"shard {shard}", say):
        begin(plan)
        plan = as_begun(plan, say)
        if run.joined:
            return 0
        with experiment.failing(plan):
            chunks.generate_missing(
                run, plan.setup(), **plan.work(), shard=shard, say=say, progress=progress
            )
    there = run.chunks_there(num)  # the others went on meanwhile
    if run.joined:  # by one that did not wait for this
        run.clear_chunks()
        return 0
    return num - there


def generate_with_ranks(
    plan: Plan, world: World, *, say: Say = lambda line: None, progress: Progress = SILENT
) -> None:
    """Generate the images of a run, inside `ranks.together`, each rank on its device; all are there then.

    The first begins the run.
    """
    if world.leads:
        begin(plan)
    ranks.wait()
    generate(plan, Shard(world.rank, world.size), say=say, progress=progress)
    ranks.wait()


@contextlib.contextmanager
def helped(plan: Plan, world: World) -> Iterator[None]:
    """Inside, which is for the first rank, the others are at `help_` and share the scoring of a run."""
    with crew.led(world) as all_of_them:
        plan.references.crew = all_of_them
        try:
            yield
        finally:
            plan.references.crew = crew.ALONE


def help_(plan: Plan) -> None:
    """Share the scoring of a run that the first rank does inside `helped`, until it is done."""

    def owner(name: Hashable) -> Spaces:
        own, device = plan.extractor, plan.extractor.device
        extractor = own if name == own.name else extractors.load(str(name), device=device)
        return plan.references.of(extractor).spaces

    crew.help_(owner)


def join(plan: Plan, *, say: Say = lambda line: None, progress: Progress = SILENT) -> Run:
    """Join and score a run whose images are all there, after another job that does."""
    with plan.run.part("joining", say):
        return experiment.execute(plan, say=say, progress=progress)


def begin(plan: Plan) -> None:
    """Begin a run, unless another job has, or it is done; with what its batches are, as chunks are made of these."""
    if not plan.run.under_way() and not plan.run.joined:
        plan.run.begin(plan.facts.to_json() | {"batch_size": plan.batch_size})


def as_begun(plan: Plan, say: Say) -> Plan:
    """The plan with the batches of the job that began the run: with others, shards would not meet."""
    size = plan.run.under_way().get("batch_size")
    if not isinstance(size, int) or not 0 < size <= plan.sampling.num or size == plan.batch_size:
        return plan
    say(f"batches of {size} images, as the run was begun with; here it would be {plan.batch_size}")
    plan.runner.batch = size
    return dataclasses.replace(plan, batch_size=size)


def has_work(plan: Plan, shard: Shard) -> bool:
    """Whether there is a part of the run for a shard: batches are not divided."""
    sampling = plan.sampling
    steps = len(sampling.sigmas) - 1
    return bool(shard.of(generation.chunks(sampling.num, plan.batch_size, steps)))
