"""What a part raises in a run: the first of it is kept, and where the record must say so, it does.

Most of it comes out of the simulator's step.  What the engine calls is different: its mailbox
takes what is raised for an end of the results, and closing goes on whatever the Runner says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workflow import (
    AlreadyBound,
    Manifest,
    ManifestRefused,
    RecordWriter,
    Runner,
    RunnerError,
    Stream,
    Task,
    UnknownManifest,
    UnknownStream,
    UnknownTask,
)
from workflow.raised import describe_raised

if TYPE_CHECKING:
    from workflow.trace import Event

__all__ = ["FirstRaised", "Raised", "RaisesTold"]


@dataclass(frozen=True, slots=True)
class Raised:
    """What was raised: its class, its message, and the file and function that raised it.

    ``seq`` is the event that tells of it, ``since`` the first of the step in which it happened.
    """

    error_type: str
    error: str
    place: str
    seq: int
    since: int


class FirstRaised:
    """Sees each event of a run, and keeps what was raised first."""

    def __init__(self, step: Callable[[], int]) -> None:
        self.first: Raised | None = None
        self._step: Final = step  # the number of the step
        self._in_step = -1
        self._since = 0
        self._next = 0
        self._told: list[BaseException] = []

    def see(self, event: "Event") -> None:
        """An event has happened."""
        step = self._step()
        if step != self._in_step:
            self._in_step, self._since = step, event.seq
        self._next = event.seq + 1
        if event.kind == "raised":
            self._keep(event.seq, event.details)

    def begin(self) -> None:
        """What comes now is no part of the last step."""
        self._since, self._in_step = self._next, self._step()

    def tell(self, error: BaseException, record: Callable[[], None]) -> None:
        """Record what was raised, unless it was told already."""
        if self.knows(error):
            return
        self._told.append(error)
        record()
        self._keep(self._next - 1, describe_raised(error))

    def knows(self, error: BaseException) -> bool:
        """Whether it was told."""
        return any(error is each for each in self._told)

    def _keep(self, seq: int, details: Any) -> None:
        if self.first is None:
            self.first = Raised(
                details["error_type"],
                details["error"],
                details["place"],
                seq,
                min(self._since, seq),
            )


# By method: what only it may raise, see `workflow.Runner`.
_ITS_OWN: Final[dict[str, tuple[type[RunnerError], ...]]] = {
    "register_manifest": (ManifestRefused,),
    "unregister_manifest": (UnknownManifest,),
    "listen": (UnknownStream, AlreadyBound),
    "start": (UnknownTask,),
    "cancel": (UnknownTask,),
}
_NAMED: Final = tuple(dict.fromkeys(each for errors in _ITS_OWN.values() for each in errors))


def _is_refusal(method: str, error: Exception) -> bool:
    """Whether the protocol allows it.  A RunnerError that it does not name says no to a call."""
    if isinstance(error, _NAMED):
        return isinstance(error, _ITS_OWN[method])
    return isinstance(error, RunnerError)


class RaisesTold:
    """A Runner whose exceptions are told before they reach whoever called.

    Not those that the protocol allows: rules say whether a Runner may refuse.
    """

    def __init__(self, runner: Callable[[], Runner], tell: Callable[[Exception], None]) -> None:
        self._runner = runner
        self._tell = tell

    def register_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        self._call("register_manifest", manifest)

    def unregister_manifest(self, manifest: Manifest) -> None:
        """See `workflow.Runner`."""
        self._call("unregister_manifest", manifest)

    def listen(self, stream: Stream, writer: RecordWriter) -> None:
        """See `workflow.Runner`."""
        self._call("listen", stream, writer)

    def start(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        self._call("start", tasks)

    def cancel(self, tasks: Sequence[Task]) -> None:
        """See `workflow.Runner`."""
        self._call("cancel", tasks)

    def _call(self, method: str, *args: Any) -> None:
        try:
            getattr(self._runner(), method)(*args)
        except Exception as error:
            if not _is_refusal(method, error):
                self._tell(error)
            raise
