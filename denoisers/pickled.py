"""A pickle followed on paper: what it describes, without making any of it.

A pickle is a program that may call anything. Here containers and literals come about, and calls are
written down, not made; of a tensor it is noted what it is (type, shape, where its bytes lie), so
that it can be measured before it is read.
"""

import math
import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

STEPS = 2_000_000  # of a pickle; a thousand tensors take forty thousand
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


class Named(NamedTuple):
    """A class or function that a pickle names."""

    name: str


class Made:
    """What a call would have made, were it made."""

    def __init__(self, name: str) -> None:
        self.name = name


class Storage(NamedTuple):
    """Bytes that tensors lie in."""

    key: str
    dtype: torch.dtype
    size: int  # bytes


class Stored:
    """A tensor that has not been read yet. Raises ValueError for one that cannot be."""

    def __init__(
        self, storage: Storage, dtype: torch.dtype, offset: int, shape: Any, stride: Any
    ) -> None:
        numbers = [offset, *shape, *stride]
        if len(shape) != len(stride) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            raise ValueError("it has a tensor of a shape that cannot be")
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if 0 not in shape and (last + 1) * dtype.itemsize > storage.size:
            raise ValueError("it has a tensor that goes beyond its storage")
        self.storage, self.dtype, self.offset = storage, dtype, offset
        self.shape, self.stride = tuple(shape), tuple(stride)

    @property
    def nbytes(self) -> int:
        """If every element had bytes of its own."""
        return math.prod(self.shape) * self.dtype.itemsize

    def over(self, data: bytearray) -> Tensor:
        """The tensor, over the bytes of its storage."""
        flat = (
            torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
        )
        return flat.as_strided(self.shape, self.stride, self.offset)


def tensor_v2(storage: Storage, offset: int, shape: Any, stride: Any, *rest: Any) -> Stored:
    """What `torch._utils._rebuild_tensor_v2` would make."""
    return Stored(storage, storage.dtype, offset, shape, stride)


def tensor_v3(
    storage: Storage, offset: int, shape: Any, stride: Any, grad: Any, hooks: Any, dtype: Named
) -> Stored:
    """The same of types that have no storage of their own, such as float8."""
    stored_type = getattr(torch, dtype.name.removeprefix("torch."), None)
    if not isinstance(stored_type, torch.dtype):
        raise ValueError(f"a tensor of {dtype.name}")
    return Stored(storage, stored_type, offset, shape, stride)


def dictionary(pairs: Any = (), *rest: Any) -> dict:
    """What `collections.OrderedDict` would make."""
    return {key: value for key, value in pairs if plain(key)}


def plain(key: Any) -> bool:
    """Whether something can be the key of a dictionary on paper.

    The hash of nested tuples may take for ever.
    """
    return (
        key is None
        or isinstance(key, str | float | bytes)
        or (isinstance(key, int) and abs(key) < 2**63)
    )


# The few calls whose outcome is of interest. Anything else becomes a `Made` of that name.
CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": dictionary,
    "torch._utils._rebuild_tensor": tensor_v2,
    "torch._utils._rebuild_tensor_v2": tensor_v2,
    "torch._utils._rebuild_tensor_v3": tensor_v3,
    "torch._utils._rebuild_parameter": lambda tensor, *rest: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *rest: tensor,
    "torch.nn.parameter.Parameter": lambda tensor, *rest: tensor,
}


