"""An input of log lines becomes a bucket."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from scenarios.data.lines import BadLine, Limits, Line, LogfmtReader, TextReader, json_line
from scenarios.data.source import numbered_lines
from scenarios.data.store import Store, Stored

__all__ = ["form_of", "import_lines", "reader"]

_FORMS: Final = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".logfmt": "logfmt"}


def form_of(place: str) -> str:
    """What lines a file has, by its name: ``jsonl``, ``logfmt`` or ``text``."""
    return _FORMS.get(Path(place.removesuffix(".gz")).suffix, "text")


def reader(
    form: str,
    *,
    limits: Limits,
    labels: Mapping[str, str],
    time_key: str | None = None,
    time_pattern: str | None = None,
    label_keys: tuple[str, ...] = (),
) -> Callable[[str], Line]:
    """What reads lines of that form.  Raises BadLine for labels or a pattern that cannot be."""
    if form == "jsonl":
        return lambda text: json_line(text, limits)
    if form == "logfmt":
        logfmt = LogfmtReader(limits, time_key=time_key, label_keys=label_keys, labels=labels)
        return logfmt.line
    return TextReader(limits, pattern=time_pattern, labels=labels).line


def import_lines(
    place: str,
    out: Path,
    read: Callable[[str], Line],
    *,
    limits: Limits,
    sections: int | None,
    refuse: Callable[[int, BadLine], None],
    progress: Callable[[int], None],
) -> Stored:
    """Read all lines of a file or, for ``-``, of the standard input, and make the bucket `out`.

    `refuse` is told of each line that is left out; what it raises ends the import, and then there
    is no bucket.  `progress` is told bytes that were read.  Raises InputError.
    """
    with Store(out, sections=sections, limits=limits) as store:
        for number, line in numbered_lines(place, limits, progress):
            if isinstance(line, BadLine):
                refuse(number, line)
                continue
            try:
                store.add(read(line))
            except BadLine as error:
                refuse(number, error)
        return store.finish()
