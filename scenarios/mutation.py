"""Every mutant must be caught by its rule, within its runs; and the sound parts by none.

`python -m scenarios.mutation` prints who was caught by which rule, and in how many runs.  It exits
with 1 if a mutant survives or only other rules notice it, if the canary is not caught, or if a
rule is violated with nothing wrong.  With `--write` the table goes into `docs/rules.md`; with
`--keep` the run that caught each mutant is reduced and kept in `scenarios/library/mutants`, where
the same code writes the same bytes.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Final

from properties.judged import Judged, judged
from properties.monitors import MONITORS
from properties.mutants import MUTANTS, Mutant
from properties.mutants.canary import CANARY
from properties.mutants.controls import CONTROLS
from properties.mutants.explained import EXPLAINED
from scenarios.archive import OURS, write_failure
from scenarios.explain import reduced
from scenarios.failure import Origin
from scenarios.shelf import find_scenario, scenario_names
from sim.choices import Seeded
from sim.parts import Parts
from sim.scenario import Fault, Scenario
from workflow import Options
from workflow.plan import DataObjScan, ScanSet
from workflow.times import TimeRange

__all__ = [
    "ALL",
    "Hunt",
    "control",
    "exit_code",
    "hunt",
    "hunt_all",
    "hunting_ground",
    "keep_all",
    "main",
    "rerun",
    "rules_page",
    "table",
    "unviolated",
]

ALL: Final[dict[str, Mutant]] = {
    "canary": CANARY,
    **{name: mutant for name, mutant in MUTANTS.items() if mutant.rules},
}

# Those that break no rule of the cluster's, or none that a run could show.
_UNSEEN: Final = {name: mutant for name, mutant in MUTANTS.items() if not mutant.rules}

_CONTROL_SEEDS: Final = 20
_PAGE: Final = Path("docs/rules.md")
_SHOWN: Final = 3  # mutants of a rule in its row


_PREFACE: Final = """\
# Rules

Each rule is a monitor of `properties/monitors`: a small state machine over the events of a trace.
A rule that nothing has violated has not been shown to check anything, so faults are put into the
simulated cluster on purpose (`properties/mutants`). The last column has those that violated the
rule soonest, each with the number of runs that it took.

`make mutants` checks that every mutant is caught by its own rule within its budget, and that parts
with nothing wrong violate no rule; `make mutants ARGS=--write` writes this page.

| Rule | Sentence | Violated by (runs) |
|---|---|---|"""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of a mutant."""

    name: str
    mutant: Mutant
    runs: int  # until one of its rules was violated, or all
    by: tuple[str, ...]  # of its own rules, those violated in the last run
    seen: dict[str, int] = field(default_factory=dict)  # rule: the first run that violated it
    scenario: str = ""  # of the last run
    seed: int = 0

    @property
    def where(self) -> str:
        """The last run, in words."""
        return f"{self.scenario} with seed {self.seed}"

    @property
    def caught(self) -> bool:
        """Whether one of its rules was violated in time."""
        return bool(self.by)


@cache
def hunting_ground(name: str) -> Scenario:
    """What mutants are hunted in: a scenario of the library, or one made of those."""
    return _VARIANTS[name]() if name in _VARIANTS else find_scenario(name)


def _short_time_outs() -> Scenario:
    """An assignment is often taken back before its answer is there."""
    base = find_scenario("sum-by-level")
    return replace(base, cluster=replace(base.cluster, ack_timeout=400), faults=())


def _few_slots() -> Scenario:
    """Scans wait in the queue that turn out to be older than the newest rows."""
    base = find_scenario("short-circuit")
    workloads = tuple(replace(each, options=Options()) for each in base.workloads)
    return replace(base, cluster=replace(base.cluster, slots=2), workloads=workloads)


def _leave() -> Scenario:
    """A worker leaves, nothing else goes wrong, and tasks wait for slots."""
    base = find_scenario("worker-lost")
    faults = tuple(fault for fault in base.faults if fault.kind == "worker_leave")
    return replace(base, cluster=replace(base.cluster, slots=2), faults=faults)


def _refusals() -> Scenario:
    """Workers refuse every fifth task, and tasks wait for slots."""
    base = find_scenario("sum-by-level")
    faults = (Fault(kind="refused_assignment", per_million=200_000),)
    return replace(base, cluster=replace(base.cluster, workers=2, slots=3), faults=faults)


def _slow_reader_failing() -> Scenario:
    """Records wait for a slow reader when a task fails."""
    base = find_scenario("slow-reader")
    return replace(base, faults=(Fault(kind="task_failure", per_million=5_000),))


