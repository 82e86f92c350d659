"""Classes by name: how a saved failure says which parts and rules it ran with.

A class of an installed package is ``package.module:Class``; one of a file below the current folder,
a test's say, is ``tests/test_mine.py:Class``.

>>> from workflow import Workflow
>>> name_of(Workflow)
'workflow.workflow:Workflow'
>>> find_class("workflow.workflow:Workflow", "parts.workflow", of=Workflow) is Workflow
True
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, TypeVar

from scenarios.inputs import InputError
from sim.parts import SOUND, Parts

__all__ = ["find_callable", "find_class", "is_local", "name_of", "name_parts", "parts_named"]

T = TypeVar("T")

_OURS: Final = ("workflow", "sim", "properties", "scenarios")


def name_of(cls: type) -> str:
    """The name under which `find_class` finds it, unless it was made inside of a function."""
    module = sys.modules.get(cls.__module__)
    place = getattr(module, "__file__", None)
    if place is not None and cls.__module__.partition(".")[0] not in _OURS:
        path = Path(place).resolve()
        if path.is_relative_to(Path.cwd()) and "site-packages" not in path.parts:
            return f"{path.relative_to(Path.cwd()).as_posix()}:{cls.__qualname__}"
    return f"{cls.__module__}:{cls.__qualname__}"


def is_local(name: str) -> bool:
    """Whether a name is of a class that was made inside of a function, and cannot be found."""
    return "<locals>" in name


def find_class(name: str, where: str, *, of: type[T]) -> type[T]:
    """The class of a name, a subclass of `of`.  Imports what it stands in; raises InputError."""
    found = _found(name, where, "Class")
    if not isinstance(found, type) or not issubclass(found, of):
        what = "no such class there" if found is None else f"{found!r:.60}"
        raise InputError(where, f"got {name!r}, {what}; expected a subclass of {of.__name__}")
    return found


def find_callable(name: str, where: str) -> Callable[..., Any]:
    """What a name calls: a class or a function.  Imports it; raises InputError."""
    found = _found(name, where, "FACTORY")
    if not callable(found):
        what = "nothing of that name there" if found is None else f"{found!r:.60}"
        raise InputError(where, f"got {name!r}, {what}; expected something to call")
    return found


def _found(name: str, where: str, kind: str) -> object:
    place, _, path = name.partition(":")
    if not place or not path:
        raise InputError(
            where, f"got {name!r:.80}, expected package.module:{kind} or file.py:{kind}"
        )
    if is_local(name):
        raise InputError(
            where, f"got {name!r}, a class made inside of a function: only its own test can run it"
        )
    found: object = _import(place, name, where)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _import(place: str, name: str, where: str) -> object:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return _load(place) if place.endswith(".py") else importlib.import_module(place)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a module may exit, or skip itself, as it likes
        why = f"{type(error).__name__}: {error}"
        raise InputError(where, f"got {name!r}, which cannot be imported ({why})") from None


def _load(place: str) -> object:
    path = Path(place).resolve()
    for module in [*sys.modules.values()]:
        if getattr(module, "__file__", None) == str(path):
            return module  # a test that is running: its class is this one, no copy of it
    folder, dotted = path.parent, path.stem
    while (folder / "__init__.py").is_file():
        folder, dotted = folder.parent, f"{folder.name}.{dotted}"
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # what it imports from beside it
    if "." in dotted:  # in a package, from which it may import
        return importlib.import_module(dotted)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Under a name that nobody else has: it may be called like a module that others import.
    own = f"windtunnel:{path}"
    sys.modules[own] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[own]
        raise
    return module


def name_parts(parts: Parts) -> dict[str, str]:
    """The names of the classes that are not the sound ones."""
    changed = {}
    for field in fields(Parts):
        part = getattr(parts, field.name)
        if part is not getattr(SOUND, field.name):
            changed[field.name] = name_of(part)
    return changed


def parts_named(value: Any, where: str) -> Parts:
    """The parts that `name_parts` has named.  Raises InputError."""
    known = [field.name for field in fields(Parts)]
    if not isinstance(value, dict) or not all(type(each) is str for each in value.values()):
        raise InputError(where, f"parts: got {value!r:.60}, expected an object of names of classes")
    for name in value:
        if name not in known:
            raise InputError(where, f"parts: got {name!r:.60}, expected {', '.join(known)}")
    found = {
        name: find_class(text, f"{where}: parts.{name}", of=getattr(SOUND, name))
        for name, text in value.items()
    }
    return Parts(**found)
