"""Digits where the dataset is of digits, images everywhere else."""

import pytest

from bench.report import words


@pytest.mark.parametrize("dataset", ["mnist@d3a53d8b21379d5b", "mnist5k@66", "", "?"])
def test_of_digits_nothing_changes(dataset):
    assert words.said("held-out digits, a digit", dataset) == "held-out digits, a digit"


@pytest.mark.parametrize("dataset", ["patches@1", "cifar10@2", "fashion-mnist@3", "mine"])
def test_of_other_images_the_word_is_images(dataset):
    said = words.said("Digits: held-out digits, a digit, two-digit", dataset)
    assert said == "Images: held-out images, an image, two-image"
    assert words.said("three significant figures", dataset) == "three significant figures"
