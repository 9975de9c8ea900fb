"""The processes that `torchrun` starts: which one this is, and how they wait for each other."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from denoisers.errors import UsageError, in_one_line

MEET, WAIT = timedelta(minutes=10), timedelta(days=30)  # for the last to come, and for the slowest


@dataclasses.dataclass(frozen=True)
class World:
    """Which of how many processes this is, over all machines, and which on this machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process alone prints, joins and scores."""
        return self.rank == 0

    def device(self, name: str, *, alone: bool = False) -> str:
        """A device of its own for each process of a machine, where one of several is meant.

        alone  whether two processes cannot share one, which is a UsageError then
        """
        import torch  # takes seconds to import

        if self.size == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        count = torch.cuda.device_count()
        if alone and self.local >= count:
            raise UsageError(
                f"{self.local + 1} ranks or more on a machine of {count} GPUs; start one for each",
                "--device",
            )
        return f"cuda:{self.local % count}"


def world() -> World:
    """As torchrun says it in the environment; alone without it. Raises UsageError for what it would not say."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    said = {name: os.environ[name] for name in names if name in os.environ}
    if len(said) < len(names):  # a scheduler may set one of them
        return World()
    try:
        found = World(*map(int, said.values()))
    except ValueError:
        found = World(0, 0)
    if not 0 <= found.rank < found.size or found.local < 0:
        values = ", ".join(f"{name}={value}" for name, value in said.items())
        raise UsageError(f"torchrun sets RANK, WORLD_SIZE and LOCAL_RANK; found {values}")
    return found


@contextlib.contextmanager
def together(world: World) -> Iterator[None]:
    """Inside, the processes of a world know each other, as all that follows needs; one alone has nobody to know.

    Raises UsageError if they do not find each other, ChildProcessError if one of them ends before the
    others.
    """
    if world.size == 1:
        yield
        return
    from torch import cuda, distributed  # takes seconds to import

    # Arrays and words go by gloo, gradients on GPUs by nccl.
    on_gpus = cuda.is_available() and distributed.is_nccl_available()
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=MEET)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"rank {world.rank} of {world.size} found no others ({in_one_line(error)}); start them with torchrun, or "
            "unset RANK, WORLD_SIZE and LOCAL_RANK"
        ) from None
    try:
        yield
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        raise ChildProcessError(
            f"rank {world.rank} waited for another, which has ended ({in_one_line(error)[:200]}); what is finished "
            "is on disk, and the same command resumes, with any number of ranks"
        ) from None
    finally:
        distributed.destroy_process_group()


def waiting() -> Any:
    """A group of all ranks that waits for the slowest, through whatever one of them does alone; made by all at once."""
    from torch import distributed

    return distributed.new_group(timeout=WAIT, backend="gloo")


def wait() -> None:
    """Until all are here."""
    from torch import distributed

    distributed.barrier(waiting())


def gathered(value: Any) -> list[Any]:
    """What each rank has, in the order of ranks, at all of them."""
    from torch import distributed

    group = waiting()
    found: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(found, value, group)
    return found
