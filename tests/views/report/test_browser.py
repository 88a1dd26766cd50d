"""The page as readers have it, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecad_automl.views.report import html_page
from ecad_automl.views.report.data import Report
from ecad_automl.views.run import Kind
from ecad_automl.views.study import file_name_of
from tests.views.report.made_up import (
    COMPONENTS,
    HOSTILE_NAME,
    HOSTILE_ORIGIN,
    HOSTILE_PROMPT,
    LAYOUT,
    bits_of,
    made_up_report,
    report_of_several_steps,
)

pytest.importorskip("plotly", reason="plotly is not installed")


@dataclass
class Opened:
    """A page with what it asked for and complained of."""

    page: Any
    data: Report
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def title(self) -> str:
        return str(self.page.text_content("#details-title"))

    def select(self, index: int) -> None:
        """By its row in the table."""
        self.page.click(f"tr.pick[data-index='{index}'] button")


def open_report(browser: Any, path: Path, data: Report, **options: Any) -> Opened:
    context = browser.new_context(offline=True, **options)
    context.set_default_timeout(180_000)  # milliseconds; a busy machine is slow
    opened = Opened(context.new_page(), data)
    opened.page.on("request", lambda request: opened.requests.append(request.url))
    opened.page.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    path.write_text(html_page(data), encoding="utf-8")
    opened.page.goto(path.as_uri())
    opened.page.wait_for_selector("html[data-ready]")
    return opened


@pytest.fixture(scope="module")
def report(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A wide page in light colors; each test starts from its own choices."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    options = {"viewport": {"width": 1300, "height": 900}, "color_scheme": "light"}
    opened = open_report(browser, path, made_up_report(), permissions=["clipboard-read", "clipboard-write"], **options)
    yield opened
    opened.page.context.close()
    assert opened.complaints == [], "no test of this page made it complain"


@pytest.fixture(scope="module")
def phone(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A narrow page in dark colors, of a study that was not confirmed, without images."""
    path = tmp_path_factory.mktemp("phone") / "report.html"
    data = made_up_report(confirmed=False, images=False)
    options = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark", "reduced_motion": "reduce"}
    opened = open_report(browser, path, data, **options)
    yield opened
    opened.page.context.close()
    assert opened.complaints == [], "no test of this page made it complain"


def cells(page: Any, where: str, name: str) -> list[int]:
    """How many cells of a kind each map has."""
    script = "paths => paths.map(path => (path.getAttribute('d').match(/M/g) || []).length)"
    return list(page.eval_on_selector_all(f"{where} .map .fill-{name}", script))


def computed_by_component(data: Report, index: int) -> list[int]:
    bits = bits_of(data, index)
    return [int(bits[:, LAYOUT.component_index == number].sum()) for number in range(len(COMPONENTS))]


def test_the_page_opens_from_a_file_offline_and_asks_for_nothing_else(report: Opened, phone: Opened) -> None:
    for opened in (report, phone):
        outside = [url for url in opened.requests if not url.startswith("data:")]
        assert len(outside) == 1
        assert outside[0].startswith("file://")
        assert opened.complaints == []


def test_texts_of_the_study_stay_texts(report: Opened) -> None:
    page = report.page
    assert page.evaluate("window.hacked") is None
    assert page.text_content("h1") == HOSTILE_NAME
    assert page.text_content("#prompts li") == HOSTILE_PROMPT
    assert page.text_content("#images figcaption") == HOSTILE_PROMPT
    assert page.evaluate("document.scripts.length") == 4
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}))")
    assert page.evaluate("window.hacked") is None, "the policy of the page runs its own scripts alone"
    assert any("Content Security Policy" in text for text in report.complaints)
    report.complaints.clear()
    assert HOSTILE_ORIGIN in page.locator("tr.pick[data-index='7'] td.text").all_text_contents()
    assert HOSTILE_ORIGIN in page.locator("#front-chart .textpoint").all_text_contents()


