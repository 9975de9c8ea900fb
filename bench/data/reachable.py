"""Is there a network?

Asked first: libraries that download retry for minutes before they say that there is none.
"""

import queue
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException

PROBE_SECONDS = 5


def responds(url: str) -> bool:
    """Whether a HEAD of `url` succeeds."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
            return True
    except (OSError, ValueError, HTTPException):
        return False


def reachable(urls: list[str], answers: Callable[[str], bool] = responds) -> bool:
    """Whether one of `urls` answers within PROBE_SECONDS.

    Asked in threads, as looking up a name has no timeout; and in daemons, which the end of the
    program does not wait for, as it does for those of a pool.
    """
    replies: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for url in urls:
        threading.Thread(target=lambda url=url: replies.put(answers(url)), daemon=True).start()
    deadline = time.monotonic() + PROBE_SECONDS
    try:
        return any(replies.get(timeout=max(0, deadline - time.monotonic())) for _ in urls)
    except queue.Empty:
        return False


@contextmanager
def patience() -> Iterator[None]:
    """Inside, a silent connection ends after some seconds; libraries set no limit by themselves."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(4 * PROBE_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
