"""What the report draws from the data set itself."""

import numpy as np
import pytest

from bench import reporting
from bench.data import datasets
from bench.reporting.figures import held_out


@pytest.fixture
def entries(make_run, digits, tmp_path):
    """Two runs: one whose samples are held-out digits, one whose samples are noise."""
    facts = {"dataset": f"mnist5k@{digits.digest}"}
    make_run("digits", images=digits.held_out[600:620], facts=facts)
    make_run(
        "noise",
        images=np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8),
        facts=facts,
    )
    return reporting.collect(tmp_path / "results")[0]


def test_digits_lie_among_digits_and_noise_apart(entries, tmp_path):
    found = held_out.embedded(entries, tmp_path / "map" / "embedding.csv")
    points = {name: part[["x", "y"]].to_numpy() for name, part in found.groupby("set")}
    assert {name: len(part) for name, part in points.items()} == {
        held_out.REAL: 500,
        "digits card": 20,
        "noise card": 20,
    }

    def gap(name):
        return np.median(
            [np.linalg.norm(points[held_out.REAL] - point, axis=1).min() for point in points[name]]
        )

    assert gap("noise card") > 2 * gap("digits card")


def test_points_are_kept_until_a_run_changes(entries, tmp_path, monkeypatch):
    path = tmp_path / "map" / "embedding.csv"
    first = held_out.embedded(entries, path)
    monkeypatch.setattr(datasets, "at_hand", lambda named: None)  # whatever is computed anew fails
    again = held_out.embedded(entries, path)
    assert again.equals(first)  # or the figures would differ
    assert again["digit"].dtype.kind == "i"
    assert held_out.embedded(entries[:1], path) is None
    entries[0].run.write("grid.png", lambda file: file.write(b"changed"))
    assert held_out.embedded(entries, path) is None


def test_distances_of_held_out_digits_and_of_copies(entries, digits, tmp_path, monkeypatch):
    path = tmp_path / "map" / "distances.csv"
    found = held_out.known_distances(entries, path)
    difference = digits.train.astype(float) - digits.held_out[3]
    nearest = np.sqrt(np.square(difference / 255).sum(axis=(1, 2)).min())
    assert found[held_out.REAL][3] == pytest.approx(nearest, rel=1e-3)
    assert found["copies"].max() == 0
    assert 0 < found["copies_noise_0.05"].mean() < found["copies_noise_0.2"].mean()
    monkeypatch.setattr(datasets, "at_hand", lambda named: None)  # whatever is computed anew fails
    again = held_out.known_distances(entries, path)
    assert again.keys() == found.keys()
    assert all(np.array_equal(again[name], found[name]) for name in found)


def test_without_the_data_set_there_is_nothing(make_run, tmp_path):
    make_run("unet", facts={"dataset": "mnist@elsewhere"})
    entries, _ = reporting.collect(tmp_path / "results")
    assert held_out.embedded(entries, tmp_path / "a.csv") is None
    assert held_out.known_distances(entries, tmp_path / "b.csv") == {}
    assert not list(tmp_path.glob("*.csv"))
