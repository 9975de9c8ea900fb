"""What `bench info` says of a dataset."""

import json

import numpy as np

from bench.data import description
from bench.data.dataset import divided


def test_facts_of_a_dataset_in_colour():
    images = np.zeros((60, 8, 4, 3), np.uint8)
    images[:, :4] = 200
    images[:, 0, 0, 0] = np.arange(60)
    facts = description.facts(divided("mine", images, np.arange(60) % 2, licence="CC0"))
    assert (facts["train"], facts["held_out"], facts["classes"]) == (50, 10, 2)
    assert (facts["size"], facts["channels"], facts["padding"]) == ([8, 4], 3, 0)
    assert facts["id"] == f"mine@{facts['digest']}"
    assert facts["licence"] == "CC0"
    assert 97 < facts["mean"] < 100
    assert json.loads(json.dumps(facts)) == facts


def test_the_mean_image_is_drawn_from_black_to_white():
    images = np.zeros((9, 32, 32), np.uint8)
    images[:, :16] = 90
    rows = description.in_letters(images)
    assert rows == ["@" * 32] * 8 + [" " * 32] * 8
    flat = description.in_letters(np.full((9, 32, 32), 7, np.uint8))
    assert set("".join(flat)) == {" "}


def test_info_of_a_dataset(bench):
    code, out, _ = bench("info", "mnist5k")
    assert code == 0
    facts = json.loads(out)
    assert (facts["id"], facts["train"]) == ("mnist5k@667475b7029cd710", 4000)
    code, out, _ = bench("info", "unet")
    assert json.loads(out)["spec"]["in_channels"] == 1


def test_datasets_are_listed(bench):
    code, out, _ = bench("list", "datasets")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names[:5] == ["mnist", "mnist5k", "fashion-mnist", "kmnist", "cifar10"]
    assert "patches:FOLDER" in names
