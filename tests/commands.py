"""`bench ...` without a new interpreter, whose imports take seconds: in this process, or in a copy of it."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from bench import cli


def call(*arguments):
    """The command in this process: (exit status, stdout, stderr)."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.object(sys, "argv", ["bench", *map(str, arguments)]),
    ):
        try:
            cli.main()
        except SystemExit as stopped:
            return stopped.code or 0, out.getvalue(), err.getvalue()
    raise AssertionError("a command ends by an exit")


def by_ranks(count, script, *words, timeout=240):
    """A script by ranks of torchrun, with one thread each, in its folder: what became of it."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    return subprocess.run(
        [sys.executable, *launcher, str(script), *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        cwd=script.parent,
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout,
    )


def start(arguments, out, err):
    """The command in a copy of this process, which has one thread; its pid.

    out, err  file descriptors
    """
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            # A shell ignores Ctrl-C in what it runs in the background, and children inherit that.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(out, 1)
            os.dup2(err, 2)
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
            sys.argv = ["bench", *map(str, arguments)]
            cli.main()
        except SystemExit as stopped:
            status = stopped.code or 0
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return pid
