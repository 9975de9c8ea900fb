"""What a run records about the machine: versions of what is installed, the commit of this checkout and no other's."""

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version

import bench
from bench import machine


def test_versions_are_those_of_all_that_decides_a_number():
    found = machine.versions()
    assert found["python"] == platform.python_version()
    assert found["bench"] == bench.__version__
    names = ["torch", "torchvision", "torch-fidelity", "torchmetrics", "timm"]
    names += ["scipy", "numpy", "scikit-learn", "pillow"]
    assert list(found) == ["bench", "python", *names]
    assert all(found[name] == version(name) for name in names)


def test_a_distribution_that_is_not_installed_is_left_out(monkeypatch):
    def absent(name):
        if name in ("timm", "torchmetrics"):
            raise PackageNotFoundError(name)
        return version(name)

    before = machine.versions()
    monkeypatch.setattr(machine, "version", absent)
    assert machine.versions() == {name: said for name, said in before.items() if name not in ("timm", "torchmetrics")}


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True).stdout


def test_the_commit_is_that_of_a_checkout_which_tracks_this_code(tmp_path, monkeypatch):
    """Installed into an environment below someone's project, that project's commit says nothing of this code."""
    module = tmp_path / "bench" / "machine.py"
    module.parent.mkdir()
    shutil.copy(machine.__file__, module)
    (tmp_path / "theirs.txt").write_text("one")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "theirs.txt")
    git(tmp_path, "commit", "--quiet", "-m", "theirs")
    monkeypatch.setattr(machine, "__file__", str(module))
    assert machine.commit() is None
    git(tmp_path, "add", "bench")
    git(tmp_path, "commit", "--quiet", "-m", "ours")
    assert machine.commit() == git(tmp_path, "rev-parse", "HEAD")[:12]
    (tmp_path / "theirs.txt").write_text("two")
    assert machine.commit().endswith("-dirty")


def test_a_checkout_that_does_not_answer_holds_nobody_up(tmp_path, monkeypatch):
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "GIT_SECONDS", 0.2)
    began = time.monotonic()
    assert machine.commit() is None
    assert time.monotonic() - began < 10
