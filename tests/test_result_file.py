"""`windtunnel run --to FILE`: the answer of a plan as a file, whole or not at all."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import filled, imported, saved, windtunnel

from scenarios.data.running import answer_lines, answer_rows
from scenarios.data.saving import result_file
from scenarios.inputs import InputError
from workflow import Plan, plan_to_json
from workflow.plan import Limit, ScanSet

LOGS = '{app="shop"}'
RUNNERS = ("local", "sim")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines of the vectors as a bucket."""
    return imported(tmp_path_factory.mktemp("bucket"))


@pytest.fixture
def command(bucket: Path, tmp_path: Path) -> tuple[Any, ...]:
    """The words of a run, but for the runner."""
    return ("run", saved(LOGS, tmp_path), "--data", bucket, "--runner")


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(each.name for each in folder.iterdir())


def sort(rows: list[dict[str, Any]]) -> list[str]:
    """Rows that can be compared, in whatever order."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


@pytest.mark.parametrize("runner", RUNNERS)
def test_each_form_holds_the_rows_of_the_answer(
    runner: str, command: tuple[Any, ...], tmp_path: Path
) -> None:
    shown = json.loads(windtunnel(*command, runner, "--json").stdout)["workloads"][0]
    rows = shown["answer"]
    assert rows
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("a.parquet", "a.csv", "a.jsonl", "a.JSON"):
        result = windtunnel(*command, runner, "--to", folder / name)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"saved      {folder / name}: {len(rows)} rows\n")
    assert names(folder) == ["a.JSON", "a.csv", "a.jsonl", "a.parquet"]
    lines = (folder / "a.jsonl").read_text("utf-8").splitlines()
    assert sort([json.loads(line) for line in lines]) == sort(rows)
    assert (folder / "a.JSON").read_bytes()[:1] == b"{"
    kept = pq.read_table(folder / "a.parquet")
    assert sort(answer_rows(kept.to_batches())) == sort(rows)
    with (folder / "a.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(rows[0])
    times = [name for name in rows[0] if name.startswith("timestamp_ns.")]
    for name in read[0]:
        if name not in times:
            assert sorted(row[name] for row in read) == sorted(row[name] or "" for row in rows)
    assert all(each[name][10] == "T" and each[name][-1] == "Z" for each in read for name in times)


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_place_of_the_answer_is_told_as_json(
    runner: str, command: tuple[Any, ...], tmp_path: Path
) -> None:
    place = tmp_path / "a.csv"
    [shown] = json.loads(windtunnel(*command, runner, "--to", place, "--json").stdout)["workloads"]
    assert shown["saved"] == str(place)
    assert "answer" not in shown


def test_what_cannot_be_saved_is_refused_before_the_run(
    bucket: Path, command: tuple[Any, ...], tmp_path: Path
) -> None:
    (tmp_path / "there.csv").mkdir()
    for runner in RUNNERS:
        for place, seen in (
            ("a.xlsx", "a.xlsx: got the ending '.xlsx', expected .parquet, .csv, .json or .jsonl"),
            ("a", "a: got the ending '', expected .parquet, .csv, .json or .jsonl"),
            ("none/a.csv", "none/a.csv: cannot be written (No such file or directory)"),
            ("there.csv", "there.csv: cannot be written (it is there, and no file)"),
        ):
            result = windtunnel(*command, runner, "--to", tmp_path / place)
            assert isinstance(result.exception, InputError)
            assert str(result.exception).endswith(seen)
            assert result.stdout == ""
        several = windtunnel("run", "demo", "--data", bucket, "--runner", runner, "--to", "a.csv")
        assert str(several.exception) == "--to: got demo with 3 plans, expected one"
    assert "--to is for --data." in windtunnel("run", "demo", "--to", "a.csv").output


def test_a_run_that_fails_leaves_the_older_file(command: tuple[Any, ...], tmp_path: Path) -> None:
    place = tmp_path / "out" / "a.csv"
    place.parent.mkdir()
    place.write_text("older", "utf-8")
    Path(tmp_path / "own.py").write_text(
        "from workflow.runners.local import LocalRunner\n\n"
        "class Gone:\n    def batches(self, *place):\n        raise LookupError('gone')\n\n"
        "def make(data):\n    return LocalRunner(Gone())\n",
        "utf-8",
    )
    result = windtunnel(*command, f"{tmp_path / 'own.py'}:make", "--to", place)
    assert result.exit_code == 2
    assert "LookupError: gone" in result.stdout
    assert (names(place.parent), place.read_text("utf-8")) == (["a.csv"], "older")


BATCH = pa.record_batch({"utf8.builtin.message": ["one"]})


def test_a_save_that_breaks_off_leaves_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a.csv"
    place.write_text("older", "utf-8")
    with result_file(place):
        assert len(names(tmp_path)) == 2  # the place was tried
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(InputError, match="No space left"), result_file(place) as save:
        save([BATCH])
    assert (names(tmp_path), place.read_text("utf-8")) == (["a.csv"], "older")


def test_batches_with_other_columns_become_one_table(tmp_path: Path) -> None:
    other = pa.record_batch({"utf8.ambiguous.level": ["warn", None]})
    as_csv = '"utf8.ambiguous.level","utf8.builtin.message"\n,"one"\n"warn",\n,\n'
    as_json = (
        '{"utf8.ambiguous.level": null, "utf8.builtin.message": "one"}\n'
        '{"utf8.ambiguous.level": "warn", "utf8.builtin.message": null}\n'
        '{"utf8.ambiguous.level": null, "utf8.builtin.message": null}\n'
    )
    for name, expected in (("a.csv", as_csv), ("a.jsonl", as_json)):
        with result_file(tmp_path / name) as save:
            save([BATCH, other])
        assert (tmp_path / name).read_text("utf-8") == expected


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_an_answer_without_rows_is_a_file_too(name: str, tmp_path: Path) -> None:
    with result_file(tmp_path / name) as save:
        save([])
    assert (tmp_path / name).is_file()
    if name == "a.parquet":
        assert pq.read_table(tmp_path / name).num_rows == 0


def test_a_long_table_is_cut_and_says_how_to_get_the_rest() -> None:
    many = pa.record_batch({"utf8.builtin.message": [str(at) for at in range(150)]})
    lines = list(answer_lines([many, many, many, BATCH]))
    assert len(lines) == 202
    assert lines[200] == "49"
    assert lines[201] == (
        "... and 251 more rows: --to FILE.parquet (.csv, .jsonl) saves all, --json prints all"
    )
    assert len(list(answer_lines([many]))) == 151
    assert list(answer_lines([many.slice(0, 100), many.slice(0, 100)]))[-1] == "99"


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_command_cuts_a_long_answer(runner: str, tmp_path: Path) -> None:
    place = filled(tmp_path / "logs", rows=500, seed=1, sections=2)
    plan = Plan()
    plan.add_edge(plan.add(Limit(fetch=250)), plan.add(ScanSet()))
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan_to_json(plan)), "utf-8")
    lines = windtunnel("run", file, "--data", place, "--runner", runner).stdout.splitlines()
    assert lines[201].startswith("... and 50 more rows: ")
    assert lines[202] == ""
