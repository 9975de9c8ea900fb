"""Weights as others read them: safetensors with their card; of the U-Net also a folder for diffusers."""

import functools
import inspect
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import safetensors.torch
from torch import nn

from denoisers import registry
from denoisers import weights as weights_
from denoisers.errors import UsageError
from denoisers.files import make_folder, write

if TYPE_CHECKING:
    from denoisers.base import Denoiser

SIDE = 32  # of images with their frame, where the network says no other
README = """# {name}

{summary}. Licence: {licence}.

- `{name}.safetensors` holds the weights; `{name}.json` says where they come from, at which noise they
  were trained, and their sha256.
- Here: `bench run --denoiser {denoiser} --weights {name}.safetensors{options}`
"""
OF_UNET = """- With diffusers, without this package, and digits come with a frame of two pixels:

```python
from diffusers import DDPMPipeline

pipeline = DDPMPipeline.from_pretrained("FOLDER", trust_remote_code=True)  # runs unet/bench_unet.py
images = pipeline(batch_size=16, num_inference_steps=250).images
```
"""


def export(name: str, folder: Path, weights: str | None = None, **options: Any) -> list[Path]:
    """Write what a built-in denoiser was loaded from into a folder, and return the files.

    The network is loaded first, so that what is written fits it. `sigma_255` and `size` go into the
    card: they need not be said again. The outputs are those of the original.

    Raises UsageError for what has no weights, and where other files have the same names.
    """
    check(name)
    denoiser = registry.load(name, weights, **options)
    if denoiser.card is None:
        raise UsageError(f"{name} has no weights", "NAME")
    contents = dict(files(name, denoiser, weights, options))
    for file, content in contents.items():
        place = folder / file
        if place.exists() and not (place.is_file() and place.read_bytes() == content):
            raise UsageError(f"{place} is there, and is another; name a new folder", "FOLDER")
    make_folder(folder)
    for file, content in contents.items():
        write(folder / file, functools.partial(put, content), folder)
    return [folder / file for file in contents]


def put(content: bytes, file: BinaryIO) -> None:
    """Write it."""
    file.write(content)


def check(name: str) -> None:
    """Raise UsageError for what cannot be exported."""
    if name.startswith(registry.SPLICE):
        raise UsageError(f"{name} is of two networks; export each of them", "NAME")
    load = registry.loader(name)
    if registry.built_in(name) is None:
        why = "is code of your own; denoisers.weights.save writes weights and card of a network"
        raise UsageError(f"{name} {why}", "NAME")
    if "weights" not in inspect.signature(load).parameters:
        raise UsageError(
            f"{name} has no weights: it is made from images, or learns nothing", "NAME"
        )
    if name == "diffusers":
        raise UsageError("diffusers reads a folder that it saved itself; copy that", "NAME")


def files(
    name: str, denoiser: "Denoiser", weights: str | None, options: dict[str, Any]
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files, the card last: where it lies, all is there."""
    card = dict(denoiser.card or {})
    state, _ = weights_.load(weights, home(name), default=card["name"])
    stem = Path(card["name"]).stem
    content = safetensors.torch.save({key: tensor.contiguous() for key, tensor in state.items()})
    yield f"{stem}.safetensors", content
    if name == "unet":
        from denoisers import unet
        from denoisers.unet import foreign

        net = cast(nn.Module, denoiser.net).state_dict()
        side = max(denoiser.spec.size or (SIDE,))
        yield from foreign.files(net, unet.shape_of(net), side)
    card = completed(card, stem, content, options)
    yield "README.md", readme(name, card, options).encode()
    yield f"{stem}.json", (json.dumps(card, indent=2) + "\n").encode()


def home(name: str) -> Path:
    """The folder of the module of a built-in, with its cards if it has some."""
    module = registry.BUILT_IN[str(registry.built_in(name))].partition(":")[0]
    return Path(str(pkgutil.resolve_name(module).__file__)).parent


def completed(
    card: dict[str, Any], stem: str, content: bytes, options: dict[str, Any]
) -> dict[str, Any]:
    """The card of what is written, with the band and the size that the options say."""
    said: dict[str, Any] = {"name": stem, "sha256": weights_.digest(content)}
    if "sigma_255" in options:
        low, high = weights_.band(card, options["sigma_255"])
        said |= {"sigma_min": low, "sigma_max": high}
    if "size" in options:
        said |= {"size": weights_.size(card, options["size"])}
    card.pop("read_from", None)  # what was read lies bare in the new file
    return said | {"exported_from": weights_.tag(card)} | card | said


def readme(name: str, card: dict[str, Any], options: dict[str, Any]) -> str:
    """What the folder is, and how it is used."""
    told = {key: value for key, value in options.items() if key not in ("sigma_255", "size")}
    text = README.format(
        name=card["name"],
        summary=card.get("summary", f"Weights of a network that `{name}` reads"),
        licence=card.get("licence", "what that of the original file is"),
        denoiser=name,
        options="".join(f" --option {key}={value}" for key, value in told.items()),
    )
    return text + (OF_UNET if name == "unet" else "")
