"""The pages of studies inside a report."""

import numpy as np
import pytest
from PIL import Image

from bench.report.page import studies

PAGE = """# The ladder

What it **is**.

![strips](ladder.png)

| rung | KID |
| ---- | --- |
| A0   | 1.0 |

## What was found

- **yes**: <b>1</b>
- no
"""


@pytest.fixture
def ladder(tmp_path):
    folder = tmp_path / "ladder"
    folder.mkdir()
    (folder / "study.json").write_text("{}")
    (folder / "ladder.md").write_text(PAGE)
    Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(folder / "ladder.png")
    return folder


def test_blocks_in_their_order(ladder, tmp_path):
    ((study,), absent) = studies.read(tmp_path)
    assert absent == []
    assert study.name == "The ladder"
    assert [block.kind for block in study.blocks] == ["text", "picture", "table", "heading", "list"]
    assert study.blocks[0].content == "What it is."
    assert study.blocks[1].content[0].startswith("data:image/png;base64,")
    assert study.blocks[2].content == [["rung", "KID"], ["A0", "1.0"]]
    assert study.blocks[4].content == ["yes: <b>1</b>", "no"]  # the template escapes it


def test_a_study_without_a_page_or_picture(ladder, tmp_path):
    (ladder / "ladder.png").write_bytes(b"no")
    ((study,), _) = studies.read(tmp_path)
    assert "picture" not in [block.kind for block in study.blocks]
    (ladder / "ladder.md").unlink()
    (found, (absent,)) = studies.read(tmp_path)
    assert found == []
    assert absent.path.endswith("ladder")


def test_pictures_come_from_the_study_alone(ladder, tmp_path):
    (ladder / "ladder.md").write_text("# x\n\n![a](../secret.png)\n\n![b](/etc/passwd)\n")
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(tmp_path / "secret.png")
    ((study,), _) = studies.read(tmp_path)
    assert "picture" not in [block.kind for block in study.blocks]
