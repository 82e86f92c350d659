"""Runners with one fault each, and the tests of the contract that must find it."""

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pyarrow as pa
from contract_hooks import Inline, OnTheSimulatedCluster
from ulid import ULID

from properties.contract import RunnerContract
from sim.inline import InlineRunner, Stuck, _Channel, _Execution
from sim.runner import SimRunner
from sim.scenario import Cluster, Scenario
from workflow import (
    Manifest,
    ManifestRefused,
    RecordWriter,
    Stream,
    StreamState,
    Task,
    TaskState,
    TaskStatus,
    UnknownTask,
    WriteClosed,
)

CANCELLED: Final = TaskStatus(TaskState.CANCELLED)


# register_manifest


class TellsOfRegistration(InlineRunner):
    def register_manifest(self, manifest: Manifest) -> None:
        super().register_manifest(manifest)
        for task in manifest.tasks:
            manifest.task_event_handler(task, TaskStatus(TaskState.CREATED))


class Forgiving(InlineRunner):
    """Lets violations pass that match `forgives`."""

    forgives: ClassVar[str] = "nothing"

    def _violations(self, manifest: Manifest) -> tuple[str, ...]:
        found = super()._violations(manifest)
        return tuple(line for line in found if not self.passes(line, manifest))

    def passes(self, line: str, _manifest: Manifest) -> bool:
        return re.search(self.forgives, line) is not None


class TakesZeroTask(Forgiving):
    forgives = "^task .* zero id"


class TakesZeroStream(Forgiving):
    forgives = "^stream .* zero id"


class ForgetsTaskIds(InlineRunner):
    def _known_ids(self) -> dict[ULID, None]:
        return dict.fromkeys(stream.id for stream in self._channels)


class ForgetsStreamIds(InlineRunner):
    def _known_ids(self) -> dict[ULID, None]:
        return dict.fromkeys(task.id for task in self._states)


class TakesTwinTasks(Forgiving):
    def passes(self, line: str, manifest: Manifest) -> bool:
        return any(
            line.startswith(f"{task}: got an id that is known") for task in manifest.tasks[1:]
        )


class TakesTwinStreams(Forgiving):
    forgives = "^stream .* is known already"


class TakesForeignSource(Forgiving):
    """Sources come before sinks in the list of violations."""

    def passes(self, line: str, manifest: Manifest) -> bool:
        sources = [stream for task in manifest.tasks for stream in task.source_streams()]
        return any(f"its {stream} is not in" in line for stream in sources)


class TakesForeignSink(Forgiving):
    def passes(self, line: str, manifest: Manifest) -> bool:
        sinks = [stream for task in manifest.tasks for stream in task.sink_streams()]
        return any(f"its {stream} is not in" in line for stream in sinks)


class TakesTwoSenders(Forgiving):
    forgives = "as its sender"


class TakesTwoReaders(Forgiving):
    forgives = "as its reader"


class NamesOneViolation(InlineRunner):
    def register_manifest(self, manifest: Manifest) -> None:
        try:
            super().register_manifest(manifest)
        except ManifestRefused as error:
            raise ManifestRefused(error.violations[:1]) from None


class RegistersHalf(InlineRunner):
    def register_manifest(self, manifest: Manifest) -> None:
        try:
            super().register_manifest(manifest)
        except ManifestRefused:
            for task in manifest.tasks:
                self._states.setdefault(task, TaskState.CREATED)
                self._owner.setdefault(task, manifest)
            raise


class BurnsRefusedIds(InlineRunner):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.burnt: dict[ULID, None] = {}

    def register_manifest(self, manifest: Manifest) -> None:
        try:
            super().register_manifest(manifest)
        except ManifestRefused:
            self.burnt |= dict.fromkeys(task.id for task in manifest.tasks)
            raise

    def _known_ids(self) -> dict[ULID, None]:
        return super()._known_ids() | self.burnt


class RefusalCancels(InlineRunner):
    def register_manifest(self, manifest: Manifest) -> None:
        try:
            super().register_manifest(manifest)
        except ManifestRefused:
            for task in manifest.tasks:
                self._set(task, CANCELLED)
            raise


