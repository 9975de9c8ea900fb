"""Run folders to one answer: tables, a page, figures.

Reads what runs have written; generates and scores nothing.

The files are written by `bench.reporting.exports`, which is not imported here: it brings matplotlib,
and tables do not.
"""

from bench.reporting.results.collection import collect, of_runs
from bench.reporting.results.damage import Absent
from bench.reporting.results.entries import Entry, groups
from bench.reporting.table import markdown, summary, tables

__all__ = ["Absent", "Entry", "collect", "groups", "markdown", "of_runs", "summary", "tables"]
