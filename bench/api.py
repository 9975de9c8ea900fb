"""What a notebook or a training loop calls: load, sample, score, report.

They do what the commands do, on arrays in memory and denoisers at hand. Nothing is printed: what goes
on is told to `say`, a function of lines, and to `progress`, a `bench.progress.Progress`.

`import bench` brings them, as `bench.load` and so on, when they are first asked for.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from bench import experiment, machine
from bench.bounds import BOUNDS, LEAST
from bench.data import datasets
from bench.data.dataset import Dataset
from bench.data.tensors import levels
from bench.files import Say
from bench.images import noise_std, to_float
from bench.progress import SILENT, Progress
from bench.reporting import exports, reading, table
from bench.sampling import generation
from bench.sampling.plan import SamplingPlan, asked
from bench.scoring import control_scores, devices, extractors, scorecard
from bench.scoring.reference import References
from bench.scoring.schema import Score, ScoreSet
from bench.shelf import Shelf, copied
from denoisers.base import Denoiser, Spec
from denoisers.errors import UsageError

OURS = ("denoisers", "torch")  # whose modules may be run in ways that change their calls


def silent(line: object) -> None:
    """Say nothing."""


def load(
    name: str,
    weights: str | None = None,
    *,
    dataset: str = "mnist",
    data_dir: Path | None = None,
    **options: Any,
) -> Denoiser:
    """A denoiser D(x; sigma), a torch module on the CPU, by its name in `bench list`.

    name     one of these, or module:attr, path/to/file.py:attr, splice:A,B@SIGMA
    weights  a card or a file; the denoiser's own by default
    dataset  whose images those are made of that are made of images (`ideal`, `gaussian`)
    options  for the denoiser, as --option has them

    It takes x float32 (B, C, H, W), x0 + sigma noise with x0 in [-1, 1], and sigma float32 () or (B,);
    it gives the estimate of x0. Raises UsageError, a ValueError, for what there is not, ForeignError
    where code that is not ours fails.

    >>> import bench, torch
    >>> denoiser = bench.load("unet")
    >>> denoiser(torch.randn(2, 1, 32, 32), torch.tensor(1.0)).shape
    torch.Size([2, 1, 32, 32])
    """
    return Shelf(dataset, data_dir, kept=False).denoiser(name, weights, **options)


# Two thirds of it are what can be asked for, and what that means.
def sample(
    denoiser: Denoiser,
    num: int | None = None,
    *,
    protocol: str = "standard",
    seed: int = 0,
    dataset: str | Dataset = "mnist",
    data_dir: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    compiling: str = "off",
    batch_size: int | None = None,
    say: Say = silent,
    progress: Progress = SILENT,
    **settings: Any,
) -> np.ndarray:
    """Images that a denoiser draws by reverse diffusion, uint8 (num, H, W), or (num, H, W, 3) in colour.

    num        2000 by the standard protocol
    protocol   "quick", "standard" or "paper": number of images, and steps of ddpm
    seed       image i depends on (seed, i) alone, and is the one that `bench run` makes
    dataset    whose size, frame and channels the images have: a name as --dataset takes it, or a Dataset
    device     "cpu", "cuda", "cuda:1" or "mps"; "auto" is the current CUDA device where there is one
    dtype      "auto", "float32", "tf32" or "bfloat16", of the network
    compiling  "on", "off", or "auto", where so many calls pay for it on CUDA
    batch_size  images at once; what suits the device by default
    say        told, in lines, what to doubt where it was trained on images of another size
    settings   num, steps, sampler, grid, rho, sigma_max, start, clip, eta, churn, beta, h0, as `bench run`
               has them

    A copy of the denoiser is called, in eval mode. Raises UsageError, a ValueError, about a setting that
    is wrong, and for a denoiser that cannot be copied; FloatingPointError, MemoryError or ForeignError if
    it fails. The samplers cite their sources in docs/sampler.md.

    >>> import bench
    >>> bench.sample(bench.load("unet"), 8, steps=3, dataset="mnist5k").shape
    (8, 28, 28)
    """
    if not isinstance(denoiser, Denoiser):
        found = repr(denoiser) if isinstance(denoiser, str) else type(denoiser).__name__
        raise UsageError(
            f"found {found[:100]}; expected a Denoiser, as bench.load('unet') gives one"
        )
    if not isinstance(getattr(denoiser, "spec", None), Spec):
        raise UsageError(f"{type(denoiser).__name__} has no spec; give it a denoisers.base.Spec")
    given = {key: value for key, value in settings.items() if value is not None}
    plan = planned(protocol, given if num is None else given | {"num": num})
    BOUNDS["seed"].check(seed, "seed")
    if batch_size is not None:
        BOUNDS["batch-size"].check(batch_size, "batch_size")
    data = dataset if isinstance(dataset, Dataset) else datasets.load(dataset, data_dir)
    plan.check_start(data)
    own = copied(denoiser)
    if own is None:
        name = denoiser.spec.name
        raise UsageError(f"{name} cannot be copied (copy.deepcopy), and is not called as it is")
    ours = all(type(part).__module__.partition(".")[0] in OURS for part in own.modules())
    with devices.exact():
        where = machine.choose_device(machine.current_device(device))
        own, doubts = experiment.fitted(own.eval(), data, plan, where)
        runner, batch = experiment.running(
            own, data, plan, where, dtype, compiling, batch_size, ours=ours
        )
        if dtype not in ("auto", runner.way.dtype):
            raise UsageError(
                f"dtype is {dtype}, and {own.spec.name} has a spec without weights, as closed forms have, "
                "which are computed in float32; name them, Spec(weights='mine@12345678')"
            )
        for line in doubts:
            say(line)
        setup = experiment.setup(runner, plan, data, seed, batch)
        advance = progress.stage("sampling", plan.num * plan.steps)
        parts = generation.chunks(plan.num, batch, len(plan.sigmas) - 1)
        return np.concatenate([generation.generate(setup, ids, advance).images for ids in parts])


def planned(protocol: str, settings: dict[str, Any]) -> SamplingPlan:
    """A protocol with settings in its place. Raises UsageError for what is none."""
    known = list(SamplingPlan.__dataclass_fields__)
    if unknown := [key for key in settings if key not in known]:
        raise UsageError(f"unknown setting {unknown[0]!r}; expected some of {', '.join(known)}")
    try:
        return asked(protocol, settings)
    except KeyError:
        raise UsageError(f"unknown protocol {protocol!r}; see `bench list protocols`") from None
    except TypeError as error:
        kinds = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        raise UsageError(f"settings are {kinds[:200]}; one is of another kind: {error}") from None


class Scores(NamedTuple):
    """What a set of images scored, beside its controls.

    scores        by name: fid, kid, confidence and so on; each a `Score` with value, stderr, low, high, n
    memorization  the same by space: pixels, shifted, guarded, features
    verdict       "memorizing" or "no evidence" of it, and why
    controls      the same of as many held-out images, `held_out`; of 2000 images on also of copies and so on
    rows          one for each image: class, confidence, nearest training image, its distance
    dataset       name@digest of what they were scored against: mnist5k where there was no mnist
    features      the extractor of FID and KID
    """

    scores: dict[str, Score]
    memorization: dict[str, dict[str, Score]]
    verdict: str
    controls: dict[str, ScoreSet]
    rows: pd.DataFrame
    dataset: str
    features: str

    def __getitem__(self, name: str) -> Score:  # type: ignore[override]
        """A score by its name."""
        return self.scores[name]


def score(
    images: np.ndarray | Tensor,
    *,
    dataset: str | Dataset = "mnist",
    data_dir: Path | None = None,
    features: str | None = None,
    features_weights: Path | None = None,
    value_range: tuple[float, float] | None = None,
    device: str = "auto",
    say: Say = silent,
    progress: Progress = SILENT,
) -> Scores:
    """Every score of images against a dataset, with errors and controls: the numbers of `bench score`.

    images       (N, H, W), (N, C, H, W), or of NumPy (N, H, W, C); uint8, or floats in `value_range`; N >= 6
    dataset      what they are scored against: a name as --dataset takes it, or a Dataset
    features     the extractor of FID and KID, by its name in `bench list features`
    features_weights  a file for an extractor that needs one
    value_range  (black, white) of images that are floats

    The first time for a dataset and a number of images takes longer, as what they are held against is
    measured then, and kept. Raises UsageError, a ValueError, naming what is wrong with the images.

    >>> import bench
    >>> from bench.data import datasets
    >>> digits = datasets.load("mnist5k")
    >>> found = bench.score(digits.train[:50], dataset=digits)
    >>> found.verdict.partition(";")[0]
    'memorizing: 100.00% of the images are copies (pixels, surely over 92.89%)'
    >>> found["kid"].stderr > 0
    True
    """
    data = dataset if isinstance(dataset, Dataset) else datasets.load(dataset, data_dir)
    given = levels(images, value_range)
    if given.shape[1:] != data.train.shape[1:] or len(given) < LEAST:
        found, wanted = ("x".join(map(str, each)) for each in (given.shape, data.train.shape[1:]))
        raise UsageError(
            f"images are {found}; expected {LEAST} or more of {wanted}, as {data.name} has"
        )
    left = noise_std(to_float(given, data.pad)).numpy()
    with devices.exact():
        where = machine.choose_device(machine.current_device(device))
        extractor = extractors.suiting(data, features, features_weights, where)
        content, _, rows = scorecard.scored(given, left, References(data), extractor, say, progress)
    whole = ScoreSet.from_json(content)
    controls = {name: ScoreSet.from_json(each) for name, each in content["controls"].items()}
    verdict = f"{content['verdict']['memorization']}: {content['verdict']['because']}"
    return Scores(
        whole.scores, whole.memorization, verdict, controls, rows, data.id, extractor.name
    )


class Reported(NamedTuple):
    """A folder of runs: its tables in words, all rows as one frame, and the files that were written."""

    text: str
    frame: pd.DataFrame
    files: list[Path]


def report(
    folder: str | Path = "results",
    formats: str | Sequence[str] = (),
    *,
    out: str | Path | None = None,
    data_dir: Path | None = None,
    say: Say = silent,
    progress: Progress = SILENT,
) -> Reported:
    """The runs below a folder as tables: what `bench report` prints, and writes.

    formats  files to write, of html, md, csv, tex and json; none by default
    out      the folder for these; by default that of the runs

    The frame has a row for each control and each run, in full precision, `fingerprint` telling protocols
    apart. Raises UsageError, a ValueError, if there is no such folder.

    >>> import bench, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bench.report(folder).text
    'No finished runs.\\n'
    """
    formats = (formats,) if isinstance(formats, str) else formats
    if unknown := [name for name in formats if name not in exports.FORMATS]:
        raise UsageError(f"unknown format {unknown[0]!r}; available: {', '.join(exports.FORMATS)}")
    measure: Callable = functools.partial(
        control_scores.later, data_dir=data_dir, say=say, progress=progress
    )
    target = None if out is None else Path(out)
    prepared = reading.read(Path(folder), measure, target, progress)
    frames = [table.frame(group) for group in prepared.groups]
    return Reported(
        table.tables(prepared.entries, prepared.absent, prepared.groups),
        pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(),
        exports.save(prepared, tuple(formats), progress) if formats else [],
    )
