"""`windtunnel`, the command."""

import difflib
import io
import json
import shlex
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, get_args

import click

from properties.mutants import MUTANTS
from scenarios.archive import KEPT, OURS, find_failure, found_folder, keep, load_failure
from scenarios.check import check_trace, describe_judged, judged_as_json
from scenarios.data_commands import data_commands
from scenarios.determinism import (
    ProcessFailed,
    check_determinism,
    describe_determinism,
    determinism_as_json,
)
from scenarios.explain import explain
from scenarios.failure import Origin
from scenarios.inputs import InputError, NamedPlan, Unreadable, is_there, lines_of, load_plans
from scenarios.progress import Progress
from scenarios.replay import replay_code, replay_failure, replay_trace
from scenarios.report.summary import describe_replay, describe_run, run_as_json
from scenarios.runners import FITS, SLOTS, WORKERS, Room, check_room, close_runner, runner_named
from scenarios.runs import (
    LARGEST_SEED,
    Run,
    load_target,
    run,
    save_trace,
    saved_trace,
)
from scenarios.search import describe_tally, explain_found, search, too_rare
from scenarios.shelf import (
    RANDOM,
    find_scenario,
    plan_names,
    scenario_for,
    scenario_names,
)
from scenarios.show_command import show_command
from scenarios.wording import WIDTH, counted
from sim.choices import Seeded
from sim.parts import SOUND
from sim.scenario import Profile, Scenario
from workflow import GraphError, Identifiers, TaskGraph, partition, sprint
from workflow.partition import attach_results
from workflow.partition_json import partition_to_json
from workflow.tree import TreeTooLarge
from workflow.version import VERSION

if TYPE_CHECKING:
    from scenarios.data.saving import Save

__all__ = ["main"]

VIOLATED: Final = 1
BAD_INPUT: Final = 2
DIVERGED: Final = 3
OUR_BUG: Final = 70
INTERRUPTED: Final = 130
READER_GONE: Final = 141  # as a shell shows a program that a closed pipe ended

# What the engine's advice to a programmer means here.
_HINTS: Final = {
    "ambiguous-sharing": " (here: --shared or --separate)",
    "ambiguous-text": " (here: --no-quotes)",
}

_DEMO_SEED: Final = 7
_EXPLAINED: Final = 5  # failures of a search that are reduced: each takes seconds
_TRACE_HELP: Final = "Save the trace here; it replays."
_PROFILE_HELP: Final = (
    "How the cluster behaves: sound, or as the reference does, its hazards included."
    "  By default as the scenario says."
)

_DATA_OPTION: Final = click.option(
    "--data",
    "bucket",
    metavar="BUCKET",
    default="",
    help="Run over the log lines of this bucket instead of rows that are made up.  A plan that"
    " reads sections of it stays as it is, any other is bound to all of them.",
)
_SLOTS_OPTION: Final = click.option(
    "--slots",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="With --runner local or dask: how many scans run at once, in each worker."
    f"  [default: {SLOTS}]",
)
_WORKERS_OPTION: Final = click.option(
    "--workers",
    type=click.IntRange(1, 1000),
    metavar="N",
    help=f"With --runner dask: how many worker processes are started here.  [default: {WORKERS}]",
)
_CLUSTER_OPTION: Final = click.option(
    "--cluster",
    metavar="ADDRESS",
    help="With --runner dask: the scheduler of a cluster that is there, as tcp://HOST:8786.  Its"
    " workers read the bucket at the same path.",
)
_MUTANT_OPTION: Final = click.option(
    "--mutant",
    type=click.Choice(list(MUTANTS)),
    metavar="NAME",
    help="Put a fault in on purpose: one of the mutants of docs/rules.md.",
)

