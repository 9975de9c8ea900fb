"""Weights as others read them: safetensors with their card; of the U-Net also a folder for diffusers."""

import inspect
import json
import operator
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from denoisers import registry
from denoisers import weights as weights_
from denoisers.errors import UsageError, concerning
from denoisers.files import make_folder, write

if TYPE_CHECKING:
    from denoisers.base import Denoiser

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
TAKEN = ("README", "model_index")  # names of other files
SIZE = (32, 32)  # of the images of a U-Net whose card says none
README = """# {name}

{summary}. Licence: {licence}.

- `{name}.safetensors` holds the weights; `{name}.json` says where they come from, at which noise they
  were trained, and their sha256.
- Here: `bench run --denoiser {denoiser} --weights {name}.safetensors{options}`
"""
OF_UNET = """- With diffusers, without this package:

```python
from diffusers import DDPMPipeline

pipeline = DDPMPipeline.from_pretrained("FOLDER", trust_remote_code=True)  # runs unet/bench_unet.py
images = pipeline(batch_size=16, num_inference_steps=250).images
```
"""


def export(name: str, folder: Path, /, weights: str | None = None, **options: Any) -> list[Path]:
    """Write what a built-in denoiser was loaded from into a folder, and return the files.

    The network is loaded first, so that what is written fits it. `sigma_255` and `size` go into the
    card: they need not be said again. The outputs are those of the original.

    Raises UsageError for what has no weights, and where other files have the same names.
    """
    check(name)
    denoiser = registry.load(name, weights, **options)
    if denoiser.card is None:
        raise UsageError(f"{name} has no weights", "NAME")
    source = weights_.place(weights, home(name), default=denoiser.card["name"])
    contents = list(files(name, denoiser, source, options))
    for file, content in contents:
        place = folder / file
        if place.exists() and not (place.is_file() and place.read_bytes() == content):
            raise UsageError(f"{place} is there, and is another; name a new folder", "FOLDER")
    with concerning("FOLDER"):
        make_folder(folder)
        for file, content in contents:
            write(folder / file, operator.methodcaller("write", content), folder)
    return [folder / file for file, _ in contents]


def check(name: str) -> None:
    """Raise UsageError for what cannot be exported."""
    if name.startswith(registry.SPLICE):
        raise UsageError(f"{name} is of two networks; export each of them", "NAME")
    load = registry.loader(name)
    if registry.built_in(name) is None:
        why = "is code of your own; denoisers.weights.save writes weights and card of a network"
        raise UsageError(f"{name} {why}", "NAME")
    if "weights" not in inspect.signature(load).parameters:
        why = "has no weights: it is made from images, or learns nothing"
        raise UsageError(f"{name} {why}", "NAME")
    if name == "diffusers":
        raise UsageError("diffusers reads a folder that it saved itself; copy that", "NAME")


def files(
    name: str, denoiser: "Denoiser", source: Path, options: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files, the card last: where it lies, all is there.

    source  of the weights, as `weights.read` takes it
    """
    state, _ = weights_.read(source)
    content = weights_.packed(state)
    card = completed(weights_.card_of(source), content, options)
    yield f"{card['name']}.safetensors", content
    if name == "unet":
        from denoisers import unet
        from denoisers.unet import foreign

        net = cast(nn.Module, denoiser.net).state_dict()
        rows, columns = card.get("trained_size", SIZE)
        yield from foreign.files(net, unet.shape_of(net), (rows, columns))
    yield "README.md", readme(name, card).encode()
    yield f"{card['name']}.json", (json.dumps(card, indent=2) + "\n").encode()


def home(name: str) -> Path:
    """The folder of the module of a built-in, with its cards if it has some."""
    module = registry.BUILT_IN[str(registry.built_in(name))].partition(":")[0]
    return Path(str(pkgutil.resolve_name(module).__file__)).parent


def completed(card: dict[str, Any], content: bytes, options: dict[str, Any]) -> dict[str, Any]:
    """The card of what is written, with the band and the size that the options say, and the other options."""
    said: dict[str, Any] = {"name": stem_of(card), "sha256": weights_.digest(content)}
    rest = dict(options)
    if text := rest.pop("sigma_255", None):
        low, high = weights_.band(card, text)
        said |= {"sigma_min": low, "sigma_max": high}
    if text := rest.pop("size", None):
        said |= {"size": weights_.size(card, text)}
    if rest := card.get("options", {}) | rest:
        said["options"] = rest
    return said | {"exported_from": weights_.tag(card)} | card | said


def stem_of(card: dict[str, Any]) -> str:
    """What files of a card are called: its name without an ending, of what every file system takes."""
    name = Path(card["name"])
    bare = name.stem if name.suffix in SUFFIXES else name.name  # gray-0.5 has no ending
    stem = re.sub(r"[^\w.-]+", "-", bare).strip(".-")[:100]
    return stem if stem and stem not in TAKEN else f"{stem}-weights".strip("-")


def readme(name: str, card: dict[str, Any]) -> str:
    """What the folder is, and how it is used."""
    summary = str(card.get("summary") or "") or f"Weights of a network that `{name}` reads"
    options = (shlex.quote(f"{key}={value}") for key, value in card.get("options", {}).items())
    text = README.format(
        name=card["name"],
        summary=summary[0].upper() + summary[1:],
        licence=card.get("licence", "that of the original file"),
        denoiser=name,
        options="".join(f" --option {option}" for option in options),
    )
    return text + (OF_UNET if name == "unet" else "")
