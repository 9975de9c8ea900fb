"""What a user should know and is no failure: a Python warning, which a notebook shows and a caller may filter.

The command line says it as a line on stderr.
"""

import sys
import warnings
from typing import Any


class Notice(UserWarning):
    """Something takes the place of what was asked for, or could not be kept."""


# Each time, and not once for each line of code; unless the caller has said otherwise.
warnings.filterwarnings("always", category=Notice, append=True)


def notice(text: str) -> None:
    """Give it."""
    warnings.warn(text, Notice, stacklevel=3)


def on_terminal() -> None:
    """From now on each is a line on stderr, every time; all other warnings stay as they are."""
    warnings.filterwarnings("always", category=Notice)
    others = warnings.showwarning

    def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            print(message, file=sys.stderr)
        else:
            others(message, category, *where, **more)

    warnings.showwarning = show
