"""Work side by side, in processes that are copies of this one.

The copies are made by fork, with one thread each, as the workers of torch's DataLoader are:
whatever a user's denoiser holds is there without being pickled, loaded or imported again, and its
memory is shared until it is written to.
"""

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from bench import files, machine
from bench.bounds import BOUNDS
from denoisers.memory import free_memory, limit_memory

Task = TypeVar("Task")
Advance = Callable[[int], None]
Work = Callable[[Task, Advance], Any]


def choose(name: str, device: str, *, foreign: bool) -> int:
    """How many processes: a number, or `auto`, as many as torch would use threads.

    One on an accelerator, and outside Linux, where a process with threads is not safely copied. For
    code that is not ours `auto` is one too, because its threads might not survive the copying.
    Raises UsageError for what is neither.
    """
    if name != "auto":
        BOUNDS["workers"].parse(name, "--workers")
    if device != "cpu" or sys.platform != "linux" or (name == "auto" and foreign):
        return 1
    return torch.get_num_threads() if name == "auto" else int(name)


def side_by_side(
    tasks: Iterable[Task], work: Work, count: int, advance: Advance
) -> Iterator[tuple[Task, Any]]:
    """Each task with `work(task, advance)`, in the order in which they are finished; `count` of them at once.

    One at a time means in this process. Otherwise each has a process of its own, whose calls of
    `advance` are made here. Whatever ends this generator ends all processes at once: close it. They
    end, too, with the thread that goes through it, and when this process is killed. Raises what
    `work` raises, MemoryError if a process is killed, and ChildProcessError if it ends in another
    way.
    """
    if count == 1:
        for task in tasks:
            yield task, work(task, advance)
        return
    free = free_memory()
    share = None if free is None else free // count
    waiting, running = list(tasks), {}
    try:
        while waiting or running:
            while waiting and len(running) < count:
                task = waiting.pop(0)
                receiver, process = start(work, task, share)
                running[receiver] = task, process
            for receiver in wait(running):
                task, process = running[receiver]
                message = receive(receiver, process)
                if isinstance(message, int):
                    advance(message)
                    continue
                stop(receiver, process)
                del running[receiver]
                if isinstance(message, BaseException):
                    raise message
                yield task, message
    finally:
        for _, process in running.values():
            process.kill()  # it writes nothing, and may be deaf to anything milder
        for receiver, (_, process) in running.items():
            stop(receiver, process)


def start(work: Work, task: Task, memory: int | None) -> tuple[Connection, BaseProcess]:
    """A process for one task, and where it can be heard.

    Ctrl-C does not reach it: this process ends it then.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    ENDS.add(receiver)
    process = context.Process(
        target=answer, args=(sender, work, task, memory, os.getpid()), daemon=True
    )
    # Inherited, and never lifted there.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with files.naming("cannot start a worker process"):
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # Before the next fork, so that the end of the process is the end of what is heard.
        sender.close()
    return receiver, process


def stop(receiver: Connection, process: BaseProcess) -> None:
    """Wait for the end of a process that has said its last word or has been killed."""
    process.join()
    ENDS.discard(receiver)
    receiver.close()


ENDS: set[Connection] = set()  # of pipes, which this process alone may hold


def let_go() -> None:
    """In every copy of this process, whoever makes it: close ENDS.

    Else a copy would be the reader that another waits for to read, or the writer whose end another
    waits to see.
    """
    for end in ENDS:
        end.close()
    ENDS.clear()


os.register_at_fork(after_in_child=let_go)


def end_with(parent: int) -> None:
    """End this process as soon as the one that started it ends, however that comes about: the kernel sees to it."""
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG; of the thread that started it, strictly.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before
        os._exit(1)


def answer(sender: Connection, work: Work, task: Task, memory: int | None, parent: int) -> None:
    """In the process: send each advance, and last what `work` returned or raised.

    Nothing happens here after that.

    memory  bytes that it may take beyond what it begins with
    """
    end_with(parent)
    # Whatever the process it was copied from does on it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if callable(signal.getsignal(signal.SIGHUP)):  # unlike ignoring it, which is asked for by nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    ENDS.add(sender)
    # The threads of the pool were not copied, and waiting for them would be for ever.
    torch.set_num_threads(1)
    limit_memory(memory)
    machine.keep_freed_memory()

    def send(word: Any) -> None:
        try:
            sender.send(word)
        except OSError:  # nobody hears it any more
            os._exit(1)

    try:
        send(work(task, send))
    except (
        BaseException
    ) as error:  # SystemExit, too: a denoiser may raise anything, or give what cannot be sent
        send(portable(error))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(0)  # without waiting for threads that a denoiser may have left


def portable(error: BaseException) -> Exception:
    """An exception that can be sent, with its traceback as a note: itself, or a RuntimeError that quotes it."""
    note = traceback.format_exc()
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = quoted(error)
    error = error if isinstance(error, Exception) else quoted(error)
    error.add_note(note)
    return error


def quoted(error: BaseException) -> RuntimeError:
    """What an exception is and says."""
    return RuntimeError(f"{type(error).__name__}: {error}")


def receive(receiver: Connection, process: BaseProcess) -> Any:
    """What a process sent next; if it is gone, the reason as an exception."""
    try:
        return receiver.recv()
    except (EOFError, OSError):  # the latter if it was killed in the middle of a word
        process.kill()  # in case it has closed what it should not
        process.join()
    if process.exitcode == -signal.SIGKILL:  # hardly anything else does that
        return MemoryError(
            "a worker process was killed, probably for want of memory; choose fewer --workers or a smaller --batch-size"
        )
    status = process.exitcode or 0
    how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
    return ChildProcessError(
        f"a worker process was ended {how}; with --workers 1 the denoiser runs in this process"
    )
