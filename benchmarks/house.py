"""The shape of the code, by numbers: python benchmarks/house.py [CHECKOUT]; an older commit is a checkout of its own.

Frames are counted in a real run: those of this project from the command to D(x; sigma).
"""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

WIDE = 100  # columns
NOTES = """
import traceback
from denoisers.base import Denoiser, Spec


class Noted(Denoiser):
    spec = Spec("noted", "sample")
    seen = False

    def forward(self, x, sigma):
        frames = [f for f in traceback.extract_stack() if "/bench/" in f.filename]
        names = [f.name for f in frames]
        if "generate" in names and not Noted.seen:
            Noted.seen = True
            begin = max(i for i, name in enumerate(names) if name == "run")
            print("FRAMES", " > ".join([*names[begin:], "D"]))
        return x * 0


def load():
    return Noted()
"""


def main() -> None:
    """Print one line per number."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    paths = [
        path for name in ("bench", "denoisers") for path in sorted((root / name).rglob("*.py"))
    ]
    texts = {path: path.read_text() for path in paths}
    lines = [line for text in texts.values() for line in text.splitlines() if line.strip()]
    print(f"lines of bench/ and denoisers/         {len(lines)} in {len(paths)} files")
    print(f"files at the root of bench/            {len(list((root / 'bench').glob('*.py')))}")
    longest = max(paths, key=lambda path: texts[path].count("\n"))
    count = texts[longest].count("\n")
    print(f"longest file                           {count}  {longest.relative_to(root)}")
    length, name, path = max(
        (found for path in paths for found in functions(path, texts[path])),
        key=lambda item: item[0],
    )
    print(f"longest body of a function             {length}  {path.relative_to(root)}:{name}")
    wide = sum(len(line) > WIDE for line in lines)
    print(f"lines over {WIDE} columns                 {wide / len(lines):.1%}")
    chain = frames(root)
    print(f"frames from the command to D           {chain.count('>') + 1}  {chain}")


def functions(path: Path, text: str) -> Iterator[tuple[int, str, Path]]:
    """Lines of each function from the first statement on, its name and its file: a signature is no body."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            yield node.end_lineno - node.body[0].lineno + 1, node.name, path


def frames(root: Path) -> str:
    """The functions of a run in this process, from the command to the denoiser."""
    with tempfile.TemporaryDirectory() as folder:
        plug_in = Path(folder) / "noted.py"
        plug_in.write_text(NOTES)
        words = ["run", "--denoiser", f"{plug_in}:load", "--dataset", "mnist5k", "--num", "6"]
        words += ["--steps", "2", "--workers", "1", "--out", folder]
        environment = os.environ | {"PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "bench", *words]
        done = subprocess.run(
            command, cwd=folder, env=environment, check=False, capture_output=True, text=True
        )
    chains = [
        line.removeprefix("FRAMES ")
        for line in (done.stdout + done.stderr).splitlines()
        if "FRAMES" in line
    ]
    return chains[0] if chains else f"none: {done.stderr[-300:]}"


if __name__ == "__main__":
    main()