_RUN_EXAMPLES = """\b
Examples:
  windtunnel run slow-reader
  windtunnel run my-scenario.toml --seed 7 --trace run.jsonl
  windtunnel run plan.json --profile reference --json
  windtunnel run one-token --mutant W1-token-leak
  windtunnel run log-search --data bucket --seed 7
  windtunnel run demo --seed 7 --check-determinism
  windtunnel run plan.json --data bucket --runner local --to answer.parquet
  windtunnel run plan.json --data bucket --runner dask --workers 4
"""
_COMPARE_EXAMPLES = """\b
Examples:
  windtunnel compare log-search --data bucket
  windtunnel compare plan.json --data bucket --slots 2 --runs 100
  windtunnel compare plan.json --data bucket --runner dask
  windtunnel compare plan.json --data bucket --runner my_package.runners:Mine
"""
_REPLAY_EXAMPLES = """\b
Examples:
  windtunnel replay run.jsonl
  windtunnel replay .windtunnel/failures/A2-7f3a2c.json
  windtunnel replay A2-7f3a2c
  windtunnel replay W1-token-leak
  windtunnel replay slow-reader@7@sound@0123456789ab
"""
_SEARCH_EXAMPLES = """\b
Examples:
  windtunnel search --seeds 2000
  windtunnel search random --seeds 5000
  windtunnel search worker-lost --profile reference
  windtunnel search one-token --mutant W1-token-leak
  windtunnel search log-search --data bucket --seeds 500
"""
_KEEP_EXAMPLES = """\b
Examples:
  windtunnel keep A2-7f3a2c
  windtunnel keep A2-7f3a2c --as lost-token
"""
_CHECK_EXAMPLES = """\b
Examples:
  windtunnel check run.jsonl
  windtunnel check traces/*.jsonl --json
  windtunnel check run.jsonl --all
"""
_PARTITION_EXAMPLES = """\b
Examples:
  windtunnel partition plan.json
  windtunnel partition plans.jsonl --json
  pbpaste | windtunnel partition -
"""


class _Front(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and end quietly when nobody reads what it says."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _forget_output()
            ctx.exit(READER_GONE)


def _forget_output() -> None:
    # Else Python would try once more at its end, and complain.
    sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


@click.group(cls=_Front, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="windtunnel")
def cli() -> None:
    """Test distributed query workflows, deterministically."""


cli.add_command(data_commands)
cli.add_command(show_command)


@cli.command("partition", epilog=_PARTITION_EXAMPLES)
@click.argument("plan")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each plan.")
@click.option("--mermaid", is_flag=True, help="A flowchart for Markdown of each plan.")
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
def partition_command(
    *, plan: str, as_json: bool, mermaid: bool, shared: bool | None, quotes: bool
) -> None:
    """Cut PLAN into tasks and print the workflow.

    PLAN is a file, or - for the standard input: a plan as JSON, JSON Lines with many, or the
    tree that the real system prints.
    """
    if as_json and mermaid:
        raise click.UsageError("--json and --mermaid exclude each other.")
    refused = False
    plans = list(load_plans(plan, shared=shared, quotes=quotes))
    for each in plans:
        try:
            if isinstance(each, Unreadable):
                refused = True
                message = str(each.error) + _HINTS.get(each.rule, "")
                _refuse(each.name, each.rule, message, as_json=as_json)
            elif as_json:
                _say_json(_as_json(each))
            else:
                # Cut before anything is said of it: it may be refused.
                cut = _cut(each)
                text = _diagram(cut) if mermaid else sprint(cut)
                if len(plans) > 1:
                    click.echo(f"{each.name}:")
                click.echo(text, nl=False)
        except (GraphError, TreeTooLarge) as error:
            refused = True
            place = "stdin" if plan == "-" else plan
            where = f"{place}: " if len(plans) == 1 else f"{place}: {each.name}: "
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


def _diagram(tasks: TaskGraph) -> str:
    from scenarios.report.mermaid import flowchart_of  # noqa: PLC0415 - heavy

    return "\n".join(["```mermaid", *flowchart_of(tasks), "```", ""])


def _say_json(value: Any, *, sort_keys: bool = False) -> None:
    # Only UTF-8 can carry every text as it is.
    plain = (sys.stdout.encoding if sys.stdout else "utf-8").replace("-", "").lower() != "utf8"
    text = json.dumps(value, ensure_ascii=plain, sort_keys=sort_keys)
    # Half a surrogate pair, as in the name of a file that is not UTF-8, becomes JSON's own escape.
    click.echo(text.encode("utf-8", "backslashreplace").decode())


def _as_json(named: NamedPlan) -> dict[str, Any]:
    return {"name": named.name, **partition_to_json(_cut(named), named.plan)}


def _refuse(name: str, rule: str, message: str, *, as_json: bool) -> None:
    if as_json:
        _say_json({"name": name, "error": rule, "message": message})
    else:
        click.echo(f"windtunnel: {message}", err=True)


@cli.command("demo")
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help=_TRACE_HELP)
def demo_command(trace_file: str | None) -> None:
    """Watch three real LogQL queries on a simulated cluster with trouble."""
    _run("demo", seed=_DEMO_SEED, as_json=False, trace_file=trace_file)


