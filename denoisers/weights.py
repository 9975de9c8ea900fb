"""Weights on disk: safetensors beside a card that says where they come from, checked by digest before use."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from denoisers.errors import UsageError

# Where checkpoints keep their state dict, the averaged weights first.
WRAPPERS = ("average", "params_ema", "params", "state_dict", "model", "net")


def home() -> Path:
    """`$BENCH_HOME`, by default `bench` in the user's cache folder. Created by those who write into it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("BENCH_HOME") or cache / "bench")


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def load(weights: str | None, folder: Path, default: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and card of `weights`: a card shipped in `folder`, a path to a file, or None for `default`.

    A file `X.safetensors` is checked against the card `X.json` beside it, when there is one. Other files are read as
    PyTorch checkpoints, tensors only.

    Raises FileNotFoundError for a missing file and ValueError for one whose digest or content is not as expected.
    """
    weights = weights or default
    shipped = folder / f"{weights}.json"
    path = shipped.with_suffix(".safetensors") if shipped.exists() else Path(weights)
    if not path.is_file():
        known = ", ".join(cards(folder))
        raise UsageError(f"no weights at {path}; --weights takes a file or one of the shipped cards: {known}")
    return read(path)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and card of a file, as in `load`; without a card, its name and digest take the place of one."""
    if not path.is_file():
        raise UsageError(f"no weights at {path}", "--weights")
    digest = sha256(path)
    card_path = path.with_suffix(".json")
    card = {"name": path.name, "sha256": digest} | (read_card(card_path) if card_path.exists() else {})
    if card["sha256"] != digest:
        raise UsageError(
            f"{path} is not the file its card describes: expected sha256 {card['sha256']}, found {digest}; "
            "restore the file (reinstall, or git checkout), or train it again with `bench train`"
        )
    return read_state(path), card


def band(card: dict[str, Any], sigma_255: str | None) -> tuple[float, float]:
    """Lowest and highest trained noise level in [-1, 1] units: as the user says in grey levels, or from the card.

    Raises ValueError if neither says it.
    """
    if sigma_255 is None:
        if "sigma_max" not in card:
            raise UsageError(
                f"{card['name']} has no card that says at which noise it was trained; "
                "say it in grey levels: --option sigma_255=25, or a range: --option sigma_255=0-50"
            )
        return card.get("sigma_min", 0.0), card["sigma_max"]
    try:
        ends = [float(part) / 127.5 for part in sigma_255.split("-")]
        low, high = ends[0], ends[-1]
        if len(ends) > 2 or not 0 <= low <= high < float("inf"):
            raise ValueError
    except ValueError:
        raise UsageError(f"sigma_255 must be a grey level or a range such as 0-50; found {sigma_255!r}") from None
    return low, high


def read_card(path: Path) -> dict[str, Any]:
    """A card, as the JSON object it is."""
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path} is not a readable card: {error}") from None
    if not isinstance(card, dict):
        raise UsageError(f"{path} is not a card: expected a JSON object, found {type(card).__name__}")
    return card


def read_state(path: Path) -> dict[str, Tensor]:
    """Named tensors of a safetensors file or of a PyTorch checkpoint (never executes code from the file)."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return unwrap(torch.load(path, map_location="cpu", weights_only=True))
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error) or "it ends too early"
        raise UsageError(f"{path} cannot be read as weights (truncated, or another format?): {reason}") from None
    except Exception as error:  # pickle.UnpicklingError, and whatever else a hostile file provokes
        raise UsageError(f"{path} holds more than tensors or is no checkpoint; it was not loaded: {error}") from None


def unwrap(content: Any) -> dict[str, Tensor]:
    """The state dict in a checkpoint: as it is, or under one of WRAPPERS, without the `module.` of DataParallel.

    Raises ValueError for anything else.
    """
    if not isinstance(content, dict) or not content:
        raise UsageError(f"expected a dict of tensors, found {type(content).__name__}")
    for key in WRAPPERS:
        if isinstance(content.get(key), dict):
            return unwrap(content[key])
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise UsageError(f"expected tensors by name, found {type(value).__name__} at {key!r}")
    return {key.removeprefix("module."): value for key, value in content.items()}


def save(path: Path, state: dict[str, Tensor], card: dict[str, Any]) -> dict[str, Any]:
    """Write `path` (.safetensors) and its card; returns the card, completed with the digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, temporary)
    os.replace(temporary, path)
    card = {"name": path.stem, "sha256": sha256(path), **card}
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return card


def load_into(net: torch.nn.Module, state: dict[str, Tensor], path: str) -> None:
    """`net.load_state_dict(state)`, with a sentence naming the first key that does not fit."""
    expected = net.state_dict()
    for key in [*expected, *state]:
        found = tuple(state[key].shape) if key in state else "nothing"
        wanted = tuple(expected[key].shape) if key in expected else "no such key"
        if found != wanted:
            raise UsageError(f"{path} does not fit {type(net).__name__}: at {key!r} expected {wanted}, found {found}")
    net.load_state_dict(state)


def tag(card: dict[str, Any]) -> str:
    """`<card>@<first 8 digits of its sha256>`, as runs record weights."""
    return f"{card['name']}@{card['sha256'][:8]}"
