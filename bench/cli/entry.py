"""Where `bench` begins and ends: its commands, and what becomes of whatever goes wrong in one of them."""

import os
import signal
import sys

import typer

from bench.cli import asking, exporting, health, judging, making, running, sweeping
from bench.cli.app import Stopped, app, say, shown, stop
from bench.notices import on_terminal
from denoisers import reading
from denoisers.errors import ForeignError, UsageError
from denoisers.memory import exhausted, free_memory, limit_memory

COMMANDS = (  # as --help shows them
    running.run,
    running.merge,
    sweeping.sweep,
    judging.report,
    judging.score,
    judging.compare,
    asking.list_,
    asking.info,
    asking.check,
    asking.gauge,
    making.study,
    making.train,
    exporting.export,
    health.doctor,
)
WITHOUT = (asking.list_, judging.compare)  # PyTorch, which takes seconds to import
SHARED = (running.run, sweeping.sweep, making.train)  # by the ranks of torchrun
for work in COMMANDS:
    app.command(work.__name__.rstrip("_"))(
        shown(work, "" if work in WITHOUT else "loading PyTorch", shared=work in SHARED)
    )

WrongCommandLine = typer.BadParameter.__base__  # the usage error of typer, which has no public name


def main() -> None:
    """Run the command line; every failure becomes one sentence and an exit status: 1 failed, 2 wrong usage.

    What the user can mend is a UsageError; a network that diverges, memory or a disk that is full
    speak for themselves. Whatever else comes up is a fault of this code, and says how to see where.
    """
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    on_terminal()
    reading.allow(reading.USUAL)
    limit_memory(free_memory())
    for request in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(request) == signal.SIG_DFL:  # it is ignored under nohup
            signal.signal(request, stop)
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except Stopped as error:
        sys.exit(128 + error.args[0])  # as typer does for Ctrl-C, which is 2
    except WrongCommandLine as error:
        fail(in_words(error), 2)
    except UsageError as error:
        fail(error, 2)
    except (FloatingPointError, MemoryError, OSError, ForeignError) as error:
        fail(error, 1)
    except Exception as error:
        if exhausted(error):  # in the words of PyTorch, which are many
            fail(MemoryError(), 1)
        fail(error, 1, f" (a fault of bench: {type(error).__name__}; BENCH_DEBUG=1 shows where)")


def in_words(error: Exception) -> UsageError:
    """What typer found wrong, as a sentence about its flag or argument."""
    param = getattr(error, "param", None)
    about = getattr(error, "option_name", None) or ("" if param is None else param.metavar)
    if param is not None and param.opts[0].startswith("-"):
        about = param.opts[0]
    message = (
        str(error.message or "is missing")
        .removeprefix("Value error, ")
        .removeprefix(f"Option '{about}' ")
    )
    message = (message[0].lower() + message[1:]).rstrip(".").removesuffix(f": {about}")
    if possible := getattr(error, "possibilities", None):
        message += f"; did you mean {' or '.join(possible)}?"
    known = isinstance(error, typer.BadParameter) and error.message
    context = "" if known or error.ctx is None else f" ({error.ctx.command_path} --help says more)"
    return UsageError(message + context, about)


def fail(error: Exception, status: int, hint: str = "") -> None:
    """One sentence on stderr; with BENCH_DEBUG set, the traceback instead."""
    if os.environ.get("BENCH_DEBUG"):
        raise error
    said = " ".join(str(error).split()) or type(error).__name__
    said = "there is not enough free memory for this" if said == "MemoryError" else said
    say(f"error: {said}{hint}")
    sys.exit(status)
