"""A dataset: what it holds, what it is called, and how one set of images is made two."""

import numpy as np
import pytest
import torch

from bench.data import dataset
from bench.data.dataset import divided, permuted
from denoisers.errors import UsageError


def of(images, labels=None, **facts):
    return permuted("x", images, labels, images, labels, **facts)


def numbered(count, *shape):
    """Images that differ."""
    return (
        np.arange(count * int(np.prod(shape)), dtype=np.uint32)
        .astype(np.uint8)
        .reshape(count, *shape)
    )


def test_grey_and_colour_have_their_shapes():
    grey, colour = of(numbered(8, 6, 5), pad=2), of(numbered(8, 6, 5, 3))
    assert (grey.channels, grey.size, grey.shape) == (1, (6, 5), (1, 10, 9))
    assert (colour.channels, colour.size, colour.shape) == (3, (6, 5), (3, 6, 5))


def test_the_digest_depends_on_labels_and_padding():
    images = numbered(8, 6, 5)
    found = [
        of(images),
        of(images, np.arange(8)),
        of(images, np.arange(8)[::-1]),
        of(images, pad=1),
    ]
    assert len({each.digest for each in found}) == 4


def test_the_digest_tells_shapes_apart_where_their_bytes_are_the_same():
    images = numbered(8, 6, 4)
    turned = images.reshape(8, 4, 6)
    assert of(images, pad=0).digest != of(turned, pad=0).digest


def test_one_image_in_six_is_held_out_by_a_fixed_permutation():
    images = numbered(60, 4, 4)
    first, again = (divided("x", images, np.arange(60)) for _ in range(2))
    assert (len(first.train), len(first.held_out)) == (50, 10)
    assert (first.held_out_labels == again.held_out_labels).all()
    assert sorted([*first.train_labels, *first.held_out_labels]) == list(range(60))
    assert (images[first.held_out_labels] == first.held_out).all()
    assert (images[first.train_labels] == first.train).all()
    assert list(first.held_out_labels) != sorted(first.held_out_labels)


def test_what_was_cut_from_one_photograph_stays_together():
    groups = [f"photo {i // 5}" for i in range(60)]
    found = divided("x", numbered(60, 4, 4), np.arange(60), groups)
    held = {groups[i] for i in found.held_out_labels}
    assert len(held) == 2
    assert held.isdisjoint(groups[i] for i in found.train_labels)
    assert len(found.train) + len(found.held_out) == 60


def test_too_few_images_are_said():
    with pytest.raises(
        UsageError, match="x has 35 images; expected 36 at least, as one in 6 is held out"
    ):
        divided("x", numbered(35, 4, 4), None)
    with pytest.raises(UsageError, match="x has 5 photographs; expected 6 at least"):
        divided("x", numbered(50, 4, 4), None, [i // 10 for i in range(50)])


def test_ingredients_are_read_when_they_are_asked_for():
    known = of(numbered(8, 6, 5, 3), np.arange(8), pad=0)
    parts = dataset.ingredients(lambda: known)
    assert parts["train"]().shape == (8, 3, 6, 5)
    assert torch.equal(parts["labels"](), torch.arange(8))
    assert dataset.ingredients(lambda: of(numbered(8, 6, 5)))["labels"]() is None


def test_without_labels_nothing_learns_classes():
    bare = of(numbered(8, 6, 5))
    assert bare.classes == 0
    with pytest.raises(UsageError, match="--dataset: x has no labels"):
        bare.labels()
    assert of(numbered(8, 6, 5), np.arange(8)).classes == 8


def test_more_held_out_images_than_there_are():
    with pytest.raises(UsageError, match="--num: x has 8 held-out images; found 9"):
        of(numbered(8, 6, 5)).first(9)


def test_mnist_is_what_it_was(digits):
    """What fingerprints and ids hold of the digits: see also test_facts.py."""
    assert digits.id == "mnist5k@667475b7029cd710"
    assert (digits.pad, digits.what, digits.shape) == (2, "digits", (1, 32, 32))


@pytest.mark.mnist
def test_the_digest_of_mnist(mnist):
    assert mnist.id == "mnist@d3a53d8b21379d5b"