@cli.command("run", epilog=_RUN_EXAMPLES)
@click.argument("target")
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    metavar="N",
    default=0,
    show_default="0",
    help="Decides everything that could have gone differently.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
@click.option("--trace", "trace_file", type=click.Path(dir_okay=False), help=_TRACE_HELP)
@click.option(
    "--profile",
    type=click.Choice(get_args(Profile)),
    help=_PROFILE_HELP,
)
@_MUTANT_OPTION
@_DATA_OPTION
@click.option(
    "--measured",
    is_flag=True,
    help="With --data: measure first what the plans cost here, and let tasks take that long.",
)
@click.option(
    "--rebind",
    "anew",
    is_flag=True,
    help="With --data: let every plan read the whole bucket, whatever it says.",
)
@click.option(
    "--runner",
    metavar="RUNNER",
    default="sim",
    show_default=True,
    help="Where tasks run: in the simulated cluster; or with --data on threads of this process,"
    " which is local, on worker processes, which is dask, or on a Runner of your own, by"
    " PACKAGE.MODULE:FACTORY or FILE.py:FACTORY.",
)
@_SLOTS_OPTION
@_WORKERS_OPTION
@_CLUSTER_OPTION
@click.option(
    "--to",
    "result",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --data: save the answer here instead of printing it, as .parquet, .csv or .jsonl.",
)
@click.option(
    "--check-determinism",
    "compare",
    is_flag=True,
    help="Run it in several processes under different conditions instead, and compare their"
    " traces event by event.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PATH",
    help="With --check-determinism: compare with this Python too; may be repeated.  By default"
    " with each other python3.N on the PATH that has what is needed.",
)
def run_command(  # noqa: PLR0917 - click passes them by name
    target: str,
    seed: int,
    as_json: bool,
    trace_file: str | None,
    profile: Profile | None,
    mutant: str | None,
    bucket: str,
    measured: bool,
    anew: bool,
    runner: str,
    slots: int | None,
    workers: int | None,
    cluster: str | None,
    result: Path | None,
    compare: bool,
    pythons: tuple[str, ...],
) -> None:
    """Run TARGET: a scenario or a plan, by its file or its name in the library.

    A name that is also a file is the file.  If a rule is violated, the run is reduced to the
    smallest that still violates it, which is saved and told.  Exits with 1 if a rule was violated,
    and with 3 if --check-determinism found a difference.  Over log lines, the answer is printed
    first.
    """
    room = Room(slots, workers, cluster)
    given_here = (("--measured", measured), ("--rebind", anew), ("--to", result is not None))
    for option, given in given_here:
        if given and not bucket:
            raise click.UsageError(f"{option} is for --data.")
        if given and compare:
            raise click.UsageError(f"{option} and --check-determinism exclude each other.")
    if runner != "sim":
        for option, given in (
            ("--profile", profile is not None),
            ("--mutant", mutant is not None),
            ("--measured", measured),
            ("--trace", trace_file is not None),
            ("--check-determinism", compare),
        ):
            if given:
                raise click.UsageError(f"{option} is for the simulated cluster.")
        if not bucket:
            raise click.UsageError(f"--runner {runner} needs --data.")
        _run_really(
            bucket,
            target,
            runner,
            anew=anew,
            seed=seed,
            as_json=as_json,
            room=room,
            result=result,
        )
        return
    check_room("sim", room)
    if compare:
        if mutant is not None:
            raise click.UsageError("--mutant and --check-determinism exclude each other.")
        if trace_file is not None:
            raise click.UsageError("--trace and --check-determinism exclude each other.")
        _check(
            target,
            seed=seed,
            as_json=as_json,
            profile=profile,
            bucket=bucket,
            pythons=pythons or None,
        )
        return
    if pythons:
        raise click.UsageError("--python is for --check-determinism.")
    _run(
        target,
        seed=seed,
        as_json=as_json,
        trace_file=trace_file,
        profile=profile,
        mutant=mutant,
        bucket=bucket,
        measured=measured,
        anew=anew,
        result=result,
    )


