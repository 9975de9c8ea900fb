"""The tutorial does what it says: its files are written out, its commands run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "bring-your-own.md").read_text()
FILES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```\n(bench .*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SHORT = {"run": ["--dataset", "mnist5k", "--num", "6", "--steps", "3"], "check": []}


@pytest.fixture
def folder(tmp_path):
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    return tmp_path


def run(folder, *command):
    return subprocess.run([sys.executable, *command], cwd=folder, check=False, capture_output=True, text=True)


def test_the_page_has_what_the_tests_run():
    assert FILES.keys() == {"lee.py", "test_lee.py", "renoise.py"}
    assert len(COMMANDS) == 5
    for name in ("lee.py", "renoise.py"):
        assert len([line for line in FILES[name].splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands(command, folder, checkpoints):
    weights = checkpoints["spandrel"]["weights"]
    words = shlex.split(command.replace("dncnn_25.pth", weights))[1:]
    done = run(folder, "-m", "bench", *words, *SHORT[words[0]])
    untrained = words[1] == "spandrel"
    assert done.returncode == (1 if untrained else 0), done.stderr
    assert "Traceback" not in done.stderr
    if words[0] == "run":
        (page,) = (path.read_text() for path in (Path(folder) / done.stdout.splitlines()[-1]).glob("metrics-*.json"))
        assert '"fid"' in page


def test_its_test(folder):
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_lee.py")
    assert "1 passed" in done.stdout, done.stdout


def test_the_commands_of_the_readme_exist():
    said = set(
        re.findall(
            r"bench (run|report|study|gauge|check|info|list|train|score|compare)\b", (ROOT / "README.md").read_text()
        )
    )
    for command in said:
        assert run(ROOT, "-m", "bench", command, "--help").returncode == 0