def test_the_front_is_drawn_where_its_figures_are(report: Opened) -> None:
    traces = report.page.evaluate(
        "document.getElementById('front-chart').data.map(({name, x, y}) => ({name, x: [...x], y: [...y]}))"
    )
    by_name = {trace["name"]: trace for trace in traces}
    front = report.data.study.front
    searched, unseen = by_name["front, in the search"], by_name["front, on unseen prompts"]
    speedups = [run.speedup for run in front]
    np.testing.assert_allclose(searched["x"], np.log10(speedups), atol=1e-5)
    np.testing.assert_allclose(searched["y"], [schedule.difference for schedule in front], rtol=1e-5, atol=1e-12)
    survivors = [s.confirmed.difference for s in front if s.confirmed is not None and s.confirmed.survives]
    np.testing.assert_allclose(unseen["y"], survivors, rtol=1e-5, atol=1e-12)
    assert len(by_name["beaten on unseen prompts"]["y"]) == 1
    assert len(by_name["evaluated"]["x"]) == sum(
        s.kind in (Kind.EVALUATED, Kind.INFEASIBLE) for s in report.data.schedules
    )
    assert len(by_name["heuristics, on unseen prompts"]["x"]) == 2
    drawn = report.page.eval_on_selector_all("#front-chart .scatterlayer .point", "points => points.length")
    assert drawn >= len(front)


def test_a_click_on_a_point_shows_its_schedule(report: Opened) -> None:
    page, place = report.page, 4
    page.click("text=GMACs >> nth=0")
    page.evaluate("document.getElementById('front').scrollIntoView()")
    names = page.evaluate("document.getElementById('front-chart').data.map(({name}) => name)")
    trace = page.locator("#front-chart .scatterlayer .trace").nth(names.index("front, in the search"))
    box = trace.locator(".point").nth(place).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#card:not([hidden])")
    assert "null" not in page.text_content("#card")
    assert "Trial 4" in page.text_content("#card")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#details-title >> text=Trial 4:")
    page.check("#axis input[value=speedup]", force=True)
    assert cells(page, "#details-body", "computed") == computed_by_component(report.data, place)
    figures = page.text_content("#details-body dl")
    for text in (
        "\N{MINUS SIGN}0.0036 ± 0.0100",
        "\N{MINUS SIGN}0.0043 ± 0.0200",
        "on 96 unseen prompts",
        "bred",
        "steps",
        "5.04",
    ):
        assert text in figures


def test_arrow_keys_walk_along_the_front_and_enter_goes_to_the_details(report: Opened) -> None:
    page = report.page
    report.select(2)
    page.focus("#front-chart")
    page.keyboard.press("ArrowRight")
    assert report.title().startswith("Trial 1:"), "to the right there is the faster one"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert report.title().startswith("Trial 3:")
    assert "Trial 3" in page.text_content("#announcer")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "details-title"


def test_the_table_has_what_the_plot_has_and_works_by_keys(report: Opened) -> None:
    page, data = report.page, report.data
    rows = page.eval_on_selector_all("#front-table tbody tr", "rows => rows.map(row => row.textContent)")
    text = "\n".join(rows)
    for run in data.study.front:
        assert f"{run.speedup:.2f}x" in text
    assert "no, beaten by 2 steps" in text
    assert "4 steps" in text
    page.focus("tr.pick[data-index='0'] button")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert report.title().startswith("Trial 1:")
    assert page.get_attribute("tr.pick[data-index='1'] button", "aria-pressed") == "true"
    assert page.get_attribute("tr.pick[data-index='0'] button", "aria-pressed") == "false"


