"""What goes wrong by what a user asked for or brought, as opposed to a fault of this code."""

from collections.abc import Iterator
from contextlib import contextmanager


class UsageError(ValueError):
    """Something that the user can mend: a flag, a name, a file, a place.

    message  one sentence: what was found, what was expected, what to do
    about    the flag or argument it is about, "--weights" or "PATH", which is said first; "" where the caller knows it
    """

    def __init__(self, message: str, about: str = "") -> None:
        super().__init__(message, about)
        self.message, self.about = message, about

    def __str__(self) -> str:
        return f"{self.about}: {self.message}" if self.about else self.message


class ForeignError(RuntimeError):
    """Code that is not ours failed: a plug-in, a file of the user's, a sampler; the message names it and what it said."""


@contextmanager
def concerning(about: str) -> Iterator[None]:
    """Usage errors inside are about this flag or argument, unless they say another."""
    try:
        yield
    except UsageError as error:
        error.about = error.about or about
        raise