def _unknown_times() -> Scenario:
    """The newest rows are found early, and of one scan nobody knows the times."""
    base = find_scenario("short-circuit")
    [workload] = base.workloads
    plan = workload.plan.clone()
    for node in list(plan):
        if isinstance(node, ScanSet):
            *others, last = node.targets
            if isinstance(last, DataObjScan):
                last = replace(last, max_time_range=TimeRange())
            targets = (*others, last)
            plan.inject(node, replace(node, targets=targets))
            plan.eliminate(node)
    return replace(base, workloads=(replace(workload, plan=plan, plan_name=""),))


# Scenarios made of the library's, for faults that show nowhere there.
_VARIANTS: Final[dict[str, Callable[[], Scenario]]] = {
    "few-slots": _few_slots,
    "leave": _leave,
    "refusals": _refusals,
    "short-time-outs": _short_time_outs,
    "slow-reader-failing": _slow_reader_failing,
    "unknown-times": _unknown_times,
}


def _violated(scenario: str, seed: int, parts: Parts) -> list[str]:
    run = judged(hunting_ground(scenario), Seeded(seed), parts=parts, stop=False)
    return list(dict.fromkeys(violation.rule for violation in run.violations))


def hunt(name: str, mutant: Mutant) -> Hunt:
    """Run a mutant until one of its rules is violated, or its runs are used up."""
    seen: dict[str, int] = {}
    scenario, seed = "", 0
    for run in range(mutant.runs):
        seed, place = divmod(run, len(mutant.scenarios))
        scenario = mutant.scenarios[place]
        rules = _violated(scenario, seed, mutant.parts)
        for rule in rules:
            seen.setdefault(rule, run + 1)
        by = tuple(rule for rule in mutant.rules if rule in rules)
        if by:
            return Hunt(name, mutant, run + 1, by, seen, scenario, seed)
    return Hunt(name, mutant, mutant.runs, (), seen, scenario, seed)


def rerun(caught: Hunt) -> Judged:
    """The run that caught a mutant, to its end."""
    return judged(
        hunting_ground(caught.scenario), Seeded(caught.seed), parts=caught.mutant.parts, stop=False
    )


def _keep(caught: Hunt, folder: Path) -> None:
    """Write the smallest run of a mutant that its rule catches."""
    # Only what can be run by its name has a whole run to point at.
    named = caught.scenario in scenario_names() and caught.name in MUTANTS
    target = caught.scenario if named else ""
    failure, _ = reduced(
        rerun(caught),
        rule=caught.by[0],
        parts=caught.mutant.parts,
        origin=Origin(target=target, seed=caught.seed, mutant=caught.name),
    )
    write_failure(replace(failure, expect="violated"), folder / f"{caught.name}.json")