class Paper:
    """What a pickle has put down so far, and what it remembers."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.steps = 0

    def spend(self, steps: int) -> None:
        """Raise ValueError if it has taken more steps than any checkpoint does."""
        self.steps += steps
        if self.steps > STEPS:
            raise ValueError(f"it has more than {STEPS} instructions")

    def put(self, value: Any) -> None:
        """Put something down."""
        self.stack.append(value)

    def take(self, count: int = 1) -> list[Any]:
        """Take the last things."""
        if len(self.stack) < count:
            raise ValueError("it takes what it has not put down")
        return [self.stack.pop() for _ in range(count)][::-1]

    def take_marked(self) -> list[Any]:
        """Take all that was put down since the last mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def extend(self, values: list[Any]) -> None:
        """Into the list that lies there now."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def update(self, pairs: list[Any]) -> None:
        """Keys and values by turns, into the dictionary that lies there now."""
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(dictionary(zip(pairs[::2], pairs[1::2], strict=True)))

    def remember(self, place: int) -> None:
        """What lies there now."""
        self.memo[place] = self.stack[-1]

    def call(self, function: Any, arguments: Any, *rest: Any) -> None:
        """Put down what is known of the outcome of a call, without making it."""
        self.spend(
            len(arguments) + sum(len(part) for part in arguments if isinstance(part, list | tuple))
        )
        name = function.name if isinstance(function, Named) else type(function).__name__
        # A call of the call that its arguments begin with.
        if name == "torch._tensor._rebuild_from_type_v2":
            self.call(arguments[0], arguments[2])
        else:
            self.put(CALLS[name](*arguments) if name in CALLS else Made(name))

    def refer(self, name: Any) -> None:
        """Put down the storage of a persistent id: ("storage", its class, key, device, elements)."""
        _, kind, key, _, count, *view = name
        dtype = STORAGES[kind.name.rpartition(".")[2]]
        fits = isinstance(key, str) and type(count) is int and 0 <= count < 2**63
        if not fits or any(part is not None for part in view):
            raise ValueError("it has a storage that cannot be")
        self.put(self.storages.setdefault(key, Storage(key, dtype, count * dtype.itemsize)))


def nothing(paper: Paper, argument: Any) -> None:
    """An instruction that leaves everything as it is."""


# What each instruction of a pickle does with the paper and its own argument; literals are put down.
INSTRUCTIONS: dict[str, Callable[[Paper, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), nothing),
    "NONE": lambda paper, _: paper.put(None),
    "NEWTRUE": lambda paper, _: paper.put(True),
    "NEWFALSE": lambda paper, _: paper.put(False),
    "MARK": lambda paper, _: paper.marks.append(len(paper.stack)),
    "EMPTY_DICT": lambda paper, _: paper.put({}),
    "EMPTY_LIST": lambda paper, _: paper.put([]),
    "EMPTY_SET": lambda paper, _: paper.put([]),
    "EMPTY_TUPLE": lambda paper, _: paper.put(()),
    "LIST": lambda paper, _: paper.put(paper.take_marked()),
    "FROZENSET": lambda paper, _: paper.put(paper.take_marked()),
    "TUPLE": lambda paper, _: paper.put(tuple(paper.take_marked())),
    "TUPLE1": lambda paper, _: paper.put(tuple(paper.take(1))),
    "TUPLE2": lambda paper, _: paper.put(tuple(paper.take(2))),
    "TUPLE3": lambda paper, _: paper.put(tuple(paper.take(3))),
    "DICT": lambda paper, _: paper.put(
        dictionary(zip(*[iter(paper.take_marked())] * 2, strict=True))
    ),
    "APPEND": lambda paper, _: paper.extend(paper.take()),
    "APPENDS": lambda paper, _: paper.extend(paper.take_marked()),
    "ADDITEMS": lambda paper, _: paper.extend(paper.take_marked()),
    "SETITEM": lambda paper, _: paper.update(paper.take(2)),
    "SETITEMS": lambda paper, _: paper.update(paper.take_marked()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda paper, place: paper.remember(place)),
    "MEMOIZE": lambda paper, _: paper.remember(len(paper.memo)),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda paper, place: paper.put(paper.memo[place])
    ),
    "POP": lambda paper, _: paper.take(),
    "POP_MARK": lambda paper, _: paper.take_marked(),
    "DUP": lambda paper, _: paper.put(paper.stack[-1]),
    "GLOBAL": lambda paper, name: paper.put(Named(name.replace(" ", ".", 1))),
    "STACK_GLOBAL": lambda paper, _: paper.put(Named("{}.{}".format(*paper.take(2)))),
    "REDUCE": lambda paper, _: paper.call(*paper.take(2)),
    "NEWOBJ": lambda paper, _: paper.call(*paper.take(2)),
    "NEWOBJ_EX": lambda paper, _: paper.call(*paper.take(3)),
    "BUILD": lambda paper, _: paper.take(),  # what an object is to be filled with
    "BINPERSID": lambda paper, _: paper.refer(*paper.take()),
}


def follow(file: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """What a pickle describes, and the storages that it names.

    Raises one of FAULTS for what is no pickle.
    """
    paper = Paper()
    for instruction, argument, _ in pickletools.genops(file):
        paper.spend(1)
        if instruction.name in INSTRUCTIONS:
            INSTRUCTIONS[instruction.name](paper, argument)
        elif (
            argument is not None
            and not instruction.stack_before
            and instruction.name not in UNKNOWN
        ):
            paper.put(argument)
        else:
            raise ValueError(f"it has an instruction {instruction.name}")
    return paper.stack[-1], paper.storages


UNKNOWN = ("PERSID", "INST", "EXT1", "EXT2", "EXT4")  # have an argument, which is no literal
