"""Bits per pixel beside the scores of the same denoiser, from what `bench gauge --likelihood --out` kept."""

import pandas as pd
import pytest

from bench import reporting
from bench.probes import denoising
from bench.reporting import exports
from bench.reporting.results import likelihoods
from denoisers.errors import UsageError

WHOLE = {"grey levels": "all", "bits": 1.2, "stderr": 0.01, "upper bound": 1.3}
FACTS = {"denoiser": "kbnet", "weights": "card@01234567", "options": {}}


class Digits:
    """A dataset as far as it counts here."""

    id, what = "mnist@d3", "digits"

    def first(self, num):
        return None


def keep(folder, rows=(WHOLE,), facts=FACTS, num=256):
    frame = pd.DataFrame(rows)
    return denoising.keep(frame, facts, Digits(), num, folder, likelihoods.FOLDER)


def test_it_stands_beside_the_scores_of_the_same_denoiser(make_run, tmp_path):
    folder = tmp_path / "results"
    make_run("kbnet")
    make_run("unet")
    keep(folder)
    entries, absent = reporting.collect(folder)
    assert absent == []
    bits = {entry.facts["denoiser"]: entry.bits for entry in entries}
    assert bits["unet"] is None
    score = bits["kbnet"]
    assert (score.value, score.stderr, score.n) == (1.2, 0.01, 256)
    assert score.low == pytest.approx(1.2 - 0.0196)
    page, table = (
        path.read_text() for path in exports.write(folder, entries, absent, ("html", "csv"))
    )
    assert "1.200 ±0.010" in page
    assert "bits" in table.splitlines()[0].split(",")


def test_of_two_the_one_of_more_digits_counts(make_run, tmp_path):
    folder = tmp_path / "results"
    make_run("kbnet")
    keep(folder)
    keep(folder / "band" / "kbnet", [WHOLE | {"bits": 1.1}], num=1000)
    (entry,), _ = reporting.collect(folder)
    assert entry.bits.value == 1.1


def test_other_weights_and_other_data_are_not_beside_it(make_run, tmp_path):
    folder = tmp_path / "results"
    make_run("kbnet")
    keep(folder, facts=FACTS | {"weights": "card@76543210"})
    (entry,), _ = reporting.collect(folder)
    assert entry.bits is None


@pytest.mark.parametrize(
    "rows", [[WHOLE | {"grey levels": "below 10"}], [WHOLE | {"bits": "x"}], [{"bits": 1}]]
)
def test_what_cannot_be_read_is_a_line(tmp_path, rows):
    path = keep(tmp_path, rows)
    with pytest.raises(UsageError, match=r"no row for all bands|no table|lacks"):
        likelihoods.one(path)
    absent = []
    assert likelihoods.read(tmp_path, absent) == {}
    assert len(absent) == 1
