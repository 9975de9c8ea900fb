"""Digits where the dataset is of digits, images everywhere else."""

import pytest

from bench.reporting import words
from bench.reporting.page import blocks
from bench.reporting.page.blocks import Block, Line, Page, Plot, Span, spans


@pytest.mark.parametrize("dataset", ["mnist@d3a53d8b21379d5b", "mnist5k@66", "", "?"])
def test_of_digits_nothing_changes(dataset):
    assert words.said("held-out digits, a digit", dataset) == "held-out digits, a digit"


@pytest.mark.parametrize("dataset", ["patches@1", "cifar10@2", "fashion-mnist@3", "mine"])
def test_of_other_images_the_word_is_images(dataset):
    said = words.said("Digits: held-out digits, a digit, two-digit", dataset)
    assert said == "Images: held-out images, an image, two-image"
    assert words.said("three significant figures", dataset) == "three significant figures"


def test_a_page_speaks_of_its_dataset_in_every_part():
    plot = Plot("fid.png", "dotted: held-out digits", "calls", "FID", [Line("unet", [[1.0]])], 2.0)
    content = [
        Block("text", spans("held-out digits", Span("a digit", strong=True))),
        Block("list", [spans("digits")]),
        Block("table", [["digits", "FID"], ["digits.py:load", "1"]]),
        Block("plot", plot),
    ]
    page = Page("Digits", content, folded=True)
    assert blocks.about(page, "mnist@1") == page
    found = blocks.about(page, "cifar10@2")
    assert str(blocks.to_json(found)).lower().replace("digits.py:load", "").count("digit") == 0
    assert found.blocks[2].content[1][0] == "digits.py:load"
    assert found.blocks[-1].content.lines == plot.lines
    assert found.blocks[0].content[1] == Span("an image", strong=True)
    assert found.folded
