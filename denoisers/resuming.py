"""Checkpoints of a training: its state and its recipe, continued by the same recipe alone."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from denoisers import reading
from denoisers.errors import UsageError
from denoisers.files import write

# What the weights depend on -> how it was chosen, in the order of a card.
Recipe = dict[str, str | int]

FAULTS = (  # what is no checkpoint of ours provokes
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)


def save(path: Path, recipe: Recipe, state: dict[str, Any]) -> None:
    """Write a checkpoint; a kill leaves the previous one."""
    content = io.BytesIO()  # not the file: a full disk is an error of another kind to torch
    torch.save({"recipe": recipe, **state}, content)
    write(path, lambda file: file.write(content.getbuffer()))


def load(path: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The state in a checkpoint, on the CPU; None if there is no file.

    Raises UsageError if the file is no checkpoint, or that of a training by another recipe.
    """
    if not path.exists():
        return None
    with reading.opened(path) as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            followed = state.pop("recipe")
        except FAULTS:
            raise UsageError(
                f"{path} is not a checkpoint that says by which recipe it was made; "
                "remove it to start over, or take another name",
                "--name",
            ) from None
    differing = [key for key in {**followed, **recipe} if followed.get(key) != recipe.get(key)]
    if differing:
        theirs, ours = (
            ", ".join(f"{key} {one.get(key, 'not said')}" for key in differing)
            for one in (followed, recipe)
        )
        raise UsageError(
            f"{path} is of a training by another recipe: it has {theirs}; asked for is {ours}. "
            "Say what it says to continue it, remove it to start over, or take another name",
            "--name",
        )
    return state


def digest(tensors: list[Tensor]) -> str:
    """Short digest of the content of tensors, of their types and shapes."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().data)
    return sha.hexdigest()[:16]
