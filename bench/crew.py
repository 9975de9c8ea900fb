"""What is asked of every row of an array by itself: all ranks of a world do a share of it, for the first."""

import contextlib
import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple

import numpy as np

from bench import ranks
from bench.ranks import World

Parts = tuple[np.ndarray, ...]  # of as many rows each


class Task(NamedTuple):
    """A method of what every rank has, by the name that `help` finds it by, and its arguments after the rows."""

    owner: Hashable
    method: str
    arguments: tuple[Any, ...] = ()


class Crew:
    """Who does the work: here one process, alone."""

    def divide(
        self, task: Task, work: Callable[[np.ndarray], Parts], rows: np.ndarray, block: int
    ) -> Parts:
        """`work` of all rows; `task` says to others what that is.

        block  rows that `work` takes at once: no block is divided, as products of matrices of
               another height round otherwise
        """
        return work(rows)


ALONE = Crew()


class Led(Crew):
    """The first rank of a world, whose others are at `help`."""

    def __init__(self, world: World, group: Any) -> None:
        self.world, self.group = world, group
        self.dividing = False

    def divide(
        self, task: Task, work: Callable[[np.ndarray], Parts], rows: np.ndarray, block: int
    ) -> Parts:
        if len(rows) <= block:
            return work(rows)
        from torch import distributed

        self.dividing = True
        given = shares(rows, block, self.world.size)
        distributed.broadcast_object_list([task], 0, self.group)
        distributed.scatter_object_list([None], given, 0, self.group)
        own = work(given[0]) if len(given[0]) else ()
        done: list[Any] = [None] * self.world.size
        distributed.gather_object(own, done, 0, self.group)
        self.dividing = False
        return tuple(np.concatenate(column) for column in zip(*filter(None, done), strict=True))


@contextlib.contextmanager
def led(world: World) -> Iterator[Crew]:
    """Inside, the other ranks of a world, which are at `help`, do their shares; a world of one is alone.

    Whoever leaves in the middle of a division leaves the others waiting, and its end is theirs.
    """
    if world.size == 1:
        yield ALONE
        return
    from torch import distributed

    group = ranks.waiting()
    first = Led(world, group)
    try:
        yield first
    finally:
        if not first.dividing:
            with contextlib.suppress(RuntimeError):  # they have ended before
                distributed.broadcast_object_list([None], 0, group)


def help_(owner: Callable[[Hashable], Any]) -> None:
    """Do this rank's share of whatever the first, which is inside `led`, divides, until it is done.

    owner  gives what has the methods of tasks
    """
    from torch import distributed

    group = ranks.waiting()
    while True:
        told: list[Any] = [None]
        distributed.broadcast_object_list(told, 0, group)
        if told[0] is None:
            return
        own: list[Any] = [None]
        distributed.scatter_object_list(own, None, 0, group)
        task: Task = told[0]
        work = getattr(owner(task.owner), task.method)
        done = work(own[0], *task.arguments) if len(own[0]) else ()
        distributed.gather_object(done, None, 0, group)


def shares(rows: np.ndarray, block: int, number: int) -> list[np.ndarray]:
    """Rows in order, as so many parts of whole blocks, nearly as many each; the last may be empty."""
    blocks = -(-len(rows) // block)
    ends = [min(len(rows), blocks * place // number * block) for place in range(number + 1)]
    return [rows[begin:end] for begin, end in itertools.pairwise(ends)]
