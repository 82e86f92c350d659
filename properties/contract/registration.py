"""Register and unregister: all or nothing, and nothing is left."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest
from ulid import ULID

from properties.contract.base import ROWS, ContractBase, R
from properties.contract.bench import Work
from properties.contract.broken import ContractBroken, expect
from workflow import (
    Manifest,
    ManifestRefused,
    RunnerError,
    Stream,
    StreamState,
    Task,
    TaskState,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
)

__all__ = ["Registration", "expect_raises"]

E = TypeVar("E", bound=RunnerError)


def expect_raises(kind: type[E], call: Callable[[], object], sentence: str) -> E:
    """The call raises this error.  Raises ContractBroken if it raises none or another."""
    try:
        call()
    except kind as error:
        return error
    except Exception as error:
        raise ContractBroken(sentence, f"{type(error).__name__}: {error}", kind.__name__) from error
    raise ContractBroken(sentence, "no exception", kind.__name__)


class Registration(ContractBase[R]):
    """`register_manifest` and `unregister_manifest`."""

    # register_manifest

    def test_registering_makes_tasks_known_and_reports_nothing(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        self.quiet(runner)
        work.expect_silence(0, "no event follows a registration")
        work.listen(work.tasks[0])
        work.start()
        self.finish(runner, work)

    def test_a_task_with_the_zero_id_is_refused(self) -> None:
        def zero(work: Work) -> Manifest:
            work.tasks[1].id = ULID.from_int(0)
            return work.manifest

        self._refuses(zero)

    def test_a_stream_with_the_zero_id_is_refused(self) -> None:
        def zero(work: Work) -> Manifest:
            return work.changed(streams=(*work.streams, Stream(ULID.from_int(0))))

        self._refuses(zero)

    def test_a_task_with_the_id_of_a_known_one_is_refused(self) -> None:
        def known(work: Work, other: Work) -> Manifest:
            work.tasks[1].id = other.tasks[1].id
            return work.manifest

        self._refuses_beside_another(known)

    def test_a_stream_with_the_id_of_a_known_one_is_refused(self) -> None:
        def known(work: Work, other: Work) -> Manifest:
            return work.changed(streams=(*work.streams, Stream(other.streams[0].id)))

        self._refuses_beside_another(known)

    def test_two_tasks_with_one_id_are_refused(self) -> None:
        def twins(work: Work) -> Manifest:
            work.tasks[1].id = work.tasks[0].id
            return work.manifest

        self._refuses(twins)

    def test_two_streams_with_one_id_are_refused(self) -> None:
        def twins(work: Work) -> Manifest:
            return work.changed(streams=(*work.streams, Stream(work.streams[0].id)))

        self._refuses(twins)

    def test_a_task_and_a_stream_with_one_id_are_refused(self) -> None:
        def twins(work: Work) -> Manifest:
            work.tasks[1].id = work.streams[0].id
            return work.manifest

        self._refuses(twins)

    def test_a_source_that_is_not_in_the_manifest_is_refused(self) -> None:
        def foreign(work: Work) -> Manifest:
            streams, node = tuple(work.streams), work.tasks[0].fragment.root()
            work.tasks[0].sources[node].append(work.stream())
            return work.changed(streams=streams)

        self._refuses(foreign)

    def test_a_sink_that_is_not_in_the_manifest_is_refused(self) -> None:
        def foreign(work: Work) -> Manifest:
            streams = tuple(work.streams)
            work.sink(work.tasks[1])
            return work.changed(streams=streams)

        self._refuses(foreign)

    def test_a_stream_with_two_senders_is_refused(self) -> None:
        def crowded(work: Work) -> Manifest:
            [results] = work.tasks[0].sink_streams()
            work.tasks[1].sinks[work.tasks[1].fragment.root()].append(results)
            return work.manifest

        self._refuses(crowded)

    def test_a_stream_that_two_tasks_read_is_refused(self) -> None:
        def crowded(work: Work) -> Manifest:
            second = work.merge()
            second.sources[second.fragment.root()] = list(work.tasks[1].source_streams())
            return work.manifest

        self._refuses(crowded)

    def test_a_refusal_lists_every_violation(self) -> None:
        runner = self.runner()
        work = self.family(runner)
        twin = Stream(work.streams[0].id)
        foreign = Stream(ULID.from_int(7))
        root = work.tasks[0].fragment.root()
        work.tasks[0].sources[root].append(foreign)
        work.tasks[1].id = ULID.from_int(0)
        manifest = work.changed(streams=(*work.streams, twin))
        told = "\n".join(self._refused(runner, manifest).violations)
        for item in (twin, foreign, work.tasks[1]):
            expect(
                str(item.id) in told, "a refusal lists every violation", got=told, wanted=item.id
            )

    def test_a_refused_manifest_leaves_nothing_behind(self) -> None:
        runner = self.runner()
        work = self.family(runner)
        wrong = work.changed(streams=(*work.streams, Stream(ULID.from_int(0))))
        self._refused(runner, wrong)
        nothing = "after a refusal nothing was registered"
        for task in work.tasks:
            expect_raises(UnknownTask, partial(runner.start, [task]), nothing)
            expect_raises(UnknownTask, partial(runner.cancel, [task]), nothing)
        expect_raises(UnknownStream, lambda: work.listen(work.tasks[0]), nothing)
        expect_raises(UnknownManifest, lambda: runner.unregister_manifest(wrong), nothing)
        self.quiet(runner)
        work.expect_silence(0, nothing)

    def test_after_a_refusal_a_corrected_manifest_is_registered_and_runs(self) -> None:
        runner = self.runner()
        work = self.family(runner)
        self._refused(runner, work.changed(streams=(*work.streams, Stream(ULID.from_int(0)))))
        work.register()
        self._runs(runner, work)

    def test_a_refusal_leaves_what_is_registered_alone(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        self._refused(runner, work.manifest)  # all of its ids are known
        work.expect_silence(0, "no event follows a registration")
        self._runs(runner, work)

    # unregister_manifest

    def test_before_unregister_returns_each_task_has_ended_once_and_each_stream_closed(
        self,
    ) -> None:
        runner = self.runner()
        work, stages = self._stages(runner)
        work.unregister()
        before = "unregister delivers its events before it returns"
        cancelled = dict.fromkeys(stages, TaskState.CANCELLED)
        work.expect_ends(cancelled | {stages[0]: TaskState.COMPLETED}, before)
        self.quiet(runner)
        work.expect_ends(cancelled | {stages[0]: TaskState.COMPLETED}, before)

    def test_unregister_closes_a_stream_that_no_task_writes(self) -> None:
        runner = self.runner()
        work = self.family(runner)
        alone = work.stream()
        work.register()
        work.unregister()
        closed = work.closes(alone) == 1
        work.expect(closed, f"{work.name(alone)} Closed", "unregister closes what is not closed")

    def test_after_unregister_nothing_is_reported_and_nothing_written(self) -> None:
        runner = self.runner()
        work, _, writer = self.blocked(runner)
        work.unregister()
        count = len(work.reports)
        writer.give_room()
        self.quiet(runner)
        forgotten = "unregister forgets all of a manifest"
        work.expect_silence(count, forgotten)
        expect(len(writer.batches) == 1, forgotten, got=writer.rows, wanted="no more rows")

    def test_unregister_leaves_other_manifests_alone(self) -> None:
        runner = self.runner()
        work, _ = self._stages(runner)
        other = self.family(runner, seed="other").register()
        writer = other.listen(other.tasks[0], room=1)
        other.start()
        self.wait(runner, lambda: writer.turned_away > 0, "a full writer", other)
        self.quiet(runner)
        count = len(other.reports)
        work.unregister()
        other.expect_silence(count, "unregister leaves other manifests alone")
        writer.give_room()
        self.finish(runner, other)
        self._expect_completed(other)
        expect(writer.rows == ROWS, "unregister leaves others alone", got=writer.rows, wanted=ROWS)

    def test_unregister_of_an_unknown_manifest_is_refused_and_changes_nothing(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        stranger = self.family(runner, seed="stranger")
        expect_raises(
            UnknownManifest, stranger.unregister, "unregister refuses an unknown manifest"
        )
        stranger.expect_silence(0, "a refused call changes nothing")
        work.expect_silence(0, "a refused call changes nothing")
        self._runs(runner, work)

    def test_unregister_of_a_manifest_known_in_part_is_refused_and_removes_nothing(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        stranger = self.family(runner, seed="stranger")
        both = work.changed(
            streams=(*work.streams, *stranger.streams), tasks=(*work.tasks, *stranger.tasks)
        )
        sentence = "unregister refuses a manifest with unknown tasks, and removes nothing"
        expect_raises(UnknownManifest, lambda: runner.unregister_manifest(both), sentence)
        work.expect_silence(0, sentence)
        self._runs(runner, work)

    def test_unregister_twice_is_refused(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        work.unregister()
        count = len(work.reports)
        expect_raises(UnknownManifest, work.unregister, "what is unregistered is unknown")
        work.expect_silence(count, "a refused call changes nothing")

    def test_what_is_unregistered_is_unknown(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        work.unregister()
        forgotten = "unregister forgets all of a manifest"
        expect_raises(UnknownTask, lambda: work.start(work.tasks[0]), forgotten)
        expect_raises(UnknownTask, lambda: work.cancel(work.tasks[1]), forgotten)
        expect_raises(UnknownStream, lambda: work.listen(work.tasks[0]), forgotten)

    def test_what_is_unregistered_may_be_registered_and_run_again(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        self._runs(runner, work)
        work.unregister()
        work.reports.clear()
        try:
            work.register()
        except ManifestRefused as error:
            forgotten = "unregister forgets all of a manifest"
            raise ContractBroken(forgotten, str(error), "its ids free again") from error
        self._runs(runner, work)

    def test_nothing_is_kept_of_what_is_unregistered(self) -> None:
        runner = self.runner()
        before = self.tables(runner)
        if before is None:
            pytest.skip("not judged, whether anything is kept: `tables` gives None")
        before = dict(before)
        work, _ = self._stages(runner)
        self._refused(runner, work.manifest)
        work.unregister()
        self.quiet(runner)
        after = dict(self.tables(runner) or {})
        expect(after == before, "unregister forgets all of a manifest", got=after, wanted=before)

    # What these tests share.

    def _stages(self, runner: R) -> tuple[Work, list[Task]]:
        """A task that has completed, one that waits for its reader, one just started, one not."""
        work, tasks = self.scans(runner, 4)
        writers = [work.listen(task, room=1) for task in tasks]
        writers[0].give_room()
        work.start(*tasks[:2])
        blocked = writers[1]
        self.wait(
            runner,
            lambda: work.over(tasks[0]) and blocked.turned_away > 0,
            "one task over, the other's writer full",
            work,
        )
        self.quiet(runner)
        work.start(tasks[2])
        return work, tasks

    def _refused(self, runner: R, manifest: Manifest) -> ManifestRefused:
        sentence = "a manifest that breaks rules is refused"
        error = expect_raises(
            ManifestRefused, partial(runner.register_manifest, manifest), sentence
        )
        expect(bool(error.violations), "a refusal lists every violation", got="none", wanted="some")
        return error

    def _refuses(self, break_it: Callable[[Work], Manifest]) -> None:
        runner = self.runner()
        work = self.family(runner)
        self._refused(runner, break_it(work))
        work.expect_silence(0, "no event follows a registration")

    def _refuses_beside_another(self, break_it: Callable[[Work, Work], Manifest]) -> None:
        runner = self.runner()
        other = self.family(runner, seed="other").register()
        work = self.family(runner)
        self._refused(runner, break_it(work, other))

    def _expect_completed(self, work: Work) -> None:
        completed = dict.fromkeys(work.tasks, TaskState.COMPLETED)
        work.expect_ends(completed, "a task that nobody stops and nothing hits completes")

    def _runs(self, runner: R, work: Work) -> None:
        """All tasks complete, and every row arrives."""
        writer = work.listen(work.tasks[0])
        work.start()
        self.finish(runner, work)
        self._expect_completed(work)
        expect(writer.rows == ROWS, "every row arrives", got=writer.rows, wanted=ROWS)
        closed = all(StreamState.CLOSED in work.states(stream) for stream in work.every_stream())
        work.expect(closed, "every stream Closed", "a task that ends closes its sinks")
