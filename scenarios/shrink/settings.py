"""A plainer cluster and plainer workloads: fewer workers and rows, and the defaults."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any, Final

from scenarios.held import rows_of
from scenarios.shrink.names import Edit
from scenarios.shrink.passes import lowest
from scenarios.shrink.trial import Trial
from sim.latency import Bimodal, Constant, Latency
from sim.scenario import Client, Cluster
from workflow import Options

__all__ = ["drop_workers", "fewer_rows", "plain_cluster", "plain_workloads", "shorten"]

_SITES: Final = {"control": "latency", "data": "latency", "work": "work", "notify": "notify"}
_NEARLY_ALL: Final = 96  # percent: all points of a table but the first
_SHORTEST: Final = (2_000, 20_000, 200_000)  # budgets of a run that never ends


def shorten(trial: Trial) -> None:
    """Where a run is cut short because it never ends, cut it sooner."""
    if trial.best.judged.outcome.over_budget:
        for steps in _SHORTEST:
            if trial.edit(Edit(replace(trial.best.scenario, max_steps=steps))):
                return


def drop_workers(trial: Trial, *, seeds: int = 0) -> None:
    """One worker if that is enough, else one less as long as that works."""
    if trial.best.scenario.cluster.workers > 2:
        _keep_workers(trial, [0], seeds)
    went = True
    while went:
        workers = list(range(trial.best.scenario.cluster.workers))
        went = len(workers) > 1 and any(
            _keep_workers(trial, [w for w in workers if w != gone], seeds)
            for gone in reversed(workers)
        )


def _keep_workers(trial: Trial, kept: list[int], seeds: int) -> bool:
    """These alone, with slots enough for all tasks if there were enough before."""
    best = trial.best.scenario
    moves = {old: new for new, old in enumerate(kept)}
    room = min(trial.room(best), trial.tasks(best))
    slots = max(best.cluster.slots, -(-room // len(kept)))
    faults = [
        (place, replace(fault, worker=None if fault.worker is None else moves[fault.worker]))
        for place, fault in enumerate(best.faults)
        if fault.worker is None or fault.worker in moves
    ]
    scenario = replace(
        best,
        cluster=replace(best.cluster, workers=len(kept), slots=slots),
        faults=tuple(fault for _, fault in faults),
    )
    numbers = {old: new for new, (old, _) in enumerate(faults)}
    return trial.edit(Edit(scenario, workers=moves, faults=numbers), seeds=seeds)


def fewer_rows(trial: Trial, *, least: int = 0) -> None:
    """Of each scan, or of each section of the data."""
    rows_of_data = rows_of(trial.best.scenario)
    if rows_of_data is not None:
        lowest(rows_of_data.longest, least, partial(_data_rows, trial))
        return
    for place in range(len(trial.best.scenario.workloads)):
        rows = trial.best.scenario.workloads[place].rows_per_scan
        lowest(rows, least, partial(_workload, trial, place, "rows_per_scan"))


def _data_rows(trial: Trial, rows: int) -> bool:
    best = trial.best.scenario
    data = None if best.data is None else replace(best.data, rows=rows)
    return trial.edit(Edit(replace(best, data=data)))


def plain_cluster(trial: Trial) -> None:
    """Each setting as by default, else as small as it goes."""
    # Time-outs never get shorter: one that nothing can meet would show a fault of its own.
    least = {"slots": 1, "buffer": 1, "slack": 0}
    for each in fields(Cluster):
        if each.name in ("workers", "profile"):
            continue
        value = getattr(trial.best.scenario.cluster, each.name)
        change = partial(_cluster, trial, each.name)
        if value == each.default or change(each.default):
            continue
        if each.name == "costs":
            _fewer_costs(trial)
        elif each.name in least:
            lowest(value, least[each.name], change)
        elif not isinstance(value, int):
            _plainer(value, change)
            _two_delays(trial, each.name)


def _fewer_costs(trial: Trial) -> None:
    """Of as few kinds of nodes as will do."""
    for kind, _ in trial.best.scenario.cluster.costs:
        costs = trial.best.scenario.cluster.costs
        _cluster(trial, "costs", tuple(each for each in costs if each[0] != kind))


def _two_delays(trial: Trial, name: str) -> None:
    """A short delay and a long one, so that the choice between them is one of 0 and 1."""
    best = trial.best
    value = getattr(best.scenario.cluster, name)
    if isinstance(value, Constant) or value == getattr(Cluster(), name):
        return
    table = value.table()
    simple = Bimodal(short=table[0], long=table[-1], long_percent=_NEARLY_ALL)
    cluster: dict[str, Any] = {name: simple}
    scenario = replace(best.scenario, cluster=replace(best.scenario.cluster, **cluster))
    site = _SITES[name]
    choices = {
        decision: 1 if decision.partition(":")[0] == site else answer
        for decision, answer in best.choices.items()
    }
    trial.run(scenario, choices)


def plain_workloads(trial: Trial) -> None:
    """Arrival, options and client as by default, else as small as they go."""
    for place in range(len(trial.best.scenario.workloads)):
        workload = trial.best.scenario.workloads[place]
        lowest(workload.arrival, 0, partial(_workload, trial, place, "arrival"))
        if not _workload(trial, place, "batch_rows", 5):
            lowest(workload.batch_rows, 1, partial(_workload, trial, place, "batch_rows"))
        _plain_options(trial, place)
        _plain_client(trial, place)


def _plain_options(trial: Trial, place: int) -> None:
    if _workload(trial, place, "options", Options()):
        return
    for each in fields(Options):
        value = getattr(trial.best.scenario.workloads[place].options, each.name)
        change = partial(_option, trial, place, each.name)
        if value != each.default and not change(each.default) and type(value) is int:
            lowest(value, 1, change)


def _plain_client(trial: Trial, place: int) -> None:
    if _workload(trial, place, "client", Client()):
        return
    for each in fields(Client):
        client = trial.best.scenario.workloads[place].client
        value = getattr(client, each.name)
        if value == each.default:
            continue
        change = partial(_client, trial, place, each.name)
        # Nobody who never reads and never closes: a run may wait for that reader for ever.
        kept = client.never_reads and each.name in ("close_at", "cancel_at")
        if not kept and change(each.default):
            continue
        if isinstance(value, Latency):
            _plainer(value, change)
        elif type(value) is int:
            lowest(value, 0, change)


def _plainer(value: Latency, change: Callable[[Latency], bool]) -> None:
    """A delay that is always the same, as short as it goes; else the shape with less in it."""
    table = value.table()
    for ticks in dict.fromkeys((0, 1, table[0], table[len(table) // 2], table[-1])):
        constant = Constant(ticks=ticks)
        if change(constant):
            value = constant
            break
    for each in fields(value):
        shape = _Shape(value, each.name, change)
        if type(getattr(value, each.name)) is int:
            lowest(getattr(value, each.name), 0, shape.attempt)
        value = shape.value


class _Shape:
    """A latency of which one number is brought down."""

    def __init__(self, value: Latency, name: str, change: Callable[[Latency], bool]) -> None:
        self.value = value
        self._name = name
        self._change = change

    def attempt(self, number: int) -> bool:
        changes: dict[str, Any] = {self._name: number}
        new = replace(self.value, **changes)
        if self._change(new):
            self.value = new
            return True
        return False


def _cluster(trial: Trial, name: str, value: Any) -> bool:
    best = trial.best.scenario
    new = replace(best, cluster=replace(best.cluster, **{name: value}))
    if trial.edit(Edit(new)):
        return True
    if name != "slots":
        return False
    # Of the slots that ask for a task the last is as good as one behind it.
    last = f"/ready {best.cluster.slots - 1}"
    moved = {
        decision.removesuffix(last) + f"/ready {value - 1}"
        if decision.endswith(last)
        else decision: n
        for decision, n in trial.best.choices.items()
    }
    return trial.run(new, moved)


def _workload(trial: Trial, place: int, name: str, value: Any) -> bool:
    best = trial.best.scenario
    if getattr(best.workloads[place], name) == value:
        return False
    workload = replace(best.workloads[place], **{name: value})
    workloads = (*best.workloads[:place], workload, *best.workloads[place + 1 :])
    return trial.edit(Edit(replace(best, workloads=workloads)))


def _option(trial: Trial, place: int, name: str, value: Any) -> bool:
    options = trial.best.scenario.workloads[place].options
    return _workload(trial, place, "options", replace(options, **{name: value}))


def _client(trial: Trial, place: int, name: str, value: Any) -> bool:
    client = trial.best.scenario.workloads[place].client
    return _workload(trial, place, "client", replace(client, **{name: value}))
