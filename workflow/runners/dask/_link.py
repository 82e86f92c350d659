"""The client's end of a hub: what it orders, what the hub says, and whether it is alive."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, Generic, TypeVar

import pyarrow as pa

from workflow.runners._delivery import Delivery
from workflow.runners.dask._flight import Peer
from workflow.runners.dask._wire import Message, decode, encode

__all__ = ["Link", "WorkerInfo"]

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker of the cluster.  ``address`` is Dask's."""

    address: str
    pid: int

    def __str__(self) -> str:
        return f"worker {self.address}"


class Link(Generic[J]):
    """To the hub in one worker.  ``jobs``: what is placed there, for the Runner.

    ``hear(link, message)`` and, once, ``lose(link, why)`` are called on a thread of it.
    """

    def __init__(
        self,
        worker: WorkerInfo,
        peer: Peer,
        location: str,
        hear: "Callable[[Link[J], Message], None]",
        lose: "Callable[[Link[J], str], None]",
    ) -> None:
        self.worker: Final = worker
        self.peer: Final = peer
        self.location: Final = location
        self.jobs: dict[J, None] = {}
        self.leaving = False  # takes nothing new
        self.gone = False
        self.heard = monotonic()  # when it last said anything
        self._hear = hear
        self._lose = lose
        self._outbox = Delivery(f"windtunnel to {worker.address}")
        self._writer, self._reader = peer.exchange({"control": True})
        self._thread = threading.Thread(
            target=self._listen, name=f"windtunnel from {worker.address}", daemon=True
        )

    def open(self) -> None:
        """Begin to hear."""
        self._thread.start()

    def order(self, message: Message) -> None:
        """The hub is to do something, after all that was ordered before.  Does not wait."""
        if not self.gone:
            self._outbox.post(partial(self._write, encode(message)))

    def _write(self, data: bytes) -> None:
        with suppress(pa.ArrowException, OSError):  # it is lost, which `_listen` sees
            self._writer.write_metadata(data)

    def _listen(self) -> None:
        why = "it ended its connection"
        try:
            while True:
                message = decode(self._reader.read_chunk().app_metadata)
                self.heard = monotonic()
                self._hear(self, message)
        except StopIteration:
            pass
        except (pa.ArrowException, OSError) as error:
            why = f"the connection to it broke ({str(error).splitlines()[0]:.120})"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is of no use any more
            why = f"it said what makes no sense ({type(error).__name__}: {error!s:.120})"
        self._lose(self, why)

    def break_off(self) -> None:
        """Hear nothing more, and say nothing more, whatever it waits for."""
        self.gone = True
        self._reader.cancel()

    def close(self) -> None:
        """End the connection; not to be called by `hear` or `lose`."""
        self.break_off()
        self._outbox.close()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(pa.ArrowException, OSError):  # without it Arrow complains on stderr
            self._writer.close()
        self.peer.close()
