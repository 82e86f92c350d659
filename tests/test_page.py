"""The page of a run, without a browser: what is in it, and that it is the same every time."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from shown_runs import HOSTILE, demo, failing, hostile, large, passing, recorded
from stories import told

from properties.monitors.monitor import KINDS
from scenarios.inputs import InputError
from scenarios.report import page
from scenarios.report.causes import causes_of
from scenarios.report.graph import graph_svg
from scenarios.report.lanes import picture_of
from scenarios.report.page import page_of
from scenarios.report.shown import Shown
from workflow.trace import Event


class Elements(HTMLParser):
    """The start tags of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        """A text."""
        if self._inside == "script":
            self.scripts[-1] += data
        else:
            self.texts.append(data)

    def handle_endtag(self, _: str) -> None:
        """An element ends."""
        self._inside = ""


def data_of(text: str) -> list[dict[str, Any]]:
    """The runs that a page's script reads."""
    found: list[dict[str, Any]] = json.loads(Elements(text).scripts[0])
    return found


def test_a_page_needs_nothing_from_elsewhere() -> None:
    text = page_of(demo())
    for tag, attributes in Elements(text).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "audio", "video", "base")
        assert not {"src", "href", "style", "action"} & set(attributes), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    # A namespace is a name, no address.
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "").partition("<script>")[0]
    assert "@import" not in text
    assert "url(http" not in text


def test_the_policy_lets_only_the_pages_own_script_and_style_in() -> None:
    text = page_of(failing())
    [policy] = [
        attributes["content"]
        for tag, attributes in Elements(text).tags
        if tag == "meta" and "http-equiv" in attributes
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    style = text.partition("<style>")[2].partition("</style>")[0]
    for part in (style, Elements(text).scripts[1]):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_same_run_gives_the_same_bytes() -> None:
    for make in (demo, failing, recorded, hostile):
        first = page_of(make())
        make.cache_clear()
        assert page_of(make()) == first
    assert page_of(failing(), passing()) == page_of(failing(), passing())


def test_hostile_names_stay_text() -> None:
    text = page_of(hostile(), hostile())
    seen = Elements(text)
    assert [tag for tag, _ in seen.tags].count("script") == 2
    assert "img" not in dict(seen.tags)
    for attributes in (attributes for _, attributes in seen.tags):
        assert not any(name.startswith("on") for name in attributes)
    # Nothing that shows nothing, or turns around what stands beside it.
    assert re.search("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\u202e]", text) is None
    assert "</script><script>window" not in text
    shown = "".join(seen.texts)
    assert "</script><script>window.hacked=1</script><img src=x" in shown
    assert "\\u202e" in shown


def test_hostile_names_come_whole_out_of_the_data() -> None:
    [run] = data_of(page_of(hostile()))
    head = HOSTILE.partition("\u2028")[0]
    assert any(name.startswith(head) for name in run["names"])
    assert any(name.startswith(head) for name in run["kindNames"])
    assert any(value.startswith(head) for _, value in run["details"][21])
    script = Elements(page_of(hostile())).scripts[0]
    assert re.search("[<>&\u2028\u2029]", script) is None


def test_half_a_surrogate_pair_does_not_stop_a_page() -> None:
    odd = Event(0, 0, "note", "\udc80", {"text": "\ud800"})
    text = page_of(Shown(name="\udcff", title="\udcff", broken=False, events=[odd]))
    assert text.encode()


def test_a_run_of_too_many_events_is_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "MOST_EVENTS", 10)
    with pytest.raises(InputError, match="at most 10; --perfetto takes them all"):
        page_of(demo())


def test_details_of_any_size_fit() -> None:
    event = Event(0, 0, "write", "m0/s0", {"rows": 99, "ids": ["x" * 12] * 10_000, "z": "y" * 9999})
    [run] = data_of(page_of(Shown(name="a", title="b", broken=False, events=[event])))
    details = dict(run["details"][0])
    assert details["ids"].endswith(" and 9,960 more")
    assert details["z"].endswith(" \u2026 (9,999 characters)")


def test_the_first_difference_of_two_runs_is_told() -> None:
    text = page_of(failing(), passing())
    [told_apart] = re.findall(r'<p class="differs">(.*?)</p>', text)
    left, right = failing().events, passing().events
    place = int(re.findall(r"The first (\d+) events", told_apart)[0])
    for one, other in zip(left[:place], right[:place], strict=True):
        assert (one.kind, one.subject) == (other.kind, other.subject)
    assert f"left: #{place} m0/t2 takes a token" in told_apart
    assert left[place].kind == "acquire"
    assert right[place].kind != "acquire"
    assert "Both are the same" in page_of(passing(), passing())
    assert "Left is a recorded run of 500 \u00b5s, right a simulated run of 21,627" in page_of(
        recorded(), demo()
    )


