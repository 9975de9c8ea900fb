"""How a run is divided among jobs that know nothing of each other."""

import dataclasses
import re
from collections.abc import Sequence
from typing import TypeVar

from denoisers.errors import UsageError

Part = TypeVar("Part")
MOST = 100_000  # shards of a run


@dataclasses.dataclass(frozen=True)
class Shard:
    """What one of `count` jobs makes; by default all there is."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Of "I/N", from 0/N to N-1/N. Raises UsageError for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
        shard = cls(int(found[1]), int(found[2])) if found else None
        if shard is None or not shard.index < shard.count <= MOST:
            raise UsageError(
                f"takes I/N, one of N shards counted from 0: 0/3, 1/3 and 2/3; found {text[:100]!r}"
            )
        return shard

    def of(self, chunks: Sequence[Part]) -> Sequence[Part]:
        """Every `count`-th of them."""
        return chunks[self.index :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
