"""The lines of a file, packed with gzip or not, in bounded memory.

A line that is too long, or no UTF-8, costs only itself.  What cannot be read at all is an
InputError with the number of the line that was reached.
"""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from scenarios.data.lines import BadLine, Limits
from scenarios.inputs import InputError

__all__ = ["numbered_lines", "size_of"]

_GZIP: Final = b"\x1f\x8b"


def size_of(place: str) -> int:
    """Bytes of a file, packed if it is packed; 0 where that is not known."""
    try:
        return Path(place).stat().st_size if place != "-" else 0
    except OSError:
        return 0  # reading it will say more


def numbered_lines(
    place: str, limits: Limits, progress: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[int, str | BadLine]]:
    """Each line that is not blank, with its number, or why it is refused.

    `progress` is told how many more bytes of the file have been read.  Raises InputError.
    """
    number = 0
    shown = "stdin" if place == "-" else place
    try:
        with _opened(place) as (lines, where):
            before = read = 0
            while raw := lines.readline(limits.line_bytes + 2):
                number += 1
                read += len(raw)
                too_long = len(raw.rstrip(b"\r\n")) > limits.line_bytes
                while too_long and not raw.endswith(b"\n"):
                    raw = lines.readline(limits.line_bytes)
                    read += len(raw)
                    if not raw or read > limits.input_bytes:
                        break
                if read > limits.input_bytes:
                    right = f"{limits.input_bytes} at most"
                    raise InputError(f"{shown}:{number}", f"got more bytes, expected {right}")
                at = where()
                progress(at - before)
                before = at
                if too_long:
                    yield number, BadLine(f"got a longer line, expected {limits.line_bytes} bytes")
                elif raw.strip():
                    yield number, _decoded(raw, first=number == 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{shown}:{number + 1}", f"got damaged gzip data ({error})") from None
    except OSError as error:
        raise InputError(shown, f"cannot be read ({error.strerror})") from None


@contextmanager
def _opened(place: str) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """What to read lines from, and a function that says how far into the file that is."""
    if place == "-":
        yield sys.stdin.buffer, lambda: 0
        return
    with Path(place).open("rb") as file:
        packed = file.read(2) == _GZIP
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked, file.tell  # type: ignore[misc]  # reads as a file does
        else:
            yield file, file.tell


def _decoded(raw: bytes, *, first: bool) -> str | BadLine:
    try:
        return raw.rstrip(b"\r\n").decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError:
        return BadLine("got bytes that are no UTF-8, expected text")
