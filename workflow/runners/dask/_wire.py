"""What hubs and their client say to each other: JSON messages, and record batches.

A message travels as the metadata of a Flight exchange.  Batches travel as batches; one whose schema
is not that of the exchange's first goes as metadata too, in Arrow's stream format, since the
objects of a bucket have different columns and an exchange has one schema.
"""

import json
from typing import Any

import pyarrow as pa
from ulid import ULID

from workflow.plan_json import graph_to_json, plan_from_json
from workflow.stream import Stream
from workflow.task import Task

__all__ = ["BatchWriter", "Message", "decode", "decode_batch", "decode_task", "encode", "task_json"]

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """A message as it travels."""
    return json.dumps(message, separators=(",", ":")).encode()


def decode(data: Any) -> Message:
    """The message that `encode` was given.  Raises ValueError."""
    message = json.loads(bytes(data))
    if not isinstance(message, dict):
        raise ValueError(f"got {message!r:.60}, expected a message")  # noqa: TRY004 - bad input
    return message


def task_json(task: Task) -> Message:
    """A task for `decode_task`: its fragment, and the ids of its streams."""
    numbers = {node: index for index, node in enumerate(task.fragment.preorder())}
    return {
        "id": str(task.id),
        "fragment": graph_to_json(task.fragment, numbers),
        "sources": [
            [numbers[node], [str(stream.id) for stream in streams]]
            for node, streams in task.sources.items()
        ],
        "sinks": [str(stream.id) for stream in task.sink_streams()],
    }


def decode_task(value: Message) -> Task:
    """A task with streams of its own, whose ids are those of the other one's."""
    fragment = plan_from_json(value["fragment"], where="fragment")
    nodes = {number: node for node, number in fragment.ids.items()}
    task = Task(ULID.from_str(value["id"]), "", fragment)
    for number, ids in value["sources"]:
        task.sources[nodes[number]] = [Stream(ULID.from_str(each)) for each in ids]
    task.sinks[fragment.root()] = [Stream(ULID.from_str(each)) for each in value["sinks"]]
    return task


class BatchWriter:
    """Batches into one exchange, whose Flight writer it is given."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._schema: pa.Schema | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Send a batch.  Raises pyarrow.ArrowException if the exchange is over."""
        if self._schema is None:
            self._schema = batch.schema
            self._writer.begin(batch.schema)
        if batch.schema.equals(self._schema, check_metadata=True):
            self._writer.write_batch(batch)
        else:
            stream = pa.BufferOutputStream()
            with pa.ipc.new_stream(stream, batch.schema) as writer:
                writer.write_batch(batch)
            self._writer.write_metadata(stream.getvalue())

    def release(self) -> None:
        """Let go of the Flight writer; no `write` is under way, nor comes any more.

        On a server it must not outlive its exchange, or memory is corrupted.
        """
        self._writer = None


def decode_batch(chunk: Any) -> pa.RecordBatch:
    """The batch in a chunk of an exchange, checked.  Raises pyarrow.ArrowException."""
    batch = chunk.data
    if batch is None:
        with pa.ipc.open_stream(chunk.app_metadata) as reader:
            batch = reader.read_next_batch()
    batch.validate()
    return batch
