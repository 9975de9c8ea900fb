"""The images of a run on disk: written last, and put right where they, or what is known of them, are not as written.

What made the images is known twice: `generation.json` holds all of `run.json` and `trace.csv`, each
of which restores the other. Images have their digest there.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import files
from bench.channels import with_channels
from bench.files import Say
from bench.runs import GENERATION, Run
from denoisers import reading
from denoisers.errors import UsageError

CHANGING = ("status", "error")  # fields of run.json that say what has become of the run since

Read = Callable[[Path], dict[str, Any]]


def write(run: Run, images: np.ndarray, noise_std: np.ndarray, trace: str) -> dict[str, np.ndarray]:
    """`samples.npz`, last, after all that must be known to believe it and to restore the others.

    images     uint8 (N, H, W), or (N, H, W, 3) in colour
    noise_std  (N,), the noise left in each
    trace      the text of `trace.csv`
    """
    samples = stored(images, noise_std)
    facts = run.update(
        samples=files.digest(samples), trace=hashlib.sha256(trace.encode()).hexdigest()
    )
    keep(run, facts, trace)
    run.write("trace.csv", lambda file: file.write(trace.encode()))
    run.write_npz("samples.npz", **samples)
    return samples


def read(run: Run, shape: tuple[int, ...], say: Say) -> dict[str, np.ndarray] | None:
    """What `write` wrote, images of this shape, (N, H, W) or (N, H, W, 3); None if they must be made, or made again.

    `run.json`, `trace.csv` and `generation.json` are put right. A line says what is not used,
    or is written again.
    """
    facts = mended(run, say)
    if facts is None:
        return None
    return read_images(run, shape, facts.get("samples"), say)


def read_images(
    run: Run, shape: tuple[int, ...], digest: str | None, say: Say
) -> dict[str, np.ndarray] | None:
    """`samples.npz`, if it holds images of this shape and has that digest; else None, and said.

    digest  of `stored`; None if it is not known, as of runs of earlier versions
    """
    layout = {
        "arr_0": ("uint8", (*shape[:3], 1 if len(shape) == 3 else shape[3])),
        "ids": np.arange(shape[0]),
        "noise_std": ("float32", shape[:1]),
    }
    samples = files.read_back(run.path / "samples.npz", say, layout=layout)
    if samples is not None and digest not in (None, files.digest(samples)):
        say(
            f"{run.path / 'samples.npz'} does not fit (not the images that run.json says); made again"
        )
        return None
    return samples


def mended(run: Run, say: Say) -> dict[str, Any] | None:
    """`run.json`, as it was when the images were done; None if that is not known, or they were not."""
    kept, lost = attempt(run.path / GENERATION, lambda path: run.read_sealed_json(path.name))
    facts, why = attempt(run.path / "run.json", reading.json_object)
    if not why and facts.get("id", run.id) != run.id:
        facts, why = {}, f"of the run {facts['id']}"
    if lost and why:
        if (run.path / "run.json").exists():
            say(f"{run.path / 'run.json'} does not fit ({why}); the run is made again")
        return None
    if lost:
        return facts if adopted(run, facts, lost, say) else None
    if why or lasting(facts) != lasting(kept["facts"]):
        say(
            f"{run.path / 'run.json'} does not fit ({why or 'not as it was written'}); written again"
        )
        run.write_json("run.json", kept["facts"])
    if run.trace() != kept["trace"]:
        say(f"{run.path / 'trace.csv'} does not fit (not as it was written); written again")
        run.write("trace.csv", lambda file: file.write(kept["trace"].encode()))
    return kept["facts"]


def adopted(run: Run, facts: dict[str, Any], lost: str, say: Say) -> bool:
    """Write `generation.json` out of `run.json` and `trace.csv`; whether that can be, or need not be yet."""
    if "samples" not in facts:  # the images were not done
        return True
    trace = run.trace()
    digest = None if trace is None else hashlib.sha256(trace.encode()).hexdigest()
    if digest is None or digest != facts.get("trace", digest):  # earlier versions did not say
        say(
            f"{run.path / 'trace.csv'} does not fit, nor {GENERATION} ({lost}); the run is made again"
        )
        return False
    say(f"{run.path / GENERATION} does not fit ({lost}); written again")
    keep(run, facts, trace)
    return True


def keep(run: Run, facts: dict[str, Any], trace: str) -> None:
    """Write `generation.json`: what `run.json` says once the images are there, and the text of `trace.csv`."""
    begun = {key: value for key, value in facts.items() if key != "error"} | {"status": "started"}
    run.write_sealed_json(GENERATION, {"facts": begun, "trace": trace})


def stored(images: np.ndarray, noise_std: np.ndarray) -> dict[str, np.ndarray]:
    """What `samples.npz` holds of uint8 images: `arr_0`, (N, H, W, C), as evaluators expect it."""
    ids = np.arange(len(images))
    return {"arr_0": with_channels(images), "ids": ids, "noise_std": noise_std}


def attempt(path: Path, read: Read) -> tuple[dict[str, Any], str]:
    """What is in a file, and nothing; or nothing, and why, in words that need not name it."""
    if not path.exists():
        return {}, "it is not there"
    try:
        return read(path), ""
    except UsageError as error:
        return {}, files.why(error, path)


def lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `run.json` that stay as they are."""
    return {key: value for key, value in facts.items() if key not in CHANGING}
