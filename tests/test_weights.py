"""Weights are used only if they are what their card says."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from denoisers import unet, weights
from denoisers.errors import UsageError


@pytest.fixture
def file(tmp_path):
    weights.save(tmp_path / "small.safetensors", {"a": torch.arange(4.0)}, {"licence": "MIT"})
    return tmp_path / "small.safetensors"


def test_what_is_saved_is_loaded(file):
    for name in ("small", str(file)):
        state, card = weights.load(name, file.parent, default="none")
        assert torch.equal(state["a"], torch.arange(4.0))
        assert card["licence"] == "MIT"
    assert weights.tag(card) == f"small@{weights.sha256(file)[:8]}"


def test_a_card_may_say_no_more_than_the_band(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    (tmp_path / "x.json").write_text('{"sigma_max": 0.2}')
    _, card = weights.read(tmp_path / "x.pth")
    assert weights.band(card, None) == (0.0, 0.2)
    assert weights.band(card, "50") == (50 / 127.5, 50 / 127.5)
    assert weights.tag(card) == f"x.pth@{weights.sha256(tmp_path / 'x.pth')[:8]}"


def test_content_is_that_of_files_and_folders(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("1")
    before = weights.content(str(tmp_path / "folder"))
    assert before == weights.content(str(tmp_path / "folder"))
    assert weights.content(str(tmp_path / "folder" / "a")) == weights.sha256(
        tmp_path / "folder" / "a"
    )
    (tmp_path / "folder" / "a").write_text("2")
    assert weights.content(str(tmp_path / "folder")) != before
    assert weights.content("gray25") == "gray25"
    assert weights.content("") == ""


def test_an_altered_file_is_refused_with_both_digests(file):
    expected = weights.sha256(file)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=f"{file}.*expected sha256 {expected}, found {weights.sha256(file)}"
    ):
        weights.load("small", file.parent, default="")


@pytest.mark.parametrize("keep", [1, 5, 60])
def test_a_truncated_file_is_refused(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="is not the file its card describes"):
        weights.load("small", file.parent, default="")
    file.with_suffix(".json").unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        weights.load(str(file), file.parent, default="")


def test_a_missing_file_names_the_cards(file):
    with pytest.raises(
        UsageError, match=r"no file nowhere\.pt; expected one, or one of the shipped cards: small"
    ):
        weights.load("nowhere.pt", file.parent, default="")


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_card(file, text):
    file.with_suffix(".json").write_text(text)
    with pytest.raises(ValueError, match=r"small\.json is not readable"):
        weights.load("small", file.parent, default="")


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps({"a": Bomb()}))
    with pytest.raises(ValueError, match=r"bomb\.pt"):
        weights.load("bomb.pt", tmp_path, default="")
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_network_name_the_key(file):
    with pytest.raises(
        ValueError,
        match=r"does not fit UNet: at 'time.0.weight' expected \(256, 256\), found nothing",
    ):
        unet.load(str(file))


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BENCH_HOME", str(tmp_path))
    assert weights.home() == tmp_path
    monkeypatch.delenv("BENCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert weights.home() == tmp_path / "cache" / "bench"


def test_what_is_saved_is_what_safetensors_writes_and_nothing_is_left_beside_it(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(3, dtype=torch.bfloat16)}
    (tmp_path / ".x.safetensors.0123456789abcdef.tmp").write_text("left by the dead")
    weights.save(tmp_path / "x.safetensors", state, {})
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()},
        tmp_path / "theirs.safetensors",
    )
    assert (tmp_path / "x.safetensors").read_bytes() == (
        tmp_path / "theirs.safetensors"
    ).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "theirs.safetensors",
        "x.json",
        "x.safetensors",
    ]
