"""The page of a report as a person meets it: in a browser, narrow and wide, light and dark, by keyboard, on paper.

Skipped where no Chromium is installed; Debian's package is `chromium`.
"""

import shutil

import pytest

from bench import report
from bench.report import exports

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def results(make_run, tmp_path):
    """Three runs, one of them with a name that is markup."""
    make_run("unet", scores={"kid": 0.002})
    make_run("worse", scores={"kid": 2.0}, facts={"seed": 1})
    make_run(
        "evil",
        scores={"kid": 0.05},
        facts={"denoiser": "<script>document.title = 'evil'</script><img src=x onerror=1>"},
    )
    folder = tmp_path / "results"
    exports.write(folder, *report.collect(folder))
    return folder


@pytest.fixture
def open_page(browser, results):
    """open_page(width, colour scheme): the page, which must end without an error or a request."""
    pages, complaints = [], []

    def opened(width=1600, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: pages.append(request.url))
        page.goto((results / "report.html").as_uri())
        return page

    yield opened
    assert complaints == []
    assert {url.split(":")[0] for url in pages} <= {"file", "data"}
    assert len([url for url in pages if url.startswith("file:")]) == 1


def names(page):
    return [text.split("\n")[0] for text in page.locator("table.board tbody th").all_inner_texts()]


def test_sorting_by_mouse_and_by_keyboard(open_page):
    page = open_page()
    before = names(page)
    heading = page.locator("th", has_text="KID").first
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert names(page) == before[::-1]
    button = page.get_by_role("button", name="denoiser", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert names(page) == sorted(names(page), key=str.lower)
    assert heading.get_attribute("aria-sort") is None
    page.get_by_role("button", name="NFE").click()
    page.get_by_role("button", name="NFE").click()
    # No NFE: last either way.
    assert {"held-out digits control", "Gaussian model control"} == set(names(page)[-2:])


def test_panels_open_and_hold_what_they_say(open_page):
    page = open_page()
    card = page.locator("article.card").first
    table = card.get_by_role("region", name="All scores")
    assert not table.is_visible()
    card.get_by_text("All scores").click()
    assert table.is_visible()
    assert "copy rate, pixels" in table.inner_text()
    assert page.evaluate(
        "[...document.images].every(image => image.complete && image.naturalWidth > 0)"
    )
    assert "bench run --denoiser unet" in card.inner_text()


@pytest.mark.parametrize("width", [390, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(open_page, width, scheme):
    page = open_page(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, paper = page.evaluate(
        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    levels = [sum(map(int, colour.strip("rgb()").split(","))) for colour in (ink, paper)]
    assert (levels[0] < levels[1]) == (scheme == "light")
    assert abs(levels[0] - levels[1]) > 500


def test_a_screen_reader_finds_tables_and_names(open_page):
    page = open_page()
    tree = page.locator("body").aria_snapshot()
    for part in (
        'heading "Verdict"',
        "table",
        "columnheader",
        "rowheader",
        'img "Predicted classes',
        "Skip to",
    ):
        assert part in tree
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_markup_in_a_name_is_a_name(open_page):
    page = open_page()
    assert page.title() == "bench report: results"
    assert page.locator("script").count() == 1
    assert page.get_by_role("link", name="<script>document.title").count() == 2


def test_it_prints_with_everything_open(open_page):
    page = open_page()
    assert len(page.pdf()) > 10_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(part => part.open)")
