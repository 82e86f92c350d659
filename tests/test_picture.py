"""The picture in a real browser: what is drawn, and what mouse and keyboard do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Tab, needs_chromium, started
from shown_runs import demo, failing, hostile, large, passing, recorded

from scenarios.report.causes import causes_of
from scenarios.report.page import page_of

pytestmark = needs_chromium

CHOSEN = "document.querySelector('#details h3')?.textContent"
NAMES = "[...document.querySelectorAll('.lanes .label .name')].map((each) => each.textContent)"
AXIS = "[...document.querySelectorAll('.ruler .at')].map((each) => each.textContent)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "demo": page_of(demo()),
        "failing": page_of(failing()),
        "hostile": page_of(hostile()),
        "large": page_of(large()),
        "recorded": page_of(recorded()),
        "two": page_of(failing(), passing()),
        "unlike": page_of(recorded(), demo()),
    }
    for name, text in made.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.tab() as found:
        yield found
        assert found.complaints() == []


def middle(tab: Tab, selector: str) -> tuple[float, float]:
    """The middle of an element, in the window."""
    box: list[float] = tab.get(
        f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
        ".getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    return box[0], box[1]


def numbers(tab: Tab) -> list[int]:
    """What the axis says."""
    return [int(text.lstrip("#").replace(",", "")) for text in tab.get(AXIS)]


def listed(tab: Tab, title: str) -> list[int]:
    """The events that the panel lists below a title."""
    texts: list[str] = tab.get(
        f"[...[...document.querySelectorAll('#details h4')].find((each) => each.textContent =="
        f" {json.dumps(title)}).nextElementSibling.querySelectorAll('.seq')]"
        ".map((each) => each.textContent)"
    )
    return [int(text.lstrip("#")) for text in texts]


@pytest.mark.parametrize("name", ["demo", "failing", "hostile", "large", "recorded", "two"])
@pytest.mark.parametrize("width", [1280, 800, 400])
def test_a_page_draws_and_never_scrolls_sideways(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    with browser.tab(width=width) as tab:
        tab.open(pages[name])
        assert len(tab.get(NAMES)) > 2
        assert tab.get("document.documentElement.scrollWidth") <= width
        assert tab.get("performance.getEntriesByType('resource').length") == 0
        assert tab.complaints() == []


def test_hostile_names_do_nothing_in_a_browser(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["hostile"])
    for seq in (4, 20, 21, 60):
        tab.get(f"location.hash = '#e={seq}'")
        tab.settle()
    assert "window.hacked=1</script>" in tab.get("document.body.textContent")
    assert tab.get("window.hacked === undefined")
    assert tab.get("document.querySelectorAll('img').length") == 0


def test_a_click_on_an_event_shows_its_details_and_its_causes(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages["failing"])
    broken = failing().violations[0].events[-1]
    assert tab.get(CHOSEN) is None
    # The ring of the last proof lies on the red line.
    x = tab.get("document.querySelector('.lanes .line.broken').getBoundingClientRect().x")
    rings: list[list[float]] = tab.get(
        "[...document.querySelectorAll('.ring.proof')].map((each) => each.getBoundingClientRect())"
        ".map((box) => [box.x + box.width / 2, box.y + box.height / 2])"
    )
    [at] = [ring for ring in rings if abs(ring[0] - x) < 2][:1]
    tab.click(*at)
    assert tab.get(CHOSEN) == "m0/t2 takes a token of the lane scan"
    text = tab.get("document.getElementById('details').textContent")
    assert f"#{broken} at 5,852 \u00b5s, acquire of m0/t2" in text
    assert "Here it breaks: A1 " in text
    assert "seen: m0/t2 got a token after its end was recorded" in text
    causes = causes_of(failing().events)
    assert listed(tab, "Led to it") == list(causes[broken])
    assert tab.get("document.querySelectorAll('.link.near').length") == len(causes[broken])
    assert tab.get("document.querySelectorAll('.ring.cause').length") > 3
    assert tab.get("location.hash") == f"#e={broken}"
    # A cause is a way on, to its own causes.
    tab.click_on("#details .events .event")
    assert tab.get("location.hash") == f"#e={causes[broken][-1]}"
    assert listed(tab, "Led to it") == list(causes[causes[broken][-1]])
    assert broken in listed(tab, "What followed from it")
    tab.click_on("#details .close")
    assert tab.get(CHOSEN) is None
    assert tab.get("location.hash") == ""


def test_what_lies_below_the_mouse_is_told(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["failing"])
    tip = "document.querySelector('.tip').hidden || document.querySelector('.tip').textContent"
    assert tab.get(tip) is True
    tab.point_at(*middle(tab, ".ring.proof"))
    assert tab.get(tip).startswith("#171, 5,296 \u00b5s: the workflow records m0/t2 as Cancelled")
    x, y = middle(tab, ".lanes .label")
    tab.point_at(x, y)
    assert tab.get(tip) == "w0 slot 0 "
    tab.point_at(5, 5)
    assert tab.get(tip) is True


def test_a_line_of_the_story_leads_to_its_event(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["failing"])
    tab.click_on("header .event.proof")
    first = failing().violations[0].events[0]
    assert tab.get("location.hash") == f"#e={first}"


def test_the_keyboard_reaches_every_event_and_its_causes(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["failing"])
    events = failing().events
    broken = failing().violations[0].events[-1]
    tab.get("document.querySelector('.lanes').focus()")
    active = (
        "document.getElementById(document.querySelector('.lanes')"
        ".getAttribute('aria-activedescendant'))"
    )
    said = f"{active}.getAttribute('aria-label')"
    assert tab.get(said).startswith(f"#{broken}, 5,852 \u00b5s: m0/t2 takes a token")
    assert "proves that A1 is broken" in tab.get(said)
    tab.press("ArrowLeft")
    mine = [event.seq for event in events if event.subject == "m0/t2" and event.seq < broken]
    assert tab.get(said).startswith(f"#{mine[-1]}, ")
    tab.press("ArrowRight")
    assert tab.get(said).startswith(f"#{broken}, ")
    tab.press("ArrowUp")
    assert "m0/t1" in tab.get(said)
    tab.press("v", "c")
    [cause] = causes_of(events)[broken]
    assert tab.get(said).startswith(f"#{cause}, ")
    assert tab.get(f"{active}.getAttribute('aria-selected')") == "false"
    tab.press("Enter")
    assert tab.get(f"{active}.getAttribute('aria-selected')") == "true"
    assert tab.get("location.hash") == f"#e={cause}"
    tab.press("Escape")
    assert tab.get(CHOSEN) is None
    # Every visible event comes in its order.
    tab.press("Home")
    tab.get("document.querySelector('[data-group=Workflow]').click()")
    tab.get("document.querySelector('[data-group=Workers]').click()")
    tab.settle()
    seen = [int(tab.get(said).partition(",")[0].lstrip("#"))]
    for _ in range(10):
        tab.press("PageDown")
        seen.append(int(tab.get(said).partition(",")[0].lstrip("#")))
    assert seen == list(range(seen[0], seen[0] + 11))


def test_a_task_alone_is_shown_with_its_streams_and_its_slot(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages["demo"])
    everything = tab.get(NAMES)
    tab.get(
        "const list = document.getElementById('only'); list.value = 'm0/t2';"
        " list.dispatchEvent(new Event('change'))"
    )
    tab.settle()
    assert tab.get(NAMES) == ["w0 slot 0", "m0/t2", "m0/s2"]
    assert tab.get("document.querySelectorAll('.lanes .s-faint').length") > 0
    assert tab.get("location.hash") == "#only=m0%2Ft2"
    assert tab.get("document.querySelector('.graph .task.on').dataset.name") == "m0/t2"
    # The same by its box in the plan, once to show it and once to let go.
    tab.click_on('.graph .task[data-name="m0/t2"]')
    assert tab.get("document.getElementById('only').value") == ""
    assert tab.get(NAMES) == everything


def test_a_stream_alone_is_shown_with_both_its_ends(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["demo"], "#only=m0/s2")
    assert tab.get("document.getElementById('only').value") == "m0/s2"
    assert tab.get(NAMES) == ["m0/t1", "m0/t2", "m0/s2"]


def test_zoom_keeps_what_is_below_the_mouse(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["demo"])
    before = numbers(tab)
    x, y = middle(tab, ".lanes")
    tab.wheel(x, y, -600, ctrl=True)
    near = numbers(tab)
    assert max(near) - min(near) < (max(before) - min(before)) / 2
    tab.click_on("#out")
    tab.click_on("#out")
    tab.click_on("#fit")
    assert numbers(tab) == before
    tab.click_on("#in")
    assert numbers(tab) != before
    tab.get("document.querySelector('.lanes').focus()")
    tab.press("0")
    assert numbers(tab) == before
    tab.press("+", "+")
    assert max(numbers(tab)) - min(numbers(tab)) < (max(before) - min(before)) / 2


def test_dragging_moves_in_time(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["demo"])
    for _ in range(3):
        tab.click_on("#in")
    before = numbers(tab)
    x, y = middle(tab, ".lanes")
    tab.drag((x, y), (x - 150, y))
    assert min(numbers(tab)) > min(before)
    assert tab.get(CHOSEN) is None


def test_both_axes_draw_the_same_lanes(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["demo"])
    lanes = tab.get(NAMES)
    assert tab.get("document.getElementById('by-time').getAttribute('aria-pressed')") == "true"
    tab.click_on("#by-event")
    assert tab.get(AXIS)[1] == "#100"
    assert tab.get(NAMES) == lanes
    assert tab.get("location.hash") == "#axis=event"


def test_an_address_brings_back_what_was_looked_at(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["demo"], "#e=361&axis=event&from=300&to=420")
    assert tab.get(CHOSEN).startswith("the reader of m1/s0 sees an error")
    assert min(numbers(tab)) >= 300
    assert max(numbers(tab)) <= 420


def test_a_lane_that_is_hidden_comes_back_with_its_event(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["demo"])
    assert "m0" not in tab.get(NAMES)
    tab.get("location.hash = '#e=5'")
    tab.settle()
    assert tab.get("document.querySelector('[data-group=Workflow]').checked")
    assert tab.get("document.querySelectorAll('.ring.chosen').length") == 1


def test_two_runs_share_their_axis_and_point_at_the_same_event(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages["two"])
    axes = (
        "[0, 1].map((each) => [...document.querySelectorAll(`#run-${each} .ruler .at`)]"
        ".map((at) => at.textContent).join(' '))"
    )
    left, right = tab.get(axes)
    assert left == right
    tab.click_on("#in")
    near, other = tab.get(axes)
    assert near == other != left
    tab.click_on("#fit")
    # An event that both have, then one that only the failing run has.
    broken = failing().violations[0].events[-1]
    rings = "[0, 1].map((each) => document.querySelectorAll(`#run-${each} .ring.chosen`).length)"
    tab.get(f"location.hash = '#e=0.{broken - 1}'")
    tab.settle()
    assert tab.get(rings) == [1, 1]
    tab.get(f"location.hash = '#e=0.{broken}'")
    tab.settle()
    assert tab.get(rings) == [1, 0]


def test_runs_of_unlike_length_are_each_drawn_to_its_own(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["unlike"])
    last = (
        "[0, 1].map((each) => [...document.querySelectorAll(`#run-${each} .ruler .at`)]"
        ".at(-1).textContent)"
    )
    assert tab.get("document.getElementById('own').checked")
    assert tab.get(last) == ["500", "20,000"]
    tab.click_on("#own")
    assert tab.get(last) == ["20,000", "20,000"]
    # What a recorded run cannot have is not shown of the other one.
    assert not tab.get("document.querySelector('[data-group=Slots]').checked")


def test_ten_thousand_events_take_few_elements(tab: Tab, pages: dict[str, Path]) -> None:
    tab.open(pages["large"])
    count = "document.querySelectorAll('.lanes svg *').length"
    assert tab.get(count) < 600
    assert tab.get("document.querySelectorAll('.lanes .s-dense').length") > 0
    tab.click_on("#by-event")
    for _ in range(7):
        tab.click_on("#in")
        assert tab.get(count) < 600
    # So near, nothing is too small to tell apart.
    assert tab.get("document.querySelectorAll('.lanes .s-dense').length") == 0


def test_a_page_follows_the_readers_choice_of_light_or_dark(
    browser: Browser, pages: dict[str, Path]
) -> None:
    colours = []
    for dark in (False, True):
        with browser.tab(dark=dark) as tab:
            tab.open(pages["failing"])
            colours.append(tab.get("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(21, 24, 27)"]


def test_whatever_can_be_used_has_a_name_for_who_does_not_see_it(
    tab: Tab, pages: dict[str, Path]
) -> None:
    tab.open(pages["two"], "#e=0.183")
    nodes: list[dict[str, Any]] = tab.send("Accessibility.getFullAXTree")["nodes"]
    used = ("button", "checkbox", "combobox", "listbox", "option", "link")
    found: dict[str, int] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in used and not node.get("ignored"):
            found[role] = found.get(role, 0) + 1
            assert node.get("name", {}).get("value", "").strip(), node
    assert found["listbox"] >= 2
    assert found["button"] > 10
    assert found["checkbox"] >= 4
    # The event in the panel is told when it changes.
    assert tab.get("document.getElementById('details').getAttribute('aria-live')") == "polite"
