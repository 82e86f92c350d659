"""Synthetic logs: the same for the same seed, and with the trouble that real ones have.

Most lines are logfmt; some are JSON, some neither.  Keys are missing, empty, or called as a label
is; values are no numbers; times tie; some rows have metadata.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Final

from scenarios.data.lines import Line, Pairs
from workflow.times import Timestamp

__all__ = ["made_lines"]

_START: Final = Timestamp.parse("2025-01-01T00:00:00Z").ns
_SPAN: Final = 3600 * 10**9
_APPS: Final = ("shop", "cart", "mail")
_LEVELS: Final = ("debug", "info", "info", "info", "warn", "error")
_PLAIN: Final = (
    "panic: runtime error: index out of range",
    'unterminated quote="here',
    "deadline exceeded while waiting for upstream",
    "",
    "ключ=значение 🙂",
)


def made_lines(rows: int, seed: int) -> Iterator[Line]:
    """So many lines, in no order of time."""
    chance = Random(f"windtunnel/data/{seed}")
    streams = [_stream(index) for index in range(chance.randint(3, 9))]
    for _ in range(rows):
        ns = _START + chance.randrange(_SPAN)
        if chance.random() < 0.1:
            ns -= ns % (60 * 10**9)  # many rows share the bound of a window
        labels = chance.choice(streams)
        metadata: Pairs = ()
        if chance.random() < 0.2:
            metadata = (("trace_id", f"{chance.randrange(16**8):08x}"),)
        yield Line(ns, _message(chance), labels, metadata)


def _stream(index: int) -> Pairs:
    labels = [("app", _APPS[index % 3]), ("env", ("prod", "dev")[index % 2]), ("pod", f"p{index}")]
    if index % 4 == 3:
        labels.append(("level", "info"))  # collides with a key of the lines
    return tuple(labels)


def _message(chance: Random) -> str:
    kind = chance.random()
    if kind < 0.05:
        return chance.choice(_PLAIN)
    pairs = {
        "level": chance.choice(_LEVELS),
        "status": chance.choice(("200", "200", "404", "500")),
        "latency": f"{chance.randrange(1000)}ms",
        "bytes": str(chance.randrange(5000)) if chance.random() < 0.95 else "many",
        "path": f"/item/{chance.randrange(7)}",
        "msg": f"request {chance.randrange(40)}",
    }
    if chance.random() < 0.1:
        pairs["pod"] = f"p{chance.randrange(9)}"  # collides with a label
    for name in ("level", "latency", "msg"):
        if chance.random() < 0.1:
            if chance.random() < 0.5:
                del pairs[name]
            else:
                pairs[name] = ""
    if kind < 0.15:
        return json.dumps({**pairs, "nested": {"user id": chance.randrange(9)}, "tags": ["a"]})
    return " ".join(f"{k}={json.dumps(v) if ' ' in v else v}" for k, v in pairs.items())