# Lanes.


def lanes_of(shown: Shown) -> dict[str, Any]:
    """The lanes by name."""
    return {lane.name: lane for lane in picture_of(shown.events).lanes}


def states(lane: Any) -> list[str]:
    """What a lane goes through, and how it ends."""
    return [span.state for span in lane.spans] + [state for _, state in lane.ends]


def test_a_slot_has_each_attempt_while_it_runs() -> None:
    shown = demo()
    lanes = lanes_of(shown)
    spans = [span for name, lane in lanes.items() if lane.group == "Slots" for span in lane.spans]
    runs = [event for event in shown.events if event.kind == "run"]
    assert sorted(span.label for span in spans if span.label) == sorted(e.subject for e in runs)
    overs = {event.seq for event in shown.events if event.kind == "over"}
    ends = {span.end for span in spans}
    assert overs <= ends


def test_no_two_spans_of_a_lane_overlap() -> None:
    for shown in (demo(), failing(), large(), recorded(), hostile()):
        for lane in lanes_of(shown).values():
            for before, after in zip(lane.spans, lane.spans[1:], strict=False):
                assert 0 <= before.start <= before.end <= after.start, lane.name


def test_the_blocked_and_the_cancelled_show() -> None:
    lanes = lanes_of(demo())
    assert states(lanes["m0/s2"]) == ["Idle", "Open", "Blocked", "Open", "Closed"]
    assert states(lanes["m0/t2"]) == ["Pending", "Running", "Blocked", "Running", "Completed"]
    assert states(lanes["m1/t0"]) == ["Pending", "Running", "Cancelled"]
    assert states(lanes["m1/t2"])[-1] == "Failed"
    assert "Stopping" in states(lanes["w0/0"])


def test_a_dead_worker_shows_and_its_fault_holds_to_the_end() -> None:
    lanes = lanes_of(demo())
    assert states(lanes["w2"]) == ["Connecting", "Up", "Down"]
    assert states(lanes["w2/0"])[-1] == "Crashed"
    [crash] = [lane for lane in lanes.values() if lane.label == "worker_crash"]
    assert crash.spans[0].end == -1
    assert "w2" in crash.about


def test_a_fault_ends_with_what_ends_it() -> None:
    shown = Shown(
        name="x",
        title="x",
        broken=False,
        events=told(
            "cluster cluster workers=1 slots=1 buffer=1 profile=sound ack_timeout=1 detect=1"
            " slack=0 reconnect=1 slowest=1",
            "fault w0 fault=worker_crash",
            "@5 fault w0/hello fault=half_open",
            "@7 restart w0",
            "@9 fault w0 fault=slow_worker factor=3",
            "@12 connect w0 connection=w0.2",
        ),
    )
    lanes = lanes_of(shown)
    held = {lane.label: lane.spans[0] for lane in lanes.values() if lane.group == "Faults"}
    assert {kind: (span.start, span.end) for kind, span in held.items()} == {
        "worker_crash": (1, 3),
        "half_open": (2, 5),
        "slow_worker": (4, -1),
    }


def test_tokens_are_counted_against_their_limit_and_shown_with_who_holds_them() -> None:
    picture = picture_of(failing().events)
    [tokens] = [chart for chart in picture.charts if chart.name == "m0 scan tokens"]
    assert tokens.limit == 1
    assert tokens.steps[-1][1] == 1  # the leaked one
    [leaker] = [lane for lane in picture.lanes if lane.name == "m0/t2"]
    assert [span.end for span in leaker.below] == [-1]


def test_buffers_hold_what_was_received_and_not_taken() -> None:
    shown = large()
    lanes = lanes_of(shown)
    assert max(count for _, count in lanes["m0/s1"].steps) == 1  # as the cluster's buffer
    [chart] = [each for each in picture_of(shown.events).charts if "buffered" in each.name]
    assert chart.steps[-1][1] == 0
    assert min(count for _, count in chart.steps) == 0


def test_a_recorded_run_has_lanes_for_tasks_and_starts_at_zero() -> None:
    shown = recorded()
    assert [event.tick for event in shown.events][:8] == [0, 0, 0, 0, 0, 100, 100, 300]
    groups = dict.fromkeys(lane.group for lane in picture_of(shown.events).lanes)
    assert list(groups) == ["Tasks", "Streams", "Workflow"]
    lanes = lanes_of(shown)
    assert states(lanes["m0/t0"]) == ["Running", "Blocked", "Running", "Cancelled"]
    assert [count for _, count in lanes["m0/s0"].steps] == [1, 0]