def keep_all(hunts: Sequence[Hunt], *, folder: Path = OURS, processes: int = 2) -> None:
    """Reduce the run of each mutant that was caught, and keep it as ``<mutant>.json``."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        list(pool.map(partial(_keep, folder=folder), [each for each in hunts if each.caught]))


def _hunt_named(name: str) -> Hunt:
    try:
        return hunt(name, ALL[name])
    except Exception as error:  # noqa: BLE001 - not all can pass between processes
        raise RuntimeError(f"{name}: {type(error).__name__}: {error}") from None


def control(name: str, *, seeds: int = _CONTROL_SEEDS) -> list[str]:
    """What parts with nothing wrong violate where mutants are hunted: the first of each rule."""
    chosen = CONTROLS[name]
    scenarios = dict.fromkeys(scenario for each in ALL.values() for scenario in each.scenarios)
    first: dict[str, str] = {}
    for scenario in scenarios:
        for seed in range(seeds):
            for rule in _violated(scenario, seed, chosen.parts):
                if rule not in chosen.breaks:
                    first.setdefault(rule, f"{name}: {scenario} with seed {seed} violates {rule}")
    return list(first.values())


def hunt_all(names: Sequence[str], *, processes: int = 2) -> tuple[list[Hunt], list[str]]:
    """Every mutant named, and what the controls violate; in the order of the names."""
    # Fresh processes: a copy of this one would miss the threads of Arrow.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        hunts = pool.map(_hunt_named, names, chunksize=4)
        alarms = pool.map(control, CONTROLS)
        return list(hunts), [line for lines in alarms for line in lines]


def exit_code(hunts: Sequence[Hunt], alarms: Sequence[str]) -> int:
    """1 if a mutant was not caught by its rule, or a rule was violated with nothing wrong."""
    return 1 if alarms or not all(each.caught for each in hunts) else 0


def table(hunts: Sequence[Hunt], alarms: Sequence[str]) -> Iterator[str]:
    """A row for each mutant, then what is wrong."""
    width = max((len(each.name) for each in hunts), default=0)
    yield (
        f"{'mutant':<{width}}  {'hazard':<6}  {'must be caught by':<18}  {'caught by':<18}"
        f"  {'runs':>9}  faults"
    )
    for each in hunts:
        yield (
            f"{each.name:<{width}}  {each.mutant.hazard:<6}  {' '.join(each.mutant.rules):<18}"
            f"  {' '.join(each.by) or 'nobody':<18}  {each.runs:>3} / {each.mutant.runs:<3}"
            f"  {each.mutant.faults:>6}"
        )
    for each in hunts:
        if not each.caught:
            others = f"; only {', '.join(each.seen)} noticed it" if each.seen else ""
            yield f"SURVIVED   {each.name}: {each.mutant.sentence}{others}"
    for line in alarms:
        yield f"FALSE      {line}"
    for name, mutant in _UNSEEN.items():
        yield f"UNSEEN     {name}: {mutant.sentence}; no rule is about that"
    caught = sum(each.caught for each in hunts)
    yield (
        f"{caught} of {len(hunts)} caught by their rules;"
        f" {len(alarms) or 'no'} violations with nothing wrong"
    )


def rules_page(hunts: Sequence[Hunt]) -> str:
    """The page of rules: each with its sentence, and the mutants that have violated it.

    Raises LookupError for a rule that nobody violates and `EXPLAINED` does not explain.
    """
    by_rule = _by_rule(hunts)
    lines = _PREFACE.splitlines()
    for monitor in MONITORS:
        found = by_rule.get(monitor.rule, [])
        shown = ", ".join(f"`{name}` ({runs})" for name, runs in found[:_SHOWN])
        if len(found) > _SHOWN:
            shown += f", and {len(found) - _SHOWN} more"
        if not found:
            shown = f"Nobody: {EXPLAINED[monitor.rule]}"
        lines.append(f"| {monitor.rule} | {monitor.sentence} | {shown} |")
    lines += [
        "",
        "## Mutants",
        "",
        "Faults: 1 if the mutant alone breaks the rule, 2 if it takes trouble of the scenario too.",
        "",
        "| Mutant | What is wrong | Caught by | Runs / budget | Faults |",
        "|---|---|---|---|---|",
    ]
    for each in hunts:
        mutant = each.mutant
        lines.append(
            f"| `{each.name}` | {mutant.sentence} | {', '.join(each.by)}"
            f" | {each.runs} / {mutant.runs} | {mutant.faults} |"
        )
    lines += ["", "No rule is about these:", ""]
    lines += [f"- `{name}`: {mutant.sentence}." for name, mutant in _UNSEEN.items()]
    return "\n".join(lines) + "\n"


def _by_rule(hunts: Sequence[Hunt]) -> Mapping[str, list[tuple[str, int]]]:
    """Mutants by rule: those that must violate it first, then those that did so sooner."""
    found: dict[str, list[tuple[bool, int, str]]] = {}
    for each in hunts:
        if each.name == "canary":
            continue
        for rule, runs in each.seen.items():
            found.setdefault(rule, []).append((rule not in each.mutant.rules, runs, each.name))
    return {rule: [(name, runs) for _, runs, name in sorted(rows)] for rule, rows in found.items()}


def unviolated(hunts: Sequence[Hunt]) -> list[str]:
    """The rules that no mutant violated and nobody has explained."""
    by_rule = _by_rule(hunts)
    return [m.rule for m in MONITORS if m.rule not in by_rule and m.rule not in EXPLAINED]


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt, print, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m scenarios.mutation", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MUTANT", help="by default all")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="2 by default")
    parser.add_argument("--write", action="store_true", help=f"write {_PAGE}")
    parser.add_argument("--keep", action="store_true", help=f"write {OURS.parent.name}/{OURS.name}")
    chosen = parser.parse_args(arguments)
    for name in chosen.names:
        if name not in ALL:
            parser.error(f"got {name!r}, expected a mutant: {', '.join(ALL)}")
    if chosen.write and chosen.names:
        parser.error("--write takes no names: the page has every mutant")
    names = chosen.names or list(ALL)
    hunts, alarms = hunt_all(names, processes=chosen.processes)
    for line in table(hunts, alarms):
        print(line)  # noqa: T201 - a command
    code = exit_code(hunts, alarms)
    if not chosen.names:
        missing = unviolated(hunts)
        for rule in missing:
            print(f"UNTESTED   no mutant has violated {rule}")  # noqa: T201 - a command
        code = code or (1 if missing else 0)
    if chosen.write and not code:
        _PAGE.write_text(rules_page(hunts), encoding="utf-8")
    if chosen.keep:
        keep_all(hunts, processes=chosen.processes)
        for path in OURS.glob("*.json"):
            if path.stem not in ALL:
                path.unlink()  # of a mutant that is no more
    return code


if __name__ == "__main__":
    sys.exit(main())
