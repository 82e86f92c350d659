"""Streams: listen, what arrives, and when its end is reported."""

from properties.contract.base import ROWS, ContractBase, R
from properties.contract.bench import Report, Work, Writer
from properties.contract.broken import expect
from properties.contract.registration import expect_raises
from workflow import AlreadyBound, StreamState, Task, TaskState, UnknownStream

__all__ = ["Streams"]

CLOSED = StreamState.CLOSED


class Streams(ContractBase[R]):
    """`listen`, and the flow of records."""

    # listen

    def test_records_reach_the_writer_in_order(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task)
        work.start()
        self.finish(runner, work)
        self._expect_in_order(writer, ROWS)

    def test_a_full_writer_is_offered_again_once_it_has_room(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task, room=0)
        work.start()
        self.wait(runner, lambda: writer.turned_away > 0, "an offer", work)
        while not work.over():
            self._one_more_batch(runner, work, writer)
        self._expect_in_order(writer, ROWS)
        count = len(writer.batches)
        expect(count > 1, "`scan(20)` gives two batches or more", got=count, wanted="2 or more")

    def test_a_writer_that_closed_is_no_failure_of_the_task(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        work.listen(task).close()
        work.start()
        self.finish(runner, work)
        self._expect_not_failed(runner, work, task)

    def test_a_writer_that_closes_while_it_is_full_sets_its_task_free(self) -> None:
        runner = self.runner()
        work, task, writer = self.blocked(runner)
        writer.close()
        self.finish(runner, work)
        self._expect_not_failed(runner, work, task)

    def test_an_unknown_stream_cannot_be_listened_to(self) -> None:
        runner = self.runner()
        stream = self.work(runner).stream()
        sentence = "listen refuses a stream that no registered manifest has"
        expect_raises(UnknownStream, lambda: runner.listen(stream, Writer()), sentence)

    def test_a_stream_that_a_task_reads_cannot_be_listened_to(self) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        [between] = work.tasks[1].sink_streams()
        sentence = "listen refuses a stream that a task reads"
        expect_raises(AlreadyBound, lambda: runner.listen(between, Writer()), sentence)
        writer = work.listen(work.tasks[0])
        work.start()
        self.finish(runner, work)
        expect(writer.rows == ROWS, "a refused call changes nothing", got=writer.rows, wanted=ROWS)

    def test_a_stream_with_a_writer_is_refused_to_another_writer(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        first, second = work.listen(task), Writer()
        [stream] = task.sink_streams()
        sentence = "listen refuses a stream that another writer reads"
        expect_raises(AlreadyBound, lambda: runner.listen(stream, second), sentence)
        work.start()
        self.finish(runner, work)
        got = (first.rows, second.rows)
        expect(got == (ROWS, 0), "a refused call changes nothing", got=got, wanted=(ROWS, 0))

    def test_a_writer_that_listens_after_the_start_gets_every_record(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        work.start()
        self.quiet(runner)
        writer = work.listen(task)
        self.finish(runner, work)
        self._expect_in_order(writer, ROWS)

    # Between tasks.

    def test_a_child_feeds_a_parent_that_was_started_before_it(self) -> None:
        self._feeds(0, 1)

    def test_a_child_feeds_a_parent_that_is_started_after_it(self) -> None:
        self._feeds(1, 0)

    def test_a_task_feeds_both_of_its_parents(self) -> None:
        runner = self.runner()
        work = self.work(runner)
        child = work.leaf(self.scan(ROWS))
        parents = [work.merge((child,)), work.merge((child,))]
        root = work.merge(tuple(parents))
        work.sink(root)
        work.register()
        writer = work.listen(root)
        work.start()
        self.finish(runner, work)
        numbers = sorted(self._numbers(writer))
        twice = sorted([*range(ROWS), *range(ROWS)])
        expect(numbers == twice, "a task writes all of its sinks", got=numbers, wanted=twice)

    def test_a_task_without_records_closes_its_sink_and_lets_its_parent_end(self) -> None:
        runner = self.runner()
        work = self.family(runner, 0).register()
        writer = work.listen(work.tasks[0])
        work.start()
        self.finish(runner, work)
        expect(not writer.rows, "`scan(0)` gives no row", got=writer.rows, wanted=0)
        completed = dict.fromkeys(work.tasks, TaskState.COMPLETED)
        work.expect_ends(completed, "an empty stream ends like any other")

    def test_an_empty_stream_beside_others_does_not_end_their_reader(self) -> None:
        runner = self.runner()
        work = self.family(runner, 0, ROWS, 0).register()
        writer = work.listen(work.tasks[0])
        work.start()
        self.finish(runner, work)
        expect(writer.rows == ROWS, "every row arrives", got=writer.rows, wanted=ROWS)

    def test_a_stream_that_ended_before_its_reader_was_started_ends_for_it(self) -> None:
        runner = self.runner()
        work = self.family(runner, 0, 0).register()
        parent, *children = work.tasks
        work.listen(parent)
        work.start(*children)
        self.wait(runner, lambda: work.over(*children), "the children over", work)
        work.start(parent)
        self.finish(runner, work)

    def test_a_task_reads_the_streams_of_one_node_as_they_come(self) -> None:
        self._takes_what_comes(first=1, second=2)
        self._takes_what_comes(first=2, second=1)

    def test_shards_of_a_branch_read_their_nodes_in_one_order(self) -> None:
        runner = self.runner()
        work = self.work(runner)
        left, right = work.leaf(self.scan(ROWS)), work.leaf(self.scan(ROWS))
        shards = tuple(work.merge((left,), (right,)) for _ in range(3))
        root = work.merge(shards)
        work.sink(root)
        work.register()
        writer = work.listen(root)
        work.start()
        self.finish(runner, work)
        expect(writer.rows == 6 * ROWS, "every row arrives", got=writer.rows, wanted=6 * ROWS)

    def test_manifests_run_side_by_side(self) -> None:
        runner = self.runner()
        works = [self.family(runner, seed=seed).register() for seed in ("one", "two")]
        writers = [work.listen(work.tasks[0]) for work in works]
        for work in works:
            work.start()
        self.finish(runner, *works)
        for writer in writers:
            self._expect_in_order(writer, ROWS)

    # The end of a stream.

    def test_a_streams_end_is_reported_before_its_reader_learns_of_it(self) -> None:
        runner = self.runner()
        work = self.work(runner)
        children = tuple(work.leaf(self.scan(rows)) for rows in (0, ROWS, 3))
        middle = work.merge(children)
        root = work.merge((middle,))
        work.sink(root)
        work.register()
        work.listen(root)
        work.start()
        self.finish(runner, work)
        for reader in (middle, root):
            end = work.place(reader, TaskState.COMPLETED)
            for stream in reader.source_streams():
                work.expect(
                    0 <= work.place(stream, CLOSED) < end,
                    f"{work.name(stream)} Closed before {work.name(reader)} Completed",
                    "a stream's Closed is reported before its reader learns of it",
                )

    def test_a_stream_is_closed_after_its_last_record(self) -> None:
        runner = self.runner()
        work, [task] = self.scans(runner, 1)
        writer = work.listen(task)
        seen: list[int] = []

        def look(report: Report) -> None:
            if report.state is CLOSED:
                seen.append(writer.rows)

        work.react = look
        work.start()
        self.finish(runner, work)
        self.quiet(runner)
        sentence = "a stream of a task that completes is closed after its last record"
        expect(seen == [ROWS], sentence, got=f"{seen} rows at each Closed", wanted=[ROWS])
        expect(writer.rows == ROWS, "every row arrives", got=writer.rows, wanted=ROWS)

    def test_nothing_is_written_to_a_stream_after_its_end(self) -> None:
        runner = self.runner()
        work, _, writer = self.blocked(runner)
        work.cancel()
        self.wait(runner, work.over, "the task Cancelled, its sink Closed", work)
        writer.give_room()
        self.quiet(runner)
        sentence = "nothing is written to a stream after its Closed"
        expect(len(writer.batches) == 1, sentence, got=len(writer.batches), wanted="1 batch")

    # What these tests share.

    def _takes_what_comes(self, *, first: int, second: int) -> None:
        runner = self.runner()
        work = self.family(runner, ROWS, ROWS).register()
        writer = work.listen(work.tasks[0])
        work.start(work.tasks[0], work.tasks[first])
        rows = "all rows of one child, though the other has not started"
        self.wait(runner, lambda: writer.rows == ROWS, rows, work)
        work.start(work.tasks[second])
        self.finish(runner, work)
        expect(writer.rows == 2 * ROWS, "every row arrives", got=writer.rows, wanted=2 * ROWS)

    def _one_more_batch(self, runner: R, work: Work, writer: Writer) -> None:
        turned = writer.turned_away
        writer.give_room(writer.room + 1)
        self.wait(
            runner,
            lambda: writer.turned_away > turned or work.over(),
            "one more batch, then an offer without room or the end",
            work,
        )

    def _feeds(self, first: int, second: int) -> None:
        runner = self.runner()
        work = self.family(runner).register()
        writer = work.listen(work.tasks[0])
        work.start(work.tasks[first])
        self.quiet(runner)
        work.start(work.tasks[second])
        self.finish(runner, work)
        self._expect_in_order(writer, ROWS)

    def _numbers(self, writer: Writer) -> list[int]:
        return [number for batch in writer.batches for number in self.row_numbers(batch)]

    def _expect_in_order(self, writer: Writer, rows: int) -> None:
        numbers, wanted = self._numbers(writer), list(range(rows))
        expect(numbers == wanted, "records arrive once, in order", got=numbers, wanted=wanted)

    def _expect_not_failed(self, runner: R, work: Work, task: Task) -> None:
        self.quiet(runner)
        ends = work.ends(task)
        fine = ends in ([TaskState.COMPLETED], [TaskState.CANCELLED])
        work.expect(fine, "one end, and not Failed", "a writer that closed is no failure")