def test_commands_name_the_schedule_and_are_copied(report: Opened) -> None:
    page = report.page
    page.bring_to_front()  # only the page that has the focus reads the clipboard
    report.select(2)
    commands = page.locator("#details-body .command code").all_text_contents()
    assert commands[0].endswith(" \\\n  --trial 2 --out schedules")
    assert f'apply_schedule(pipe, "schedules/{file_name_of(HOSTILE_NAME)}-1.92x-trial2.json")' in commands[1]
    assert "extra={'b': 1}" in commands[1]
    page.locator("#details-body .command button").first.click()
    page.wait_for_selector("#details-body .command button >> text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == commands[0]


def test_two_schedules_are_compared_cell_by_cell(report: Opened) -> None:
    page, data = report.page, report.data
    page.select_option("#choice-a", "1")
    page.select_option("#choice-b", "4")
    a, b = bits_of(data, 1), bits_of(data, 4)
    assert sum(cells(page, ".beside > :nth-child(3)", "a")) == int((a & ~b).sum())
    assert sum(cells(page, ".beside > :nth-child(3)", "b")) == int((b & ~a).sum())
    assert sum(cells(page, ".beside > :nth-child(3)", "both")) == int((a & b).sum())
    heads = page.locator(".compare-figures thead th").all_text_contents()
    assert heads == ["A: Trial 1", "B: Trial 4"]
    page.click("#swap")
    assert page.locator(".compare-figures thead th").all_text_contents() == ["A: Trial 4", "B: Trial 1"]
    report.select(2)
    page.click("text=Compare as B")
    assert page.locator(".compare-figures thead th").all_text_contents()[1] == "B: Trial 2"


def test_components_are_left_out_of_heatmaps_and_shares(report: Opened) -> None:
    page = report.page
    boxes = page.locator("#components input")
    report.select(3)
    boxes.nth(0).uncheck()
    boxes.nth(2).uncheck()
    assert cells(page, "#details-body", "computed") == computed_by_component(report.data, 3)[1:2]
    names = page.evaluate("document.getElementById('share-component').data.map(({name}) => name)")
    assert names == ["attn2"]
    by_step = np.array(page.evaluate("document.getElementById('share-step').data[0].z"))
    expected = np.stack([bits_of(report.data, n)[:, LAYOUT.component_index == 1].mean(axis=1) for n in range(6)])
    np.testing.assert_allclose(by_step, expected)
    boxes.nth(1).click()
    assert boxes.nth(1).is_checked(), "the last one stays, or there would be nothing to draw"
    boxes.nth(0).check()
    boxes.nth(2).check()
    assert len(cells(page, "#details-body", "computed")) == 3


def test_images_are_those_of_the_schedule(report: Opened) -> None:
    page = report.page
    report.select(3)
    assert page.locator("#images img").count() == 4
    # Small ones are told so once they are loaded.
    page.locator("#images img.crisp").nth(3).wait_for()
    assert page.eval_on_selector_all("#images img", "images => images.every(image => image.naturalWidth === 8)")
    report.select(1)
    assert page.locator("#images img").count() == 4
    assert "No images were made under Trial 1; these are of the nearest that has some: Trial " in page.text_content(
        "#images-body p"
    )


def test_dark_and_light_follow_the_reader(report: Opened, phone: Opened) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    font = "document.getElementById('front-chart').layout.font.color"
    light, dark = report.page, phone.page
    assert light.evaluate("document.documentElement.dataset.theme") == "light"
    assert dark.evaluate("document.documentElement.dataset.theme") == "dark"
    assert light.evaluate(ground) != dark.evaluate(ground)
    before = light.evaluate(ground), light.evaluate(font)
    light.click("#theme")
    assert (light.evaluate(ground), light.evaluate(font)) == (dark.evaluate(ground), dark.evaluate(font))
    assert light.text_content("#theme") == "Switch to light"
    light.click("#theme")
    assert (light.evaluate(ground), light.evaluate(font)) == before


def test_a_narrow_page_does_not_scroll_sideways_nor_move(phone: Opened) -> None:
    page = phone.page
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.getElementById('theme')).transitionDuration") == "0s"


def test_the_card_of_a_schedule_that_was_not_confirmed_says_nothing_of_it(phone: Opened) -> None:
    page = phone.page
    page.evaluate("document.getElementById('front-chart').scrollIntoView()")
    names = page.evaluate("document.getElementById('front-chart').data.map(({name}) => name)")
    page.locator("#front-chart .scatterlayer .trace").nth(names.index("front")).locator(".point").nth(4).hover(
        force=True
    )
    page.wait_for_selector("#card:not([hidden])")
    text = page.text_content("#card")
    assert "Trial" in text
    assert "null" not in text
    page.mouse.move(1, 1)


def test_a_report_without_images_says_how_to_get_them(phone: Opened) -> None:
    text = phone.page.text_content("#images-body")
    assert "without images" in text
    assert "--storage 'a b.db' --study" in text
    assert "--images 4" in text


