"""The site is built of the pages, opens without a network, and has the docstrings of what can be imported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_browser import CHROMIUM, browser  # noqa: F401 (a fixture)
from test_docs import DOCS, ROOT, script

build_site = script("build_site")
columns = script("columns")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built once."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, DOCS / "build_site.py", "--out", out]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(out / "index.html")
    return out


def test_every_link_leads_somewhere(site):
    """In notebooks and copied pages, too, where mkdocs does not look."""
    dead = []
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # its links are from the root of a server
            continue
        for target in re.findall(r"(?:src|href)=\"?([^\s\">#?]+)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                dead.append((str(page.relative_to(site)), target))
    assert dead == []


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    command = [sys.executable, DOCS / "build_site.py", "--out", tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "holds something else" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine"


def texts(page):
    return re.sub(r"<[^>]+>", "", page.read_text())


def test_every_page_is_in_it(site):
    pages = {path.relative_to(ROOT) for path in build_site.needed() if path.suffix == ".md"}
    assert Path("docs/where-it-fails.ipynb") in {p.relative_to(ROOT) for p in build_site.needed()}
    index = {"README.md": "index.html"}
    for page in [*pages, Path("docs/where-it-fails.ipynb"), Path("docs/reference.md")]:
        assert (site / page.parent / index.get(page.name, f"{page.stem}.html")).is_file(), page
    nav = yaml.safe_load((DOCS / "mkdocs.yml").read_text())["nav"]
    shown = str(nav)
    assert [page.name for page in DOCS.glob("*.md") if f"docs/{page.name}" not in shown] == []


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert re.findall(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"https?:", text) == []
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\W?https?:|@import\W+https?:", sheet.read_text())


def test_the_reference_has_the_docstrings_and_signatures(site):
    text = texts(site / "docs" / "reference.html")
    for names in build_site.REFERENCE.values():
        for name in names:
            assert name in text
    assert "whose size, frame and channels the images have" in text  # a parameter of sample
    assert "equation 9 solved for x0" in text
    assert "image i depends on (seed, i) alone" in text
    for fact in ("multiple_of: int = 1", "alphas_cumprod: Tensor", "held_out: ndarray"):
        assert fact in text, fact  # of classes


def test_two_columns_become_a_list():
    text = (
        "It does.\n\na, b  two\n      of them\nlonger  words\n\n>>> f()\n1\n\nNo list: a sentence."
    )
    assert columns.listed(text).split("\n\n") == [
        "It does.",
        "- `a, b`: two\n  of them\n- `longer`: words",
        "```pycon\n>>> f()\n1\n```",
        "No list: a sentence.",
    ]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")
@pytest.mark.parametrize("width", [390, 1400])
def test_the_search_works_without_a_server(site, browser, width):  # noqa: F811
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((site / "docs" / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width < 1000:
        page.locator("label.md-header__button[for=__search]").click()
    page.locator(".md-search__input").press_sequentially("jackknife")
    page.locator(".md-search-result__item").first.wait_for()
    assert "metrics" in page.locator(".md-search-result__item a").first.get_attribute("href")
    assert complaints == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
