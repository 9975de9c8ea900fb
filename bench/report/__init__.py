"""Run folders to one answer: tables, a page, figures. Reads what runs have written; generates and scores nothing."""

from bench.report.entries import Absent, Entry, groups
from bench.report.exports import FORMATS, as_json, prepare, write
from bench.report.table import markdown, tables
from bench.report.tree import collect

__all__ = ["FORMATS", "Absent", "Entry", "as_json", "collect", "groups", "markdown", "prepare", "tables", "write"]
