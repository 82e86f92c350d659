"""`windtunnel show`: a failure or a trace in words, as a page, and for other tools."""

import os
import webbrowser
from pathlib import Path
from typing import Final

import click

from scenarios.archive import found_folder
from scenarios.inputs import InputError
from scenarios.report.shown import describe_shown, load_shown

__all__ = ["show_command"]

_EXAMPLES = """\b
Examples:
  windtunnel show A2-7f3a2c
  windtunnel show A2-7f3a2c --open
  windtunnel show run.jsonl --html run.html --perfetto run.perfetto.json
  windtunnel show failing.jsonl --beside passing.jsonl --html both.html
  windtunnel show W1-token-leak --mermaid
"""
_PLACE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command("show", epilog=_EXAMPLES)
@click.argument("what", metavar="FAILURE|TRACE")
@click.option("--html", "page", type=_PLACE, metavar="FILE", help="Write a page with a picture.")
@click.option(
    "--perfetto", type=_PLACE, metavar="FILE", help="Write JSON that ui.perfetto.dev opens."
)
@click.option("--mermaid", is_flag=True, help="Print diagrams for Markdown instead of the report.")
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
@click.option(
    "--beside",
    "other",
    metavar="FAILURE|TRACE",
    help="Put another run beside it on the page: one that passes, say, or a real one.",
)
def show_command(
    *,
    what: str,
    page: Path | None,
    perfetto: Path | None,
    mermaid: bool,
    opens: bool,
    other: str | None,
) -> None:
    """Show a failure or a trace: in words, or as a picture.

    FAILURE is the name of a saved failure or its file, TRACE the file of a trace, or - for the
    standard input; of a file with several runs it shows the first that breaks a rule.  A failure
    runs again for it.  Without options it prints the report.
    """
    if other is not None and page is None and not opens:
        raise click.UsageError("--beside needs a page: --html FILE or --open.")
    if what == other == "-":
        raise click.UsageError("The standard input can be read once only.")
    shown = load_shown(what)
    beside = None if other is None else load_shown(other)
    if opens and page is None:
        page = found_folder().parent / "pictures" / f"{_file_name(shown.name)}.html"
        _make_folder(page.parent)
    if page is not None:
        from scenarios.report.page import page_of  # noqa: PLC0415 - heavy

        _write(page, page_of(shown, beside))
        click.echo(f"page       {page}")
    if perfetto is not None:
        from scenarios.report.perfetto import perfetto_of  # noqa: PLC0415 - heavy

        _write(perfetto, perfetto_of(shown))
        click.echo(f"perfetto   {perfetto}")
    if mermaid:
        from scenarios.report.mermaid import mermaid_of  # noqa: PLC0415 - heavy

        for line in mermaid_of(shown):
            click.echo(line)
    if page is None and perfetto is None and not mermaid:
        for line in describe_shown(shown):
            click.echo(line)
    if opens and page is not None and not webbrowser.open(page.absolute().as_uri()):
        click.echo("windtunnel: no browser was found; open the page by hand", err=True)


def _file_name(name: str) -> str:
    """A run's name as that of a file, whatever it is called."""
    words = "".join(each if each.isalnum() else " " for each in name).split()
    return "-".join(words)[:80] or "run"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(folder), f"cannot be written ({error.strerror})") from None


def _write(place: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    try:
        if place.exists() and not place.is_file():  # a pipe, /dev/stdout
            place.write_text(text, encoding="utf-8")
            return
        part = place.with_name(f".windtunnel-{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(str(place), f"cannot be written ({error.strerror})") from None
