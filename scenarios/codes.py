"""Replay codes: a run in one line that fits into a message.

A code is ``z``, what is to be run, packed, ``@`` and the beginning of the trace's digest.  What
most runs have in common stands in a dictionary that came with the packer, so that a small run
gives a short code.

>>> code = pack({"rule": "T1"}, digest="0123456789abcdef")
>>> unpack(code)
({'rule': 'T1'}, '0123456789ab')
"""

import base64
import binascii
import json
import re
import zlib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from scenarios.inputs import InputError

__all__ = ["DIGEST", "is_packed", "pack", "unpack"]

DIGEST: Final = 12  # characters of a digest in a code

_LONGEST: Final = 2_000  # characters; what is longer is for a file
_LARGEST: Final = 10_000_000  # bytes that a code may unpack to
_FORM: Final = re.compile(r"z([A-Za-z0-9_=-]+)@([0-9a-f]{12})")


@cache
def _dictionary() -> bytes:
    """Text that packed runs are made of.  A change makes every earlier code unreadable."""
    return (files("scenarios") / "codes.dictionary").read_bytes()


def pack(what: dict[str, Any], *, digest: str) -> str:
    """The code of what JSON holds; empty if it would be too long."""
    text = json.dumps(what, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # Raw, without a header: nobody else reads it, and the digest stands beside it.
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _dictionary())
    packed = packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush()
    code = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return f"z{code}@{digest[:DIGEST]}" if len(code) <= _LONGEST else ""


def is_packed(code: str) -> bool:
    """Whether it has the form of what `pack` gives."""
    return _FORM.fullmatch(code) is not None


def unpack(code: str) -> tuple[dict[str, Any], str]:
    """What `pack` was given, and the digest's beginning.  Raises InputError."""
    found = _FORM.fullmatch(code)
    where = f"{code[:20]}..."
    if found is None:
        raise InputError(where, "got no packed replay code")
    try:
        what = _unpacked(found[1])
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        shown = str(error).partition("\n")[0]
        raise InputError(where, f"got a damaged replay code ({shown})") from None
    if not isinstance(what, dict):
        raise InputError(where, "got a damaged replay code (it holds no object)")
    return what, found[2]


def _unpacked(text: str) -> Any:
    unpacker = zlib.decompressobj(-15, _dictionary())
    raw = unpacker.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), _LARGEST)
    if not unpacker.eof:
        raise zlib.error("it is cut off, or too large")
    return json.loads(raw.decode("utf-8", "surrogatepass"))