def _check(
    target: str,
    *,
    seed: int,
    as_json: bool,
    profile: Profile | None,
    bucket: str,
    pythons: tuple[str, ...] | None,
) -> None:
    load_target(target, seed=seed, bucket=bucket)  # a target, no function
    try:
        report = check_determinism(
            target, seed=seed, profile=profile, bucket=bucket, pythons=pythons
        )
    except ProcessFailed as error:
        raise InputError(target, str(error)) from None
    if as_json:
        _say_json(determinism_as_json(report), sort_keys=True)
    else:
        for line in describe_determinism(report):
            click.echo(line)
    if not report.same:
        sys.exit(DIVERGED)
    if report.violations:
        sys.exit(VIOLATED)


def _run(
    target: str,
    *,
    seed: int,
    as_json: bool,
    trace_file: str | None,
    profile: Profile | None = None,
    mutant: str | None = None,
    bucket: str = "",
    measured: bool = False,
    anew: bool = False,
    result: Path | None = None,
) -> None:
    scenario, name = load_target(target, seed=seed, bucket=bucket, anew=anew)
    parts = MUTANTS[mutant].parts if mutant else SOUND
    saved = ""
    with _result_file(scenario, result) as save:
        if measured:
            scenario = _with_measured(scenario, bucket)
        finished = run(scenario, Seeded(seed), target=name, seed=seed, profile=profile, parts=parts)
        [end, *_] = finished.outcome.ends
        if result is not None and save is not None and end.end == "eof":
            save(end.batches)
            saved = str(result)
    if trace_file is not None:
        save_trace(Path(trace_file), saved_trace(finished))
    explained = None
    if finished.violations:
        # Measured once more they would be other figures; of a plan bound anew no word tells.
        origin = Origin(
            target="" if measured or anew else target,
            seed=seed,
            profile=profile or "",
            mutant=mutant or "",
        )
        explained = explain(finished.judged, parts=parts, origin=origin)
    if as_json:
        shown = run_as_json(finished, explained)
        for workload, answer in zip(shown["workloads"], _answers(finished, saved), strict=False):
            workload.update(answer)
        _say_json(shown, sort_keys=True)
    else:
        if saved:
            click.echo(f"saved      {saved}: {counted(end.rows, 'row')}")
        else:
            for line in _tables(finished):
                click.echo(line)
        trace = shlex.quote(trace_file) if trace_file and Path(trace_file).is_file() else ""
        for line in describe_run(finished, saved=trace, width=_width()):
            click.echo(line)
        for line in () if explained is None else explained.lines():
            click.echo(line)
    if explained is not None:
        sys.exit(VIOLATED)


def _with_measured(scenario: Scenario, bucket: str) -> Scenario:
    from scenarios.data.costs import with_measured  # noqa: PLC0415 - heavy

    scenario = with_measured(scenario, bucket)
    figures = ", ".join(f"{kind} = {rate}" for kind, rate in scenario.cluster.costs)
    click.echo(f"windtunnel: measured, for [cluster]: costs = {{ {figures} }}", err=True)
    return scenario


