"""The command that hands weights to others."""

from pathlib import Path
from typing import Annotated

from bench.cli.app import complain, parse_options, terminal
from bench.cli.flags import MaxBytes, Name, Options, Weights, argument, place
from denoisers.errors import concerning


def export(
    name: Name,
    folder: Annotated[
        Path, argument(read=place, shown="FOLDER", help="A new folder, or what was exported there.")
    ],
    weights: Weights = None,
    option: Options = None,
    max_bytes: MaxBytes = None,
) -> None:
    """Write the weights of a denoiser as safetensors with their card; of the U-Net also a folder for diffusers.

    What is written gives the same outputs. Noise band and size, said by --option, go into the card.
    """
    from denoisers import exporting

    complain(name)
    with concerning("NAME"):
        files = exporting.export(name, folder, weights, **parse_options(option or []))
    for file in files:
        terminal.result(file)
