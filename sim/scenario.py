"""A scenario: everything that a simulated run depends on, but for its choices.

Units: ticks are integer microseconds since the run's start; ``per_million`` is a rate.
A scenario is a value: it equals itself after a round trip through its file, see
`scenario_file`, and to the value of its ``repr``.

>>> Fault(kind="task_failure", nth=-1)
Fault(kind='task_failure', nth=-1)
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from sim.latency import Constant, Exponential, Latency
from workflow import Options, Plan, plan_to_json
from workflow._brief import Brief

__all__ = [
    "CONNECTION_FAULTS",
    "FAULT_KINDS",
    "Client",
    "Cluster",
    "Data",
    "Fault",
    "FaultKind",
    "Profile",
    "Scenario",
    "Workload",
]

Profile = Literal["sound", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Cluster(Brief):
    """Workers, what lies between them, and how they behave."""

    workers: int = 2  # >= 1
    slots: int = 4  # >= 1, tasks that a worker runs at once
    buffer: int = 1  # >= 1, batches that a stream holds at its reader
    profile: Profile = "sound"
    slack: int = 0  # ticks within which events may change order
    control: Latency = Exponential(mean=200)  # a message between scheduler and worker
    data: Latency = Exponential(mean=400)  # a batch, and its acknowledgement
    work: Latency = Exponential(mean=300)  # a task at one batch
    # Or rows per millisecond, by the kind of node: then a batch takes what it costs, see `costs`.
    costs: tuple[tuple[str, int], ...] = ()
    notify: Latency = Constant(ticks=0)  # a state change on its way to the workflow's handler
    ack_timeout: int = 5_000_000  # until an assignment without an answer is taken back
    detect: int = 1_000_000  # until a connection that went silent counts as lost


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Client(Brief):
    """The reader of a workload's results, and its user."""

    pause: Latency = Constant(ticks=0)  # between two reads
    never_reads: bool = False
    close_after: int | None = None  # records read, then the results are closed
    stall_after: int | None = None  # records read, then nothing for `stall_ticks`
    stall_ticks: int = 0
    cancel_at: int | None = None  # tick at which the user cancels the run
    close_at: int | None = None  # tick at which the workflow is closed mid-run


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Workload(Brief):
    """One workflow: a plan, its options, its data, its client."""

    plan: Plan
    plan_name: str = ""  # a library name or a file, where the plan was not written inline
    query: str = ""
    arrival: int = 0  # tick
    options: Options = field(default_factory=Options)
    rows_per_scan: int = 20  # >= 0
    batch_rows: int = 5  # >= 1
    client: Client = field(default_factory=Client)

    def __eq__(self, other: object) -> bool:
        # Plans compare by what they say, not by the identity of their nodes.
        return isinstance(other, Workload) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.plan_name, self.query, self.arrival))

    def _key(self) -> tuple[object, ...]:
        return (
            plan_to_json(self.plan),
            self.plan_name,
            self.query,
            self.arrival,
            self.options,
            self.rows_per_scan,
            self.batch_rows,
            self.client,
        )


FaultKind = Literal[
    "task_failure",
    "worker_crash",
    "worker_leave",
    "connection_cut",
    "half_open",
    "slow_worker",
    "slow_link",
    "lost_ack",
    "late_ack",
    "refused_assignment",
    "cancel_task",
]

# What each kind does, and what its `nth` counts.
FAULT_KINDS: Final[dict[str, tuple[str, str]]] = {
    "task_failure": ("a task fails", "steps of the task: 0 its start, -1 its end, else a batch"),
    "worker_crash": ("a worker dies, and comes back after `ticks` if that is not 0", "tasks run"),
    "worker_leave": ("a worker takes no more tasks, ends its own, and goes", "tasks run"),
    "connection_cut": ("a worker loses its connection to the scheduler", "messages"),
    "half_open": ("what a worker sends for `ticks` gets lost unnoticed", "messages"),
    "slow_worker": ("a worker takes `factor` times as long", "tasks run"),
    "slow_link": ("messages of a worker take `factor` times as long", "messages"),
    "lost_ack": ("a worker's answer to an assignment gets lost", "assignments"),
    "late_ack": ("a worker's answer to an assignment takes `ticks` more", "assignments"),
    "refused_assignment": ("a worker says that it is too busy", "assignments"),
    "cancel_task": ("the user cancels one task of a run", "tasks started"),
}


# About a connection, which carries the messages of many tasks: `task` and `workload` say nothing.
CONNECTION_FAULTS: Final = ("connection_cut", "half_open", "slow_link")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fault(Brief):
    """Trouble: once at a tick, at the n-th occasion, or each time with a chance.

    Exactly one of ``at``, ``nth`` and ``per_million`` is set.
    """

    kind: FaultKind
    at: int | None = None  # tick
    nth: int | None = None  # occasion, from 0; see FAULT_KINDS for what counts
    per_million: int | None = None  # chance at each occasion
    worker: int | None = None  # only this worker; None: any
    task: int | None = None  # only this task of the manifest; None: any
    workload: int | None = None  # only tasks of this workload; None: any
    ticks: int = 0
    factor: int = 10  # of slow_worker and slow_link
    silent: bool = False  # of task_failure: without an error object


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Data(Brief):
    """Log lines that the scans of a run read, in place of rows that are made up.

    The lines are not part of the scenario: it names them, and knows them again by their digest.
    """

    bucket: str  # a folder or a URL, see `workflow.objects`
    digest: str = ""  # see `workflow.objects.Bucket.digest`; "": whatever is there
    rows: int | None = None  # of each section at most its first ones; None: all


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scenario(Brief):
    """A cluster, what runs on it, and what goes wrong."""

    name: str = "scenario"
    sentence: str = ""
    cluster: Cluster = field(default_factory=Cluster)
    workloads: tuple[Workload, ...] = ()
    faults: tuple[Fault, ...] = ()
    data: Data | None = None  # None: rows are made up
    max_steps: int = 2_000_000  # a run that takes more is taken for a livelock
