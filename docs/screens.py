"""The pictures of the pages: terminals, on which each command is carried out, and the page of the tracked report.

    python docs/screens.py          all of them (make screens)
    python docs/screens.py page     docs/report.png alone (make picture)

What the commands write goes into a temporary folder. On two cores it takes a few minutes; the page
alone takes seconds, and needs a Chromium and playwright, as the tests of the page do.
"""

import fcntl
import io
import os
import pty
import re
import shutil
import struct
import sys
import tempfile
import termios
from pathlib import Path

from PIL import Image
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

WIDTH, HEIGHT = 100, 60  # characters, of the terminal
TARGET = Path(__file__).parent / "screens"
SMALL = ["--dataset", "mnist5k", "--protocol", "quick"]
SCREENS = {  # name -> what is typed, in this order: some need what others have written
    "help": ["--help"],
    "run-help": ["run", "--help"],
    "list": ["list"],
    "list-samplers": ["list", "samplers"],
    "run-ideal": ["run", "--denoiser", "ideal", *SMALL],
    "run": ["run", "--denoiser", "unet", *SMALL],
    "report": ["report", "results/"],
    "compare": ["compare", "unet", "ideal"],
}
REPORT = Path(__file__).parents[1] / "results" / "reference" / "report.html"
PICTURE = Path(__file__).parent / "report.png"
WINDOW = {"width": 1280, "height": 860}  # pixels, of the browser
COLOURS = 128  # of the picture, which keeps it below 200 kB
ERASE = "\r\x1b[K"
# Pages of ours fetch nothing.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def typed(words: list[str], folder: Path) -> str:
    """All that a terminal is sent when `bench` with these words is carried out in a folder.

    Raises if it fails.
    """
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": str(HEIGHT)}
        os.execv(sys.executable, [sys.executable, "-m", "bench", *words])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    sent = bytearray()
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # as Linux ends it
            break
        if not part:
            break
        sent += part
    os.close(terminal)
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit(f"bench {' '.join(words)} ended with status {status}:\n{sent.decode()}")
    return sent.decode().replace("\r\n", "\n")


def shown(sent: str) -> str:
    """What can be read in the end: of each line what came after it was last erased."""
    return "\n".join(line.rpartition(ERASE)[2] for line in sent.split("\n")).rstrip()


def halfway(sent: str) -> str | None:
    """What could be read when the bar was in the middle of sampling; None where nothing was sampled."""
    ends = [found.end() for found in re.finditer(r"sampling \[[^\r\n]*left", sent)]
    return shown(sent[: ends[len(ends) // 2]]) if ends else None


def draw(name: str, words: list[str], text: str) -> None:
    """One screen as docs/screens/<name>.svg, below the line that was typed."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), legacy_windows=False)
    console.print(Text(f"$ bench {' '.join(words)}"), Text.from_ansi(text), sep="\n")
    title = f"bench {words[0]}" if not words[0].startswith("-") else "bench"
    svg = console.export_svg(title=title, code_format=FORMAT, unique_id=name)
    (TARGET / f"{name}.svg").write_text(svg)


def photograph() -> None:
    """What a browser shows first of the tracked report, as docs/report.png."""
    from playwright.sync_api import sync_playwright

    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        raise SystemExit("docs/report.png needs a Chromium; Debian's package is chromium")
    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page(viewport=WINDOW, color_scheme="light")
        page.goto(REPORT.as_uri())
        taken = page.screenshot()
        running.close()
    picture = Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLOURS)
    picture.save(PICTURE, optimize=True)
    print(f"docs/{PICTURE.name}", flush=True)


def main() -> None:
    """Take the picture of the page; carry out all commands, and draw them, unless only the page is asked for."""
    photograph()
    if sys.argv[1:] == ["page"]:
        return
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, words in SCREENS.items():
            sent = typed(words, Path(folder))
            if name != "run-ideal":
                draw(name, words, shown(sent))
            if name == "run" and (middle := halfway(sent)):
                draw("run-halfway", words, middle)
            print(f"docs/screens/{name}.svg", flush=True)


if __name__ == "__main__":
    main()
