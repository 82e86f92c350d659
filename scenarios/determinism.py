"""Determinism is checked, not claimed: one run in several fresh processes, event by event.

The processes differ in what must not matter: the hash seed, the garbage collector, where objects
lie in memory, the Python.  Traces are compared as the bytes of their files, first the events and
their number, then the header, which has the choices made and the violations found.  If two differ,
further processes with one change at a time say which change it takes.

>>> from scenarios.determinism import check_determinism
>>> check_determinism("short-circuit", seed=7, pythons=()).same
True
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final, Literal

from scenarios._traced import Work
from scenarios.inputs import InputError, is_there
from scenarios.runs import load_target
from sim.scenario import Profile

__all__ = [
    "Conditions",
    "DeterminismReport",
    "Divergence",
    "ProcessFailed",
    "check_determinism",
    "describe_determinism",
    "determinism_as_json",
]

Heap = Literal["usual", "shuffled", "malloc"]

_PACKAGES: Final = ("workflow", "sim", "properties", "scenarios")
_NEWEST: Final = 20  # of the versions 3.N that are looked for
_NOT_A_PROGRAM: Final = (126, 127)  # what a shell ends with, and a launcher without its Python
_WINDOW: Final = 240  # characters shown of an event, about its first difference
_REPEATS: Final = 4  # of the first process before a change of conditions is blamed
_CAUSES: Final = {
    "nothing": "nothing was changed, and it differs: a clock, unseeded randomness, an order by id",
    "hash_seed": "the hash seed alone: the order of a set, or hash of a text",
    "collects": "the garbage collector alone: a weak reference, or a finalizer",
    "heap": "the place of objects in memory alone: an order by id, or a set of objects",
    "python": "the Python alone: something that its versions do differently",
}
_HEAPS: Final[dict[Heap, str]] = {
    "usual": "",
    "shuffled": "shuffled heap",
    "malloc": "heap of malloc",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How one process differs from others."""

    hash_seed: int = 0
    collects: bool = True  # the garbage collector is on
    heap: Heap = "usual"
    python: str = field(default=sys.executable)
    version: str = ""  # of the Python; empty: the one that checks

    def __str__(self) -> str:
        parts = (
            f"hash seed {self.hash_seed}",
            "" if self.collects else "no garbage collection",
            _HEAPS[self.heap],
            f"Python {self.version}" if self.version else "",
        )
        return ", ".join(filter(None, parts))


