"""`windtunnel data`: the commands.

What they do is imported when they do it: the kernels of pyarrow take as long to load as a quarter
of everything else, and the other commands do not need them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from scenarios.inputs import InputError, NamedPlan, is_there, load_plans
from scenarios.shelf import load_plan, plan_names, unknown

if TYPE_CHECKING:
    from scenarios.data.store import Stored

__all__ = ["data_commands"]

_BAD_INPUT: Final = 2
_SHOWN: Final = 20  # refused lines that are told one by one
_IMPORT_EXAMPLES = """\b
Examples:
  windtunnel data import lines.jsonl --out bucket
  windtunnel data import app.logfmt.gz --out bucket --label-key app --sections 8
  windtunnel data import access.log --out bucket --label app=web \\
    --time-pattern '[%d/%b/%Y:%H:%M:%S %z]'
"""
_MAKE_EXAMPLES = """\b
Examples:
  windtunnel data make --rows 10000 --seed 7 --out bucket
"""

_COSTS_EXAMPLES = """\b
Examples:
  windtunnel data costs bucket >> my-scenario.toml
  windtunnel data costs bucket --plan log-search --plan plan.json
"""

_OUT_OPTION: Final = click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="BUCKET",
    help="The bucket, a folder that is new or empty.  It is there as a whole or not at all.",
)


@click.group("data")
def data_commands() -> None:
    """Import or make log lines for plans to run over."""


@data_commands.command("import", epilog=_IMPORT_EXAMPLES)
@click.argument("place", metavar="INPUT")
@_OUT_OPTION
@click.option(
    "--sections",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Cut the lines into N sections by time.  By default each line goes to the object that it"
    " names, or, if lines name none, there are as few sections as will do.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "logfmt", "text"]),
    help="What the lines are.  By default as the file's name says, else text.",
)
@click.option(
    "--time-key", metavar="KEY", help="Of logfmt: the key of the time; ts, time or timestamp."
)
@click.option(
    "--time-pattern",
    metavar="PATTERN",
    help="Of text: how its time is written, with %Y %m %b %d %H %M %S %f %z %s.  By default as in"
    " RFC 3339.",
)
@click.option(
    "--label-key",
    "label_keys",
    multiple=True,
    metavar="KEY",
    help="Of logfmt: a key that is a label; may be repeated.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of logfmt and text: a label of every line; may be repeated.",
)
@click.option("--strict", is_flag=True, help="Stop at the first line that is refused.")
def import_command(  # noqa: PLR0917 - click passes them by name
    place: str,
    out: Path,
    sections: int | None,
    form: str | None,
    time_key: str | None,
    time_pattern: str | None,
    label_keys: tuple[str, ...],
    labels: tuple[str, ...],
    strict: bool,
) -> None:
    """Read log lines from INPUT, a file or - for the standard input, into a bucket.

    INPUT may be packed with gzip.  A line that cannot be read is refused with its number and the
    others are imported; then the exit code is 2.  docs/data.md has the forms and the limits.
    """
    from scenarios.data.importing import form_of, import_lines, reader  # noqa: PLC0415
    from scenarios.data.lines import BadLine, Limits  # noqa: PLC0415
    from scenarios.data.source import size_of  # noqa: PLC0415

    form = form or form_of(place)
    for option, value, forms in (
        ("--time-key", time_key, ("logfmt",)),
        ("--time-pattern", time_pattern, ("text",)),
        ("--label-key", label_keys, ("logfmt",)),
        ("--label", labels, ("logfmt", "text")),
    ):
        if value and form not in forms:
            raise click.UsageError(f"{option} is for {' and '.join(forms)}, and this is {form}.")
    try:
        read = reader(
            form,
            limits=Limits(),
            labels=_labels(labels),
            time_key=time_key,
            time_pattern=time_pattern,
            label_keys=label_keys,
        )
    except BadLine as error:
        raise click.UsageError(f"{error}.") from None
    refused = 0

    def refuse(number: int, error: BadLine) -> None:
        nonlocal refused
        refused += 1
        where = f"{'stdin' if place == '-' else place}:{number}"
        if strict:
            raise InputError(where, str(error))
        if refused <= _SHOWN:
            click.echo(f"windtunnel: {where}: {error}", err=True)

    with _progress("bytes", size_of(place), step=2**20) as bar:
        stored = import_lines(
            place,
            out,
            read,
            limits=Limits(),
            sections=sections,
            refuse=refuse,
            progress=bar.update,
        )
    if refused > _SHOWN:
        click.echo(f"windtunnel: ... and {refused - _SHOWN} more lines are refused", err=True)
    _tell(stored, out, "imported", refused)
    if refused:
        sys.exit(_BAD_INPUT)


def _labels(labels: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for label in labels:
        name, equals, value = label.partition("=")
        if not equals or not name:
            raise click.UsageError(f"got --label {label}, expected NAME=VALUE.")
        found[name] = value
    return found


@data_commands.command("make", epilog=_MAKE_EXAMPLES)
@click.option(
    "--rows", type=click.IntRange(1, 10**9), metavar="N", required=True, help="How many lines."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="S",
    default=0,
    show_default="0",
    help="Decides the lines.",
)
@_OUT_OPTION
@click.option(
    "--sections",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=8,
    show_default="8",
    help="How many sections, each a slice of time.",
)
def make_command(rows: int, seed: int, out: Path, sections: int) -> None:
    """Make log lines with the trouble that real ones have; the same seed makes the same bytes."""
    from scenarios.data.make import made_lines  # noqa: PLC0415
    from scenarios.data.store import Store  # noqa: PLC0415

    with Store(out, sections=sections) as store, _progress("rows", rows, step=1000) as bar:
        for line in made_lines(rows, seed):
            store.add(line)
            bar.update(1)
        stored = store.finish()
    _tell(stored, out, "made", 0)


@data_commands.command("costs", epilog=_COSTS_EXAMPLES)
@click.argument("place", metavar="BUCKET")
@click.option(
    "--plan",
    "names",
    multiple=True,
    metavar="PLAN",
    help="A plan of the library or a file of plans; may be repeated.  By default all plans of the"
    " library that can run over a bucket.",
)
@click.option("--json", "as_json", is_flag=True, help="What was measured as one JSON object.")
def costs_command(place: str, names: tuple[str, ...], as_json: bool) -> None:
    """Measure how many rows each kind of node takes in a millisecond, by running plans.

    The table is of this machine, and goes under [cluster.costs] in a scenario's file.
    """
    from scenarios.data.costs import BATCH_ROWS, measure  # noqa: PLC0415

    plans = [plan for name in names or plan_names() for plan in _plans_named(name)]
    measured, refused = measure(plans, place)
    for name, reason in refused.items():
        if names:
            raise InputError(name, reason)
        click.echo(f"windtunnel: {name}: left out: {reason}", err=True)
    if as_json:
        nodes = {
            each.kind: {"rows_per_ms": each.rate, "rows": each.rows, "ns": each.ns}
            for each in measured
        }
        ran = [each.name for each in plans if each.name not in refused]
        click.echo(json.dumps({"costs": nodes, "plans": ran, "batch_rows": BATCH_ROWS}))
        return
    ran_count = _count(len(plans) - len(refused), "plan")
    click.echo("[cluster.costs]")
    click.echo(f"# rows per millisecond, over {ran_count}, {BATCH_ROWS} rows in a batch")
    for each in measured:
        click.echo(f"{each.kind} = {each.rate}")


def _plans_named(name: str) -> Iterator[NamedPlan]:
    """A plan of the library, or those of a file.  Raises InputError."""
    if not is_there(name):
        if name not in plan_names():
            raise unknown(name, "no file, and no plan of the library", plan_names())
        yield load_plan(name)
        return
    for each in load_plans(name):
        if not isinstance(each, NamedPlan):
            raise InputError("", str(each.error))
        yield each


def _progress(label: str, length: int, *, step: int) -> AbstractContextManager[Any]:
    """A bar on a terminal, nothing elsewhere or where no length is known."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    return click.progressbar(
        length=max(length, 1),
        label=label,
        file=sys.stderr,
        hidden=not on_terminal or not length,
        update_min_steps=step,
    )


def _tell(stored: "Stored", out: Path, what: str, refused: int) -> None:
    span = stored.time_range
    click.echo(f"{what:<10} {_count(stored.rows, 'line')} of {_count(stored.streams, 'stream')}")
    if refused:
        click.echo(f"refused    {_count(refused, 'line')}")
    click.echo(f"from       {span.start}")
    click.echo(f"to         {span.end}")
    sections, objects = _count(stored.sections, "section"), _count(stored.objects, "object")
    click.echo(f"into       {out}: {sections} in {objects}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
