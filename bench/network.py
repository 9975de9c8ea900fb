"""Is there a network? Asked first: libraries that download retry for minutes before they say that there is none."""

import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, TimeoutError

PROBE_SECONDS = 5


def responds(url: str) -> bool:
    """Whether a HEAD of `url` succeeds."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def reachable(urls: list[str], answers: Callable[[str], bool] = responds) -> bool:
    """Whether one of `urls` answers within PROBE_SECONDS. Asked in threads: looking up a name has no timeout."""
    pool = ThreadPoolExecutor(max_workers=len(urls))
    futures = [pool.submit(answers, url) for url in urls]
    try:
        return any(future.result(timeout=PROBE_SECONDS) for future in futures)
    except TimeoutError:
        return False
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