def _answers(finished: Run, saved: str) -> Iterator[dict[str, Any]]:
    if finished.outcome.scenario.data is None:
        return
    from scenarios.data.running import answer_rows  # noqa: PLC0415 - heavy

    for end in finished.outcome.ends:
        yield {"saved": saved} if saved else {"answer": answer_rows(end.batches)}


def _tables(finished: Run) -> Iterator[str]:
    if finished.outcome.scenario.data is None:
        return
    from scenarios.data.running import answer_lines  # noqa: PLC0415 - heavy

    for end in finished.outcome.ends:
        yield from (*answer_lines(end.batches), "")


def _result_file(scenario: Scenario, place: Path | None) -> "AbstractContextManager[Save | None]":
    """What saves the answer of a scenario with one plan."""
    if place is None:
        return nullcontext()
    if len(scenario.workloads) != 1:
        plans = counted(len(scenario.workloads), "plan")
        raise InputError("--to", f"got {scenario.name} with {plans}, expected one")
    from scenarios.data.saving import result_file  # noqa: PLC0415 - heavy

    return result_file(place)


def _run_really(
    bucket: str,
    target: str,
    name: str,
    *,
    anew: bool,
    seed: int,
    as_json: bool,
    room: Room,
    result: Path | None,
) -> None:
    from scenarios.data.real import on_runner  # noqa: PLC0415 - heavy
    from workflow.objects import Bucket  # noqa: PLC0415 - heavy

    saved = ""
    with ExitStack() as stack:
        make = stack.enter_context(runner_named(name, room))
        scenario, _ = load_target(target, seed=seed, bucket=bucket, anew=anew)
        save = stack.enter_context(_result_file(scenario, result))
        runner = make(Bucket(Path(bucket).absolute()))
        stack.callback(close_runner, runner)
        with Progress(sys.stderr) if _is_terminal(sys.stderr) else nullcontext() as progress:
            finished = on_runner(scenario, runner, progress=progress)
        if save is not None and list(finished.ends) == ["eof"]:
            save(finished.workloads[0].batches)
            saved = str(result)
    if as_json:
        _say_json(
            {
                "scenario": scenario.name,
                "runner": name,
                "slots": (room.slots or SLOTS) if name in FITS["slots"] else None,
                "workloads": [each.to_json(saved=saved) for each in finished.workloads],
            },
            sort_keys=True,
        )
    else:
        for each in finished.workloads:
            for line in each.lines(saved=saved):
                click.echo(line)
    if "interrupted" in finished.ends:
        raise click.Abort
    if "error" in finished.ends:
        sys.exit(BAD_INPUT)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _width() -> int:
    """Of a terminal its own, as far as that makes sense; everywhere else always the same."""
    if not _is_terminal(sys.stdout):
        return WIDTH
    return min(max(shutil.get_terminal_size().columns, 70), WIDTH)


@cli.command("compare", epilog=_COMPARE_EXAMPLES)
@click.argument("target")
@_DATA_OPTION
@click.option(
    "--runner",
    metavar="RUNNER",
    default="local",
    show_default=True,
    help="local, dask, or PACKAGE.MODULE:FACTORY, called with the rows: it gives a Runner.",
)
@_SLOTS_OPTION
@_WORKERS_OPTION
@_CLUSTER_OPTION
@click.option(
    "--runs",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=10,
    show_default="10",
    help="How often each plan runs.",
)
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def compare_command(  # noqa: PLR0917 - click passes them by name
    target: str,
    bucket: str,
    runner: str,
    slots: int | None,
    workers: int | None,
    cluster: str | None,
    runs: int,
    as_json: bool,
) -> None:
    """Hold a real runner to the simulator: the plans of TARGET over the same rows.

    Judges each recorded run by every rule that it shows enough for, its answer by that of a single
    process, and tells its time beside that of a simulated cluster that was fitted to other runs.
    Some more runs are cancelled, closed and made to fail.  Exits with 1 if a rule is violated, an
    answer is wrong, or a run did not end in time.
    """
    from scenarios.compare import (  # noqa: PLC0415 - heavy
        compare,
        comparison_as_json,
        describe_comparison,
    )

    with ExitStack() as stack:
        make = stack.enter_context(runner_named(runner, Room(slots, workers, cluster)))
        scenario, _ = load_target(target, bucket=bucket)
        bar = stack.enter_context(
            click.progressbar(
                length=runs * len(scenario.workloads),
                label="runs",
                file=sys.stderr,
                hidden=not _is_terminal(sys.stderr),
            )
        )
        found = compare(scenario, make, name=runner, runs=runs, progress=lambda: bar.update(1))
    if as_json:
        _say_json(comparison_as_json(found), sort_keys=True)
    else:
        for line in describe_comparison(found):
            click.echo(line)
    if not found.right:
        sys.exit(VIOLATED)


