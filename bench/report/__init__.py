"""Run folders to one answer: tables, a page, figures. Reads what runs have written; generates and scores nothing.

The files are written by `bench.report.exports`, which is not imported here: it brings matplotlib, and tables do not.
"""

from bench.report.entries import Absent, Entry, groups
from bench.report.table import markdown, summary, tables
from bench.report.tree import collect

__all__ = ["Absent", "Entry", "collect", "groups", "markdown", "summary", "tables"]
