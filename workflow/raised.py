"""What was raised, as texts for a trace: its class, its message, and where.

>>> def gives_up():
...     raise LookupError("no room")
>>> try:
...     gives_up()
... except LookupError as error:
...     describe_raised(error)["error"], describe_raised(error)["place"].rpartition(", ")[2]
('no room', 'gives_up')
"""

import traceback
from pathlib import PurePath

__all__ = ["describe_raised", "text_of"]


def text_of(error: BaseException) -> str:
    """The message; of an exception that cannot even give one, a word about that."""
    try:
        return str(error)
    except Exception as worse:  # noqa: BLE001 - it is somebody else's __str__
        return f"<its text raises {type(worse).__name__}>"


def describe_raised(error: BaseException) -> dict[str, str]:
    """Details of an event `raised`: ``error``, ``error_type`` and ``place``.

    The place is the file, without the folders of a machine, and the function that raised it;
    empty of one that was never raised.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    place = ""
    if frames:
        code = frames[-1].f_code
        place = f"{PurePath(code.co_filename).name}, {code.co_name}"
    return {"error": text_of(error), "error_type": type(error).__name__, "place": place}
