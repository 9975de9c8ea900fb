"""Files of networks that others publish: a damaged one is named, and replaced by a download if it is our own."""

import hashlib

import pytest

from bench.scoring import pretrained
from denoisers.errors import UsageError

GOOD = b"the weights"


@pytest.fixture
def own(monkeypatch, tmp_path):
    """The place of the weights in our own cache; the network is away, and torch's cache empty."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(pretrained, "INCEPTION_SHA256", hashlib.sha256(GOOD).hexdigest())
    monkeypatch.setattr(pretrained.reachable, "reachable", lambda urls: False)
    path = tmp_path / "home" / "features" / pretrained.INCEPTION_FILES[0]
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def online(monkeypatch):
    """Downloads give the right file."""

    def download(url, path, hash_prefix):
        with open(path, "wb") as file:
            file.write(GOOD)

    monkeypatch.setattr(pretrained.reachable, "reachable", lambda urls: True)
    monkeypatch.setattr(pretrained.torch.hub, "download_url_to_file", download)


def test_a_whole_file_is_used(own):
    own.write_bytes(GOOD)
    assert pretrained.official_inception() == own


def test_a_damaged_file_is_named(own):
    own.write_bytes(GOOD[:-1])
    with pytest.raises(
        UsageError,
        match=rf"{own} is not the file its name says: expected sha256 .*, found .*no network",
    ):
        pretrained.official_inception()


def test_a_download_replaces_a_damaged_file(own, online):
    own.write_bytes(GOOD[:-1])
    assert pretrained.official_inception().read_bytes() == GOOD


def test_without_a_home_directory(own, monkeypatch):
    monkeypatch.setattr(pretrained, "home", lambda: None)
    with pytest.raises(
        UsageError, match=r"there is no network to download it; say where it is: --features-weights"
    ):
        pretrained.official_inception()


@pytest.mark.parametrize("reachable", [False, True])
def test_a_damaged_file_in_the_cache_of_hugging_face(own, monkeypatch, tmp_path, reachable):
    digest = hashlib.sha256(GOOD).hexdigest()
    blob, forced = tmp_path / digest, []
    blob.write_bytes(GOOD[:-1])

    def download(repository, name, local_files_only=False, force_download=False):
        if not local_files_only:
            forced.append(force_download)
            blob.write_bytes(GOOD)
        return str(blob)

    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(pretrained.reachable, "reachable", lambda urls: reachable)
    if reachable:
        assert pretrained.official_timm("m", "timm/m", None, None) == blob
        assert (blob.read_bytes(), forced) == (GOOD, [True])
    else:
        with pytest.raises(
            UsageError, match=rf"expected sha256 {digest}, found .*; there is no network"
        ):
            pretrained.official_timm("m", "timm/m", None, None)
