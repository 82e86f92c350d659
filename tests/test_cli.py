"""The command as a user meets it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scenarios.cli import cli, main

DATA = Path(__file__).parent / "data"
CASES = [
    json.loads(line)
    for name in ("plans.jsonl", "logql.jsonl")
    for line in (DATA / name).read_text(encoding="utf-8").splitlines()
]


def windtunnel(*words: str, stdin: str | None = None) -> Result:
    """Run the command in this process; what it raises goes through `main`'s handling."""
    return CliRunner().invoke(cli, words, input=stdin)


def errors_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the whole program says of bad input, once it has exited with 2."""
    old, sys.argv = sys.argv, ["windtunnel", *words]
    try:
        with pytest.raises(SystemExit) as stopped:
            main()
    finally:
        sys.argv = old
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["plans.jsonl", "logql.jsonl"])
def test_partition_gives_every_vector_as_the_reference_does(name: str) -> None:
    result = windtunnel("partition", str(DATA / name), "--json")
    seen = [json.loads(line) for line in result.stdout.splitlines()]
    cases = [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]
    assert len(seen) == len(cases)
    for case, mine in zip(cases, seen, strict=True):
        if "error" in case:
            assert (mine["name"], mine["error"]) == (case["name"], case["error"])
            assert case["error"] in mine["message"]
        else:
            assert mine == {key: case[key] for key in ("name", "tasks", "streams", "workflow_text")}
    assert result.exit_code == (2 if any("error" in case for case in cases) else 0)


def test_partition_reads_a_plan_from_a_pipe_and_from_a_file(tmp_path: Path) -> None:
    case = CASES[-1]
    text = json.dumps(case["plan"], indent=2)
    file = tmp_path / "my-plan.json"
    file.write_text(text, encoding="utf-8")
    for words, stdin, name in (
        ((str(file),), None, "my-plan"),
        (("-",), text, "stdin"),
        (("-",), json.dumps(case), case["name"]),
    ):
        result = windtunnel("partition", *words, "--json", stdin=stdin)
        [line] = result.stdout.splitlines()
        shown = json.loads(line)
        assert shown["name"] == name
        assert shown["workflow_text"] == case["workflow_text"]


def test_partition_reads_a_printed_plan() -> None:
    case = CASES[-1]
    result = windtunnel("partition", "-", "--json", stdin=case["plan_text"])
    shown = json.loads(result.stdout)
    assert shown["streams"] == case["streams"]
    assert [task["children"] for task in shown["tasks"]] == [
        task["children"] for task in case["tasks"]
    ]


def test_a_printed_plan_that_could_be_two_is_refused_until_told() -> None:
    case = next(case for case in CASES if case["name"] == "random-0403")
    result = windtunnel("partition", "-", stdin=case["plan_text"])
    assert result.exit_code == 2
    assert "ambiguous-sharing: line " in result.stderr
    assert result.stderr.endswith("(here: --shared or --separate)\n")
    assert windtunnel("partition", "-", "--shared", stdin=case["plan_text"]).exit_code == 0
    assert windtunnel("partition", "-", "--separate", stdin=case["plan_text"]).exit_code == 0


def test_several_plans_are_printed_under_their_names_and_one_bad_line_loses_no_other() -> None:
    good = next(case for case in CASES if "error" not in case)
    bad = next(case for case in CASES if case.get("error") == "two-shardable")
    lines = "\n".join([json.dumps(good), "{nonsense", json.dumps(bad), json.dumps(good)])
    result = windtunnel("partition", "-", stdin=lines)
    assert result.exit_code == 2
    assert result.stdout.count(f"{good['name']}:\n┌ Task") == 2
    assert "stdin:2:2: got no JSON" in result.stderr
    assert f"{bad['name']}: two-shardable: node " in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"nodes": [], "edges": []}', "no-root: got no nodes"),
        (b'{"nodes": [\n  {"id": 0,\n  "type": }]}', ":3:11: got no JSON: Expecting value"),
        (b'{"nodes": [{"id": 0, "type": "TopKay"}], "edges": []}', "did you mean 'TopK'?"),
        (b"\xff\xfe", "got bytes that are no UTF-8"),
        (b"Topk k=3\n", "TopK"),
        (b"", "no-root: got no nodes"),
    ],
    ids=["no nodes", "no JSON", "unknown type", "no UTF-8", "unknown kind", "empty"],
)
def test_bad_input_gets_one_line_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    said = errors_of(capsys, "partition", str(file))
    assert said.startswith(f"windtunnel: {file}")
    assert message in said
    assert "Traceback" not in said


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors_of(capsys, "partition", "nowhere.json") == (
        "windtunnel: nowhere.json: cannot be read (No such file or directory)\n"
    )


def test_an_unknown_option_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "--json" in errors_of(capsys, "partition", "x", "--jsn")


def test_demo_saves_a_trace_that_is_the_same_in_another_process(tmp_path: Path) -> None:
    digests = []
    for hash_seed in ("0", "12345"):
        file = tmp_path / f"{hash_seed}.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "scenarios", "demo", "--trace", str(file)],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONUTF8": "1", "PATH": ""},
            capture_output=True,
            check=True,
        )
        digests.append((file.read_bytes(), done.stdout.replace(str(file).encode(), b"")))
    assert digests[0] == digests[1]
    assert b"ConnectionLost: connection to worker" in digests[0][1]


def test_a_trace_that_cannot_be_written_is_an_error_with_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "no" / "trace.jsonl"
    said = errors_of(capsys, "demo", "--trace", str(place))
    assert said == f"windtunnel: {place}: cannot be written (No such file or directory)\n"


def test_version_and_help_are_there() -> None:
    assert windtunnel("--version").output == "windtunnel, version 0.1.0\n"
    assert "Examples:" in windtunnel("partition", "--help").output
