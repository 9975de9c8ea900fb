"""`bench train`: a network from scratch to shipped form, weights and card; resumes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bench import cards, files, machine
from bench.bounds import BOUNDS, EMA, EPOCHS, TRAINING_SEED, file_name
from bench.data import datasets, photographs
from bench.images import to_float
from bench.scoring import lenet, resnet
from bench.scoring.lenet import train as lenet_train
from bench.scoring.resnet import train as resnet_train
from denoisers import kbnet, parallel, unet
from denoisers import weights as weights_
from denoisers.bounds import number
from denoisers.errors import UsageError, concerning
from denoisers.kbnet import train as kbnet_train
from denoisers.training import ENDS, Progress
from denoisers.unet import train as unet_train

LICENCE = "MIT"
# Pixels: what photographs are cut into, and what of that a network sees at once.
TILE, PATCH = 96, 48

Report = Callable[[Progress], None]


# Half of it is what can be asked for.
def train(
    network: str,
    *,
    name: str | None = None,
    weights: str | None = None,
    dataset: str | None = None,
    out: Path = Path("weights"),
    epochs: int | None = None,
    batch_size: int | None = None,
    ema: float | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    device: str = "cpu",
    report: Report = lambda progress: None,
    **recipe: str | None,
) -> Path:
    """Train `network`, one of NETWORKS; returns the path of the safetensors file.

    weights     card or file to start from, instead of random numbers
    dataset     whose images are learnt, by the name that `datasets.load` takes; None for the
                network's own
    batch_size  images of a step; None for the network's own number, or all images if they are fewer
    ema         highest decay of the average of the weights; None for the network's own
    recipe      `source`, `sigma`, `loss` of KBNet; what is None comes from the shipped card of that
                name

    The checkpoint lies beside it; the same command continues from there after an interruption, with
    any number of ranks inside `ranks.together`, of which the first alone writes. Raises UsageError
    about the flag that is wrong, before anything is trained.
    """
    given = {key: value for key, value in recipe.items() if value is not None}
    check_flags(network, name, epochs, batch_size, ema, seed, list(given))
    kind = NETWORKS[network]
    name, epochs = name or named(kind, dataset), epochs or kind.epochs
    path = out / f"{name}.safetensors"
    machine.check_writable(out)
    options = {"epochs": epochs, "seed": seed, "device": device, "report": report}
    card = {
        "summary": f"{network}, trained by `bench train`",
        "licence": LICENCE,
        "source": "trained by this project from the data named here",
        "command": f"bench train {network} --name {name} --epochs {epochs} --seed {seed}",
    }
    if batch_size is not None:
        options["batch_size"] = batch_size
        card["command"] += f" --batch-size {batch_size}"
    if ema is not None:
        options["ema_decay"] = ema
        card["command"] += f" --ema {number(ema)}"
    if weights is not None:
        with concerning("--weights"):
            options["start"], origin = weights_.load(weights, kind.folder, kind.name)
        card["command"] += f" --weights {weights}"
        card["started_from"] = weights_.tag(origin)
    if device != "cpu":
        card["command"] += (
            f" --device {device.partition(':')[0] if parallel.size() > 1 else device}"
        )
    if parallel.size() > 1:
        card["ranks"] = parallel.size()
    if dataset is not None:
        card["command"] += f" --dataset {dataset}"
    kind.make(path, cards.Data(dataset or kind.dataset, data_dir), card, options, **given)
    return path


class Network(NamedTuple):
    """What is trained, how, and what it is called where nothing else is said."""

    make: Callable[..., None]
    folder: Path
    name: str
    epochs: int
    dataset: str | None


def named(kind: Network, dataset: str | None) -> str:
    """The name of the weights: the network's own, or of a dataset that is not its own, that of this."""
    if dataset in (None, kind.dataset):
        return kind.name
    if dataset.startswith(datasets.PATCHES):
        return "patches"
    place = Path(dataset.rpartition(":")[2]).resolve()
    return files.slug(place.name if place.is_dir() else place.stem) or "own"


