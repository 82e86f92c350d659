"""The command, as tests of it call it."""

import json
from pathlib import Path

from click.testing import CliRunner, Result
from stored import DATA, vector_cases

from scenarios.cli import cli
from scenarios.data import Store, made_lines


def windtunnel(*words: object, stdin: str | bytes | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, [str(word) for word in words], input=stdin)


def imported(folder: Path) -> Path:
    """The lines of the vectors as a bucket."""
    place = folder / "bucket"
    made = windtunnel("data", "import", DATA / "input.jsonl", "--out", place)
    assert made.exit_code == 0, made.output
    return place


def filled(place: Path, *, rows: int, seed: int, sections: int) -> Path:
    """A bucket of lines that are made."""
    with Store(place, sections=sections) as store:
        for line in made_lines(rows=rows, seed=seed):
            store.add(line)
        store.finish()
    return place


def saved(query: str, folder: Path) -> Path:
    """The plan of one of the vectors as a file."""
    place = folder / "plan.json"
    [plan] = (case["plan"] for case in vector_cases() if case["query"] == query)
    place.write_text(json.dumps(plan), encoding="utf-8")
    return place
