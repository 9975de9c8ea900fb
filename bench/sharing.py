"""One run by several jobs: shards that know nothing of each other, or the ranks of `torchrun`."""

from bench import chunks, experiment, ranks
from bench.experiment import Plan
from bench.files import Say
from bench.progress import SILENT, Progress
from bench.ranks import World
from bench.shards import Shard


def generate(
    plan: Plan, shard: Shard, *, say: Say = lambda line: None, progress: Progress = SILENT
) -> int:
    """Generate the images of a shard, after another job that does; how many of the others are missing then.

    With none missing `experiment.execute` joins and scores them. Raises what it raises.
    """
    run = plan.run
    with run.part(str(shard), say):
        begin(plan)
        if is_joined(plan):
            return 0
        with experiment.failing(plan):
            chunks.generate_missing(
                run, plan.setup(), **plan.work(), shard=shard, say=say, progress=progress
            )
    # The others went on meanwhile.
    num, size = plan.sampling.num, plan.dataset.train.shape[1:]
    there = chunks.on_disk(run, num, plan.sampling.steps, size, lambda line: None)
    return 0 if is_joined(plan) else chunks.absent(there, num)


def generate_with_ranks(
    plan: Plan, world: World, *, say: Say = lambda line: None, progress: Progress = SILENT
) -> None:
    """Generate the images of a run with all ranks of a world, each on its device; all are there then.

    The first begins the run. Raises ChildProcessError if a rank has ended.
    """
    with ranks.together(world):
        if world.leads:
            begin(plan)
        ranks.wait(world)
        generate(plan, Shard(world.rank, world.size), say=say, progress=progress)
        ranks.wait(world)


def begin(plan: Plan) -> None:
    """Begin a run, unless another job has, or it is done."""
    if not (is_joined(plan) or plan.run.is_under_way()):
        plan.run.begin(plan.facts.to_json())


def is_joined(plan: Plan) -> bool:
    """Whether the images are no more in chunks; whether they are as they were written, who reads them finds."""
    return (plan.run.path / "samples.npz").exists()
