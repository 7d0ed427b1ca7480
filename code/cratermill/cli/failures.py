"""The one place where an exception becomes what the user reads and the exit code.

0 ok · 1 work failed · 2 bad input · 130 interrupted · 141 the reader of our output went away.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from ..core.errors import CratermillError, InputError, WorkError, of_folder, of_machine

INTERRUPTED, BROKEN_PIPE = 130, 141


@contextlib.contextmanager
def reported(debug: bool, as_json: bool) -> Iterator[None]:
    """Turn anything a verb raises into one message and an exit code."""
    try:
        yield
        sys.stdout.flush()  # a reader that went away is noticed here, not at shutdown
    except (typer.Exit, typer.Abort):
        raise
    except typer.TyperException as error:
        if not as_json:
            raise  # typer prints usage and hint
        _print(InputError(error.format_message()), as_json)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt:
        typer.echo("Interrupted. What is done is kept: give the same command again to go on.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        silence_output()
        raise typer.Exit(BROKEN_PIPE) from None
    except Exception as error:
        foreseen = as_foreseen(error)
        if debug:
            _show_traceback()
        _print(foreseen or _unforeseen(error), as_json)
        raise typer.Exit(foreseen.exit_code if foreseen else 1) from error


def as_foreseen(error: BaseException) -> CratermillError | None:
    """The error as a message that names what to do, or None where it is a surprise."""
    if isinstance(error, CratermillError):
        # Without a current folder no relative path is found, whichever was asked for.
        return of_folder() or error
    return of_machine(error)


def _print(error: CratermillError, as_json: bool) -> None:
    if as_json:
        answer = {"given": error.given, "valid": error.valid, "next": error.next_step, "exit_code": error.exit_code}
        typer.echo(json.dumps({"error": answer}))
    else:
        typer.secho("Error: ", fg="red", nl=False, err=True)
        typer.echo(str(error), err=True)


def _unforeseen(error: Exception) -> WorkError:
    summary = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return WorkError(f"unexpected {summary}", next_step=f"the traceback is in {_keep_traceback()}; 'cratermill --debug …' shows it")


def _show_traceback() -> None:
    import traceback

    traceback.print_exc()


def _keep_traceback() -> Path:
    """Write the traceback below the project's log/, or into the temporary folder where there is no project."""
    import traceback

    from ..core.paths import find_root

    project = []
    with contextlib.suppress(OSError):  # the current folder may be gone
        root = find_root(Path.cwd())
        project = [root / "log" / "errors"] if (root / "configs").is_dir() else []
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    text = f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}"
    for folder in [*project, Path(tempfile.gettempdir())]:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8")
            return path
    return Path("(nowhere: neither log/ nor the temporary folder can be written)")


def silence_output() -> None:
    """Point stdout at nothing, so that Python's flush at exit does not complain about the closed pipe."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
