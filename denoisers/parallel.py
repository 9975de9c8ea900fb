"""A training by the ranks of a process group of torch's: each takes its share of every batch, gradients are averaged.

Without a process group there is one rank, and nothing here does anything.
"""

import warnings
from collections.abc import Callable
from typing import Any

from torch import Tensor, distributed, nn

from denoisers.errors import UsageError

OF_BATCHES = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def rank() -> int:
    """Which this is; the first, 0, writes what all have made."""
    return distributed.get_rank() if grouped() else 0


def size() -> int:
    """How many there are."""
    return distributed.get_world_size() if grouped() else 1


def grouped() -> bool:
    """Whether there is a process group."""
    return distributed.is_available() and distributed.is_initialized()


def check(net: nn.Module) -> None:
    """Raise UsageError for a network that is another in shares of a batch: its layers see, or draw for, a whole one."""
    odd = next(
        (type(layer).__name__ for layer in net.modules() if isinstance(layer, OF_BATCHES)), ""
    )
    if size() > 1 and odd:
        raise UsageError(
            f"{type(net).__name__} has {odd}, which sees whole batches; train it by one process, without torchrun",
            "NETWORK",
        )


def averaging(net: nn.Module) -> nn.Module:
    """A network whose gradients are averaged over all ranks, as the parameters of the first."""
    if size() == 1:
        return net
    # Of kernels of one pixel, whose strides mean nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return nn.parallel.DistributedDataParallel(net)


def share(batch: list[Tensor]) -> tuple[list[Tensor], float]:
    """This rank's rows of a batch, and the weight of their mean: averaged over ranks it is the mean of the batch.

    Raises UsageError about --batch-size for fewer rows than ranks.
    """
    count, whole = size(), len(batch[0])
    if count == 1:
        return batch, 1.0
    if whole < count:
        raise UsageError(
            f"must be at least {count}, one image for each rank; found {whole}", "--batch-size"
        )
    begin, end = (whole * place // count for place in (rank(), rank() + 1))
    return [rows[begin:end] for rows in batch], (end - begin) * count / whole


def mean(value: Tensor) -> Tensor:
    """A number, averaged over all ranks."""
    if size() > 1:
        distributed.all_reduce(value)
        value /= size()
    return value


def of_first(make: Callable[[], Any]) -> Any:
    """What the first rank makes, at all of them; whatever it raises ends the others, too."""
    if size() == 1:
        return make()
    made = [make() if rank() == 0 else None]
    distributed.broadcast_object_list(made)
    return made[0]
