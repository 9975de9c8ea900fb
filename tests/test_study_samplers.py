"""The family on a control: what it runs, how the standard is compared with, and what is refused."""

import pandas as pd
import pytest

from bench import runs
from bench.reporting.figures import pages
from bench.reporting.page import studies
from bench.sampling.plan import SamplingPlan
from bench.studies import samplers
from denoisers import closed_form
from denoisers.errors import UsageError

FRAGILE = """
from denoisers.closed_form import Identity

class Fragile(Identity):
    def forward(self, x, sigma):
        if (sigma > 1000).any():
            raise ValueError("too much noise")
        return x / (1 + sigma.reshape(-1, 1, 1, 1) ** 2)

load = Fragile
"""
MEMBERS = ["ddpm/ddpm", "ddim/ddpm", "heun/karras:3"]


def test_a_study_compares_with_the_standard_and_resumes(tmp_path):
    said = []
    options = {"members": MEMBERS, "calls": [4, 9], "num": 24, "seeds": 2, "dataset": "mnist5k"}

    def run():
        said.clear()
        return samplers.samplers(tmp_path / "samplers", "gaussian", **options, say=said.append)

    path = run()
    frame = pd.read_csv(path.with_suffix(".csv")).set_index("name")
    assert set(frame.index) == {f"{name}, {calls} calls" for name in MEMBERS for calls in (4, 9)}
    assert (frame["seeds"] == 2).all()
    assert frame.loc["heun/karras:3, 9 calls", "calls"] == 9
    assert frame.loc["heun/karras:3, 4 calls", "calls"] == 3  # two a step, but one in the last
    standard = frame.loc["ddpm/ddpm, 9 calls"]
    assert pd.isna(standard["verdict"])
    other = frame.loc["ddim/ddpm, 9 calls"]
    assert other["fid_change"] == pytest.approx(other["fid"] - standard["fid"], abs=1e-3)
    text, before = path.read_text(), path.read_bytes()
    assert "**The standard is ddpm/ddpm, 9 calls**" in text
    (shown,), absent = studies.read(tmp_path, pages.inlined)
    assert absent == []
    assert [block.kind for block in shown.blocks].count("picture") == 1
    assert len(next(block for block in shown.blocks if block.kind == "table").content) == 7
    assert run().read_bytes() == before
    with pytest.raises(
        UsageError, match=r"--out: .*samplers holds a study with denoiser gaussian; take"
    ):
        samplers.samplers(path.parent, "identity", num=24, dataset="mnist5k")
    with pytest.raises(UsageError, match=r"--out: .* holds a study with num 24"):
        samplers.samplers(path.parent, "gaussian", num=25, dataset="mnist5k")
    assert path.read_bytes() == before
    assert sum(line.startswith("complete") for line in said) == 12
    assert runs.find(tmp_path) == []  # the runs of a study are rows of its table


def test_a_member_that_fails_is_said_and_a_standard_that_does_ends_it(tmp_path, monkeypatch):
    def breaks(self, x, sigma):
        return x / 0 if (sigma < limit).any() else x

    monkeypatch.setattr(closed_form.Identity, "forward", breaks)
    options = {"members": ["ddim/cosine"], "calls": [5], "num": 24, "dataset": "mnist5k"}
    limit = 0.008  # the lowest level of the cosine grid is below, that of the other is not
    path = samplers.samplers(tmp_path / "samplers", "identity", **options)
    assert "**ddim/cosine, 5 calls failed**: the denoiser returned NaN" in path.read_text()
    assert "of 0: the standard stays" in path.read_text()
    limit = 1
    with pytest.raises(FloatingPointError, match="the standard, ddpm/ddpm, 5 calls, failed"):
        samplers.samplers(tmp_path / "again" / "samplers", "identity", **options)


def test_a_member_at_which_foreign_code_fails_is_said(tmp_path):
    """It may take what one grid has and not what another does."""
    (tmp_path / "mine.py").write_text(FRAGILE)
    path = samplers.samplers(
        tmp_path / "samplers",
        f"{tmp_path / 'mine.py'}:load",
        members=["ddim/cosine"],
        calls=[5],
        num=24,
        dataset="mnist5k",
    )
    assert "**ddim/cosine, 5 calls failed**" in path.read_text()
    assert "too much noise" in path.read_text()


def test_a_member_is_a_plan_like_any_other():
    assert samplers.plan_of("ddpm/ddpm", 50, 10) == SamplingPlan(10, 50)
    assert samplers.plan_of("dpmpp_2m/karras", 20, 10) == SamplingPlan(10, 20, "dpmpp_2m", "karras")
    assert samplers.plan_of("heun/karras:3", 50, 10) == SamplingPlan(
        10, 25, "heun", "karras", rho=3.0
    )
    assert len({samplers.plan_of(name, 20, 10) for name in samplers.FAMILY}) == 20
    assert samplers.STANDARD in samplers.FAMILY
    names = [samplers.called(samplers.plan_of(name, 20, 10)) for name in samplers.FAMILY]
    assert tuple(names) == samplers.FAMILY
    assert samplers.called(samplers.plan_of("ddpm/karras:7.0", 20, 10)) == "ddpm/karras"


@pytest.mark.parametrize(
    ("member", "calls", "said"),
    [
        ("euler/ddpm", 20, "--members: must be SAMPLER/GRID of ddpm, "),
        ("ddpm", 20, "--members: must be SAMPLER/GRID"),
        ("ddpm/linear", 20, "--members: .* found 'ddpm/linear'"),
        ("ks/ddpm", 20, "--members: must be SAMPLER/GRID"),
        ("ddpm/karras:0", 20, "--members: must lie in 1..100; found 0"),
        ("ddpm/karras:x", 20, "--members: must be a number"),
        ("ddpm/ddpm:3", 20, "--members: is a setting of --grid karras.* .ddpm/ddpm:3."),
        ("ddpm/cosine", 2000, "--calls: must lie in 1..1000"),
    ],
)
def test_what_is_no_member_is_refused(member, calls, said):
    with pytest.raises(UsageError, match=said):
        samplers.plan_of(member, calls, 10)
