"""Every page in a real browser: it loads nothing, fits the screen, and everybody can read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from burnish.monitor.signal import SIGNALS
from shown_pages import HOSTILE, PAGES, RIGHT_TO_LEFT

WIDTHS = (390, 768, 1280)

# Texts that lie outside the picture they belong to, and pictures without a size.
OUTSIDE = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  const inside = one => one.left >= box.left - 1 && one.right <= box.right + 1
    && one.top >= box.top - 1 && one.bottom <= box.bottom + 1;
  const texts = [...svg.querySelectorAll("text")]
    .filter(text => !inside(text.getBoundingClientRect())).map(text => text.textContent);
  return box.width && box.height ? texts : ["no size: " + svg.ariaLabel];
})"""

# Short words that stand on two lines: torn apart by a column that is too narrow.
TORN = r"""() => {
  const found = [], range = document.createRange();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    for (const word of walker.currentNode.data.matchAll(/(?<!\S)\p{L}{2,10}(?!\S)/gu)) {
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1) found.push(word[0]);
    }
  }
  return found;
}"""

# Of every text on the page: the contrast (WCAG 2.2) of its colour with what is painted below it.
CONTRASTS = """() => {
  const parse = colour => [...(colour.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number), 1];
  const over = ([red, green, blue, alpha], below) =>
    [red, green, blue].map((one, place) => one * alpha + below[place] * (1 - alpha));
  const light = colour => colour
    .map(one => one / 255).map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const paint = one => one instanceof SVGGeometryElement ? parse(getComputedStyle(one).fill)
    : one instanceof SVGTextElement ? [0, 0, 0, 0] : parse(getComputedStyle(one).backgroundColor);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    parent.scrollIntoView({block: "center", inline: "nearest"});
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getClientRects()[0];
    if (!text || !box) continue;
    const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (!stack.includes(parent)) continue;
    const below = stack.slice(stack.indexOf(parent)).reverse()
      .reduce((colour, one) => over(paint(one), colour), [255, 255, 255]);
    const style = getComputedStyle(parent);
    const ink = parent instanceof SVGElement ? style.fill : style.color;
    const [dark, bright] = [light(over(parse(ink), below)), light(below)].sort((a, b) => a - b);
    found.push([text.slice(0, 60), (bright + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""


Show = Callable[..., Page]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, make in PAGES.items():
        folder = tmp_path_factory.mktemp("page")
        found[name] = folder / "page.html"
        found[name].write_text(make(folder / "workspace"), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on PATH")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def show(files: dict[str, Path], browser: Browser) -> Show:
    """Open a page by name, everything folded away unfolded, in one tab for each kind of browser."""
    tabs: dict[str, Page] = {}

    def show(name: str, *, width: int = 1280, **settings: object) -> Page:
        kind = repr(settings)
        if kind not in tabs:
            tabs[kind] = browser.new_context(offline=True, **settings).new_page()
        tabs[kind].emulate_media(media="screen")
        tabs[kind].set_viewport_size({"width": width, "height": 900})
        tabs[kind].goto(files[name].as_uri())
        tabs[kind].eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
        return tabs[kind]

    return show


every_page = pytest.mark.parametrize("name", PAGES)
every_width = pytest.mark.parametrize("width", WIDTHS)


@every_page
def test_a_page_loads_nothing_but_itself_and_raises_nothing(name: str, show: Show) -> None:
    page = show(name)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.reload(wait_until="networkidle")
    assert (asked, said) == ([page.url], [])


@pytest.mark.parametrize("name", ["signals", "report"])
def test_text_from_users_is_shown_and_never_run(name: str, show: Show) -> None:
    page = show(name, bypass_csp=True)
    assert page.evaluate("[document.scripts.length, document.images.length]") == [0, 0]
    assert page.evaluate("window.ran") is None
    text = page.locator("body").inner_text()
    assert all(one in text for one in HOSTILE)


@every_page
@every_width
def test_no_page_scrolls_sideways(name: str, width: int, show: Show) -> None:
    page = show(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@every_page
@every_width
def test_no_short_word_is_torn_apart(name: str, width: int, show: Show) -> None:
    assert show(name, width=width).evaluate(TORN) == []


@pytest.mark.parametrize("name", ["signals", "report"])
def test_text_written_from_right_to_left_is_shown_so(name: str, show: Show) -> None:
    texts = show(name).locator("blockquote, q, .row").filter(has_text=RIGHT_TO_LEFT)
    directions = texts.evaluate_all("all => all.map(one => getComputedStyle(one).direction)")
    assert set(directions) == {"rtl"}


@every_page
@every_width
def test_pictures_hold_their_text(name: str, width: int, show: Show) -> None:
    assert show(name, width=width).evaluate(OUTSIDE) == []


@every_page
def test_pictures_have_names_of_their_own(name: str, show: Show) -> None:
    pictures = show(name).locator("svg:not([aria-hidden=true]), img:not([aria-hidden=true])")
    names = pictures.evaluate_all("all => all.map(one => one.ariaLabel || one.alt || '')")
    assert all(names) and len(set(names)) == len(names)


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_background(name: str, scheme: str, show: Show) -> None:
    contrasts = show(name, color_scheme=scheme).evaluate(CONTRASTS)
    assert contrasts and [one for one in contrasts if one[1] < 4.5] == []


@every_page
def test_headings_are_one_outline(name: str, show: Show) -> None:
    headings = show(name).locator("h1, h2, h3, h4, h5, h6")
    levels = headings.evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))


@every_page
def test_scripts_are_not_needed(name: str, show: Show) -> None:
    page, plain = show(name), show(name, java_script_enabled=False)
    assert plain.locator("body").inner_text() == page.locator("body").inner_text()


@every_page
def test_paper_shows_everything_what_is_folded_away_too(name: str, show: Show) -> None:
    page = show(name)
    everything = page.locator("main").inner_text()
    page.reload()
    page.emulate_media(media="print")
    assert page.locator(".lead").is_visible()
    assert page.locator("main").inner_text() == everything


@every_width
def test_every_signal_is_on_the_signals_page(width: int, show: Show) -> None:
    page = show("signals", width=width)
    assert page.locator(".lead").is_visible()
    for name in SIGNALS:
        assert page.get_by_role("heading", name=name, exact=True).is_visible(), name
    assert {"look", "act"} <= set(page.locator(".signal .level").all_inner_texts())