def check_flags(
    network: str,
    name: str | None,
    epochs: int | None,
    batch_size: int | None,
    ema: float | None,
    seed: int,
    recipe: list[str],
) -> None:
    """Raise UsageError about a flag of `train` that is wrong, or not for this network."""
    if network not in NETWORKS:
        raise UsageError(
            f"unknown network {network!r}; available: {', '.join(NETWORKS)}", "NETWORK"
        )
    if epochs is not None:
        EPOCHS.check(epochs, "--epochs")
    if batch_size is not None:
        BOUNDS["batch-size"].check(batch_size, "--batch-size")
    if ema is not None:
        EMA.check(ema, "--ema")
    if name is not None:
        file_name(name, "--name")
    TRAINING_SEED.check(seed, "--seed")
    if recipe and network != "kbnet":
        flags = ["--data" if key == "source" else f"--{key}" for key in recipe]
        raise UsageError(f"is for kbnet; {network} has one recipe", " and ".join(flags))


def make_unet(path: Path, data: cards.Data, card: dict[str, Any], options: dict[str, Any]) -> None:
    """Train the U-Net, save it, and complete its card with what it measures on held-out images."""
    cards.check_unclaimed(path, card["command"])
    dataset = data.load(card)
    sides = dataset.shape[1:]
    if any(side % 8 for side in sides):
        raise UsageError(
            f"{dataset.name} has images of {sides[0]} x {sides[1]}; "
            "the U-Net is trained on sides that are multiples of 8",
            "--dataset",
        )
    images = to_float(dataset.train, dataset.pad)
    net, recipe = unet_train.train(images, path.with_suffix(".ckpt"), **options)
    if parallel.rank():
        return
    card |= {
        "summary": "U-Net that predicts eps on the linear 1000-step chain, "
        f"for {cards.size_in_words(dataset)}",
        **cards.training(net, recipe, options["device"]),
        "sigma_min": ENDS[0],
        "sigma_max": ENDS[1],
    }
    state = {key: value.cpu() for key, value in net.state_dict().items()}
    weights_.save(path, state, card)
    weights_.save(path, state, card | cards.on_held_out(unet.load(str(path)), dataset))


def make_kbnet(
    path: Path, data: cards.Data, card: dict[str, Any], options: dict[str, Any], **given: str
) -> None:
    """Train a small KBNet to remove noise, save it with its noise band and its quality.

    given  `source`: natural, mnist or a folder of photographs, where no dataset is named; `sigma` in
           grey levels: 25, 0-50 or all; `loss`: l1 or l2
    """
    usual = "gray-blind50" if data.name is None else "mnist-all"
    recipe = SHIPPED.get(path.stem, SHIPPED[usual]) | given
    source, sigma, loss = recipe["source"], recipe["sigma"], recipe["loss"]
    if data.name is not None and "source" in given:
        raise UsageError("names photographs; leave it out beside --dataset", "--data")
    if loss not in ("l1", "l2"):
        raise UsageError(f"unknown {loss!r}; available: l1, l2", "--loss")
    with concerning("--sigma"):
        low, high = ENDS if sigma == "all" else weights_.band({"name": path.stem}, sigma)
    card["command"] += "" if data.name else f" --data {source}"
    card["command"] += f" --sigma {sigma} --loss {loss}"
    cards.check_unclaimed(path, card["command"])
    dataset = data.load(card) if data.name or source == "mnist" else None
    if dataset is not None:
        images, patch = (to_float(dataset.train, dataset.pad) + 1) / 2, None
    else:
        with concerning("--data"):
            images, patch = tiles(source, data.folder, card), PATCH
    task = {"band": (low / 2, high / 2), "norm": loss, "patch": patch}
    net, followed = kbnet_train.train(images, path.with_suffix(".ckpt"), **task, **options)
    if parallel.rank():
        return
    what = "grey photographs" if dataset is None else cards.size_in_words(dataset)
    card |= {
        "summary": f"small KBNet that removes noise of {sigma} grey levels from {what}, "
        "without being told the level",
        **cards.training(net, followed, options["device"]),
        "sigma_min": low,
        "sigma_max": high,
    }
    state = {key: value.cpu() for key, value in net.state_dict().items()}
    weights_.save(path, state, card)
    trained = kbnet.load(str(path))
    if dataset is not None:
        card |= cards.on_held_out(trained, dataset)
    elif source == "natural":
        card |= cards.on_photographs(trained, photographs.natural(data.folder).parent / "test")
        card["psnr_published"] = cards.PUBLISHED
    weights_.save(path, state, card)


