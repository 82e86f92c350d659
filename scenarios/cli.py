"""`windtunnel`, the command."""

import json
import sys
import traceback
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, get_args

import click

from properties.mutants import MUTANTS
from scenarios.inputs import InputError, NamedPlan, Unreadable, load_plans
from scenarios.report import describe_replay, describe_run, run_as_json
from scenarios.runs import load_target, replay_code, replay_trace, run, saved_trace
from scenarios.search import describe_tally, search, too_rare
from scenarios.shelf import find_scenario, plan_names, scenario_names
from sim.choices import Seeded
from sim.scenario import Profile
from workflow import GraphError, Identifiers, TaskGraph, partition, sprint
from workflow.partition import attach_results
from workflow.partition_json import partition_to_json
from workflow.trace import Trace
from workflow.tree import TreeTooLarge
from workflow.version import VERSION

__all__ = ["main"]

VIOLATED: Final = 1
BAD_INPUT: Final = 2
DIVERGED: Final = 3
OUR_BUG: Final = 70

# What the engine's advice to a programmer means here.
_HINTS: Final = {
    "ambiguous-sharing": " (here: --shared or --separate)",
    "ambiguous-text": " (here: --no-quotes)",
}

_DEMO_SEED: Final = 7
_LONGEST_PATH: Final = 1_000  # characters; beyond that it is a replay code
_TRACE_HELP: Final = "Save the trace here; it replays."

_RUN_EXAMPLES = """\b
Examples:
  windtunnel run slow-reader
  windtunnel run my-scenario.toml --seed 7 --trace run.jsonl
  windtunnel run plan.json --profile reference --json
"""
_REPLAY_EXAMPLES = """\b
Examples:
  windtunnel replay run.jsonl
  windtunnel replay slow-reader@7@sound@0123456789ab
"""
_SEARCH_EXAMPLES = """\b
Examples:
  windtunnel search --seeds 2000
  windtunnel search worker-lost --profile reference
  windtunnel search one-token --mutant W1-token-leak
"""
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
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help=_TRACE_HELP)
def demo_command(trace_file: str | None) -> None:
    """Watch three real LogQL queries on a simulated cluster with trouble."""
    _run("demo", seed=_DEMO_SEED, as_json=False, trace_file=trace_file, profile=None)


@cli.command("run", epilog=_RUN_EXAMPLES)
@click.argument("target")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Decides everything that could have gone differently.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help=_TRACE_HELP)
@click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    help="How the cluster behaves: sound, or as the reference does, faults included.",
)
def run_command(
    target: str, seed: int, as_json: bool, trace_file: str | None, profile: Profile | None
) -> None:
    """Run TARGET: a scenario file, a library scenario, or a plan.

    Exits with 1 if a rule was violated.
    """
    _run(target, seed=seed, as_json=as_json, trace_file=trace_file, profile=profile)


def _run(
    target: str,
    *,
    seed: int,
    as_json: bool,
    trace_file: str | None,
    profile: Profile | None,
) -> None:
    scenario, name = load_target(target)
    finished = run(scenario, Seeded(seed), target=name, seed=seed, profile=profile)
    if trace_file is not None:
        _write(trace_file, saved_trace(finished))
    if as_json:
        click.echo(json.dumps(run_as_json(finished), ensure_ascii=False, sort_keys=True))
    else:
        for line in describe_run(finished, saved=trace_file or ""):
            click.echo(line)
    if finished.violations:
        sys.exit(VIOLATED)


def _write(place: str, trace: Trace) -> None:
    # A name of its own first: a full disk must not cost what was saved before.
    path = Path(place)
    try:
        with NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, delete=False, suffix=".part"
        ) as out:
            part = Path(out.name)
            try:
                out.writelines(line + "\n" for line in trace.lines())
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        part.replace(path)
    except OSError as error:
        raise InputError(place, f"cannot be written ({error.strerror})") from None


@cli.command("replay", epilog=_REPLAY_EXAMPLES)
@click.argument("what", metavar="FILE|CODE")
def replay_command(what: str) -> None:
    """Run again what FILE or CODE comes from, and compare.

    Says SAME, FIXED or DIVERGED.  Exits with 3 if it diverged, with 1 if a rule is violated as it
    was.
    """
    path = Path(what)
    if len(what) < _LONGEST_PATH and path.is_file():
        try:
            with path.open(encoding="utf-8") as lines:
                replay = replay_trace(lines, name=what)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(what, f"cannot be read ({error})") from None
    else:
        replay = replay_code(what)
    for line in describe_replay(replay):
        click.echo(line)
    if replay.verdict == "DIVERGED":
        sys.exit(DIVERGED)
    if replay.run.violations:
        sys.exit(VIOLATED)


@cli.command("list")
def list_command() -> None:
    """List the library: a scenario a line, then the plans."""
    width = max(map(len, scenario_names()))
    for name in scenario_names():
        click.echo(f"{name:<{width}}  {find_scenario(name).sentence}")
    click.echo(f"plans: {', '.join(plan_names())}")


@cli.command("search", epilog=_SEARCH_EXAMPLES)
@click.argument("names", nargs=-1)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="How many seeds of each scenario.",
)
@click.option(
    "--first", type=click.IntRange(0), default=0, show_default=True, help="The first seed."
)
@click.option("--profile", type=click.Choice(get_args(Profile)), help="As with run.")
@click.option("--mutant", type=click.Choice(list(MUTANTS)), help="Run a faulty engine instead.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
def search_command(  # noqa: PLR0917 - click passes them by name
    names: tuple[str, ...],
    seeds: int,
    first: int,
    profile: Profile | None,
    mutant: str | None,
    processes: int,
) -> None:
    """Run many seeds of library scenarios, of all of them by default.

    Prints what was violated, and how often each fault, stream state and beginning of a hazard
    occurred.  Exits with 1 if anything was violated or is too rare to trust the silence.
    """
    chosen = list(names) or scenario_names()
    for name in chosen:
        find_scenario(name)
    with click.progressbar(
        length=len(chosen) * seeds, label="runs", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        tally = search(
            chosen,
            seeds=range(first, first + seeds),
            profile=profile,
            mutant=mutant or "",
            processes=processes,
            progress=bar.update,
        )
    for line in describe_tally(tally, mutant=mutant or ""):
        click.echo(line)
    if tally.found or too_rare(tally):
        sys.exit(VIOLATED)


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
