"""The benchmarks run.  What they measure is not judged here: that depends on the machine."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main, table
from benchmarks.measure import Figure, Sizes, alone, peak_bytes

TINY = Sizes(
    repeats=1,
    seeds=1,
    tasks=(2, 5),
    records=2,
    targets=(10, 20),
    rows=2_000,
    large=(3, 2),
    profiled=(3, 2),
    failing=1,
    mutants=2,
    batches=3,
    fresh=False,
)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_gives_figures_under_its_name(name: str) -> None:
    figures = list(BENCHMARKS[name](TINY))
    assert figures
    assert {figure.benchmark for figure in figures} == {name}
    assert all(math.isfinite(figure.value) for figure in figures)
    assert len({(figure.case, figure.name) for figure in figures}) == len(figures)


def test_the_shares_of_a_run_make_a_whole_and_leave_nothing_unnamed() -> None:
    shares = {figure.name: figure.value for figure in BENCHMARKS["shares"](TINY)}
    assert math.isclose(sum(shares.values()), 100)
    assert {"choices", "clock and heap", "network", "scheduler", "trace", "engine"} <= set(shares)


def test_figures_print_as_a_table_and_go_to_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    main(["partition", "--json", str(out)], TINY)
    head, first, second, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["benchmark", "case", "figure", "value"]
    assert first.split()[:4] == ["partition", "10", "targets", "time"]
    assert second.startswith(" ")
    assert json.loads(out.read_text(encoding="utf-8"))[0]["case"] == "10 targets"


def test_a_name_that_is_no_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "NAME: got 'speed', expected one of simpy, small" in capsys.readouterr().err


def test_numbers_keep_their_weight_in_a_table() -> None:
    values = [12_345.6, 99.94, 9.994, 0.0, -0.5]
    lines = list(table([Figure("b", "c", str(n), value) for n, value in enumerate(values)]))
    assert [line.split()[-1] for line in lines[1:]] == ["12,346", "99.9", "9.99", "0", "-0.50"]


def test_a_call_may_have_a_process_of_its_own() -> None:
    assert alone(True, peak_bytes) > 0
