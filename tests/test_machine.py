"""What a run records about the machine: versions of what is installed, the commit of this checkout and no other's."""

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version

import pytest

import bench
from bench import machine
from bench.machine import commit  # conftest.py keeps the answer of `machine.commit`
from denoisers.errors import UsageError


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
    assert machine.versions() == {
        name: said for name, said in before.items() if name not in ("timm", "torchmetrics")
    }


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", folder, *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def checkout(folder, **files):
    """A repository with one commit of some files; its hash, as a run records it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        git(folder, "init", "--quiet")
        git(folder, "--literal-pathspecs", "add", "--", name)
    git(folder, "commit", "--quiet", "-m", "first")
    return git(folder, "rev-parse", "HEAD")[:12]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A copy of this code in an environment inside a folder, which is given; the code is that copy."""
    folder = tmp_path / "odd [a-z]* name"  # which git takes for a pattern unless told otherwise
    module = folder / "bench" / "machine.py"
    module.parent.mkdir(parents=True)
    shutil.copy(machine.__file__, module)
    monkeypatch.setattr(machine, "__file__", str(module))
    return folder


def test_the_commit_is_that_of_a_checkout_which_holds_this_code(installed):
    """Installed into an environment below someone's project, that project's commit says nothing of this code."""
    assert commit() is None
    checkout(installed, theirs="one")
    assert commit() is None
    git(installed, "add", "bench")  # it is in no commit yet
    assert commit() is None
    git(installed, "commit", "--quiet", "-m", "ours")
    assert commit() == git(installed, "rev-parse", "HEAD")[:12]
    (installed / "results").mkdir()
    (installed / "results" / "run.json").write_text("{}")
    assert not commit().endswith("-dirty")
    (installed / "theirs").write_text("two")
    assert commit().endswith("-dirty")


@pytest.mark.parametrize("deep", ["", "lib/site-packages"])
def test_not_that_of_a_repository_above_it(installed, tmp_path, monkeypatch, deep):
    """Nor with a file of that name of its own."""
    inner = installed / deep
    if deep:
        shutil.copytree(installed / "bench", inner / "bench")
        monkeypatch.setattr(machine, "__file__", str(inner / "bench" / "machine.py"))
    checkout(tmp_path, **{"bench/machine.py": "another", "machine.py": "another"})
    if deep:
        checkout(installed, **{"bench/machine.py": "another"})
    assert commit() is None


def test_not_that_of_a_repository_that_the_environment_names(installed, tmp_path, monkeypatch):
    """In a hook of git, GIT_DIR and its like name the repository that the hook runs for."""
    other = tmp_path / "other"
    (other / "bench").mkdir(parents=True)
    shutil.copy(machine.__file__, other / "bench" / "machine.py")
    git(other, "init", "--quiet")
    git(other, "add", ".")
    git(other, "commit", "--quiet", "-m", "theirs")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert commit() is None


def test_a_link_to_the_checkout_is_followed(installed, tmp_path, monkeypatch):
    found = checkout(installed, **{"bench/machine.py": "ours"})
    project = tmp_path / "project"
    project.mkdir()
    (project / "bench").symlink_to(installed / "bench")
    git(project, "init", "--quiet")
    git(project, "add", "bench")
    git(project, "commit", "--quiet", "-m", "theirs")
    monkeypatch.setattr(machine, "__file__", str(project / "bench" / "machine.py"))
    assert commit() == found


def test_a_checkout_that_does_not_answer_holds_nobody_up(tmp_path, monkeypatch):
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "GIT_SECONDS", 0.2)
    began = time.monotonic()
    assert commit() is None
    assert time.monotonic() - began < 10


def test_a_place_is_tried_without_making_it(tmp_path):
    machine.check_writable(tmp_path / "deep" / "er")
    machine.check_target(tmp_path / "deep" / "file.png", "--figure")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "place", ["file", "file/below", "nowhere", "nowhere/below", "x" * 300, "a/" + "x" * 300]
)
def test_a_place_that_cannot_be_is_refused(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match=r"^--out: cannot write into .*; choose another$"):
        machine.check_writable(tmp_path / place)
