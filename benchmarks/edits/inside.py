"""Inside of a changed tree: `python -m benchmarks.edits.inside < records > verdicts`.

Reads one record a line, replays each of its forms, and writes one verdict a line: what each form
says, and whether the parts with nothing wrong violate anything.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import workflow
from benchmarks.edits.baselines import Stream, Tape
from properties.judged import judged
from scenarios.failure import Failure, failure_from_json
from scenarios.replay import replay_failure
from scenarios.shelf import find_plan
from sim.choices import Choices, Seeded
from sim.parts import SOUND
from sim.scenario import Scenario, Workload
from sim.scenario_file import scenario_from_json
from workflow import partition

__all__ = ["CHANGES", "SAME", "main", "replayed"]

_STEPS: Final = 50_000  # of a run: an edit may keep one from its end
SAME: Final = "SAME"  # every other word says why not

_Change = Callable[[Scenario], Scenario]


def _unchanged(scenario: Scenario) -> Scenario:
    return scenario


def _workload_more(scenario: Scenario) -> Scenario:
    """One more query at the same time, on slots of its own."""
    plan = find_plan("two-scans")
    tasks = len(list(partition(plan)))
    cluster = replace(scenario.cluster, slots=scenario.cluster.slots + tasks)
    arrival = max(each.arrival for each in scenario.workloads)
    more = Workload(plan=plan, arrival=arrival)
    return replace(scenario, cluster=cluster, workloads=(*scenario.workloads, more))


# Edits of the scenario instead of the code.
CHANGES: Final[dict[str, _Change]] = {"": _unchanged, "unrelated-workload": _workload_more}


def replayed(record: dict[str, Any], change: str = "") -> dict[str, str]:
    """What each form says, and ``sound``: what runs without the mutant violate.

    Those are the reduced run and, where a failure was only found nearby, the runs near it.
    """
    to = CHANGES[change]
    kept = _read(record["kept"], to)
    found = _read(record["found"], to)
    stream = record["stream"]
    verdicts = {
        "kept": _replay(kept),
        "found": _replay(found),
        "seed": _again(found, found.scenario, Seeded(record["seed"])),
        "tape": _again(found, found.scenario, Tape(record["tape"])),
        "stream": "not found",
    }
    if stream is not None:
        scenario = replace(to(scenario_from_json(stream["scenario"])), max_steps=_STEPS)
        verdicts["stream"] = _again(found, scenario, Stream(stream["seed"]))
    sound = {each.rule: None for each in kept.run(parts=SOUND).violations}
    for form, failure in (("kept", kept), ("found", found)):
        nearby = verdicts[form].startswith(SAME) and verdicts[form] != SAME
        if nearby and replay_failure(failure, parts=SOUND).verdict == SAME:
            sound[failure.rule] = None
    return {**verdicts, "sound": " ".join(sound)}


def _read(value: object, to: _Change) -> Failure:
    failure = failure_from_json(value)
    steps = min(failure.scenario.max_steps, _STEPS)
    return replace(failure, scenario=replace(to(failure.scenario), max_steps=steps))


def _replay(failure: Failure) -> str:
    replay = replay_failure(failure)
    near = replay.verdict == "SAME" and "nearby" in replay.reason
    return SAME if replay.verdict == "SAME" and not near else f"{replay.verdict} {replay.reason}"


def _again(failure: Failure, scenario: Scenario, choices: Choices) -> str:
    run = judged(scenario, choices, parts=failure.parts, stop=False)
    rules = list(dict.fromkeys(each.rule for each in run.violations))
    return SAME if failure.rule in rules else f"{' '.join(rules) or 'nothing'} violated"


def main() -> None:
    """Replay what the standard input has, with the change that the first argument names."""
    [change] = sys.argv[1:] or [""]
    # Else all that follows would be about the tree that is installed.
    here = Path.cwd().resolve()
    if not Path(workflow.__file__).resolve().is_relative_to(here):
        raise SystemExit(f"workflow was imported from {workflow.__file__}, not from {here}")
    for line in sys.stdin:
        record = json.loads(line)
        print(json.dumps({"name": record["name"], **replayed(record, change)}), flush=True)


if __name__ == "__main__":
    main()
