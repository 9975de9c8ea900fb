"""The ladder on controls: what it runs, resumes, writes, and how it says that a rung failed."""

import pandas as pd
import pytest

from bench import runs
from bench.reporting.figures import pages
from bench.reporting.page import blocks, markdown, studies
from bench.studies import ladder
from bench.studies.ladder import Rung
from denoisers import closed_form

RUNGS = (
    Rung("A0", "Gaussian model", denoiser="gaussian"),
    Rung("A1", "not clipped", denoiser="gaussian", against="A0", setting={"clip": False}),
    Rung("A12", "memorises", denoiser="ideal", against="A1"),
    Rung(
        "A6",
        "in band",
        denoiser="identity",
        against="A12",
        setting={"sigma_max": 0.4, "start": "held-out"},
    ),
    Rung("X", "breaks", denoiser="identity", against="A12", setting={"steps": 3}),
)


@pytest.fixture
def climb(monkeypatch, tmp_path):
    def breaks(self, x, sigma):
        return x if sigma < 1 else x / 0

    monkeypatch.setattr(ladder, "LADDER", RUNGS)
    monkeypatch.setattr(closed_form.Identity, "forward", breaks)

    def run():
        said = []
        return ladder.ladder(tmp_path / "ladder", num=24, dataset="mnist5k", say=said.append), said

    return run


def test_the_ladder_compares_resumes_and_reports_failures(climb, tmp_path):
    path, _ = climb()
    text, frame = path.read_text(), pd.read_csv(path.with_suffix(".csv"))
    assert "**X** (breaks): failed, the denoiser returned NaN" in text
    assert "**A12** (memorises), against A1: nearer to digits" in text
    assert "H8" in text
    by_rung = frame.set_index("rung")
    assert by_rung.loc["A12", "confidence_change"] == pytest.approx(
        by_rung.loc["A12", "confidence"] - by_rung.loc["A1", "confidence"], abs=1e-5
    )
    assert by_rung.loc["A6", "noise_std"] > 0.3  # the identity leaves the noise it began with
    (shown,), absent = studies.read(tmp_path, pages.inlined)
    assert absent == []
    assert [block.kind for block in shown.blocks].count("list") == 2
    assert ["A12", "memorises", "-", "24 x 50"] in [row[:4] for row in shown.blocks[2].content]
    page = blocks.Page(shown.name, shown.blocks)
    page.blocks[1] = blocks.Block("picture", blocks.Picture(shown.picture, "samples"))
    assert markdown.study(page) == text
    assert path.with_suffix(".png").stat().st_size > 1000
    before = path.read_bytes()
    again, said = climb()
    assert again.read_bytes() == before
    assert sum(line.startswith("complete") for line in said) == len(RUNGS) - 1
    assert runs.find(tmp_path) == []  # rungs are rows of the ladder, not of the report
    assert len(runs.find(path.parent)) == len(RUNGS)


def test_every_rung_is_compared_with_one_before_it_and_has_its_setting():
    names = [rung.name for rung in ladder.LADDER]
    assert len(set(names)) == len(names)
    for i, rung in enumerate(ladder.LADDER):
        assert rung.against is None or rung.against in names[:i]
        # Raises if it cannot be run.
        ladder.SamplingPlan(**{"num": 256, "steps": 50, **rung.setting})