def test_time_is_the_axis_unless_it_would_hide_the_story() -> None:
    assert not picture_of(demo().events).order
    assert picture_of(told("stop m0", "@5 stop m0", "@5000000 end run")).order
    assert picture_of(told(*["stop m0"] * 20, "@9 end run")).order


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_any_kind_without_known_names_finds_a_lane(kind: str) -> None:
    streams: Any = [] if kind == "input_end" else 0
    details = {
        "state": "Running", "worker": "w0", "lane": "scan", "scan": 0, "other": 0, "workers": 1,
        "slots": 1, "tasks": [], "streams": streams, "outcome": "taken", "crashed": False,
        "fault": "x", "task": "m0/t0", "sender": "m0/t1", "number": 1, "method": "start",
    }  # fmt: skip
    for subject in ("m?", "m?/t-1", "m7/t3.2", "m7/s3", "w9", "", "/", "?"):
        events = [Event(seq, seq, kind, subject, details) for seq in range(2)]
        assert len(picture_of(events).places) == 2
        assert causes_of(events)[0] == ()


# Causes.


def test_causes_come_before_what_they_lead_to() -> None:
    for shown in (demo(), failing(), large(), recorded(), hostile()):
        for seq, causes in enumerate(causes_of(shown.events)):
            assert list(causes) == sorted(set(causes))
            assert all(0 <= cause < seq for cause in causes)


def chain_of(shown: Shown, seq: int) -> list[str]:
    """The kinds of events on the way back from one, the last cause of each."""
    causes = causes_of(shown.events)
    kinds = []
    while causes[seq]:
        seq = causes[seq][-1]
        kinds.append(shown.events[seq].kind)
    return kinds


def test_an_error_that_a_reader_sees_leads_back_to_the_fault() -> None:
    shown = demo()
    errors = [event.seq for event in shown.events if event.kind == "read_error"]
    way = ["results_error", "recorded", "task_event", "move"]
    assert chain_of(shown, errors[0])[:6] == [*way, "report", "fault"]
    assert chain_of(shown, errors[1])[:7] == [*way, "worker_lost", "crash", "fault"]


def test_a_batch_leads_back_to_who_sent_it() -> None:
    shown = demo()
    causes = causes_of(shown.events)
    for event in shown.events:
        if event.kind in ("receive", "take"):
            before = [shown.events[cause] for cause in causes[event.seq]]
            batch = event.details["number"]
            wanted = "send" if event.kind == "receive" else "receive"
            assert any(
                each.kind == wanted and each.details["number"] == batch for each in before
            ), event


def test_a_stop_leads_back_to_the_call_of_the_workflow() -> None:
    shown = demo()
    stopped = next(event.seq for event in shown.events if event.kind == "stopped")
    assert chain_of(shown, stopped)[:3] == ["tell_cancel", "call", "results_error"]


def test_to_enter_a_section_is_a_beginning() -> None:
    shown = demo()
    causes = causes_of(shown.events)
    entered = [event.seq for event in shown.events if event.kind == "enter"]
    assert len(entered) > 1
    assert not any(causes[seq] for seq in entered)


# The drawing of a plan.


def test_a_drawing_has_a_box_for_each_task_and_a_line_for_each_stream_between_them() -> None:
    for name, tasks in picture_of(demo().events).manifests.items():
        text = graph_svg(name, tasks)
        assert text.count('class="task"') == len(tasks)
        assert text.count('class="edge"') == sum(len(task["sources"]) for task in tasks)
        assert graph_svg(name, tasks) == text


def test_a_task_that_two_read_has_one_box_and_a_dashed_line() -> None:
    tasks: list[dict[str, Any]] = [
        {"fragment": "Merge", "lane": "other", "sources": [1, 2], "sinks": [0]},
        {"fragment": "TopK", "lane": "other", "sources": [3], "sinks": [1]},
        {"fragment": "TopK", "lane": "other", "sources": [4], "sinks": [2]},
        {"fragment": "Scan", "lane": "scan", "sources": [], "sinks": [3, 4]},
    ]
    text = graph_svg("m0", tasks)
    assert text.count('class="task"') == 4
    assert text.count('class="edge more"') == 1


def test_tasks_in_a_circle_and_thousands_of_them_are_drawn() -> None:
    circle: list[dict[str, Any]] = [
        {"fragment": None, "lane": "scan", "sources": [1], "sinks": [0]},
        {"fragment": "", "lane": "scan", "sources": [0], "sinks": [1]},
    ]
    assert graph_svg("m0", circle).count('class="task"') == 2
    many = [{"fragment": "Scan", "lane": "scan", "sources": [], "sinks": [i]} for i in range(5000)]
    text = graph_svg("m0", many)
    assert "and 4,800 more tasks" in text
    assert len(text) < 200_000
