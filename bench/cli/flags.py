"""What the flags of the command line take: numbers within bounds, choices, paths and names, each said by --help."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.bounds import BOUNDS
from bench.shards import Shard
from denoisers import reading
from denoisers.bounds import GREY, LEVEL, Bound, grey_levels
from denoisers.errors import UsageError
from denoisers.places import expand

# The words of choices that need no line on each; those that do are in choices.py. test_cli.py holds them to the tables.
KINDS = ("denoisers", "samplers", "grids", "starts", "features", "datasets", "protocols")
DTYPES = ("auto", "float32", "tf32", "bfloat16")
COMPILE = ("auto", "on", "off")
OVERWRITE = ("only-missing", "always", "never")
FORMATS = ("html", "md", "csv", "tex", "json")
STUDIES = {  # -> the flags of `bench study` that not all of them take
    "ladder": (),
    "samplers": ("denoiser", "weights", "options", "members", "calls", "seeds"),
    "convergence": ("denoiser", "weights", "options", "calls"),
    "band": ("denoiser", "weights", "options", "reference"),
    "cross": ("photos",),
}

PANELS = {  # of help: title -> flags; all others stand under "Options"
    "Denoiser": ("--denoiser", "--weights", "--option"),
    "Images and sampler": (
        *(
            "--protocol",
            "--num",
            "--sampler",
            "--steps",
            "--grid",
            "--rho",
            "--sigma-max",
            "--start",
            "--clip/--no-clip",
        ),
        *("--eta", "--churn", "--beta", "--h0", "--seed"),
    ),
    "Data and scores": ("--dataset", "--data-dir", "--features", "--features-weights"),
    "Machine": ("--device", "--dtype", "--compile", "--batch-size", "--workers", "--max-bytes"),
    "Results": ("--out", "--overwrite", "--shard", "--json"),
}
PANEL = {flag: title for title, flags in PANELS.items() for flag in flags}

LONGEST = 4096  # characters of a path or word, as Linux has it


def flag(
    *names: str, read: Callable[[str], Any], shown: str, help: str, default: str | None = None
) -> Any:
    """An option whose text `read` turns into its value, or refuses with a UsageError or typer.BadParameter.

    default  what help says of it where the value alone does not: None stands for something that
             depends on others
    """
    said = {"help": help, "show_default": default or True, "rich_help_panel": PANEL.get(names[0])}
    return typer.Option(*names, parser=speaking(read), metavar=shown, **said)


def switch(*names: str, help: str, default: str = "off") -> Any:
    """An option without a value."""
    return typer.Option(
        *names, help=help, show_default=default, rich_help_panel=PANEL.get(names[0])
    )


def argument(*, read: Callable[[str], Any], shown: str, help: str) -> Any:
    """The same without a flag; `shown` is its name, in help and errors."""
    return typer.Argument(parser=speaking(read), metavar=shown, help=help)


def speaking(read: Callable[[str], Any]) -> Callable[[Any], Any]:
    """`read` for text, whose usage errors typer completes with the flag; defaults, which are no text, pass."""

    def parse(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return read(value)
        except UsageError as error:
            raise typer.BadParameter(error.message) from None

    return parse


def number(bound: Bound, help: str, *names: str, default: str | None = None) -> Any:
    """A number within `bound`."""
    return flag(*names, read=bound.parse, shown=str(bound), help=help, default=default)


def choice(choices: Iterable[str], help: str, *names: str, default: str | None = None) -> Any:
    """One of some words."""
    return flag(*names, read=one_of(choices), shown="|".join(choices), help=help, default=default)


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    """What reads one of some words."""

    def read(text: str) -> str:
        if text not in choices:
            raise UsageError(f"unknown {text[:100]!r}; available: {', '.join(choices)}")
        return text

    return read


def word(text: str) -> str:
    """Any text that is not empty."""
    if not text.strip():
        raise UsageError("is empty")
    if len(text) > LONGEST:
        raise UsageError(f"takes up to {LONGEST} characters; found {len(text)}")
    return text


def place(text: str) -> Path:
    """A path; an empty one would be the current folder."""
    return Path(named(text))


def named(text: str) -> str:
    """A name or a path, with ~ and variables replaced: a shell leaves them as they are within --flag=~/path."""
    return expand(word(text))


def assignment(text: str) -> str:
    """key=value, where the value may be a path."""
    key, equals, value = word(text).partition("=")
    return key + equals + expand(value)


def setting(key: str, help: str, default: str | None = None) -> object:
    """A number of the sampling protocol."""
    return number(BOUNDS[key], help, f"--{key}", default=default)


def listed_words(text: str) -> list[str]:
    """Words between commas."""
    return [word(part.strip()) for part in word(text).split(",")]


def listed_numbers(text: str) -> list[int]:
    """Numbers of calls between commas, each once, rising."""
    return sorted({int(BOUNDS["steps"].parse(part.strip())) for part in word(text).split(",")})


def worker_count(text: str) -> str:
    """auto, or a number within its bound."""
    return text if text == "auto" else str(BOUNDS["workers"].parse(text))


def noise_levels(text: str) -> str:
    """all, a grey level or a range of them."""
    if text != "all":
        grey_levels(text)
    return text


def title(text: str) -> str:
    """A name for tables, with something in it that a folder can be called."""
    if len(text) > 100 or not text.isprintable() or not any(letter.isalnum() for letter in text):
        raise UsageError(
            f"must be up to 100 printable characters with a letter or digit; found {text[:100]!r}"
        )
    return text


DENOISER = (
    "Name (`bench list`), deepinv:CLASS, module:attr, path/to/file.py:attr, or splice:A,B@SIGMA"
)
DENOISER += f" (SIGMA {LEVEL} or inf)."
BYTES = "1..999999999999999[K|M|G|T]"
LEVELS = f"all|{GREY}[-{GREY}]"
FEATURES = "Extractor of FID and KID (`bench list features`)."
Denoiser = Annotated[str, flag("--denoiser", read=named, shown="NAME", help=DENOISER)]
Name = Annotated[str, argument(read=named, shown="NAME", help=DENOISER)]
Weights = Annotated[
    str | None,
    flag(
        "--weights",
        read=named,
        shown="CARD|PATH",
        help="A card or a file.",
        default="the denoiser's own",
    ),
]
Options = Annotated[
    list[str] | None,
    flag(
        "--option",
        read=assignment,
        shown="KEY=VALUE",
        help="For the denoiser; repeatable.",
        default="none",
    ),
]
Features = Annotated[
    str | None,
    flag(
        *("--features",),
        read=word,
        shown="NAME",
        help=FEATURES,
        default="lenet-a for digits, cifar-a for other images",
    ),
]
FeaturesWeights = Annotated[
    Path | None,
    flag(
        "--features-weights",
        "--inception-weights",
        read=place,
        shown="FILE",
        help="Weights for timm:MODEL and inception.",
        default="the published, downloaded",
    ),
]
DATASET = (
    "What is learnt, drawn and scored against: a name (`bench list datasets`), a folder, npz or "
)
DATASET += "zip of images, patches:FOLDER, module:attr, path/to/file.py:attr."
Dataset = Annotated[str, flag("--dataset", read=named, shown="NAME|PATH", help=DATASET)]
DataDir = Annotated[
    Path | None,
    flag(
        *("--data-dir",),
        read=place,
        shown="FOLDER",
        help="Holds MNIST/raw/, or another set with a name, as torchvision lays it out.",
        default="$BENCH_DATA, then $BENCH_HOME/data",
    ),
]
Device = Annotated[
    str, flag("--device", read=word, shown="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
]
Dtype = Annotated[
    str,
    choice(DTYPES, "Arithmetic of the network; tf32 is float32 with rounded products.", "--dtype"),
]
Compiling = Annotated[
    str,
    choice(COMPILE, "torch.compile of the network; auto: where it pays, on CUDA.", "--compile"),
]
Seed = Annotated[
    int, number(BOUNDS["seed"], "Of the noise: image i depends on (seed, i) alone.", "--seed")
]
Out = Annotated[Path, flag("--out", read=place, shown="FOLDER", help="Folder of runs.")]
MaxBytes = Annotated[
    int | None,
    flag(
        "--max-bytes",
        read=reading.allow_text,
        shown=BYTES,
        help="Largest file, unpacked, in bytes: 500M, 4G.",
        default="1G",
    ),
]
BatchSize = Annotated[
    int | None, setting("batch-size", "Images at once.", "128; on cuda what fits, up to 4096")
]
WorkerCount = Annotated[
    str,
    flag(
        *("--workers",),
        read=worker_count,
        shown=f"auto|{BOUNDS['workers']}",
        help="Processes that generate; auto: one for each core, on an accelerator one.",
    ),
]
ShardOf = Annotated[
    Shard | None,
    flag(
        *("--shard",),
        read=Shard.parse,
        shown="I/N",
        help="Make one of N parts, 0/N to N-1/N, as one of N jobs; the last to come joins them.",
        default="all",
    ),
]
Json = Annotated[bool, switch("--json", help="Print one JSON document instead of a table.")]
