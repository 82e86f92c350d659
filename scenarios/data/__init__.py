"""Buckets of log lines: import them, make them, and run any plan over them."""

from scenarios.data.lines import BadLine, Limits, Line
from scenarios.data.make import made_lines
from scenarios.data.rebind import bind, rebind
from scenarios.data.store import Store, Stored

__all__ = ["BadLine", "Limits", "Line", "Store", "Stored", "bind", "made_lines", "rebind"]
