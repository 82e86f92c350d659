"""The Runners of this project keep the Runner's contract."""

from collections.abc import Mapping
from typing import ClassVar

from contract_hooks import Inline, OnTheSimulatedCluster
from threads import OnThreads

from sim.choices import Choices, Seeded
from sim.latency import Exponential
from sim.scenario import Cluster

KEEPS_SINKS_OPEN = "the sinks of a task that failed, or whose worker is lost, are not closed"
H12 = "a task whose sources have all closed before it took them never ends (hazard H12)"
REFERENCE = {
    "test_a_task_that_fails_is_reported_failed_and_closes_its_sinks": KEEPS_SINKS_OPEN,
    "test_the_reader_of_a_failed_task_comes_to_its_end": KEEPS_SINKS_OPEN,
    "test_a_task_whose_worker_is_lost_ends_once_and_closes_its_sinks": KEEPS_SINKS_OPEN,
    "test_the_reader_of_a_task_whose_worker_is_lost_comes_to_its_end": KEEPS_SINKS_OPEN,
    "test_a_stream_that_ended_before_its_reader_was_started_ends_for_it": H12,
    "test_nothing_is_written_to_a_stream_after_its_end": "a batch that waits is still written",
}


class TestSound(OnTheSimulatedCluster):
    """The boring schedule."""


class TestSoundSeed7(OnTheSimulatedCluster):
    """Messages overtake each other."""

    def choices(self) -> Choices:
        return Seeded(7)


class TestSoundSlow(OnTheSimulatedCluster):
    """Events reach their handlers late, and in another order."""

    cluster = Cluster(notify=Exponential(mean=500), slack=100)
    in_order = False

    def choices(self) -> Choices:
        return Seeded(3)


class TestReference(OnTheSimulatedCluster):
    """Follows the reference to the letter, see `docs/departures.md`."""

    cluster = Cluster(profile="reference")
    departures: ClassVar[Mapping[str, str]] = REFERENCE | {
        "test_a_handler_may_cancel_a_task_at_any_event": H12
    }


class TestReferenceSlow(OnTheSimulatedCluster):
    """The same where events reach their handlers late."""

    cluster = Cluster(profile="reference", notify=Exponential(mean=20_000))
    in_order = False
    departures: ClassVar[Mapping[str, str]] = REFERENCE | {
        "test_a_streams_end_is_reported_before_its_reader_learns_of_it": "the reader is told first"
    }

    def choices(self) -> Choices:
        return Seeded(3)


class TestInline(Inline):
    """Everything in one thread."""


class TestOnThreads(OnThreads):
    """Real threads, and whatever the system makes of them."""
