"""Tables as frames and as text: whole numbers stay what they are, in every format."""

import csv
import io
import json
import re

import pandas as pd
import pytest

from bench import reporting
from bench.reporting import exports, table
from bench.scoring.schema import Score

BIG = (2**63 - 1, 2**53 + 1)  # of which a float is another number


@pytest.fixture
def written(make_run, tmp_path):
    """The texts of all formats, of two runs that differ in their seed, one without the rest, and given images."""
    whole = {"parameters": 2**53 + 1, "peak_memory_bytes": 2**53 + 3, "nfe": 4}
    for place, seed in enumerate(BIG):
        make_run(f"run{place}", facts={"denoiser": "unet", "seed": seed} | whole)
    make_run("other", facts={"nfe": 2.5, "cost": None})
    given = make_run("vae", fingerprint="cccccccc")
    facts = {
        key: given.read_json("run.json")[key] for key in ("schema_version", "status", "dataset")
    }
    given.write_json("run.json", facts | {"kind": "images", "name": "vae"})
    entries, absent = reporting.collect(tmp_path / "results")
    assert absent == []
    prepared = exports.prepare(tmp_path / "results", entries, absent)
    return {name: make(prepared) for name, make in exports.FORMATS.items()}


@pytest.mark.parametrize("name", exports.FORMATS)
def test_a_seed_is_itself_in_every_format(written, name):
    for seed in BIG:
        assert re.search(rf"(?<![\d.]){seed}(?![\d.])", written[name])
    assert "e+18" not in written[name]
    assert "e+15" not in written[name]
    assert not re.search(r"922337203685477580[0-68-9]|9007199254740992", written[name])


def test_so_is_every_whole_number_of_every_column(written):
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(written["csv"])) if row["path"]}
    first = next(row for row in rows.values() if row["seed"] == str(BIG[0]))
    names = ("n", "seed", "nfe", "parameters", "peak_memory_bytes")
    assert [first[name] for name in names] == [
        "20",
        str(BIG[0]),
        "4",
        str(2**53 + 1),
        str(2**53 + 3),
    ]
    given = next(row for row in rows.values() if row["kind"] == "images")
    assert [given[name] for name in names] == ["20", "", "", "", ""]
    assert {row["nfe"] for row in rows.values()} == {"4", "2.5", ""}
    found = [row for row in json.loads(written["json"])["rows"] if row["kind"] != "control"]
    assert {row.get("seed") for row in found} == {*BIG, 0, None}
    assert all(
        type(row[name]) is int
        for row in found
        for name in ("n", "seed", "parameters")
        if name in row
    )


@pytest.mark.parametrize(
    "values",
    [
        [2**63 - 1, None],
        [-(2**63) + 1, 3, None],
        [10**40, None],
        [2**63 - 1, 0.5],
        [True, None],
        [None],
        [],
    ],
)
def test_a_column_keeps_its_values(values):
    assert [None if pd.isna(value) else value for value in table.column(values)] == values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_234_567, "1234567"),
        (2**63 - 1, str(2**63 - 1)),
        (50.0, "50"),
        (2.5, "2.5"),
        (1e6, "1000000"),
        (None, ""),
    ],
)
def test_counts_are_written_in_full(value, text):
    assert table.whole(value) == text


def test_nothing_is_less_than_nothing():
    assert table.thousandths(Score(-3e-5, 0.0014)) == "0.0 ±1.4"
    assert table.thousandths(Score(-3e-4, 0.0014)) == "-0.3 ±1.4"