# unregister_manifest


class UnregistersLate(InlineRunner):
    """The events of the call are delivered with the next step."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.held: list[Callable[[], None]] | None = None
        self.later: list[Callable[[], None]] = []

    def unregister_manifest(self, manifest: Manifest) -> None:
        self.held = []
        super().unregister_manifest(manifest)
        self.later += self.held
        self.held = None

    def step(self) -> bool:
        later, self.later = self.later, []
        for tell in later:
            tell()
        return super().step()

    def _set(self, task: Task, status: TaskStatus) -> None:
        if self.held is None or self._is_over(task):
            super()._set(task, status)
            return
        handler = self._owner[task].task_event_handler
        self._states[task] = status.state
        self.held.append(lambda: handler(task, status))


class LeavesLooseStreamsOpen(InlineRunner):
    def unregister_manifest(self, manifest: Manifest) -> None:
        written = [stream for task in manifest.tasks for stream in task.sink_streams()]
        for stream in manifest.streams:
            if stream not in written and stream in self._channels:
                self._channels[stream].state = StreamState.CLOSED  # and nobody is told
        super().unregister_manifest(manifest)


class SpeaksAfterUnregister(UnregistersLate):
    """The last event is delivered once more."""

    def unregister_manifest(self, manifest: Manifest) -> None:
        InlineRunner.unregister_manifest(self, manifest)
        task = manifest.tasks[0]
        self.later.append(lambda: manifest.task_event_handler(task, CANCELLED))


class UnregistersAll(InlineRunner):
    def unregister_manifest(self, manifest: Manifest) -> None:
        super().unregister_manifest(manifest)
        self.cancel(list(self._states))


class UnregistersStrangersInSilence(InlineRunner):
    def unregister_manifest(self, manifest: Manifest) -> None:
        if manifest in self._manifests:
            super().unregister_manifest(manifest)


class UnregistersInPart(InlineRunner):
    def unregister_manifest(self, manifest: Manifest) -> None:
        if manifest not in self._manifests:
            self.cancel([task for task in manifest.tasks if task in self._states])
        super().unregister_manifest(manifest)


class RemembersTheGone(InlineRunner):
    """Calls about what was unregistered are ignored."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gone: dict[object, None] = {}

    def unregister_manifest(self, manifest: Manifest) -> None:
        if manifest not in self.gone:
            super().unregister_manifest(manifest)
            self.gone |= dict.fromkeys((manifest, *manifest.tasks, *manifest.streams))

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        if stream not in self.gone:
            super().listen(stream, writer)

    def start(self, tasks: Sequence[Task]) -> None:
        super().start([task for task in tasks if task not in self.gone])

    def cancel(self, tasks: Sequence[Task]) -> None:
        super().cancel([task for task in tasks if task not in self.gone])


class KeepsIds(BurnsRefusedIds):
    def unregister_manifest(self, manifest: Manifest) -> None:
        super().unregister_manifest(manifest)
        self.burnt |= dict.fromkeys(task.id for task in manifest.tasks)


# listen


class Reorders(InlineRunner):
    def _put(self, _task: Task, work: _Execution, batch: pa.RecordBatch) -> None:
        rows = batch.num_rows
        super()._put(_task, work, batch.take(list(range(rows - 1, -1, -1))))


class DropsWhenFull(InlineRunner):
    def _offer(self, channel: _Channel, batch: pa.RecordBatch) -> bool:
        return super()._offer(channel, batch) or channel.writer is not None


