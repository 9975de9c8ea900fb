"""CSV files that others may have changed: a few columns, of numbers that are numbers, of no more than fits."""

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from bench.text import one_line
from denoisers import reading
from denoisers.errors import UsageError, in_one_line

MOST = 2**25  # bytes; 10 000 images have 1 MB
HEADER = 4096  # bytes of the first line
WORD = 300  # letters of a text
LARGEST = 1e100  # of a number; its square is one too


def read(
    path: Path,
    numbers: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    *,
    some_numbers: tuple[str, ...] = (),
    some_words: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Some columns of a CSV file, with at least one row. Raises UsageError, naming the file.

    numbers, words            that there must be: of finite float64, of text in one line
    some_numbers, some_words  that need not be there, and may be missing (NaN, "") here and there
    """
    data = reading.content(path, MOST)
    if data.find(b"\n", 0, HEADER) < 0:
        raise UsageError(
            f"{path} is no table: its first line is longer than {HEADER} bytes, or its only one"
        )
    texts = {*words, *some_words}
    names = {*numbers, *some_numbers, *texts}
    try:
        kinds = dict.fromkeys(texts, str)
        # Of rows that are too long.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
            frame = pd.read_csv(io.BytesIO(data), dtype=kinds, index_col=False, low_memory=False)
        frame = frame[[name for name in frame if name in names]]
        frame = frame.astype({name: float for name in (*numbers, *some_numbers) if name in frame})
        for name in texts & {*frame}:
            frame[name] = [
                one_line(text, WORD) if isinstance(text, str) else "" for text in frame[name]
            ]
    except Exception as error:  # damaged files provoke whatever a parser can raise
        reason = " ".join(in_one_line(error).split())[:200]
        raise UsageError(f"{path} is no table: {reason}") from None
    if missing := {*numbers, *words} - {*frame}:
        raise UsageError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    if not len(frame):
        raise UsageError(f"{path} holds no rows")
    for name in {*numbers, *some_numbers} & {*frame}:
        values = frame[name].to_numpy()
        beyond = ~(np.abs(values) <= LARGEST)  # NaN is nowhere
        if name in some_numbers:
            beyond &= ~np.isnan(values)
        if beyond.any():
            raise UsageError(
                f"{path} has {values[beyond][0]} for {name}, expected numbers that are finite"
            )
    return frame
