"""The console as a person meets it: by keyboard, live, in both themes, on a phone, without JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

PAGES = (
    "/",
    "/alerts",
    "/suppressions",
    "/suppressions/new",
    "/events?when=all",
    "/assets",
    "/sources",
    "/controls",
    "/controls/A.8.15",
    "/rules",
    "/ledger",
    "/trail",
    "/channels",
    "/account",
)
#: WCAG 2.2 contrast of every text against what lies behind it; returns what is below 4.5 (3 for large text).
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const light = (c) => { const f = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const behind = (node) => { const over = []; for (let at = node; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); over.push(c); if (c[3] >= 0.99) break; }
    return over.reverse().reduce((base, c) => base.map((v, i) => v * (1 - c[3]) + c[i] * c[3]), [255, 255, 255]); };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
    if (!node.checkVisibility({ visibilityProperty: true }) || node.closest("svg, .sr, .skip, option")) continue;
    const style = getComputedStyle(node), a = light(rgba(style.color)), b = light(behind(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) bad.push(`${node.tagName} ${node.textContent.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


def hold(held):
    """What keeps a request until the test lets it go on."""

    def keep(route):
        held.append(route)

    return keep


def test_the_list_is_walked_by_keyboard(page):
    """j and k move, enter opens, / searches, ? tells, g c goes to the controls."""
    page.goto("/alerts")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr.at")).to_have_count(1)
    name = page.locator("tr.at a[data-open]").inner_text()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.goto("/alerts")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/controls")


def test_acknowledging_by_key_can_be_undone(page):
    """x selects, a acknowledges in place, the toast takes it back."""
    page.goto("/alerts?status=open&status=acknowledged")
    row = page.locator("tr[data-row]").filter(has_text="open").first
    which = row.get_attribute("data-row")
    row = page.locator(f'tr[data-row="{which}"]')
    row.get_by_role("checkbox").check()
    page.keyboard.press("a")
    expect(row).to_contain_text("acknowledged")
    page.get_by_role("button", name="Undo").click()
    expect(row).to_contain_text("open")


def test_a_new_alert_appears_without_reload(page, server):
    """A record that arrives while the list is open becomes a row there, and the count in the navigation grows."""
    page.goto("/alerts")
    page.evaluate("window.stayed = true")
    before = int(page.locator("[data-count=unresolved]").inner_text())
    server.attack()
    expect(page.locator("#rows")).to_contain_text("192.0.2.200", timeout=60_000)
    assert int(page.locator("[data-count=unresolved]").inner_text()) > before
    assert page.evaluate("window.stayed")


def test_what_changed_between_the_page_and_its_stream_is_shown(page, server):
    """The page knows how far it goes: what came before the stream was open is not missed."""
    held = []
    page.route("**/live", hold(held))
    server.attack()
    page.goto("/alerts?q=192.0.2.200&status=any")
    before = page.locator("tr[data-row]").first.get_attribute("data-version")
    server.attack()
    for _ in range(1000):
        if held:
            break
        page.wait_for_timeout(50)  # until the browser has asked
    held[0].continue_()
    expect(page.locator("tr[data-row]").first).not_to_have_attribute("data-version", before, timeout=60_000)


def test_rows_that_somebody_works_on_wait(page, server):
    """With a row selected the list does not move: it says how many are new."""
    page.goto("/alerts?status=acknowledged&status=open")
    page.get_by_role("checkbox").nth(1).check()
    first = page.locator("tr[data-row]").first.get_attribute("data-row")
    page.evaluate("document.querySelectorAll('tr[data-row]')[1].remove()")  # as if that one were new to this page
    server.attack()
    waiting = page.locator("#waiting")
    expect(waiting).to_contain_text("1 new", timeout=60_000)
    assert page.locator("tr[data-row]").first.get_attribute("data-row") == first
    waiting.click()
    expect(waiting).to_be_hidden()


def test_an_alert_is_resolved_on_its_page(page):
    """The raw record opens on demand; resolving leads back to the same page."""
    page.goto("/alerts?status=any")
    page.locator("a[data-open]", has_text="A new account was created").click()
    page.locator(".events summary").first.click()
    expect(page.locator(".events .slot").first).to_contain_text("In the ledger: shard 0, position")
    page.keyboard.press("r")
    page.get_by_label("It was").select_option("benign")
    page.locator("#resolve-comment").fill("A planned account.")
    page.get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".head")).to_contain_text("resolved")
    expect(page.locator(".trail")).to_contain_text("A planned account.")


def test_a_record_opened_before_the_scripts_came_is_shown_nonetheless(page):
    """On a slow line people click what they see: the toggle that nobody heard is made good once htmx listens."""
    page.goto("/alerts?status=any")
    where = page.locator("a[data-open]", has_text="A new account was created").get_attribute("href")
    held = []
    page.route("**/*htmx*.js*", hold(held))
    page.goto(where, wait_until="commit")
    page.locator(".events summary").first.click()
    expect(page.locator(".events details").first).to_have_attribute("open", "")
    page.wait_for_timeout(200)  # its toggle has gone by
    for route in held:
        route.continue_()
    expect(page.locator(".events .slot").first).to_contain_text("In the ledger: shard 0, position")
    assert held


def test_the_ledger_is_verified_while_one_looks_on(page):
    """Verify now: the page shows progress and then the verdict, without reload."""
    page.goto("/ledger")
    page.get_by_role("button", name="Verify now").click()
    expect(page.locator("#verification")).to_contain_text("records verified", timeout=60_000)


@pytest.mark.parametrize("theme", ["light", "dark", "contrast"])
def test_every_text_can_be_read(page, server, theme):
    """WCAG 2.2 AA contrast on every page in every theme; nothing is wider than the window, here and on a phone."""
    page.context.add_cookies([{"name": "watchbill_theme", "value": theme, "url": server.url}])
    for where in PAGES:
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(where)
        assert page.evaluate(CONTRAST) == [], where
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, where


def test_pages_say_what_is_what(page):
    """Each page has one h1, a name for every control, and a skip link that comes first."""
    for where in PAGES:
        page.goto(where)
        assert page.locator("h1").count() == 1, where
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href]")].filter((node) =>
            node.checkVisibility() && !(node.labels?.length || node.ariaLabel || node.textContent.trim() || node.querySelector("title, [aria-label]"))).map((node) => node.outerHTML)"""
        )
        assert unnamed == [], where
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()


def test_reading_needs_no_script(chromium, server, signed_in):
    """Without JavaScript every page still shows what it knows."""
    context = chromium.new_context(base_url=server.url, storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto("/alerts?q=203.0.113.9")
    page.locator("a[data-open]").first.click()
    expect(page.locator(".lead").first).to_contain_text("203.0.113.9")
    context.close()


def test_the_first_load_is_small(page):
    """Below 100 kB over the wire for the overview, scripts and styles included."""
    page.goto("/")
    page.wait_for_load_state("load")
    total = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, one) => sum + one.encodedBodySize, 0)"
    )
    assert 30_000 < total < 100_000


def test_a_phone_shows_the_list_and_the_menu(page):
    """390 px: rows are cards and the menu opens."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/alerts")
    page.get_by_text("Menu").click()
    expect(page.get_by_role("link", name="Controls")).to_be_visible()
    expect(page.locator("h1")).to_have_text(re.compile("Alerts"))