@cli.command("replay", epilog=_REPLAY_EXAMPLES)
@click.argument("what", metavar="FILE|NAME|CODE")
def replay_command(what: str) -> None:
    """Run again what FILE or CODE comes from, or the saved failure called NAME, and compare.

    Says SAME as recorded, for a failure if its rule is broken again; FIXED if what was violated
    holds now; or DIVERGED, with the first difference.  Exits with 3 if it diverged, else with 1 if
    a rule is violated.  It changes and deletes nothing.
    """
    failure = find_failure(what)
    if failure is not None:
        replay = replay_failure(load_failure(failure))
    elif is_there(what):
        replay = replay_trace(lines_of(what), name=what)
    else:
        replay = replay_code(what)
    for line in describe_replay(replay):
        click.echo(line)
    if replay.verdict == "DIVERGED":
        sys.exit(DIVERGED)
    if replay.run.violations:
        sys.exit(VIOLATED)


@cli.command("keep", epilog=_KEEP_EXAMPLES)
@click.argument("name")
@click.option("--as", "new_name", metavar="NAME", default="", help="Call it so from now on.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=KEPT,
    show_default=True,
    help="The folder of kept failures.",
)
@click.option(
    "--tests",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("tests"),
    show_default=True,
    help="Where the test of that folder is, or will be.",
)
@click.option(
    "--expect",
    type=click.Choice(["holds", "violated"]),
    default="holds",
    show_default=True,
    help="What the test wants to see: that the rule holds, as it will once the fault is mended, or"
    " that it is violated, as by a fault put in on purpose.",
)
def keep_command(
    name: str, new_name: str, into: Path, tests: Path, expect: Literal["holds", "violated"]
) -> None:
    """Move the saved failure NAME, or a file, into a library that a test runs."""
    folder = found_folder()
    path = find_failure(name, (folder,))
    if path is None:
        names = sorted(each.stem for each in folder.glob("*.json"))
        near = difflib.get_close_matches(name[:100], names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
        raise InputError(f"{name:.100}", f"got no saved failure of {folder}; {hint}")
    new, test = keep(path, name=new_name, into=into, tests=tests, expect=expect)
    click.echo(f"kept       {new}")
    if test is not None:
        click.echo(f"test       {test}, which runs all of {into}")


@cli.command("check", epilog=_CHECK_EXAMPLES)
@click.argument("traces", nargs=-1, required=True, metavar="TRACE...")
@click.option("--all", "every", is_flag=True, help="Also list each rule that holds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each run.")
def check_command(traces: tuple[str, ...], every: bool, as_json: bool) -> None:
    """Judge each TRACE by every rule that it shows enough for.

    TRACE is a file, or - for the standard input: what `run --trace` saved, or runs that were
    recorded at the border of another implementation.  Exits with 2 if one of them cannot be
    read, else with 1 if a rule is violated.
    """
    refused = violated = False
    for place in traces:
        try:
            shown = "stdin" if place == "-" else place
            for judged in check_trace(lines_of(place), name=shown):
                violated = violated or judged.violated
                if as_json:
                    _say_json(judged_as_json(judged))
                    continue
                several = len(traces) > 1
                for line in describe_judged(judged, every=every, width=_width(), file=several):
                    click.echo(line)
        except InputError as error:
            refused = True
            click.echo(f"windtunnel: {error}", err=True)
    if refused:
        sys.exit(BAD_INPUT)
    if violated:
        sys.exit(VIOLATED)


@cli.command("list")
def list_command() -> None:
    """List the library: a scenario a line, then the plans, and how many failures are kept."""
    width = max(map(len, scenario_names()))
    for name in scenario_names():
        click.echo(f"{name:<{width}}  {find_scenario(name).sentence}")
    click.echo(f"{RANDOM:<{width}}  Another scenario for each seed: any plan, cluster and trouble.")
    click.echo(f"plans: {', '.join(plan_names())}")
    ours = sorted(path.stem for path in OURS.glob("*.json"))
    click.echo(f"kept failures: {len(ours)}, one of each mutant; windtunnel replay {ours[0]}")


@cli.command("search", epilog=_SEARCH_EXAMPLES)
@click.argument("names", nargs=-1)
@click.option(
    "--seeds",
    type=click.IntRange(1, 10**9),
    metavar="N",
    default=100,
    show_default="100",
    help="How many seeds of each scenario.",
)
@click.option(
    "--first",
    type=click.IntRange(0, LARGEST_SEED - 10**9),
    metavar="N",
    default=0,
    show_default="0",
    help="The first seed.",
)
@click.option("--profile", type=click.Choice(get_args(Profile)), help=_PROFILE_HELP)
@_MUTANT_OPTION
@_DATA_OPTION
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    metavar="N",
    default=2,
    show_default="2",
    help="How many work at once.",
)
def search_command(  # noqa: PLR0917 - click passes them by name
    names: tuple[str, ...],
    seeds: int,
    first: int,
    profile: Profile | None,
    mutant: str | None,
    bucket: str,
    processes: int,
) -> None:
    """Run many seeds of library scenarios, of all of them by default, or of `random`.

    Prints what was violated, and how often each fault, stream state and beginning of a hazard
    occurred.  The first failures are reduced and saved.  Exits with 1 if anything was violated or
    is too rare to trust the silence.
    """
    chosen = list(dict.fromkeys(names)) or scenario_names()
    for name in chosen:
        scenario_for(name, first)
        load_target(name, seed=first, bucket=bucket)
    with click.progressbar(
        length=len(chosen) * seeds,
        label="runs",
        file=sys.stderr,
        hidden=not _is_terminal(sys.stderr),
    ) as bar:
        tally = search(
            chosen,
            seeds=range(first, first + seeds),
            profile=profile,
            mutant=mutant or "",
            bucket=bucket,
            processes=processes,
            progress=bar.update,
        )
    explained = [
        explain_found(found, profile=profile, mutant=mutant or "", bucket=bucket)
        for found in tally.found[:_EXPLAINED]
    ]
    for line in describe_tally(tally, mutant=mutant or "", explained=explained):
        click.echo(line)
    if tally.found or too_rare(tally):
        sys.exit(VIOLATED)


def main() -> None:
    """The entry point: bad input is one clear line, a fault of ours says so."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no such letter
    try:
        code = cli.main(prog_name="windtunnel", standalone_mode=False) or 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        click.echo("windtunnel: interrupted", err=True)
        code = INTERRUPTED
    except InputError as error:
        for line in str(error).splitlines():
            click.echo(f"windtunnel: {line}", err=True)
        code = BAD_INPUT
    except OSError as error:
        if error.filename is not None:
            code = _our_bug()
        else:  # a file that cannot be read or written has a name, and was dealt with
            click.echo(f"windtunnel: the output cannot be written ({error.strerror})", err=True)
            _forget_output()
            code = BAD_INPUT
    except Exception:  # noqa: BLE001 - the last place where it can be said whose fault it is
        code = _our_bug()
    sys.exit(code)


def _our_bug() -> int:
    traceback.print_exc()
    click.echo("windtunnel: this is a fault of windtunnel's own; please report it", err=True)
    return OUR_BUG
