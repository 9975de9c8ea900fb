"""The command line: `bench` on a terminal."""

from bench.cli.entry import main

__all__ = ["main"]