# The more hash seeds, the less can a set of two keep its order by luck.
_FIRST: Final = Conditions()
_OTHERS: Final = (
    Conditions(hash_seed=12345, collects=False, heap="shuffled"),
    Conditions(hash_seed=2, heap="malloc"),
)


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first difference: where, what both processes have there as JSON, and what it takes.

    ``index`` counts events from 0; None if only the headers differ.  A side is None if that trace
    has ended, or has no such field.  ``causes`` has fields of `Conditions` of which each makes a
    difference alone, or ``nothing`` if no change is needed; empty if it takes several at once.
    """

    where: str
    index: int | None
    left: str | None
    right: str | None
    left_conditions: Conditions
    right_conditions: Conditions
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeterminismReport:
    """What was compared, and the first divergence if there is one."""

    what: str
    events: int  # of the first process
    compared: tuple[Conditions, ...]
    skipped: tuple[str, ...] = ()  # what was not compared, and why
    violations: tuple[str, ...] = ()  # rules that the run violated, for a target
    divergence: Divergence | None = None

    @property
    def same(self) -> bool:
        """Whether all traces are equal."""
        return self.divergence is None


class ProcessFailed(RuntimeError):
    """A process that ended without a trace: under which conditions, and its last words."""

    def __init__(self, conditions: str, how: str) -> None:
        super().__init__(conditions, how)

    def __str__(self) -> str:
        return f"the process with {self.args[0]} {self.args[1]}"


def check_determinism(
    what: str,
    *,
    seed: int = 0,
    profile: Profile | None = None,
    workflow_type: str = "",
    bucket: str = "",
    pythons: Sequence[str] | None = None,
) -> DeterminismReport:
    """Run `what` in fresh processes under different conditions, and compare.

    `what` is a target as `windtunnel run` takes it, or ``package.module:function``, called
    without arguments for a `Trace`.  `workflow_type`, ``package.module:Class``, drives a target
    instead of `Workflow`, and runs over a ``bucket``.  What can be imported here can be there.

    `pythons` are further interpreters; None: each other ``python3.N`` on the PATH that can import
    all that is needed.  Raises InputError, and ProcessFailed if a process ends without a trace.
    """
    if ":" in what and not is_there(what):
        if seed or profile or workflow_type or bucket:
            raise InputError(what, "a function takes no seed, profile, bucket or workflow type")
        work = Work(function=what)
    else:
        load_target(
            what, seed=seed, bucket=bucket
        )  # bad input is found here, not once in each process
        if Path(what).exists() and not Path(what).is_file():
            raise InputError(what, "got what can be read but once, expected a file")
        work = Work(
            target=what, bucket=bucket, seed=seed, profile=profile, workflow_type=workflow_type
        )
    with TemporaryDirectory(prefix="windtunnel-") as folder:
        return _check(what, work, _Processes(work, Path(folder)), pythons)


def _check(
    what: str, work: Work, processes: "_Processes", pythons: Sequence[str] | None
) -> DeterminismReport:
    others, skipped = _pythons(processes, pythons)
    everyone = [_FIRST, *filter(_possible, _OTHERS), *others]
    first = processes.trace(_FIRST)
    compared, divergence = [_FIRST], None
    for conditions in everyone[1:]:
        compared.append(conditions)
        divergence = processes.compare(first, conditions)
        if divergence is not None:
            causes = tuple(processes.causes(first, conditions))
            divergence = replace(divergence, causes=causes)
            break
    with first.open("rb") as file:
        header = json.loads(file.readline())
        events = sum(1 for _ in file)
    violations = tuple(header["ran"].get("violations", ())) if work.target else ()
    return DeterminismReport(what, events, tuple(compared), tuple(skipped), violations, divergence)


def _possible(conditions: Conditions) -> bool:
    # A Python without the global lock has an allocator of its own, and no other.
    return conditions.heap != "malloc" or not sysconfig.get_config_var("Py_GIL_DISABLED")


def _pythons(
    processes: "_Processes", named: Sequence[str] | None
) -> tuple[list[Conditions], list[str]]:
    """Further interpreters, and for those that are of no use why."""
    found: list[Conditions] = []
    useless: list[str] = []
    if named is None:
        mine = sys.version_info.minor
        names = [f"python3.{n}" for n in range(11, _NEWEST + 1) if n != mine]
    else:
        names = list(named)
    for name in names:
        program = shutil.which(name)
        try:
            if program is None:
                raise FileNotFoundError
            done = processes.probe(program)
        except OSError:
            if named is not None:
                raise InputError(name, "got no program, expected a Python") from None
            continue
        if not done.returncode:
            found.append(replace(_FIRST, python=program, version=done.stdout))
        elif named is not None:
            raise InputError(name, f"cannot run this ({_last_words(done)})")
        elif done.returncode not in _NOT_A_PROGRAM:
            useless.append(f"{name} ({_last_words(done)})")
    if not found and not useless:
        useless.append("another Python (there is none on the PATH)" if named is None else "")
    return found, [text for text in useless if text]


class _Processes:
    """Runs processes, whose traces are files of a folder."""

    def __init__(self, work: Work, folder: Path) -> None:
        self._work = work
        self._folder = folder
        self._count = itertools.count()

    def trace(self, conditions: Conditions) -> Path:
        """The trace that a fresh process makes.  Raises ProcessFailed."""
        place = self._folder / f"{next(self._count)}.jsonl"
        work = replace(
            self._work,
            collects=conditions.collects,
            shuffles=conditions.heap == "shuffled",
            trace=str(place),
        )
        done = self._process(work, conditions)
        if done.returncode or not place.is_file():
            raise ProcessFailed(str(conditions), _last_words(done))
        return place

    def probe(self, program: str) -> "subprocess.CompletedProcess[str]":
        """Whether this Python can import what is needed; then it says its version."""
        return self._process(replace(self._work, trace=""), replace(_FIRST, python=program))

    def compare(self, first: Path, conditions: Conditions) -> Divergence | None:
        """The first difference between a trace of the first process and one of another."""
        place = self.trace(conditions)
        with first.open("rb") as left, place.open("rb") as right:
            found = _first_difference(left, right)
        place.unlink()
        if found is None:
            return None
        return Divergence(*found, _FIRST, conditions)

    def causes(self, first: Path, conditions: Conditions) -> Iterator[str]:
        """Which of the conditions makes a difference alone; ``nothing`` if none is needed."""
        # More than once: addresses move by themselves, but not every time so that it shows.
        if any(self.compare(first, _FIRST) is not None for _ in range(_REPEATS)):
            yield "nothing"
            return
        changed = {
            each.name: getattr(conditions, each.name)
            for each in fields(Conditions)
            if getattr(conditions, each.name) != getattr(_FIRST, each.name)
        }
        version = changed.pop("version", "")
        for name, value in changed.items():
            also = {"version": version} if name == "python" else {}
            one = replace(_FIRST, **{name: value}, **also)
            if one == conditions or self.compare(first, one) is not None:
                yield name

    def _process(self, work: Work, conditions: Conditions) -> "subprocess.CompletedProcess[str]":
        env = {
            **os.environ,
            "PYTHONHASHSEED": str(conditions.hash_seed),
            "PYTHONSAFEPATH": "1",  # the PYTHONPATH below is all that there is
        }
        env.pop("PYTHONMALLOC", None)
        if conditions.heap == "malloc":
            env["PYTHONMALLOC"] = "malloc"
        path = [entry or str(Path.cwd()) for entry in sys.path]
        if conditions.python != sys.executable:
            path = [str(self._sources()), *_portable(path)]
        env["PYTHONPATH"] = os.pathsep.join(path)
        return subprocess.run(  # noqa: S603 - this Python, or one that the user has
            [conditions.python, "-m", "scenarios._traced", json.dumps(asdict(work))],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="backslashreplace",
        )

    def _sources(self) -> Path:
        """A folder with our packages and nothing else: what lies beside them is for this Python."""
        folder = self._folder / "sources"
        if not folder.exists():
            folder.mkdir()
            for name in _PACKAGES:
                (folder / name).symlink_to(Path(__file__).parent.parent.resolve() / name)
        return folder


def _portable(path: Iterable[str]) -> Iterator[str]:
    """What of a `sys.path` is not for one Python alone."""
    library = Path(sysconfig.get_path("stdlib"))
    for entry in path:
        place = Path(entry)
        installed = not {"site-packages", "dist-packages"}.isdisjoint(place.parts)
        if not installed and place.suffix != ".zip" and not place.is_relative_to(library):
            yield entry


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    words = said[-1] if said else "it said nothing"
    if done.returncode < 0:
        return f"was ended by signal {-done.returncode}: {words}"
    if done.returncode:
        return f"ended with exit code {done.returncode}: {words}"
    return f"ended without a trace: {words}"


def _first_difference(
    left: BinaryIO, right: BinaryIO
) -> tuple[str, int | None, str | None, str | None] | None:
    """Where two files differ, an index if it is an event, and what both have there."""
    heads = json.loads(left.readline()), json.loads(right.readline())
    for index, (one, other) in enumerate(itertools.zip_longest(left, right)):
        if one != other:
            return f"event {index}", index, _text(one), _text(other)
    for part in ("ran", "versions"):
        one, other = (head[part] for head in heads)
        # A digest says least: it comes last.
        for key in sorted({**one, **other}, key=lambda key: (key == "digest", key)):
            one_text, other_text = _json(one, key), _json(other, key)
            if one_text != other_text:
                return f"the header's {part}.{key}", None, one_text, other_text
    return None


def _text(line: bytes | None) -> str | None:
    return None if line is None else line.decode().rstrip("\n")


def _json(side: Mapping[str, Any], key: str) -> str | None:
    return json.dumps(side[key], ensure_ascii=False, sort_keys=True) if key in side else None


def describe_determinism(report: DeterminismReport) -> Iterator[str]:
    """What was found, in a few lines."""
    found = report.divergence
    events = f"{report.events:,} event{'' if report.events == 1 else 's'}"
    if found is None:
        yield f"SAME       all {events} in {len(report.compared)} processes, with"
        yield from (f"           {conditions}" for conditions in report.compared)
    else:
        left, right = _windows(found.left, found.right)
        yield f"DIVERGED   at {found.where}, between two processes that run {report.what}"
        yield f"one        {left}"
        yield f"           with {found.left_conditions}"
        yield f"other      {right}"
        yield f"           with {found.right_conditions}"
        for cause in found.causes:
            yield f"cause      {_CAUSES[cause]}"
        if not found.causes:
            yield "cause      no single condition: it takes several changes at once, or chance"
    for text in report.skipped:
        yield f"not run    {text}"
    for text in report.violations[:5]:
        yield f"VIOLATED   {text}"
    if len(report.violations) > 5:
        yield f"           ... and {len(report.violations) - 5} more"


def _windows(left: str | None, right: str | None) -> tuple[str, str]:
    """Both sides, of long ones the part where they begin to differ."""
    ended = "nothing: the trace has ended"
    pairs = zip(left or "", right or "", strict=False)
    first = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = max(0, first - _WINDOW // 2) if first > _WINDOW // 2 else 0

    def part(text: str | None) -> str:
        if text is None:
            return ended
        before, after = "..." * (start > 0), "..." * (len(text) > start + _WINDOW)
        return f"{before}{text[start : start + _WINDOW]}{after}"

    return part(left), part(right)


def determinism_as_json(report: DeterminismReport) -> dict[str, Any]:
    """The same as data; see docs/determinism.md for the fields."""
    found = report.divergence
    return {
        "verdict": "SAME" if found is None else "DIVERGED",
        "events": report.events,
        "compared": list(map(str, report.compared)),
        "skipped": list(report.skipped),
        "violations": list(report.violations),
        "divergence": None
        if found is None
        else {
            "where": found.where,
            "event": found.index,
            "one": found.left,
            "other": found.right,
            "one_with": str(found.left_conditions),
            "other_with": str(found.right_conditions),
            "causes": list(found.causes),
        },
    }
