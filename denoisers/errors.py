"""What goes wrong by what a user asked for or brought, as opposed to a fault of this code."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UsageError(ValueError):
    """Something that the user can mend: a flag, a name, a file, a place.

    message  one sentence: what was found, what was expected, what to do
    about    the flag or argument it is about, "--weights" or "PATH", which is said first; "" where
             the caller knows it
    """

    def __init__(self, message: str, about: str = "") -> None:
        super().__init__(message, about)
        self.message, self.about = message, about

    def __str__(self) -> str:
        return f"{self.about}: {self.message}" if self.about else self.message


class ForeignError(RuntimeError):
    """Code that is not ours failed: a plug-in, a file of the user's, a sampler.

    Names it, and what it said.
    """


FEW = 6  # names that a message lists


def listed(names: Sequence[str], count: int | None = None) -> str:
    """The first few names, and how many more there are of `count`, by default of the names."""
    more = (len(names) if count is None else count) - len(names[:FEW])
    return ", ".join(names[:FEW]) + (f" and {more} more" if more else "")


@contextmanager
def concerning(about: str) -> Iterator[None]:
    """Usage errors inside are about this flag or argument, unless they say another."""
    try:
        yield
    except UsageError as error:
        error.about = error.about or about
        raise


@contextmanager
def foreign(who: str) -> Iterator[None]:
    """Whatever code that is not ours raises inside becomes a ForeignError that begins with `who`.

    SystemExit too: code that was asked for something else does not end the program. Usage errors,
    networks that diverge and exhausted memory speak for themselves.
    """
    try:
        yield
    except (UsageError, ForeignError, FloatingPointError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise ForeignError(
            f"{who} failed: {in_one_line(error)} (BENCH_DEBUG=1 shows where)"
        ) from error


def in_one_line(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says."""
    if isinstance(error, UsageError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
