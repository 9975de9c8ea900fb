"""The pages of studies: as data, in Markdown and inside a report."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from bench.reporting.figures import pages
from bench.reporting.page import blocks, checked, markdown, studies
from bench.reporting.page.blocks import Block, Page, Picture, Span, spans
from denoisers.errors import UsageError

PAGE = Page(
    "The ladder",
    [
        Block("text", spans("What it ", Span("is", strong=True), ".")),
        Block("picture", Picture("ladder.png", "strips")),
        Block("table", [["rung", "KID"], ["A0", "1.0"]]),
        Block("heading", "What was found"),
        Block("list", [spans(Span("yes", strong=True), ": <b>1</b>"), spans("no [0.1, -2.5]")]),
    ],
)
MARKDOWN = """# The ladder

What it **is**.

![strips](ladder.png)

| rung | KID |
| ---- | --- |
| A0   | 1.0 |

## What was found

- **yes**: &lt;b&gt;1&lt;/b&gt;
- no [0.1, -2.5]
"""


def write(folder, content):
    (folder / blocks.FILE).write_text(json.dumps(content))


@pytest.fixture
def ladder(tmp_path):
    folder = tmp_path / "ladder"
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    write(folder, blocks.to_json(PAGE))
    Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(folder / "ladder.png")
    return folder


def test_what_is_written_is_read_back(ladder, tmp_path):
    ((study,), absent) = studies.read(tmp_path, pages.inlined)
    assert absent == []
    assert (study.name, study.where, study.picture) == ("The ladder", "ladder", "ladder.png")
    uri, alt = study.blocks[1].content
    assert uri.startswith("data:image/png;base64,")
    assert alt == "strips"
    others = [block for block in study.blocks if block.kind != "picture"]
    assert others == [block for block in PAGE.blocks if block.kind != "picture"]


def test_the_same_as_markdown():
    assert markdown.study(PAGE) == MARKDOWN
    hostile = "![x](http://a.b) [1, 2](c) [1, 2]: d *e* `f` <g>"
    text = markdown.study(Page(hostile, [Block("text", spans(hostile))]))
    shown = "!\\[x\\](http\\://a.b) \\[1, 2\\](c) \\[1, 2\\]: d \\*e\\* \\`f\\` &lt;g&gt;"
    assert text == f"# {shown}\n\n{shown}\n"


def test_a_study_without_a_page_or_picture(ladder, tmp_path):
    (ladder / "ladder.png").write_bytes(b"no")
    ((study,), (absent,)) = studies.read(tmp_path, pages.inlined)
    assert [block.kind for block in study.blocks] == ["text", "table", "heading", "list"]
    assert absent.path == "ladder"
    (ladder / blocks.FILE).unlink()
    shown, (absent,) = studies.read(tmp_path, pages.inlined)
    assert shown == []
    assert absent.path == "ladder"
    assert "the study has no page" in absent.reason


ELSEWHERE = ("../secret.png", "/etc/passwd", "..", "", ".", "a/../../secret.png", "link.png", "no")


@pytest.mark.parametrize("file", ELSEWHERE)
def test_pictures_come_from_the_study_alone(ladder, tmp_path, file):
    """Not from beside it, nor through a link."""
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "secret.png")
    (ladder / "link.png").symlink_to(tmp_path / "secret.png")
    picture = {"kind": "picture", "content": {"file": file, "alt": "x"}}
    write(ladder, {"schema_version": 1, "title": "x", "blocks": [picture]})
    ((study,), (absent,)) = studies.read(tmp_path, pages.inlined)
    assert study.blocks == []
    assert study.picture == ""
    assert absent.path == "ladder"


LINE = {"name": "a", "points": [[5, 90.0, 80, 99], [50, 3.0, 2.8, 3.2]]}
PLOT = {"file": "a.png", "alt": "b", "x": "calls", "y": "FID", "lines": [LINE], "floor": 1.1}
PLOT |= {"shaded": None}
BAR = {"name": "a", "parts": [[0, 0.2, 0.1], [0.2, 40, 1]], "framed": [0.2, 40], "trained": None}
BARS = {
    "file": "a.png",
    "alt": "b",
    "x": "sigma",
    "bars": [BAR, BAR | {"parts": [], "framed": None}],
}


@pytest.mark.parametrize("floor", [None, 1.1])
@pytest.mark.parametrize(
    "points", [LINE["points"], [[5, -1.0, -2, 0]], [[1, 0, 0, 0], [1, 0, 0, 0]]]
)
def test_a_plot_is_drawn_from_its_numbers_in_the_page(ladder, tmp_path, floor, points):
    name = '<script>alert("x")</script>_$a$'
    plot = PLOT | {"floor": floor, "lines": [{"name": name, "points": points}], "x": name}
    block = {"kind": "plot", "content": plot}
    write(ladder, {"schema_version": 1, "title": "x", "blocks": [block, block]})
    ((study,), absent) = studies.read(tmp_path, pages.inlined)
    assert absent == []
    first, second = (block.content[0] for block in study.blocks)
    assert first.startswith("<svg")
    assert "<script" not in first
    assert "mathdefault" not in first  # as ticks between those with numbers would be written
    assert not set(re.findall(r'id="([^"]*)"', first)) & set(re.findall(r'id="([^"]*)"', second))
    page = Page("x", [checked.block(json.loads(json.dumps(block)))])
    assert blocks.to_json(page)["blocks"] == [block]
    assert "![b](a.png)" in markdown.study(page)


def test_a_plot_of_an_earlier_version_shades_nothing():
    earlier = {key: value for key, value in PLOT.items() if key != "shaded"}
    assert checked.plot(earlier) == checked.plot(PLOT)
    assert checked.plot(PLOT | {"shaded": [0.1, 2]}).shaded == [0.1, 2]


@pytest.mark.parametrize("trained", [None, [0, 0.2], [200, 300]])
def test_bars_are_drawn_from_their_numbers_in_the_page(ladder, tmp_path, trained):
    block = {
        "kind": "bars",
        "content": BARS | {"bars": [BAR | {"trained": trained, "name": "<b>$"}]},
    }
    write(ladder, {"schema_version": 1, "title": "x", "blocks": [block], "folded": True})
    ((study,), absent) = studies.read(tmp_path, pages.inlined)
    assert absent == []
    assert study.folded
    assert study.blocks[0].content[0].startswith("<svg")
    page = Page("x", [checked.block(json.loads(json.dumps(block)))], folded=True)
    assert blocks.to_json(page)["blocks"] == [block]
    assert checked.read(ladder).folded
    assert "![b](a.png)" in markdown.study(page)


STRANGE = (
    None,
    3,
    [],
    {},
    {"kind": "script", "content": "x"},
    {"kind": ["text"], "content": "x"},
    {"kind": "heading", "content": ["x"]},
    {"kind": "text", "content": [{"strong": 3}]},
    {"kind": "text", "content": [{"strong": "x", "onclick": "x"}]},
    {"kind": "text", "content": [["x"]]},
    {"kind": "list", "content": "x"},
    {"kind": "list", "content": []},
    {"kind": "table", "content": [["a", "b"], ["c"]]},
    {"kind": "table", "content": [[]]},
    {"kind": "table", "content": [[3]]},
    {"kind": "table", "content": [["x"]] * 1001},
    {"kind": "picture", "content": "ladder.png"},
    {"kind": "picture", "content": {"file": "ladder.png"}},
    {"kind": "picture", "content": {"file": 3, "alt": "x"}},
    {"kind": "plot", "content": []},
    {"kind": "plot", "content": {"file": "ladder.png", "alt": "x"}},
    *(
        {"kind": "plot", "content": PLOT | change}
        for change in (
            {"file": "../x.png"},
            {"alt": 3},
            {"floor": "3"},
            {"lines": []},
            {"lines": [LINE] * 13},
            {"lines": [{"name": "a"}]},
            {"lines": [LINE | {"points": []}]},
            {"lines": [LINE | {"points": [[1, 2, 3]]}]},
            {"lines": [LINE | {"points": [[0, 2, 1, 3]]}]},
            {"lines": [LINE | {"points": [[1, True, 1, 3]]}]},
            {"lines": [LINE | {"points": [[1, 1e16, 1, 3]]}]},
            {"shaded": [1]},
            {"shaded": [2, 1]},
            {"shaded": "x"},
        )
    ),
    {"kind": "bars", "content": {"file": "a.png"}},
    *(
        {"kind": "bars", "content": BARS | change}
        for change in (
            {"file": "../x.png"},
            {"bars": []},
            {"bars": [BAR] * 101},
            {"bars": [{"name": "a"}]},
            {"bars": [BAR | {"parts": None}]},
            {"bars": [BAR | {"parts": [[1, 2]]}]},
            {"bars": [BAR | {"parts": [[2, 1, 0.5]]}]},
            {"bars": [BAR | {"parts": [[1, 2, 1.5]]}]},
            {"bars": [BAR | {"framed": [2, 1]}]},
            {"bars": [BAR | {"trained": 3}]},
        )
    ),
)


@pytest.mark.parametrize("strange", STRANGE)
def test_a_block_that_is_none_costs_itself(ladder, tmp_path, strange):
    write(
        ladder,
        {"schema_version": 1, "title": "x", "blocks": [strange, {"kind": "text", "content": "y"}]},
    )
    ((study,), (absent,)) = studies.read(tmp_path, pages.inlined)
    assert study.blocks == [Block("text", spans("y"))]
    assert blocks.FILE in absent.reason
    assert "BENCH_DEBUG" not in absent.reason  # it was expected


WHOLE = {"schema_version": 1, "title": "x", "blocks": []}


@pytest.mark.parametrize(
    "content",
    [
        WHOLE | {"schema_version": 2},
        WHOLE | {"title": None},
        WHOLE | {"title": "x" * 301},
        WHOLE | {"blocks": {}},
        WHOLE | {"blocks": [{}] * 201},
        WHOLE | {"blocks": [{"kind": "text", "content": "x" * 10_001}]},
        WHOLE | {"more": "x" * 2**20},
        WHOLE | {"more": [0] * 50_001},
        [WHOLE],
    ],
)
def test_a_page_that_is_none_is_named(ladder, tmp_path, content):
    write(ladder, content)
    shown, (absent,) = studies.read(tmp_path, pages.inlined)
    assert shown == []
    assert "the study has no page" in absent.reason
    assert "BENCH_DEBUG" not in absent.reason


def test_no_more_pictures_than_a_page_has_room_for(ladder, tmp_path):
    picture = {"kind": "picture", "content": {"file": "ladder.png", "alt": "x"}}
    write(ladder, WHOLE | {"blocks": [picture] * 10})
    ((study,), absent) = studies.read(tmp_path, pages.inlined)
    assert len(study.blocks) == checked.PICTURES
    assert len(absent) == 10 - checked.PICTURES
    Image.new("L", (4096, 2049)).save(ladder / "large.png")
    with pytest.raises(UsageError, match="8388608 at most"):
        studies.embedded(ladder / "large.png")


def test_a_page_is_not_read_through_a_link(ladder, tmp_path):
    os.rename(ladder / blocks.FILE, tmp_path / "elsewhere.json")
    (ladder / blocks.FILE).symlink_to(tmp_path / "elsewhere.json")
    shown, (absent,) = studies.read(tmp_path, pages.inlined)
    assert shown == []
    assert "is a link" in absent.reason
