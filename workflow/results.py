"""The results on their way out: one slot between the root task and the reader.

Nothing here waits.  Who has to wait watches first and then tries: a host builds its blocking
side on that, with an event, a condition or a future.

How it ends is decided once, and the first decision stays: an error, the end, or the reader's
own close.  So the error comes before everything still in the slot (hazard E1), whoever writes
learns at once that nobody reads (E2), and an end is never followed by an error (E3).
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EndOfStream", "Results", "WriteClosed"]


class EndOfStream(Exception):
    """There are no more records.  Not a failure."""


class WriteClosed(Exception):
    """Nobody will read any more: the reader closed, or the results have ended."""


_END: Final = object()
_CLOSED: Final = object()


class Results:
    """Records from one writer to any number of readers, `capacity` of them at a time.

    Every method may be called from any thread.  That needs no lock: the slot is a deque, the
    decision how it ends a dict's first key, and both change in one step.
    """

    def __init__(self, on_close: Callable[[], None] = lambda: None, *, capacity: int = 1) -> None:
        self._on_close = on_close
        self._capacity = capacity
        self._slot: deque[pa.RecordBatch] = deque()
        self._decision: dict[str, tuple[object]] = {}
        self._watchers: deque[Callable[[], None]] = deque()

    def offer(self, batch: "pa.RecordBatch") -> bool:
        """Take the batch if there is room, and say whether it was taken.  Raises WriteClosed."""
        if self._decision:
            raise WriteClosed
        if len(self._slot) >= self._capacity:
            return False
        self._slot.append(batch)
        self._wake()
        return True

    def poll(self) -> "pa.RecordBatch | None":
        """The next record, or None if there is none yet.

        Raises the error that ended the results, or EndOfStream; both again on each later call.
        """
        decision = self._decision.get("how", (None,))[0]
        if isinstance(decision, Exception):
            raise decision
        if decision is _CLOSED:
            raise EndOfStream
        try:
            batch = self._slot.popleft() if self._slot else None
        except IndexError:  # another reader was faster
            batch = None
        if batch is None:
            if decision is _END:
                raise EndOfStream
            return None
        try:
            self._wake()
        except BaseException:  # a watcher's: the record is for the next call
            self._slot.appendleft(batch)
            raise
        return batch

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` once, at the next change, from whichever thread makes it."""
        self._watchers.append(wake)

    def close(self) -> None:
        """Say that nothing will be read any more.  Idempotent; the workflow then stops."""
        try:
            self._decide(_CLOSED)
        finally:
            self._slot.clear()
            self._on_close()

    @property
    def ended(self) -> bool:
        """Whether it is decided how the results end; records may still be in the slot."""
        return bool(self._decision)

    def fail(self, error: Exception) -> bool:
        """End with `error`; False if the end was decided before."""
        return self._decide(error)

    def finish(self) -> bool:
        """End with EndOfStream once the slot is read; False if the end was decided before."""
        return self._decide(_END)

    def _decide(self, how: object) -> bool:
        mine = (how,)  # told apart by identity: the same end may be asked for twice
        if self._decision.setdefault("how", mine) is not mine:
            return False
        self._wake()
        return True

    def _wake(self) -> None:
        # Only those who watch now: one that watches again while it is called waits for the
        # next change.  One that raises must not keep the others asleep.
        raised: Exception | None = None
        for _ in range(len(self._watchers)):
            try:
                wake = self._watchers.popleft()
            except IndexError:  # another thread was faster
                break
            try:
                wake()
            except Exception as error:  # noqa: BLE001 - raised below, once all are awake
                raised = raised or error
        if raised is not None:
            raise raised
