"""What every part of a simulated cluster shares: time, choices, trouble, and the record."""

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sim.choices import Choices
from sim.clock import Clock
from sim.costs import Costs
from sim.faults import Faults
from sim.rows import RowNames, oldest_first, row_names
from sim.scenario import Fault, Scenario, Workload
from workflow import Plan
from workflow.sections import Sections
from workflow.trace import Recorder, row_digests

if TYPE_CHECKING:
    from sim.parts import Parts

__all__ = ["RECONNECT", "World"]

RECONNECT: Final = 1_000  # ticks until a worker that lost its connection tries again


class World:
    """One run's surroundings.  `recorder` is set once there is a Runner to record."""

    recorder: Recorder

    def __init__(
        self,
        scenario: Scenario,
        choices: Choices,
        parts: "Parts",
        sections: Sections | None = None,
    ) -> None:
        cluster = scenario.cluster
        self.parts: Final = parts
        self.stopped = False  # somebody who watches has seen enough
        self.refusal: Exception | None = None  # of a plan or limits, by the engine
        self.scenario: Final = scenario
        self.cluster: Final = cluster
        self.choices: Final = choices
        self.clock: Final = Clock(choices, slack=cluster.slack, max_steps=scenario.max_steps)
        self.counts: Final[Counter[str]] = Counter()
        self._orders: dict[str, tuple[int, ...]] = {}
        # Manifests are named in the order in which they are registered.
        by_arrival = sorted(
            enumerate(scenario.workloads), key=lambda each: (each[1].arrival, each[0])
        )
        self._workloads = {f"m{number}": each for number, each in enumerate(by_arrival)}
        self.faults: Final = Faults(scenario.faults, choices, self.fault_fired)
        self.sound: Final = cluster.profile == "sound"
        self.control: Final = cluster.control.table()
        self.data: Final = cluster.data.table()
        self.work: Final = cluster.work.table()
        self.costs: Final = Costs(cluster.costs) if cluster.costs else None  # None: work is drawn
        self.notify: Final = cluster.notify.table()
        self.sections: Final = sections  # None: the rows are made up
        self.row_names: Final = RowNames(row_names if sections is None else row_digests)
        self._oldest_first: dict[str, bool] = {}

    def describe(self) -> None:
        """Say first of all what there is."""
        cluster = self.cluster
        real = {} if self.sections is None else {"rows": "real"}
        self.record(
            "cluster",
            "cluster",
            workers=cluster.workers,
            slots=cluster.slots,
            buffer=cluster.buffer,
            profile=cluster.profile,
            ack_timeout=cluster.ack_timeout,
            detect=cluster.detect,
            slack=cluster.slack,
            reconnect=RECONNECT,
            slowest=max(map(max, (self.control, self.data, self.work, self.notify))),
            **real,
        )

    def workload(self, manifest: str) -> tuple[int, Workload]:
        """What a manifest belongs to, and its place in the scenario; else one of defaults."""
        if manifest not in self._workloads:
            self._workloads[manifest] = (len(self._workloads), Workload(plan=Plan()))
        return self._workloads[manifest]

    def oldest_first(self, manifest: str) -> bool:
        """Whether the plan that a manifest belongs to asks for the oldest rows."""
        # Remembered: to look through the whole plan for each task of a plan with 4,000 scans
        # took three fifths of the run.
        if manifest not in self._oldest_first:
            self._oldest_first[manifest] = oldest_first(self.workload(manifest)[1].plan)
        return self._oldest_first[manifest]

    def reading_order(self, key: str, count: int) -> tuple[int, ...]:
        """The order in which tasks with this key read their `count` nodes; chosen once."""
        if key not in self._orders:
            places = list(range(count))
            self._orders[key] = tuple(
                places.pop(self.choices.index("node", key, len(places))) for _ in range(count)
            )
        return self._orders[key]

    def record(self, kind: str, subject: str, **details: Any) -> None:
        """Add an inner event to the trace."""
        self.recorder.record(kind, subject, **details)

    def fault_fired(self, fault: Fault, subject: str) -> None:
        """A fault takes effect."""
        self.counts[f"fault {fault.kind}"] += 1
        slows = {"factor": fault.factor} if fault.kind in ("slow_worker", "slow_link") else {}
        self.record("fault", subject, fault=fault.kind, **slows)

    def peak(self, name: str, value: int) -> None:
        """Remember the largest value."""
        self.counts[name] = max(self.counts[name], value)
