"""Work side by side, in processes that are copies of this one.

The copies are made by fork, with one thread each, as the workers of torch's DataLoader are: whatever a user's denoiser
holds is there without being pickled, loaded or imported again, and its memory is shared until it is written to.
"""

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

from bench import machine
from denoisers.errors import UsageError

Task = TypeVar("Task")
Advance = Callable[[int], None]
Work = Callable[[Task, Advance], Any]


def choose(name: str, device: str, *, foreign: bool) -> int:
    """How many processes: a number, or `auto`, as many as torch would use threads.

    One on an accelerator, and outside Linux, where a process with threads is not safely copied. For code that is not
    ours `auto` is one too, because its threads might not survive the copying. Raises ValueError for what is no number.
    """
    if name != "auto" and not (name.isdecimal() and int(name) > 0):
        raise UsageError(f"must be auto or a number from 1; found {name!r}", "--workers")
    if device != "cpu" or sys.platform != "linux" or (name == "auto" and foreign):
        return 1
    return torch.get_num_threads() if name == "auto" else int(name)


def side_by_side(tasks: Iterable[Task], work: Work, count: int, advance: Advance) -> Iterator[tuple[Task, Any]]:
    """Each task with `work(task, advance)`, in the order in which they are finished; `count` of them at once.

    One at a time means in this process. Otherwise each has a process of its own, whose calls of `advance` are made
    here. Whatever ends this generator ends all processes at once: close it. Raises what `work` raises, and MemoryError
    if a process is killed.
    """
    if count == 1:
        for task in tasks:
            yield task, work(task, advance)
        return
    free = machine.free_memory()
    share = None if free is None else free // count
    waiting, running = list(tasks), {}
    try:
        while waiting or running:
            while waiting and len(running) < count:
                task = waiting.pop(0)
                receiver, process = start(work, task, share)
                running[receiver] = task, process
            for receiver in wait(running):
                found = receive(receiver)
                if isinstance(found, int):
                    advance(found)
                    continue
                task, process = running.pop(receiver)
                process.join()
                if isinstance(found, BaseException):
                    raise found
                yield task, found
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def start(work: Work, task: Task, memory: int | None) -> tuple[Connection, BaseProcess]:
    """A process for one task, and where it can be heard. Ctrl-C does not reach it: this process ends it then."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(sender, work, task, memory, os.getpid()), daemon=True)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, and never lifted there
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    sender.close()  # before the next fork, so that the end of the process is the end of what is heard
    return receiver, process


def answer(sender: Connection, work: Work, task: Task, memory: int | None, parent: int) -> None:
    """In the process: send each advance, and last what `work` returned or raised.

    memory  bytes that it may take beyond what it begins with
    """
    torch.set_num_threads(1)  # the threads of the pool were not copied, and waiting for them would be for ever
    machine.limit_memory(memory)
    machine.keep_freed_memory()

    def advance(images: int) -> None:
        if os.getppid() != parent:  # killed, and could not end this process
            os._exit(1)
        sender.send(images)

    try:
        found = work(task, advance)
    except Exception as error:
        found = portable(error)
    sender.send(found)


def portable(error: Exception) -> Exception:
    """An exception that can be sent, with its traceback as a note: itself, or a RuntimeError that quotes it."""
    note = traceback.format_exc()
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(note)
    return error


def receive(receiver: Connection) -> Any:
    """What a process sent next; a MemoryError if it is gone, since hardly anything else kills one."""
    try:
        return receiver.recv()
    except (EOFError, OSError):  # the latter if it was killed in the middle of a word
        return MemoryError(
            "a worker process was killed, probably for want of memory; choose fewer --workers or a smaller --batch-size"
        )
