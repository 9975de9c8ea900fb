"""Denoisers behind one contract, D(x; sigma) -> x0, and the networks that fulfil it."""

from denoisers.registry import load, names

__all__ = ["load", "names"]
