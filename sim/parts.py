"""What a simulated cluster is built of, so that one part can be another: a faulty one, say."""

from dataclasses import dataclass
from typing import Final

from sim.channel import Channel, Input
from sim.job import Job
from sim.scheduler import Scheduler
from sim.worker import Worker
from workflow import Workflow

__all__ = ["SOUND", "Parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The classes of a run; subclasses of the real ones."""

    workflow: type[Workflow] = Workflow
    scheduler: type[Scheduler] = Scheduler
    worker: type[Worker] = Worker
    job: type[Job] = Job
    channel: type[Channel] = Channel
    input: type[Input] = Input


SOUND: Final = Parts()
