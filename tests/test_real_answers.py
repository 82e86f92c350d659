"""`make million`: every LogQL plan over many rows, on the real runners."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from stored import DATA, vector_lines
from threads import threads_left

from scenarios.data import Line
from scenarios.data.varied import varied_lines
from scenarios.inputs import NamedPlan, load_plans
from scenarios.real_answers import describe, main, real_answers
from workflow import Runner
from workflow.runners.local import LocalRunner
from workflow.sections import Sections

NAMES = [
    json.loads(line)["name"] for line in (DATA / "logql.jsonl").read_text("utf-8").splitlines()
]
QUERIES = [name for name in NAMES if name.endswith("-2sections")]  # the others ask the same
MINUTE = 60 * 10**9
LOSES = f"{Path(__file__)}:loses_rows"


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert threads_left() == []


def test_each_query_gives_the_right_answer_on_both_runners_and_none_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--rows", "2000", "--plans", *QUERIES]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == QUERIES
    for line in lines:
        assert int(line.split()[1].replace(",", "")) > 50
        assert re.findall(r"local|dask|\d: \w+", line) == [
            *("local", "1: right", "2: right", "8: right"),
            *("dask", "1: right", "2: right", "8: right"),
        ]
    assert last.startswith(f"{6 * len(QUERIES)} of {6 * len(QUERIES)} answers are right, in ")


@dataclass
class Loses:
    """Rows without the first hundred of the second section."""

    data: Sections

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        left = 100 if location == "objects/1" else 0
        for batch in self.data.batches(location, section, rows):
            yield batch.slice(left)
            left -= min(left, batch.num_rows)


def loses_rows(data: Sections) -> Runner:
    """A runner that gives a wrong answer where there is a second section."""
    return LocalRunner(Loses(data))


def test_a_wrong_answer_is_told_with_its_plan_its_runner_and_its_sections(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "logql-10-12sections"
    given = ["--rows", "2000", "--plans", "logql-10-2sections", name, "--sections", "1", "2"]
    assert main([*given, "--runner", "local", "--runner", LOSES]) == 1
    lines = capsys.readouterr().out.splitlines()
    of_plan = next(line for line in lines if line.startswith(name))
    assert "oracle as above" in of_plan
    assert re.findall(r"\d: \w+", of_plan) == ["1: right", "2: right", "1: right", "2: WRONG"]
    at = next(index for index, line in enumerate(lines) if "WRONG  python -m scenarios" in line)
    words = shlex.split(lines[at])
    assert words[5:] == [
        "logql-10-2sections",
        "--runner",
        LOSES,
        "--sections",
        "2",
        "--rows",
        "2000",
    ]
    assert re.search(r"\d+ missing, \d+ too many", lines[at + 1])
    assert lines[-1].startswith("6 of 8 answers are right, in ")
    assert main(words[4:]) == 1


@dataclass
class Endless:
    """Rows that come again and again."""

    data: Sections

    def batches(self, location: str, section: int, rows: int) -> Iterator[pa.RecordBatch]:
        """See `workflow.sections.Sections`."""
        while True:
            yield from self.data.batches(location, section, rows)


def test_a_run_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    [plan, *_] = (each for each in load_plans(str(DATA / "logql.jsonl")))
    assert isinstance(plan, NamedPlan)

    def endless(data: Sections) -> Runner:
        return LocalRunner(Endless(data))

    [found] = real_answers(
        [plan], {"endless": endless}, folder=tmp_path, rows=10, sections=[1], patience=0.3
    )
    [tried] = found.tries
    assert tried.wrong.startswith("given up after 0.3 s: ")
    assert "endless  1: WRONG" in describe(found)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--plans", "nothing"], "expected some of logql-04-2sections, "),
        (
            ["--runner", "nothing"],
            "expected dask, local, package.module:FACTORY or file.py:FACTORY",
        ),
        (["--rows", "0"], "expected 1 to 1000000"),
        (["--sections", "3"], "invalid choice: 3"),
    ],
)
def test_what_is_not_there_is_refused(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(given)
    assert refused.value.code == 2
    assert told in capsys.readouterr().err


def test_varied_lines_have_times_of_their_own_and_one_at_each_full_minute() -> None:
    given = [Line(0, each["line"], (("app", "shop"),)) for each in vector_lines()]
    lines = list(varied_lines(given, 1_000, first=MINUTE // 2, last=5 * MINUTE))
    times = [line.ns for line in lines]
    assert times == sorted(dict.fromkeys(times))
    assert [time // MINUTE for time in times if time % MINUTE == 0] == [1, 2, 3, 4]
    assert lines == list(varied_lines(given, 1_000, first=MINUTE // 2, last=5 * MINUTE))
    assert lines != list(varied_lines(given, 1_000, first=MINUTE // 2, last=5 * MINUTE, seed=1))


@pytest.mark.parametrize("rows", [0, 11])
def test_more_lines_than_times_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=f"got {rows} rows in 10 ns of 1 lines"):
        next(varied_lines([Line(0, "")], rows, first=0, last=10))
