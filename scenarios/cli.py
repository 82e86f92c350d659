"""`windtunnel`, the command."""

import json
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import click

from scenarios.demo import show_demo
from scenarios.inputs import InputError, NamedPlan, Unreadable, load_plans
from workflow import GraphError, Identifiers, TaskGraph, partition, sprint
from workflow.partition import attach_results
from workflow.partition_json import partition_to_json
from workflow.tree import TreeTooLarge
from workflow.version import VERSION

__all__ = ["main"]

BAD_INPUT: Final = 2
OUR_BUG: Final = 70

# What the engine's advice to a programmer means here.
_HINTS: Final = {
    "ambiguous-sharing": " (here: --shared or --separate)",
    "ambiguous-text": " (here: --no-quotes)",
}

_PARTITION_EXAMPLES = """\b
Examples:
  windtunnel partition plan.json
  windtunnel partition plans.jsonl --json
  pbpaste | windtunnel partition -
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="windtunnel")
def cli() -> None:
    """Test distributed query workflows, deterministically."""


@cli.command("partition", epilog=_PARTITION_EXAMPLES)
@click.argument("plan")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each plan.")
@click.option(
    "--shared/--separate",
    default=None,
    help="Equal subtrees of a printed plan are one node, or several.  Without either, a plan that"
    " could be both is refused.",
)
@click.option(
    "--quotes/--no-quotes",
    default=True,
    help="Texts in a printed plan may hold double quotes.  They print unescaped, so a line with"
    " several texts may have more than one reading; with --no-quotes it has one.",
)
def partition_command(plan: str, as_json: bool, shared: bool | None, quotes: bool) -> None:
    """Cut PLAN into tasks and print the workflow.

    PLAN is a file, or - for the standard input: a plan as JSON, JSON Lines with many, or the
    tree that the real system prints.
    """
    refused = False
    plans = list(load_plans(plan, shared=shared, quotes=quotes))
    for each in plans:
        try:
            if isinstance(each, Unreadable):
                refused = True
                message = str(each.error) + _HINTS.get(each.rule, "")
                _refuse(each.name, each.rule, message, as_json=as_json)
            elif as_json:
                click.echo(json.dumps(_as_json(each), ensure_ascii=False))
            else:
                if len(plans) > 1:
                    click.echo(f"{each.name}:")
                click.echo(sprint(_cut(each)), nl=False)
        except (GraphError, TreeTooLarge) as error:
            refused = True
            where = f"{plan}: " if len(plans) == 1 else f"{plan}: {each.name}: "
            rule = error.rule if isinstance(error, GraphError) else "too-large"
            message = str(error) if as_json else where + str(error)
            _refuse(each.name, rule, message, as_json=as_json)
    if refused:
        sys.exit(BAD_INPUT)


def _cut(named: NamedPlan) -> TaskGraph:
    ids = Identifiers(named.name)
    tasks = partition(named.plan, ids=ids)
    attach_results(tasks, ids=ids)
    return tasks


def _as_json(named: NamedPlan) -> dict[str, Any]:
    return {"name": named.name, **partition_to_json(_cut(named), named.plan)}


def _refuse(name: str, rule: str, message: str, *, as_json: bool) -> None:
    if as_json:
        shown = {"name": name, "error": rule, "message": message}
        click.echo(json.dumps(shown, ensure_ascii=False))
    else:
        click.echo(f"windtunnel: {message}", err=True)


@cli.command("demo")
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help="Save the trace here.")
def demo_command(trace_file: str | None) -> None:
    """Run the plan of a real LogQL query as a workflow, and show how it went."""
    trace = show_demo(click.echo)
    if trace_file is not None:
        try:
            with Path(trace_file).open("w", encoding="utf-8") as out:
                out.writelines(line + "\n" for line in trace.lines())
        except OSError as error:
            raise InputError(trace_file, f"cannot be written ({error.strerror})") from None
        click.echo(f"trace      {trace_file}")


def main() -> None:
    """The entry point: bad input is one clear line, a fault of ours says so."""
    try:
        cli.main(standalone_mode=True)
    except InputError as error:
        click.echo(f"windtunnel: {error}", err=True)
        sys.exit(BAD_INPUT)
    except Exception:  # noqa: BLE001 - the last place where it can be said whose fault it is
        traceback.print_exc()
        click.echo("windtunnel: this is a fault of windtunnel's own; please report it", err=True)
        sys.exit(OUR_BUG)
