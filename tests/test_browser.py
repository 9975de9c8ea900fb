"""The page of a report as a person meets it: narrow and wide, by keyboard, on paper.

Skipped where no Chromium is installed; Debian's package is `chromium`.
"""

import io
import shutil

import numpy as np
import pytest
import synthetic
from PIL import Image

from bench import reporting
from bench.reporting import exports

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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Three runs, one of them with a name that is markup; and their report."""
    folder, draw = tmp_path_factory.mktemp("browser") / "results", np.random.default_rng(0)
    evil = "<script>document.title = 'evil'</script><img src=x onerror=1>"
    for name, kid, facts in (
        ("unet", 0.002, {}),
        ("worse", 2.0, {"seed": 1}),
        ("evil", 0.05, {"denoiser": evil}),
    ):
        synthetic.write_run(folder, draw, name, scores={"kid": kid}, facts=facts)
    exports.write(folder, *reporting.collect(folder))
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
    heading.locator("button.sort").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert names(page) == before[::-1]
    button = page.get_by_role("button", name="denoiser", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    assert names(page) == sorted(names(page), key=str.lower)
    assert heading.get_attribute("aria-sort") is None
    page.locator("button.sort", has_text="NFE").click()
    page.locator("button.sort", has_text="NFE").click()
    # No NFE: last either way.
    assert {"held-out digits control", "Gaussian model control"} == set(names(page)[-2:])


def inside(page, locator, width):
    """Whether all of an element lies between the left edge of the page and `width`."""
    box = locator.bounding_box()
    return box["x"] >= 0 and box["x"] + box["width"] <= width


def test_on_a_phone_the_number_that_ranks_comes_first(open_page):
    """KID with its interval; that the table goes on is said until its end is seen."""
    page = open_page(390)
    cells = page.locator("table.board tbody tr", has_text="unet card").first.locator("td")
    texts = cells.all_inner_texts()
    (place,) = (i for i, text in enumerate(texts) if text.strip() == "2.0 ±1.0")
    assert inside(page, cells.nth(place), 390)
    assert inside(page, cells.nth(place).locator("svg.strip"), 390)
    assert place == 0
    assert not inside(page, cells.last, 390)
    cue = page.locator(".cue", has_text="Scroll sideways").first
    assert cue.is_visible()
    assert inside(page, cue, 390)
    page.locator(".scroll").first.evaluate("part => { part.scrollLeft = part.scrollWidth }")
    cue.wait_for(state="hidden", timeout=2000)


def test_where_a_table_fits_nothing_says_that_it_goes_on(open_page):
    assert not open_page(1900).locator(".cue").first.is_visible()


@pytest.mark.parametrize("width", [390, 1600])
def test_explanations_open_by_tap_and_by_keyboard(open_page, width):
    page = open_page(width)
    assert page.locator("[title]").count() == 0  # which nobody sees without a mouse
    words = page.locator("#help-kid")
    assert not words.is_visible()
    button = page.get_by_role("button", name="What is KID × 10³?")
    before = names(page)
    button.click()
    assert words.is_visible()
    assert inside(page, words, width)
    assert "kernel distance" in words.inner_text()
    assert names(page) == before  # it does not sort
    page.keyboard.press("Escape")
    assert not words.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert words.is_visible()
    page.mouse.click(2, 2)
    assert not words.is_visible()
    verdict = page.locator("details", has_text="How a verdict is reached")
    verdict.locator("summary").click()
    assert "Residual noise" in verdict.inner_text()


@pytest.mark.parametrize("width", [390, 1600])
def test_eight_thumbnails_stand_beside_each_verdict_and_row(open_page, width):
    page = open_page(width)
    for place in (".verdicts li", "table.board tr.run"):
        assert page.locator(place).count() == 3
        for line in page.locator(place).all():
            small = line.locator("svg.thumbs")
            assert inside(page, small, width)
            box = small.bounding_box()
            assert box["width"] / box["height"] == pytest.approx(231 / 28, rel=0.1)
            picture = page.locator(f"image{small.locator('use').get_attribute('href')}")
            assert picture.get_attribute("href").startswith("data:image/png;base64,")
    assert page.get_by_role("img", name="The first samples of unet card", exact=True).count() == 1
    pictures = [image.get_attribute("href") for image in page.locator("image").all()]
    assert len(pictures) == 3
    assert max(map(len, pictures)) < 6000
    # They are drawn: white strokes on black.
    shown = Image.open(io.BytesIO(page.locator("svg.thumbs").first.screenshot())).convert("L")
    assert shown.getextrema() == (0, 255)
    pixels = np.asarray(shown.resize((231, 28)))
    assert all((pixels[:, 29 * place : 29 * place + 28] > 128).any() for place in range(8))


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
