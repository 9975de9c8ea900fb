"""Build sdist and wheel, install it with what it declares and nothing more, far from the checkout, and use it there.

`make wheel`. What is forgotten in pyproject.toml, a dependency, a package, a file, ends here: the
tests run in an environment that has everything. Only torch, torchvision and the CUDA packages are
shared with the environment that runs this (6 GB), by links; all else is installed by pip from what
the wheel declares, at the versions of requirements.lock.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "denoisers")
SHARED = re.compile(r"torch|torchvision|triton|(nvidia|cuda)-.*")

# Run by the new environment: every module can be imported, and from there.
IMPORT = """
import importlib, pkgutil, sysconfig
from pathlib import Path
import bench, denoisers
for package in (bench, denoisers):
    assert Path(package.__file__).is_relative_to(sysconfig.get_path("purelib")), package.__file__
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
INSTALLED = """
import sysconfig
from importlib.metadata import distributions
print(*(found.metadata["Name"] for found in distributions(path=[sysconfig.get_path("purelib")])), sep="\\n")
"""


def main() -> None:
    """Exit status 1, with what the failed step printed, or 0."""
    with tempfile.TemporaryDirectory(prefix="bench-wheel-") as folder:
        home = Path(folder).resolve()
        wheel = build(home)
        everything_is_in(wheel)
        python = install(wheel, home)
        nothing_is_unlocked(python)
        use(python, home)


def step(*command: object, folder: Path = ROOT, **variables: str) -> str:
    """What a command prints; without our PYTHONPATH and BENCH_* it sees no checkout and no data.

    Exits if it fails.
    """
    print(
        "wheel:",
        *(Path(str(word).strip().splitlines()[0]).name for word in command),
        end="",
        flush=True,
    )
    began = time.monotonic()
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "BENCH_", "VIRTUAL_ENV"))
    }
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=folder, env=clean | variables, check=False, capture_output=True, text=True
    )
    print(f" ({time.monotonic() - began:.0f} s)", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}wheel: exit status {done.returncode}")
    return done.stdout


def tracked() -> list[str]:
    """The files of the packages that git knows, as paths from the root."""
    return step("git", "ls-files", *PACKAGES).splitlines()


def build(home: Path) -> Path:
    """The wheel of the source distribution of a copy of the tracked files.

    No leftovers of earlier builds get in, and none are left here; what the source distribution lacks, the
    wheel lacks.
    """
    for name in [*tracked(), "pyproject.toml", "README.md", "LICENSE"]:
        copy = home / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    step(
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--no-isolation",
        "--outdir",
        home,
        home / "source",
    )
    (archive,) = home.glob("*.tar.gz")
    step(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", home, archive)
    (wheel,) = home.glob("*.whl")
    return wheel


def everything_is_in(wheel: Path) -> None:
    """Exit unless the wheel holds all tracked files of the packages and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    if wrong := held ^ set(tracked()):
        sys.exit(
            f"wheel: in git or in the wheel, not in both: {', '.join(sorted(wrong))}; see [tool.setuptools]"
        )


def install(wheel: Path, home: Path) -> Path:
    """The Python of a new environment with the wheel and its dependencies."""
    step(sys.executable, "-m", "venv", home / "environment")
    python = home / "environment" / "bin" / "python"
    site = Path(
        step(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    )
    (home / "shared").mkdir()
    for found in distributions():
        if SHARED.fullmatch(normalised(found.metadata["Name"])):
            for top in {file.parts[0] for file in found.files or [] if ".." not in file.parts}:
                link = home / "shared" / top
                if not link.exists():
                    link.symlink_to(Path(found.locate_file(top)))
    # A folder of its own, by a .pth file: pip takes it for installed, but neither writes into it nor removes from it.
    (site / "shared.pth").write_text(f"{home / 'shared'}\n")
    step(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--constraint",
        ROOT / "requirements.lock",
        wheel,
    )
    step(python, "-m", "pip", "check")
    return python


def normalised(name: str) -> str:
    """The name of a distribution as indexes compare them."""
    return re.sub(r"[-_.]+", "-", name).lower()


def nothing_is_unlocked(python: Path) -> None:
    """Exit if something was installed that requirements.lock does not fix the version of."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {normalised(line.split("==")[0]) for line in lines if not line.startswith("#")}
    found = {normalised(name) for name in step(python, "-c", INSTALLED).splitlines()}
    if free := found - locked - {"pip", "denoiser-bench"}:
        sys.exit(f"wheel: installed and not in requirements.lock: {', '.join(sorted(free))}")


def use(python: Path, home: Path) -> None:
    """List, generate, score, gauge, report, in an empty folder on the embedded digits."""
    folder = home / "elsewhere"
    folder.mkdir()

    def there(*command: object) -> str:
        return step(*command, folder=folder, BENCH_HOME=str(home / "home"))

    there(python, "-c", IMPORT)
    bench, digits = python.parent / "bench", ("--dataset", "mnist5k")
    there(bench, "list")
    there(bench, "info", "unet")
    run = (
        folder
        / there(bench, "run", "--denoiser", "unet", "--num", 8, "--steps", 3, *digits).splitlines()[
            -1
        ]
    )
    there(bench, "score", run / "samples.npz", "--name", "again", *digits)
    there(bench, "gauge", "--denoiser", "kbnet", "--images", run)  # its grid.png, as a photograph
    there(bench, "report", "results")
    there(bench, "export", "unet", "exported")
    if "<style>" not in (folder / "results" / "report.html").read_text():
        sys.exit("wheel: the report has no style of its own")


if __name__ == "__main__":
    main()
