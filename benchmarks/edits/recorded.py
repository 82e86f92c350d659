"""What is replayed: a failure of each mutant, in every form in which it could have been saved."""

from typing import Any, Final

from benchmarks.edits.baselines import Stream, Taped
from properties.judged import judged
from scenarios.archive import OURS, load_failure
from scenarios.failure import failure_of, failure_to_json
from scenarios.mutation import ALL, hunt, hunting_ground, rerun
from sim.choices import Seeded
from sim.scenario_file import scenario_to_json

__all__ = ["FORMS", "record", "sensitive"]

# The forms, each with the column of the table that it is.
FORMS: Final = {
    "kept": "kept, reduced",
    "found": "as found",
    "seed": "its seed, keyed",
    "tape": "its tape",
    "stream": "seed of one stream",
}

_STREAM_RUNS: Final = 100  # to find a mutant with one stream, at least


def record(name: str) -> dict[str, Any]:
    """The failure of a mutant, as JSON.  Raises ValueError if it is not caught."""
    caught = hunt(name, ALL[name])
    if not caught.caught:
        raise ValueError(f"{name}: nobody has caught it")
    parts = caught.mutant.parts
    kept = load_failure(OURS / f"{name}.json")
    run = rerun(caught)
    # The same run once more, now with every answer on a tape.
    taped = Taped(Seeded(caught.seed))
    judged(run.outcome.scenario, taped, parts=parts, stop=False)
    found = failure_of(run, kept.rule, parts=parts)
    return {
        "name": name,
        "runs": caught.runs,
        "left": len(kept.choices),
        "kept": failure_to_json(kept),
        "found": failure_to_json(found),
        "seed": caught.seed,
        "tape": taped.answers,
        "stream": _stream(name, kept.rule),
    }


def _stream(name: str, rule: str) -> dict[str, Any] | None:
    """Where one stream finds the mutant: it draws other runs, so it may take another seed."""
    mutant = ALL[name]
    for run in range(max(_STREAM_RUNS, mutant.runs)):
        seed, place = divmod(run, len(mutant.scenarios))
        scenario = hunting_ground(mutant.scenarios[place])
        again = judged(scenario, Stream(seed), parts=mutant.parts, stop=False)
        if any(each.rule == rule for each in again.violations):
            return {"scenario": scenario_to_json(scenario), "seed": seed}
    return None


def sensitive(records: list[dict[str, Any]], count: int = 20) -> list[str]:
    """The mutants that depend most on the schedule.

    First those of which most choices are left when they are reduced, then those that took most
    runs to find, then those with most choices in the run in which they were found.
    """
    ranked = sorted(
        records, key=lambda each: (-each["left"], -each["runs"], -len(each["found"]["choices"]))
    )
    return [each["name"] for each in ranked[:count]]
