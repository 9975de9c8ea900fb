"""Places, as flags and the environment say them, and who says so."""

import os
import pwd
import re
from contextlib import suppress
from pathlib import Path

from denoisers.errors import UsageError, concerning

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def expand(text: str) -> str:
    """A path with $NAME, ${NAME}, and ~ or ~USER at its beginning replaced, as a shell would.

    Raises UsageError for what stands for nothing; text with a $ that is the path of something may
    keep it.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name in os.environ:
            return os.environ[name]
        if os.path.lexists(text):
            return match[0]
        raise UsageError(
            f"{text[:300]} names {match[0]}, and there is no variable {name} in the environment"
        )

    text = VARIABLE.sub(value, text)
    if not text.startswith("~"):
        return text
    user, slash, rest = text[1:].partition("/")
    folder = home_of(user)
    if folder is None:
        why = f"{whoami()} has no home directory (HOME is not set)"
        if user:
            why = f"there is no user {user[:100]}"
        raise UsageError(
            f"{text[:300]} leads nowhere: {why}; write ./{text[:300]} for a file of that name"
        )
    return folder + slash + rest


def home_of(user: str = "") -> str | None:
    """The home directory of a user, or of this one: $HOME, or as the system says; None without."""
    if not user and os.environ.get("HOME"):
        return os.environ["HOME"]
    with suppress(KeyError):
        return (pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir
    return None


def whoami() -> str:
    """The user, by name, or by number where the system knows none: in a container, for example."""
    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return f"user {os.getuid()}"


def variable(name: str, *, relative: bool = True) -> Path | None:
    """The path in a variable of the environment, expanded and absolute; None if not set, or empty.

    relative  whether one from the current folder on counts
    """
    text = os.environ.get(name, "").strip()
    with concerning(name):
        path = Path(expand(text)) if text else None
    return path.absolute() if path and (relative or path.is_absolute()) else None
