"""Weights on disk: safetensors beside a card that says where they come from, with a digest."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from denoisers import bounds, checkpoints, layouts, reading
from denoisers.errors import UsageError
from denoisers.files import write
from denoisers.places import home_of, variable
from denoisers.units import from_grey_levels

SIDES = range(int(bounds.SIDE.low), int(bounds.SIDE.high) + 1)
# What is used of a card.
CARD = {"name": str, "sha256": str, "sigma_min": float, "sigma_max": float, "warnings": list}
CARD |= {"options": dict}  # by which an exported network was loaded


def home() -> Path | None:
    """`$BENCH_HOME`, by default `bench` in the user's cache folder.

    Created by those who write into it.

    None where the user has no home directory, and nothing else says where. Raises UsageError about
    a variable that leads nowhere.
    """
    if named := variable("BENCH_HOME"):
        return named
    cache = variable("XDG_CACHE_HOME", relative=False)  # as its specification has it
    if cache is None and (folder := home_of()):
        cache = Path(folder, ".cache")
    return cache / "bench" if cache else None


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(content: bytes) -> str:
    """The same, of bytes."""
    return hashlib.sha256(content).hexdigest()


def content(value: str) -> str:
    """`value` as it is, or the digest of the file, or of the files in the folder, that it names."""
    path = Path(value)
    if path.is_file():
        return sha256(path)
    return tree(path, "*") if value and path.is_dir() else value


def tree(folder: Path, pattern: str) -> str:
    """Digest of the files below `folder` whose names match, with their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob(pattern) if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return digest.hexdigest()


def cards(folder: Path) -> list[str]:
    """Names of the cards shipped in `folder`."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load(
    weights: str | None, folder: Path, default: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and card of `weights`: a card shipped in `folder`, a path, or None for `default`.

    Otherwise as `read`.
    """
    return read(place(weights, folder, default))


def place(weights: str | None, folder: Path, default: str) -> Path:
    """The file of a card shipped in `folder`, of a path, or of the card `default`."""
    weights = default if weights is None else weights
    if weights in cards(folder):
        return folder / f"{weights}.safetensors"
    if not os.path.lexists(weights):
        known = ", ".join(cards(folder))
        raise UsageError(
            f"no file {weights[:300]}; expected one, or one of the shipped cards: {known}"
        )
    return Path(weights)