class FailsAtAClosedWriter(InlineRunner):
    def _end(self, task: Task, status: TaskStatus) -> None:
        if self._running.get(task) and status.state is TaskState.CANCELLED:
            status = TaskStatus(TaskState.FAILED)
        super()._end(task, status)

    def cancel(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._running.pop(task, None)
        super().cancel(tasks)


class WaitsForAClosedWriter(InlineRunner):
    def _offer(self, channel: _Channel, batch: pa.RecordBatch) -> bool:
        try:
            return super()._offer(channel, batch)
        except WriteClosed:
            return False


class ListensToAnything(InlineRunner):
    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        if stream in self._channels:
            super().listen(stream, writer)


class ListensBetweenTasks(InlineRunner):
    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        channel = self._channels.get(stream)
        if channel is None or channel.reader is None:
            super().listen(stream, writer)
        else:
            channel.writer = writer


class ReplacesTheWriter(InlineRunner):
    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        if stream in self._channels:
            self._channels[stream].writer = None
        super().listen(stream, writer)


class DropsUntilSomebodyListens(InlineRunner):
    def _send(self, task: Task, work: _Execution) -> bool:
        channel = self._channels[work.out[0][0]]
        if channel.reader is None and channel.writer is None:
            work.out.popleft()
            return True
        return super()._send(task, work)


# Between tasks.


class LosesWhatARunningReaderGets(InlineRunner):
    def _offer(self, channel: _Channel, batch: pa.RecordBatch) -> bool:
        return channel.reader in self._running or super()._offer(channel, batch)


class LosesWhatComesEarly(InlineRunner):
    def _offer(self, channel: _Channel, batch: pa.RecordBatch) -> bool:
        reader = channel.reader
        early = reader is not None and self._states[reader] is TaskState.CREATED
        return early or super()._offer(channel, batch)


class WritesOneSink(InlineRunner):
    def _put(self, task: Task, work: _Execution, batch: pa.RecordBatch) -> None:
        super()._put(task, work, batch)
        while len(list(task.sink_streams())) > 1 and work.out[-1][0] is not work.out[0][0]:
            work.out.pop()


class LeavesEmptyStreamsOpen(InlineRunner):
    def _end(self, task: Task, status: TaskStatus) -> None:
        if status.state is not TaskState.COMPLETED:
            super()._end(task, status)
            return
        self._forget(task)
        for stream in task.sink_streams():
            if self._channels[stream].state is not StreamState.IDLE:
                self._close(stream)
        self._set(task, status)


class EndsWithItsFirstInput(InlineRunner):
    def _turn(self, task: Task) -> bool:
        ended = [
            channel.state is StreamState.CLOSED and channel.slot is None
            for channel in (self._channels[stream] for stream in task.source_streams())
        ]
        if any(ended) and task in self._running and not self._running[task].out:
            self._end(task, TaskStatus(TaskState.COMPLETED))
            return True
        return super()._turn(task)


class WaitsForWhatHasEnded(InlineRunner):
    """Hazard H12: a task never ends if its sources have all ended before it began."""

    def _turn(self, task: Task) -> bool:
        channels = [self._channels[stream] for stream in task.source_streams()]
        over = channels and all(each.state is StreamState.CLOSED for each in channels)
        if over and task not in self._running:
            return False
        return super()._turn(task)


class ReadsInTurn(InlineRunner):
    def _receive(self, task: Task) -> pa.RecordBatch | None:
        for stream in task.source_streams():
            channel = self._channels[stream]
            if channel.slot is not None or channel.state is not StreamState.CLOSED:
                batch, channel.slot = channel.slot, None
                return batch
        return None


class ReadsShardsDifferently(SimRunner):
    def __init__(self, scenario: Scenario, *args: Any) -> None:
        super().__init__(scenario, *args)
        self.asked = 0
        vars(self.world)["reading_order"] = self.order

    def order(self, _key: str, count: int) -> tuple[int, ...]:
        self.asked += count > 1
        places = tuple(range(count))
        return places if self.asked % 2 else places[::-1]


class ServesTheFirstManifest(InlineRunner):
    def step(self) -> bool:
        first = next(iter(self._manifests), None)
        own = [task for task in self._queue if self._owner[task] is first]
        turns = [self._turn(task) for task in own if task in self._queue]
        return any(turns)


# The end of a stream.


class ReportsTheEndLate(InlineRunner):
    """Readers learn of a stream's end first, whoever listens to events last."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.late: deque[Callable[[], None]] = deque()

    def _report(self, stream: Stream, state: StreamState) -> None:
        channel = self._channels.get(stream)
        if state is StreamState.CLOSED and channel and channel.state is not state:
            handler = self._stream_owner[stream].stream_event_handler
            channel.state = state
            self.late.append(lambda: handler(stream, state))
        else:
            super()._report(stream, state)

    def unregister_manifest(self, manifest: Manifest) -> None:
        super().unregister_manifest(manifest)
        while self.late:
            self.late.popleft()()

    def step(self) -> bool:
        moved = super().step()
        if not moved and self.late:
            self.late.popleft()()
            return True
        return moved


class ClosesEarly(InlineRunner):
    """Says that a stream is Closed as it opens."""

    def _report(self, stream: Stream, state: StreamState) -> None:
        channel = self._channels.get(stream)
        if channel is not None and channel.state is StreamState.IDLE:
            self._stream_owner[stream].stream_event_handler(stream, StreamState.CLOSED)
        if channel is not None and channel.state is not StreamState.CLOSED:
            channel.state = state


class SendsAfterTheEnd(InlineRunner):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.left: deque[tuple[RecordWriter, pa.RecordBatch]] = deque()

    def cancel(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            work = self._running.get(task)
            for stream, batch in work.out if work else ():
                writer = self._channels[stream].writer
                if writer is not None:
                    self.left.append((writer, batch))
        super().cancel(tasks)

    def step(self) -> bool:
        while self.left and self.left[0][0].offer(self.left[0][1]):
            self.left.popleft()
        return super().step()


# start


class CompletesTwice(InlineRunner):
    def _set(self, task: Task, status: TaskStatus) -> None:
        owner = self._owner.get(task)
        super()._set(task, status)
        if owner is not None and status.state is TaskState.COMPLETED:
            owner.task_event_handler(task, status)


class StartsTheWholeManifest(InlineRunner):
    def start(self, tasks: Sequence[Task]) -> None:
        super().start(tasks)
        for task in tasks:
            super().start(self._owner[task].tasks)


class WaitsInStart(InlineRunner):
    def start(self, tasks: Sequence[Task]) -> None:
        super().start(tasks)
        while any(not self._is_over(task) for task in tasks):
            if not self.step():
                raise Stuck("the end of what was started")


class StartsTheKnown(InlineRunner):
    def start(self, tasks: Sequence[Task]) -> None:
        super().start([task for task in tasks if task in self._states])
        super().start(tasks)


class StartsTwice(InlineRunner):
    def start(self, tasks: Sequence[Task]) -> None:
        super().start(tasks)
        for task in dict.fromkeys(tasks):
            for _ in range(tasks.count(task) - 1):
                self._owner[task].task_event_handler(task, TaskStatus(TaskState.PENDING))


class StartsCreatedOnly(InlineRunner):
    """Start raises for a task that is not Created."""

    def start(self, tasks: Sequence[Task]) -> None:
        wrong = [t for t in tasks if self._states.get(t) not in (None, TaskState.CREATED)]
        if wrong:
            raise UnknownTask(tuple(str(task.id) for task in wrong))
        super().start(tasks)


class RevivesTheCancelled(InlineRunner):
    def start(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if self._states.get(task) is TaskState.CANCELLED:
                self._states[task] = TaskState.CREATED
        super().start(tasks)


class NoneMeansAll(InlineRunner):
    def start(self, tasks: Sequence[Task]) -> None:
        super().start(tasks or list(self._states))

    def cancel(self, tasks: Sequence[Task]) -> None:
        super().cancel(tasks or list(self._states))


# cancel


class KeepsThePending(InlineRunner):
    def cancel(self, tasks: Sequence[Task]) -> None:
        super().cancel([t for t in tasks if self._states.get(t) is not TaskState.PENDING])


class KeepsTheRunning(InlineRunner):
    def cancel(self, tasks: Sequence[Task]) -> None:
        super().cancel([t for t in tasks if self._states.get(t) is not TaskState.RUNNING])


class CancelsTheDead(InlineRunner):
    """Cancel reports Cancelled, whatever the state: as the reference's own test double does."""

    def cancel(self, tasks: Sequence[Task]) -> None:
        over = []
        for task in tasks:
            over += [task] if self._is_over(task) and task in self._states else []
            if task in self._states and not self._is_over(task):
                super().cancel([task])
        for task in over:
            self._owner[task].task_event_handler(task, CANCELLED)
        super().cancel(tasks)


class RaisesBeforeItCancels(InlineRunner):
    def cancel(self, tasks: Sequence[Task]) -> None:
        unknown = tuple(str(task.id) for task in tasks if task not in self._states)
        if unknown:
            raise UnknownTask(unknown)
        super().cancel(tasks)


class CancelsTheReadersToo(InlineRunner):
    def cancel(self, tasks: Sequence[Task]) -> None:
        readers = [
            channel.reader
            for task in tasks
            for channel in (self._channels.get(stream) for stream in task.sink_streams())
            if channel is not None and channel.reader is not None
        ]
        super().cancel([*tasks, *readers])


class CancelLeavesSinksOpen(InlineRunner):
    def cancel(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task in self._states:
                self._forget(task)
                self._set(task, CANCELLED)
        super().cancel(tasks)


class HoldsBatchesForTheDead(InlineRunner):
    def _offer(self, channel: _Channel, batch: pa.RecordBatch) -> bool:
        if channel.reader is not None and self._is_over(channel.reader):
            return False
        return super()._offer(channel, batch)


class RunsBackwards(InlineRunner):
    def _set(self, task: Task, status: TaskStatus) -> None:
        owner = self._owner.get(task)
        super()._set(task, status)
        if owner is not None and status.state is TaskState.RUNNING:
            owner.task_event_handler(task, TaskStatus(TaskState.PENDING))


class OpensAgain(InlineRunner):
    def _report(self, stream: Stream, state: StreamState) -> None:
        owner = self._stream_owner.get(stream)
        super()._report(stream, state)
        if owner is not None and state is StreamState.CLOSED:
            owner.stream_event_handler(stream, StreamState.OPEN)


# Handlers.


class TellsEverybody(InlineRunner):
    def _set(self, task: Task, status: TaskStatus) -> None:
        owner = self._owner.get(task)
        for manifest in self._manifests:
            if manifest is not owner:
                manifest.task_event_handler(task, status)
        super()._set(task, status)


class NotReentrant(InlineRunner):
    """Holds its lock while it calls a handler."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.locked = False

    def _set(self, task: Task, status: TaskStatus) -> None:
        before, self.locked = self.locked, True
        try:
            super()._set(task, status)
        finally:
            self.locked = before

    def _report(self, stream: Stream, state: StreamState) -> None:
        before, self.locked = self.locked, True
        try:
            super()._report(stream, state)
        finally:
            self.locked = before

    def _enter(self) -> None:
        if self.locked:
            raise RuntimeError("the lock is held by its own thread")

    def register_manifest(self, manifest: Manifest) -> None:
        self._enter()
        super().register_manifest(manifest)

    def unregister_manifest(self, manifest: Manifest) -> None:
        self._enter()
        super().unregister_manifest(manifest)

    def start(self, tasks: Sequence[Task]) -> None:
        self._enter()
        super().start(tasks)

    def cancel(self, tasks: Sequence[Task]) -> None:
        self._enter()
        super().cancel(tasks)


# Trouble.


class CancelsTheFailed(SimRunner):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.owners: dict[Task, Manifest] = {}

    def register_manifest(self, manifest: Manifest) -> None:
        super().register_manifest(manifest)
        self.owners |= dict.fromkeys(manifest.tasks, manifest)

    def cancel(self, tasks: Sequence[Task]) -> None:
        super().cancel(tasks)
        for task in tasks:
            self.owners[task].task_event_handler(task, CANCELLED)


class CancelsLate(SimRunner):
    def cancel(self, tasks: Sequence[Task]) -> None:
        self.world.clock.after(100, "late cancel", lambda: super(CancelsLate, self).cancel(tasks))


class GivesUpAfterALoss(SimRunner):
    def give_up(self) -> None:
        vars(self.scheduler)["_assign_soon"] = lambda: None


# What they are run with.


def inline(runner_type: type[InlineRunner]) -> type[RunnerContract[Any]]:
    """The contract for a faulty runner in one thread."""

    class OfAFaulty(Inline):
        def make_runner(self) -> InlineRunner:
            return runner_type(rows_per_scan=20)

        def tables(self, runner: InlineRunner) -> Mapping[str, int]:
            return {key: len(each) for key, each in vars(runner).items() if isinstance(each, Sized)}

    return OfAFaulty


def simulated(runner_type: type[SimRunner]) -> type[RunnerContract[Any]]:
    """The contract for a faulty simulated cluster."""

    class OfAFaulty(OnTheSimulatedCluster):
        def make_runner(self) -> SimRunner:
            return runner_type(Scenario(), self.choices())

        def lose_worker(self, runner: SimRunner, task: Task) -> bool:
            lost = super().lose_worker(runner, task)
            if isinstance(runner, GivesUpAfterALoss):
                runner.give_up()
            return lost

    return OfAFaulty


class OfTheReference(OnTheSimulatedCluster):
    """The reference profile, its departures taken for faults."""

    cluster = Cluster(profile="reference")


@dataclass(frozen=True)
class Faulty:
    """A contract on a faulty Runner, and which of its tests must fail."""

    contract: type[RunnerContract[Any]]
    found_by: tuple[str, ...]


def _table() -> dict[str, Faulty]:
    found: dict[type[InlineRunner], str] = {
        TellsOfRegistration: "registering_makes_tasks_known_and_reports_nothing",
        TakesZeroTask: "a_task_with_the_zero_id_is_refused",
        TakesZeroStream: "a_stream_with_the_zero_id_is_refused",
        ForgetsTaskIds: "a_task_with_the_id_of_a_known_one_is_refused",
        ForgetsStreamIds: "a_stream_with_the_id_of_a_known_one_is_refused",
        TakesTwinTasks: "two_tasks_with_one_id_are_refused "
        "a_task_and_a_stream_with_one_id_are_refused",
        TakesTwinStreams: "two_streams_with_one_id_are_refused",
        TakesForeignSource: "a_source_that_is_not_in_the_manifest_is_refused",
        TakesForeignSink: "a_sink_that_is_not_in_the_manifest_is_refused",
        TakesTwoSenders: "a_stream_with_two_senders_is_refused",
        TakesTwoReaders: "a_stream_that_two_tasks_read_is_refused",
        NamesOneViolation: "a_refusal_lists_every_violation",
        RegistersHalf: "a_refused_manifest_leaves_nothing_behind",
        BurnsRefusedIds: "after_a_refusal_a_corrected_manifest_is_registered_and_runs",
        RefusalCancels: "a_refusal_leaves_what_is_registered_alone",
        UnregistersLate: "before_unregister_returns_each_task_has_ended_once_"
        "and_each_stream_closed",
        LeavesLooseStreamsOpen: "unregister_closes_a_stream_that_no_task_writes",
        SpeaksAfterUnregister: "after_unregister_nothing_is_reported_and_nothing_written",
        UnregistersAll: "unregister_leaves_other_manifests_alone",
        UnregistersStrangersInSilence: "unregister_of_an_unknown_manifest_is_refused_"
        "and_changes_nothing",
        UnregistersInPart: "unregister_of_a_manifest_known_in_part_is_refused_and_removes_nothing",
        RemembersTheGone: "unregister_twice_is_refused what_is_unregistered_is_unknown "
        "nothing_is_kept_of_what_is_unregistered",
        KeepsIds: "what_is_unregistered_may_be_registered_and_run_again",
        Reorders: "records_reach_the_writer_in_order",
        DropsWhenFull: "a_full_writer_is_offered_again_once_it_has_room",
        FailsAtAClosedWriter: "a_writer_that_closed_is_no_failure_of_the_task",
        WaitsForAClosedWriter: "a_writer_that_closes_while_it_is_full_sets_its_task_free",
        ListensToAnything: "an_unknown_stream_cannot_be_listened_to",
        ListensBetweenTasks: "a_stream_that_a_task_reads_cannot_be_listened_to",
        ReplacesTheWriter: "a_stream_with_a_writer_is_refused_to_another_writer",
        DropsUntilSomebodyListens: "a_writer_that_listens_after_the_start_gets_every_record",
        LosesWhatARunningReaderGets: "a_child_feeds_a_parent_that_was_started_before_it",
        LosesWhatComesEarly: "a_child_feeds_a_parent_that_is_started_after_it",
        WritesOneSink: "a_task_feeds_both_of_its_parents",
        LeavesEmptyStreamsOpen: "a_task_without_records_closes_its_sink_and_lets_its_parent_end",
        EndsWithItsFirstInput: "an_empty_stream_beside_others_does_not_end_their_reader",
        WaitsForWhatHasEnded: "a_stream_that_ended_before_its_reader_was_started_ends_for_it",
        ReadsInTurn: "a_task_reads_the_streams_of_one_node_as_they_come",
        ServesTheFirstManifest: "manifests_run_side_by_side",
        ReportsTheEndLate: "a_streams_end_is_reported_before_its_reader_learns_of_it",
        ClosesEarly: "a_stream_is_closed_after_its_last_record",
        SendsAfterTheEnd: "nothing_is_written_to_a_stream_after_its_end",
        CompletesTwice: "a_started_task_runs_completes_and_closes_its_sinks",
        StartsTheWholeManifest: "a_task_that_was_not_started_does_not_run",
        WaitsInStart: "no_call_waits_for_a_task",
        StartsTheKnown: "start_with_an_unknown_task_starts_none",
        StartsTwice: "a_task_named_twice_in_one_start_runs_once",
        StartsCreatedOnly: "a_task_that_was_just_started_is_left_alone_by_another_start "
        "a_task_that_runs_is_left_alone_by_another_start "
        "a_task_that_is_over_is_left_alone_by_another_start",
        RevivesTheCancelled: "a_task_cancelled_before_its_start_never_runs",
        NoneMeansAll: "start_and_cancel_of_no_task_do_nothing",
        KeepsThePending: "a_task_cancelled_right_after_its_start_ends_so",
        KeepsTheRunning: "a_task_cancelled_while_it_runs_ends_so",
        CancelsTheDead: "a_task_that_is_over_is_left_alone_by_cancel a_second_cancel_does_nothing "
        "a_task_named_twice_in_one_cancel_ends_once",
        RaisesBeforeItCancels: "cancel_with_an_unknown_task_cancels_the_known_ones_and_raises",
        CancelsTheReadersToo: "cancel_stops_no_other_task",
        CancelLeavesSinksOpen: "the_reader_of_a_cancelled_task_learns_of_the_end",
        HoldsBatchesForTheDead: "a_task_whose_reader_was_cancelled_comes_to_its_end",
        RunsBackwards: "tasks_and_streams_make_legal_moves_only",
        OpensAgain: "tasks_and_streams_make_legal_moves_only",
        TellsEverybody: "a_handler_hears_of_its_own_manifest_only",
        NotReentrant: "a_handler_may_start_a_task a_handler_may_cancel_a_task_at_any_event "
        "a_handler_may_unregister_while_the_runner_works "
        "a_handler_may_unregister_in_the_middle_of_a_start "
        "a_handler_may_unregister_in_the_middle_of_a_cancel "
        "a_handler_may_register_and_start_another_manifest",
    }
    in_the_cluster: dict[type[SimRunner], str] = {
        ReadsShardsDifferently: "shards_of_a_branch_read_their_nodes_in_one_order",
        CancelsTheFailed: "a_failed_task_is_left_alone_by_start_and_cancel",
        CancelsLate: "a_cancel_before_the_loss_counts",
        GivesUpAfterALoss: "after_a_loss_other_tasks_run",
    }
    table = {each.__name__: Faulty(inline(each), _tests(found[each])) for each in found}
    for kind, names in in_the_cluster.items():
        table[kind.__name__] = Faulty(simulated(kind), _tests(names))
    table["Reference"] = Faulty(
        OfTheReference,
        _tests(
            "a_task_that_fails_is_reported_failed_and_closes_its_sinks "
            "the_reader_of_a_failed_task_comes_to_its_end "
            "a_task_whose_worker_is_lost_ends_once_and_closes_its_sinks "
            "the_reader_of_a_task_whose_worker_is_lost_comes_to_its_end"
        ),
    )
    return table


def _tests(names: str) -> tuple[str, ...]:
    return tuple(f"test_{name}" for name in names.split())


FAULTY: Final = _table()