def tiles(source: str, data_dir: Path | None, card: dict[str, Any]) -> torch.Tensor:
    """Squares of photographs, uint8 (N, 1, TILE, TILE), of which patches of PATCH are cut."""
    folder = photographs.natural(data_dir) if source == "natural" else Path(source)
    photos = photographs.read(folder)
    squares = torch.from_numpy(photographs.tiles(photos, TILE))[:, None]
    folders = sorted({photographs.folder_of(name, folder) for name in photos})
    card |= {
        "data": f"photographs: {', '.join(folders)}; grey",
        "split": f"all {len(photos)} images, {len(squares)} tiles of {TILE}",
    }
    return squares


def make_lenet(path: Path, data: cards.Data, card: dict[str, Any], options: dict[str, Any]) -> None:
    """Train the classifier of digits, save it with its accuracy on held-out images."""
    cards.check_unclaimed(path, card["command"])
    dataset = data.load(card)
    if (dataset.channels, *dataset.size) != (1, 28, 28) or dataset.classes != 10:
        raise UsageError(
            f"lenet tells ten classes of 28 x 28 in grey; {dataset.name} has {dataset.classes} of "
            f"{dataset.size[0]} x {dataset.size[1]}; `bench train classifier` takes any",
            "--dataset",
        )
    images, labels = to_float(dataset.train), torch.from_numpy(dataset.labels())
    net, recipe = lenet_train.train(images, labels, path.with_suffix(".ckpt"), **options)
    net = net.cpu()
    held_out, truth = to_float(dataset.held_out), torch.from_numpy(dataset.held_out_labels)
    accuracy = lenet_train.accuracy(net, held_out, truth)
    card |= {
        "summary": "classifier of digits: features for FID and KID, judge of classes and confidence",
        **cards.training(net, recipe, options["device"]),
        "held_out_accuracy": round(accuracy, 4),
    }
    weights_.save(path, net.state_dict(), card)


def make_classifier(
    path: Path, data: cards.Data, card: dict[str, Any], options: dict[str, Any]
) -> None:
    """Train the classifier of natural images on a labelled dataset, in colour and in grey."""
    cards.check_unclaimed(path, card["command"])
    dataset = data.load(card)
    if dataset.classes < 2:
        raise UsageError(
            f"{dataset.name} has {dataset.classes} classes; a classifier needs two at least",
            "--dataset",
        )
    images, labels = resnet.seen(to_float(dataset.train)), torch.from_numpy(dataset.labels())
    net, recipe = resnet_train.train(images, labels, path.with_suffix(".ckpt"), **options)
    net = net.cpu()
    held_out, truth = to_float(dataset.held_out), torch.from_numpy(dataset.held_out_labels)
    card |= {
        "summary": f"classifier of the {dataset.classes} classes of {dataset.name}, in colour and in "
        "grey: features for FID and KID, judge of classes and confidence",
        **cards.training(net, recipe, options["device"]),
        "held_out_accuracy": round(lenet_train.accuracy(net, held_out, truth), 4),
        "in_grey": round(lenet_train.accuracy(net, resnet.in_grey(held_out), truth), 4),
    }
    weights_.save(path, net.state_dict(), card)


SHIPPED = {
    "gray-blind50": {"source": "natural", "sigma": "0-50", "loss": "l1"},
    "gray25": {"source": "natural", "sigma": "25", "loss": "l1"},
    "gray-all": {"source": "natural", "sigma": "all", "loss": "l2"},
    "patches": {"source": "natural", "sigma": "all", "loss": "l2"},
    "mnist-all": {"source": "mnist", "sigma": "all", "loss": "l2"},
    "mnist-all-l1": {"source": "mnist", "sigma": "all", "loss": "l1"},
}
NETWORKS = {
    "unet": Network(make_unet, unet.FOLDER, "mnist", 200, "mnist"),
    "kbnet": Network(make_kbnet, kbnet.FOLDER, "gray-blind50", 100, None),
    "lenet": Network(make_lenet, lenet.FOLDER, "lenet-a", 8, "mnist"),
    "classifier": Network(make_classifier, resnet.FOLDER, "cifar-a", 11, "cifar10"),
}