ACCESSIBLE: dict[str, Callable[[Any], bool]] = {
    "controls and pictures have a name": lambda page: page.evaluate(
        """[...document.querySelectorAll("button, select, input, [role=img], [role=application]")].every(item =>
        item.getAttribute("aria-label") || item.textContent.trim() || item.labels?.length)"""
    ),
    "images have a text": lambda page: page.evaluate("[...document.images].every(image => image.alt)"),
    "headings leave out no level": lambda page: page.evaluate(
        """[...document.querySelectorAll("h1, h2, h3, h4")].map(head => Number(head.tagName[1]))
        .every((level, at, all) => level <= (all[at - 1] ?? 0) + 1)"""
    ),
    "ids are used once": lambda page: page.evaluate(
        "(ids => ids.length === new Set(ids).size)([...document.querySelectorAll('[id]')].map(item => item.id))"
    ),
    "what scrolls can be scrolled by keys": lambda page: page.evaluate(
        "[...document.querySelectorAll('.scroll, .command pre')].every(item => item.tabIndex === 0)"
    ),
}


@pytest.mark.parametrize("promise", ACCESSIBLE)
def test_the_page_can_be_read_without_seeing_it(report: Opened, promise: str) -> None:
    assert ACCESSIBLE[promise](report.page)


def test_the_first_tab_offers_to_skip_to_the_front(phone: Opened) -> None:
    page = phone.page
    page.reload()  # Chromium goes on from what had the focus last, in other tests of this page
    page.wait_for_selector("html[data-ready]")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "front"


def test_the_selected_schedule_is_marked_where_the_front_is_drawn(report: Opened) -> None:
    report.select(5)
    shapes = json.loads(report.page.evaluate("JSON.stringify(document.getElementById('share-step').layout.shapes)"))
    assert (shapes[0]["y0"], shapes[0]["y1"]) == (4.5, 5.5)


@pytest.fixture(scope="module")
def several(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A study of several numbers of steps."""
    path = tmp_path_factory.mktemp("several") / "report.html"
    opened = open_report(browser, path, report_of_several_steps(), viewport={"width": 1300, "height": 900})
    yield opened
    opened.page.context.close()
    assert opened.complaints == [], "no test of this page made it complain"


def test_a_schedule_of_fewer_steps_is_told_drawn_and_applied_as_such(several: Opened) -> None:
    page = several.page
    several.select(0)
    assert "4 steps, 3 run, 1 guided, 97 % of slots" in page.text_content("#details-body")
    labels = page.eval_on_selector_all("#details-body svg[role=img]", "all => all.map(each => each.ariaLabel)")
    assert labels[0] == "Trial 0, guidance: both branches in 1 step of 4 steps"
    assert labels[1] == "Trial 0, attn1: 69 % computed of 4 blocks and 4 steps"
    assert "num_inference_steps=4" in page.text_content("#details-body")
    several.select(2)
    assert "num_inference_steps=6" in page.text_content("#details-body")
    drawn = page.evaluate("document.getElementById('front-chart').data.map(each => [each.name, each.x.length])")
    assert dict(drawn)["front, of fewer steps"] == 2


def test_only_runs_of_the_same_number_of_steps_are_shown_on_request(several: Opened) -> None:
    page = several.page
    several.select(0)
    rows = "rows => rows.map(row => row.dataset.index).filter(index => index !== undefined).map(Number)"
    everything = page.eval_on_selector_all("#front-table tr", rows)
    assert page.is_visible("text=same number of steps (6)")
    page.check("#same-steps input")
    assert page.eval_on_selector_all("#front-table tr", rows) == [each for each in everything if each not in (0, 1)]
    assert "4 steps" not in page.text_content("#front-table")
    assert several.title().startswith("Trial 2:")  # the nearest that is left
    drawn = page.evaluate("document.getElementById('front-chart').data.map(each => [each.name, each.x.length])")
    assert dict(drawn)["front"] == 4
    assert "front, of fewer steps" not in dict(drawn)
    page.uncheck("#same-steps input")
    assert page.eval_on_selector_all("#front-table tr", rows) == everything


def test_where_all_have_the_same_number_of_steps_nothing_is_left_to_choose(report: Opened) -> None:
    assert not report.page.is_visible("#same-steps")
