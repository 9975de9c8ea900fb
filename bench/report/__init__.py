"""Run folders to one answer: tables, a page, figures. Reads what runs have written; generates and scores nothing."""

from bench.report.entries import Absent, Entry, collect, groups
from bench.report.exports import FORMATS, as_json, prepare, write
from bench.report.table import markdown, tables

__all__ = ["FORMATS", "Absent", "Entry", "as_json", "collect", "groups", "markdown", "prepare", "tables", "write"]