def read(path: Path, part: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and card of a safetensors file or a checkpoint of PyTorch's.

    part  the keys that lead to the state dict in the checkpoint, "discriminator" or "model.ema",
          where they are not found by themselves

    The file is checked against the card `X.json` beside `X.safetensors` or `X.pth`, when there is
    one; else its name and digest take the place of the card. The card notes what was read
    (`read_from`), and under `warnings` which of several copies.

    Raises UsageError for a missing file and for one whose digest or content is not as expected.
    """
    card = card_of(path)
    state, notes = choose(path, part)
    warnings = [*card.get("warnings", []), *notes.pop("warnings")]
    card |= notes
    if warnings:
        card["warnings"] = warnings
    return state, card


def card_of(path: Path) -> dict[str, Any]:
    """The card beside a file, or its name and digest. Raises UsageError for another file than its card describes."""
    with reading.opened(path):
        found = sha256(path)
    card: dict[str, Any] = {"name": path.name, "sha256": found}
    if (beside := path.with_suffix(".json")).exists():
        card |= read_card(beside)
    if card["sha256"] != found:
        raise UsageError(
            f"{path} is not the file its card describes: "
            f"expected sha256 {str(card['sha256'])[:64]}, found {found}; "
            "restore the file (reinstall, or git checkout), or train it again with `bench train`"
        )
    return card


def band(card: dict[str, Any], sigma_255: str | None) -> tuple[float, float]:
    """Lowest and highest trained noise level on [-1, 1]: as the user says in grey levels, or the card.

    Raises UsageError if neither says it.
    """
    if sigma_255 is None:
        if "sigma_max" not in card:
            raise UsageError(
                f"{card['name']} has no card that says at which noise it was trained; "
                "say it in grey levels: --option sigma_255=25, or a range: --option sigma_255=0-50"
            )
        return card.get("sigma_min", 0.0), card["sigma_max"]
    try:
        low, high = bounds.grey_levels(sigma_255)
    except UsageError as error:
        raise UsageError(f"sigma_255 {error.message}") from None
    return from_grey_levels(low), from_grey_levels(high)


def size(card: dict[str, Any], given: str | None) -> tuple[int, int] | None:
    """Size (H, W) of the training images: as the user says, 28, 28x20 (rows first) or any, or the card.

    None is any size. Raises UsageError for anything else.
    """
    value = card.get("size") if given is None else given
    if isinstance(value, list | tuple):
        value = "x".join(map(str, value))
    sides = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", str(value), re.ASCII)
    fits = sides is not None and all(side is None or int(side) in SIDES for side in sides.groups())
    if not fits and value not in (None, "any"):
        flag = "--option" if given is not None else ""
        raise UsageError(
            f"size must be 28, 28x20 (rows first), sides in {bounds.SIDE}, or any; "
            f"found {str(value)[:100]!r}",
            flag,
        )
    return (int(sides[1]), int(sides[2] or sides[1])) if sides else None


def read_card(path: Path) -> dict[str, Any]:
    """A card, as the JSON object it is."""
    card = reading.json_object(path)
    for key, kind in CARD.items():
        numbers_too = float | int if kind is float else kind
        if not isinstance(card.get(key, kind()), numbers_too):
            raise UsageError(
                f"{path} is not a card: {key} must be a {kind.__name__}, "
                f"found {type(card[key]).__name__}"
            )
    return card


def read_state(path: Path, part: str = "") -> dict[str, Tensor]:
    """Named tensors of a safetensors file or a checkpoint; no code of the file is executed."""
    return choose(path, part)[0]


def choose(path: Path, part: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict in a file, and what a card has to say of where it was."""
    with checkpoints.opened(path) as content:
        try:
            choice = layouts.find(content.value, part)
        except UsageError as error:
            raise checkpoints.unreadable(path, error.message) from None
        notes: dict[str, Any] = {"read_from": choice.where} if choice.where else {}
        notes["warnings"] = [f"{path.name}: {choice.note}"] if choice.note else []
        return content.read(choice.state), notes


def save(path: Path, state: dict[str, Tensor], card: dict[str, Any]) -> dict[str, Any]:
    """Write `path` (.safetensors) and its card; returns the card, completed with the digest."""
    content = packed(state)
    write(path, lambda file: file.write(content))
    card = {"name": path.stem, "sha256": "", **card} | {"sha256": sha256(path)}
    text = json.dumps(card, indent=2) + "\n"
    write(path.with_suffix(".json"), lambda file: file.write(text.encode()))
    return card


def packed(state: dict[str, Tensor], notes: dict[str, str] | None = None) -> bytes:
    """A safetensors file. Weights that are one in the network are written for each of their names."""
    alone = {name: tensor.contiguous().clone() for name, tensor in state.items()}
    return safetensors.torch.save(alone, notes)


def load_into(net: torch.nn.Module, state: dict[str, Tensor], path: str) -> None:
    """`net.load_state_dict(state)`, with a sentence naming the first key that does not fit.

    A prefix that all keys of the network have in `state` is left out, with what lies beside it.
    Counters of batch normalisation that an older file lacks are 0.
    """
    expected = net.state_dict()
    counters = [key for key in expected if key.endswith(layouts.COUNTER)]
    state = layouts.rooted(state, [key for key in expected if key not in counters]) or state
    lacking = [key for key in counters if key not in state]
    state = state | {key: torch.zeros_like(expected[key]) for key in lacking}
    for key in [*expected, *state]:
        shape = tuple(state[key].shape) if key in state else "nothing"
        fitting = tuple(expected[key].shape) if key in expected else "no such key"
        if shape != fitting:
            seen = f"; {layouts.keys(state)}" if key not in state else ""
            where = f"at {layouts.shown(key)} expected {fitting}, found {shape}"
            raise UsageError(f"{path} does not fit {type(net).__name__}: {where}{seen}")
    net.load_state_dict(state)


def tag(card: dict[str, Any]) -> str:
    """`<card>@<first 8 digits of its sha256>`, as runs record weights."""
    return f"{card['name']}@{card['sha256'][:8]}"


def warnings(card: dict[str, Any] | None) -> list[str]:
    """What a reader should know before believing a number, by a card or those of a splice's parts."""
    parts = [part for part in (card or {}).values() if isinstance(part, dict) and "sha256" in part]
    return [*(card or {}).get("warnings", []), *(line for part in parts for line in warnings(part))]
