"""Many runs: every seed of every scenario, judged, and what they have exercised."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from properties.coverage import PRECONDITIONS, features
from properties.mutants import MUTANTS
from scenarios.explain import Explained, explain
from scenarios.failure import Origin
from scenarios.processes import fresh_processes
from scenarios.runs import load_target, run
from scenarios.shelf import RANDOM, find_scenario
from sim.choices import Seeded
from sim.parts import SOUND
from sim.scenario import Client, Profile

__all__ = ["Found", "Tally", "describe_tally", "exercised", "explain_found", "search", "too_rare"]

# Which hazards a scenario is there to bring about, by the names of `PRECONDITIONS`.
_MEANT_FOR: Final[dict[str, tuple[str, ...]]] = {
    "count-over-time": ("W5", "W6"),
    "error-rate": ("W5", "W7", "W9", "W13"),
    "impatient-users": ("W8", "E1", "E2"),
    "log-search": ("W5", "W9"),
    "one-token": ("W2", "W12", "W13"),
    "overlapping-ranges": ("W1", "W2", "W12"),
    "rate-by-level-and-env": ("W5", "W6", "W8", "W13"),
    "shared-scans": ("W10", "W12"),
    "short-circuit": ("W12",),
    "two-branches": ("W7", "W9"),
    "worker-lost": ("W8", "W9"),
}

_HOW: Final = ("  in", "  replay", "  keep", "  unsaved")  # of a report, what a list has room for
_CHUNK: Final = 50  # seeds of one piece of work
_RARE: Final = 0.01  # a feature below this share of its scenarios' runs is too rare to trust


@dataclass(frozen=True, slots=True)
class Found:
    """One violation: where, and how to see it again."""

    scenario: str
    seed: int
    rule: str
    text: str
    code: str


@dataclass(slots=True)
class Tally:
    """What a number of runs came to."""

    runs: Counter[str] = field(default_factory=Counter)  # by scenario
    features: dict[str, Counter[str]] = field(default_factory=dict)  # by scenario
    found: list[Found] = field(default_factory=list)  # the first of each rule and scenario
    violations: Counter[tuple[str, str]] = field(default_factory=Counter)  # runs by both

    def merge(self, other: "Tally") -> None:
        """Add what other runs came to."""
        self.runs.update(other.runs)
        for name, counts in other.features.items():
            self.features.setdefault(name, Counter()).update(counts)
        for found in other.found:
            if not any((f.scenario, f.rule) == (found.scenario, found.rule) for f in self.found):
                self.found.append(found)
        self.violations.update(other.violations)


def search(
    names: Sequence[str],
    *,
    seeds: range,
    profile: Profile | None = None,
    mutant: str = "",
    bucket: str = "",
    processes: int = 2,
    progress: Callable[[int], object] = lambda _runs: None,
) -> Tally:
    """Run every seed of every scenario, over a bucket or none.

    `progress` is told how many runs were added.  Raises InputError.
    """
    work = [
        (name, range(start, min(start + _CHUNK, seeds.stop)), profile, mutant, bucket)
        for name in names
        for start in range(seeds.start, seeds.stop, _CHUNK)
    ]
    total = Tally()
    if processes < 2:
        for piece in work:
            total.merge(_piece(piece))
            progress(len(piece[1]))
        return total
    pool = fresh_processes(processes)
    try:
        # In order of the work, not of completion, so that what is shown first is always the same.
        for piece, part in zip(work, pool.map(_piece, work), strict=True):
            total.merge(part)
            progress(len(piece[1]))
    finally:
        pool.shutdown(cancel_futures=True)
    return total


def _piece(piece: tuple[str, range, Profile | None, str, str]) -> Tally:
    name, seeds, profile, mutant, bucket = piece
    parts = MUTANTS[mutant].parts if mutant else SOUND
    tally = Tally()
    counts = tally.features.setdefault(name, Counter())
    for seed in seeds:
        scenario, target = load_target(name, seed=seed, bucket=bucket)
        try:
            finished = run(
                scenario,
                Seeded(seed),
                target=target,
                seed=seed,
                profile=profile,
                parts=parts,
            )
        except Exception as error:
            error.add_note(f"in scenario {name} with seed {seed}")
            raise
        tally.runs[name] += 1
        counts.update(features(finished.outcome))
        for rule in dict.fromkeys(violation.rule for violation in finished.violations):
            tally.violations[name, rule] += 1
            text = next(str(v) for v in finished.violations if v.rule == rule)
            if not any(f.rule == rule for f in tally.found):
                tally.found.append(Found(name, seed, rule, text, finished.code))
    return tally


def explain_found(
    found: Found, *, profile: Profile | None = None, mutant: str = "", bucket: str = ""
) -> Explained:
    """What a search has found, reduced and saved."""
    parts = MUTANTS[mutant].parts if mutant else SOUND
    scenario, _ = load_target(found.scenario, seed=found.seed, bucket=bucket)
    again = run(scenario, Seeded(found.seed), profile=profile, parts=parts)
    origin = Origin(target=found.scenario, seed=found.seed, profile=profile or "", mutant=mutant)
    return explain(again.judged, rule=found.rule, parts=parts, origin=origin)


def describe_tally(
    tally: Tally, *, mutant: str = "", explained: Sequence[Explained] = ()
) -> Iterator[str]:
    """What was found, and what was exercised how often.

    ``explained`` are the first of `tally.found`, reduced: they replay from where they are saved.
    """
    for name, runs in tally.runs.items():
        wrong = {rule: n for (where, rule), n in tally.violations.items() if where == name}
        shown = ", ".join(f"{rule} in {n}" for rule, n in wrong.items()) or "nothing"
        yield f"{name:<24} {runs:>6} runs, found {shown}"
    for found, reduced in itertools.zip_longest(tally.found, explained):
        yield f"VIOLATED   {found.scenario} with seed {found.seed}: {found.text}"
        if reduced is not None:
            yield from (line for line in reduced.lines() if line.startswith(_HOW))
        elif not mutant and found.code:
            yield f"replay     windtunnel replay {found.code}"
    for number, (what, hit, runs) in enumerate(exercised(tally)):
        if not number:
            yield "exercised  what, in how many of the runs meant for it"
        share = hit / runs
        rare = "  TOO RARE" if share < _RARE else ""
        sentence = PRECONDITIONS[what][0] if what in PRECONDITIONS else ""
        yield f"  {what:<26} {hit:>6} of {runs:>6} ({share:6.1%}){rare}  {sentence}".rstrip()


def exercised(tally: Tally) -> Iterator[tuple[str, int, int]]:
    """Each feature with the runs that had it, and the runs of the scenarios meant for it."""
    for what, names in _meant(list(tally.runs)).items():
        runs = sum(tally.runs[name] for name in names)
        if runs:
            yield what, sum(tally.features[name][what] for name in names), runs


def too_rare(tally: Tally) -> list[str]:
    """The features that occurred in less than 1 % of the runs meant for them."""
    return [what for what, hit, runs in exercised(tally) if hit / runs < _RARE]


def _meant(names: Sequence[str]) -> dict[str, list[str]]:
    meant: dict[str, list[str]] = {}
    for name in names:
        if name == RANDOM:  # meant for nothing in particular
            continue
        scenario = find_scenario(name)
        for fault in scenario.faults:
            meant.setdefault(f"fault {fault.kind}", []).append(name)
        for state in ("Open", "Closed"):
            meant.setdefault(f"stream {state}", []).append(name)
        if any(_slow(workload.client) for workload in scenario.workloads):
            meant.setdefault("stream Blocked", []).append(name)
        for what in _MEANT_FOR.get(name, ()):
            meant.setdefault(what, []).append(name)
    return {what: list(dict.fromkeys(where)) for what, where in sorted(meant.items())}


def _slow(client: Client) -> bool:
    return client.never_reads or bool(client.stall_ticks) or any(client.pause.table())
