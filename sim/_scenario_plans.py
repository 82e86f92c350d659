"""Where the plans of a scenario come from: a library, a file, a printed tree, nodes and edges.

>>> report = Report("s.json", None)
>>> Plans().read(report, ("workload", 0), "plan_text", "Limit offset=0 limit=3", None)
plan_from_json({'nodes': [{'id': 0, 'type': 'Limit', 'props': {'fetch': 3}}], 'edges': []})
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from sim._scenario_report import Place, Report, one_of, short
from workflow import GraphError, Plan, PlanError, plan_from_json, plan_from_text
from workflow.plan_reader import PlanTextError

__all__ = ["FindPlan", "Plans"]

Json = Any  # what the json module gives and takes
FindPlan = Callable[[str], Plan]


@dataclass(frozen=True, slots=True)
class Plans:
    """Where the plans of a scenario come from."""

    folder: Path | None = None
    find_plan: FindPlan | None = None
    names: tuple[str, ...] = ()
    allow_outside: bool = False

    def read(
        self, report: Report, path: Place, key: str, content: Json, shared: bool | None
    ) -> Plan | None:
        """The plan that a workload gives under `key`; None after a report."""
        at = (*path, key)
        try:
            if key == "plan":
                return self._find(content)
            if key == "plan_file":
                return self._load(content, shared)
            if key == "plan_text":
                return plan_from_text(content, shared=shared)
            return plan_from_json(
                content if report.lines is None else _with_null(content), where=key
            )
        except _Refused as error:
            report.add(at, f"got {short(content)}, {error}")
        except PlanTextError as error:
            first = report.lines.text_line.get(at) if report.lines else None
            place = f"column {error.column}" if first else error.where
            line = first and first + error.line - 1
            report.add(at, f"{place}: {_text_problem(error)}", line=line)
        except PlanError as error:
            if error.rule == "json":
                parts = re.findall(r"[^.\[\]]+", error.where)
                inside = [int(part) if part.isdecimal() else part for part in parts]
                report.add((*path, *inside), str(error.args[2]))
            else:
                report.add(at, str(error))
        except GraphError as error:
            report.add(at, str(error))
        return None

    def place(self, name: str) -> str | None:
        """Where a file or folder that a scenario names lies; None: not in its folder."""
        if self.folder is None:
            return name
        if self.allow_outside:
            return name if "://" in name else str(self.folder / name)
        try:
            folder = self.folder.resolve()
            inside = "\0" not in name and (folder / name).resolve().is_relative_to(folder)
        except (OSError, RuntimeError):  # links in a circle
            return None
        return str(self.folder / name) if inside and "://" not in name else None

    def _find(self, name: str) -> Plan:
        if self.find_plan is None:
            raise _Refused("expected plan_text or plan_json: here is no library")
        try:
            return self.find_plan(name)
        except LookupError:
            known = f", {one_of(self.names, name)}" if self.names else ""
            raise _Refused(f"expected a plan of the library{known}") from None
        except (OSError, ValueError) as error:
            raise _Refused(f"which cannot be read: {error}") from None

    def _load(self, name: str, shared: bool | None) -> Plan:
        if self.folder is None:
            raise _Refused("expected plan_text or plan_json: here is no folder to look in")
        kind = PurePath(name).suffix
        if kind not in {".json", ".txt"} or "\0" in name:
            raise _Refused("expected a name that ends in .json or .txt")
        try:
            folder = self.folder.resolve()
            place = (folder / name).resolve()  # symbolic links too
            if not self.allow_outside and not place.is_relative_to(folder):
                raise _Refused("expected a file in the scenario's folder or below")
            if not place.is_file():
                raise _Refused("expected a file that is there")
            text = place.read_bytes().decode("utf-8-sig")
            value: Json = json.loads(text) if kind == ".json" else None
        except OSError as error:
            raise _Refused(f"which cannot be read ({error.strerror or error})") from None
        except UnicodeDecodeError:
            raise _Refused("which is no UTF-8") from None
        except json.JSONDecodeError as error:
            raise _Refused(
                f"which is no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
            ) from None
        except RecursionError:
            raise _Refused("which is JSON nested too deeply") from None
        except RuntimeError:  # what resolve raises for symbolic links in a circle, up to 3.12
            raise _Refused("expected a file that is there") from None
        except ValueError:  # a number of thousands of digits
            raise _Refused("which cannot be read") from None
        try:
            if kind == ".txt":
                return plan_from_text(text, shared=shared)
            return plan_from_json(value["plan"] if _is_wrapped(value) else value)
        except PlanTextError as error:
            raise _Refused(f"where at {error.where}: {_text_problem(error)}") from None
        except GraphError as error:
            raise _Refused(f"which is no plan: {error}") from None


class _Refused(Exception):
    """A plan that cannot be had; `args` is why."""


def _is_wrapped(value: Json) -> bool:
    """Whether a plan stands with its name and query around it, as it does in the library."""
    return isinstance(value, dict) and "plan" in value


def _text_problem(error: PlanTextError) -> str:
    if error.rule == "ambiguous-sharing":
        return (
            "got a subtree that stands in an earlier line too, expected plan_shared = true where"
            " equal subtrees are one node, or plan_shared = false"
        )
    return str(error.args[3])


def _with_null(value: Json, depth: int = 8) -> Json:
    """A plan from TOML as it is in JSON.  No deeper than the targets of a scan set."""
    if isinstance(value, list) and depth:
        return [_with_null(each, depth - 1) for each in value]
    if not isinstance(value, dict) or not depth:
        return value
    return {
        key: [None if end == "" else end for end in each]
        if key == "max_time_range" and isinstance(each, list)
        else _with_null(each, depth - 1)
        for key, each in value.items()
    }
