"""Facts that cannot be are refused where they are declared."""

import json
import math

import pytest

from denoisers.base import Spec


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"value_range": (1.0, 0.0)}, "value_range"),
        ({"value_range": (0.0, 0.0)}, "value_range"),
        ({"sigma_min": 2.0, "sigma_max": 1.0}, "sigma_min <= sigma_max"),
        ({"sigma_min": math.nan}, "sigma_min"),
        ({"sigma_min": math.inf}, "sigma_min"),
        ({"sigma_min": -1.0}, "grey levels / 127.5"),
        ({"multiple_of": 0}, "multiple_of"),
        ({"in_channels": 0}, "in_channels"),
        ({"size": 28}, "size must be"),
        ({"size": (28,)}, "size must be"),
        ({"size": (28, 0)}, "size must be"),
        ({"size": (28.0, 28.0)}, "size must be"),
    ],
)
def test_senseless_facts(facts, said):
    with pytest.raises(ValueError, match=f"mine: .*{said}"):
        Spec("mine", "sample", **facts)


def test_a_band_includes_its_rounded_ends():
    spec = Spec("mine", "sample", sigma_min=0.196, sigma_max=0.392)
    assert [spec.in_band(s) for s in (0.19, 0.1945, 0.3, 0.395, 0.4)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert Spec("mine", "sample").to_json()["sigma_max"] is None


def test_the_size_is_in_the_json():
    assert json.loads(json.dumps(Spec("mine", "sample", size=(28, 20)).to_json()))["size"] == [
        28,
        20,
    ]
    assert Spec("mine", "sample").to_json()["size"] is None
