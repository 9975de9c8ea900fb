"""Where denoisers stop, in the files that studies leave, and on the cards of a report."""

import json
import math

import pytest

from bench import reporting
from bench.files import Told
from bench.reporting import exports
from bench.reporting.results import stops
from bench.reporting.results.stops import Part, Stop
from bench.runs import Run
from bench.studies import band_overview
from denoisers.errors import UsageError

CORE = Part(0.2, 1.5, 0.79, 0.7, 0.87)
STOP = Stop(
    {"denoiser": "kbnet", "weights": "card@01234567", "options": {}, "dataset": "mnist@d3"},
    "kbnet card",
    "unet mnist",
    "somewhere",
    "kbnet card fails between sigma 0.05 and 12.",
    256,
    (3.1, 2.9, 3.5),
    (0.05, math.inf),
    None,
    CORE,
    (CORE, Part(1.5, math.inf, 0.21, -0.1, 0.3)),
)


def keep(folder, stop=STOP, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / stops.FILE).write_text(json.dumps(stop.to_json() | changes))
    return folder / stops.FILE


def test_what_is_written_is_read_back(tmp_path):
    assert stops.read(keep(tmp_path)) == STOP


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"identity": 3},
        {"sentence": 3},
        {"excess": [1, 2]},
        {"excess": ["a", 1, 2]},
        {"fails": [True, 1]},
        {"parts": [[1, 2]]},
        {"parts": 3},
        {"core": [1]},
        {"core": ""},
        {"fails": []},
        {"fails": [None, None]},
        {"fails": [2, 1]},
        {"trained": 0},
        {"kind": "perhaps"},
        {"parts": [[0, 1, None, 1, 1]]},
        {"num": "many"},
    ],
)
def test_whatever_else_is_there_is_said_in_one_line(tmp_path, changes):
    with pytest.raises(UsageError, match=stops.FILE):
        stops.read(keep(tmp_path, **changes))


def test_a_card_says_where_its_denoiser_stops(make_run, tmp_path):
    make_run("kbnet")
    make_run("unet")
    keep(tmp_path / "results" / "band" / "kbnet")
    keep(tmp_path / "results" / "band" / "other", sentence=3)
    entries, absent = reporting.collect(tmp_path / "results")
    said = {entry.facts["denoiser"]: entry.stops for entry in entries}
    assert said == {"kbnet": STOP.sentence, "unet": ""}
    assert any("other/verdict.json" in line.path for line in absent)
    page = exports.write(tmp_path / "results", entries, absent, ("html",))[0].read_text()
    assert page.count(STOP.sentence) == 1


def test_of_several_verdicts_the_one_of_most_images_is_said(make_run, tmp_path):
    make_run("kbnet")
    keep(tmp_path / "results" / "band" / "a", sentence="of more", num=1000)
    keep(tmp_path / "results" / "band" / "b")
    (entry,), _ = reporting.collect(tmp_path / "results")
    assert entry.stops == "of more"


def test_other_code_is_not_said_to_stop_there(make_run, tmp_path):
    make_run("kbnet", facts={"source": {"sha256": "b"}})
    keep(tmp_path / "results" / "band" / "a", identity=STOP.identity | {"source": {"sha256": "a"}})
    (entry,), _ = reporting.collect(tmp_path / "results")
    assert entry.stops == ""


def test_other_weights_and_other_data_are_not_said_to_stop_there(make_run, tmp_path):
    make_run("kbnet", facts={"weights": "card@76543210"})
    keep(tmp_path / "results" / "band" / "kbnet")
    (entry,), _ = reporting.collect(tmp_path / "results")
    assert entry.stops == ""


def test_all_verdicts_stand_side_by_side_and_a_damaged_one_is_left_out(tmp_path):
    keep(tmp_path / "band" / "a")
    keep(tmp_path / "band" / "b", name="gaussian", excess=[1.0, 0.9, 1.1], core=None, fails=None)
    keep(tmp_path / "band" / "c", sentence=3)
    said = []
    band_overview.write(Run(tmp_path / "band"), Told(said.append))
    text = (tmp_path / "band" / "band.md").read_text()
    assert text.index("| gaussian") < text.index("| kbnet card")  # by rising excess
    assert "| from 0.05" in text
    assert "| 0.2 to 1.5" in text
    assert "79 % [70, 87]" in text
    assert (tmp_path / "band" / "band-shares.svg").exists()
    assert len(said) == 1
    assert "is left out" in said[0]
