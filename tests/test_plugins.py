"""Code of others: from files, from modules, and from a distribution that is built and installed; what is said of it."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from denoisers import registry
from denoisers.errors import ForeignError, UsageError

ROOT = Path(__file__).parent.parent
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "bench-mine"
version = "0.3"
[project.entry-points."bench.denoisers"]
mine = "mine:load"
range01 = "faulty:range01"
grey-levels = "faulty:grey_levels"
residual = "faulty:residual"
neighbours = "faulty:neighbours"
raises = "raises:load"
gone = "no_such_package:load"
ideal = "mine:load"
[tool.setuptools]
py-modules = ["mine", "faulty", "raises"]
"""
MINE = """
import torch
from denoisers.base import Denoiser, Spec, expand_as

class Ridge(Denoiser):
    '''Shrinks towards black, as if every pixel had the same variance.'''
    spec = Spec("mine", "sample", blind=False)
    def forward(self, x, sigma):
        return (x + 1) * 0.6 / (0.6 + expand_as(sigma, x) ** 2) - 1

def load():
    return Ridge()
"""
FAULTY = """
import torch
from denoisers.base import Denoiser, Spec, expand_as
from denoisers.wrappers import ResidualDenoiser
from mine import Ridge

class Net(torch.nn.Module):
    '''The same shrinkage, of images in [0, 1], told the noise in that unit times `unit`.'''
    def __init__(self, unit=1.0):
        super().__init__()
        self.unit = unit
    def forward(self, image, level):
        return (Ridge()(2 * image - 1, 2 * level / self.unit) + 1) / 2

def range01():
    return ResidualDenoiser(Net(), Spec("range01", "sample", value_range=(-1.0, 1.0), blind=False))

def grey_levels():
    return ResidualDenoiser(Net(unit=255), Spec("grey-levels", "sample", value_range=(0.0, 1.0), blind=False))

class Residual(Ridge):
    def forward(self, x, sigma):
        return x - super().forward(x, sigma)

class Neighbours(Ridge):
    def forward(self, x, sigma):
        return super().forward(x - 0.3 * x.mean(0), sigma)

residual, neighbours = Residual, Neighbours
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of an environment into which the distribution was installed, and the folder of its packages."""
    folder = tmp_path_factory.mktemp("plugin")
    sources = {
        "pyproject.toml": PYPROJECT,
        "mine.py": MINE,
        "faulty.py": FAULTY,
        "raises.py": "{}['weights']",
    }
    for name, text in sources.items():
        (folder / "package" / name).parent.mkdir(exist_ok=True)
        (folder / "package" / name).write_text(text)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    (library,) = (folder / "env" / "lib").glob("*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (library / "ours.pth").write_text("\n".join([str(ROOT), *ours]))
    install = [
        "install",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        str(folder / "package"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), *install],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return python, library


@pytest.fixture
def there(installed, home, tmp_path):
    """`bench ...` in that environment; gives (status, stdout, stderr)."""
    environment = os.environ | {"BENCH_HOME": str(home)}
    environment.pop("PYTHONPATH", None)

    def call(*arguments):
        done = subprocess.run(
            [str(installed[0]), "-m", "bench", *arguments],
            cwd=tmp_path,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.fixture
def here(installed, bench, monkeypatch):
    """The same in this process, which finds what is installed there."""
    monkeypatch.syspath_prepend(installed[1])
    return bench


def test_it_is_listed_with_warnings_that_name_its_distribution(there):
    status, out, err = there("list")
    assert status == 0
    assert {"mine", "raises", "gone", "unet"} <= {line.split()[0] for line in out.splitlines()}
    assert (
        "plug-in 'ideal' of bench-mine 0.3 is hidden by the built-in denoiser of that name" in err
    )
    assert (
        "plug-in 'gone' of bench-mine 0.3 is broken: there is no module for 'no_such_package:load'"
        in err
    )
    assert "mine:load" not in err.replace("bench-mine", "")


def test_it_runs_where_it_is_installed(there, tmp_path):
    size = ["--dataset", "mnist5k", "--num", "40", "--steps", "4"]
    status, out, err = there("run", "--denoiser", "mine", *size)
    assert status == 0, err
    assert "\nmine " in out
    facts = (tmp_path / out.strip().splitlines()[-1] / "run.json").read_text()
    assert '"distribution": "bench-mine 0.3"' in facts


def test_it_conforms(here):
    assert here("check", "mine")[0] == 0
    assert '"distribution": "bench-mine 0.3"' in here("info", "mine")[1]


FAULTS = {
    "range01": "it behaves as if it expected images in [0, 1]: value_range=(0, 1)",
    "grey-levels": "it expected sigma in grey levels",
    "residual": "it returns the residual: the image is x minus what it returns",
    "neighbours": "it depends on its batch neighbours",
}


@pytest.mark.parametrize("name", FAULTS)
def test_its_faults_are_named(here, name):
    status, out, _ = here("check", name)
    assert status == 1
    assert FAULTS[name] in out


def test_a_module_that_raises_is_named_with_its_distribution(here):
    for command in (["check", "raises"], ["run", "--denoiser", "raises"], ["info", "raises"]):
        status, _, err = here(*command)
        assert status == 1
        assert (
            "plug-in 'raises' of bench-mine 0.3 raises:load does not import: KeyError: 'weights'"
            in err
        )


def test_a_file_is_executed_once_for_each_content(tmp_path):
    path = tmp_path / "counted.py"
    path.write_text(
        "import denoisers.closed_form as c\nc.count = getattr(c, 'count', 0) + 1\nx = c.Identity()\n"
    )
    for _ in range(3):
        registry.load(f"{path}:x")
    from denoisers import closed_form

    assert closed_form.count == 1
    del closed_form.count
    path.write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(ForeignError, match="ZeroDivisionError"):
            registry.load(f"{path}:x")


def test_a_module_that_is_nowhere_is_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text("from net7 import A")
    said = "No module named 'net7'; it is neither installed nor beside the file; PYTHONPATH=FOLDER finds it elsewhere"
    with pytest.raises(ForeignError, match=said):
        registry.load(f"{tmp_path / 'mine.py'}:load")


def test_a_few_names_are_offered():
    with pytest.raises(
        UsageError, match=r"torch\.nn has no 'Linar'; it has (\w+, ){1,5}\w+ and \d+ more"
    ) as said:
        registry.find("torch.nn:Linar")
    assert "Linear" in str(said.value)
