"""The command line program, to which the verbs of the files beside it are added."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from .failures import reported

# As a run goes; verbs that only executors call come last.
ORDER = (
    "demo",
    "planet",
    "fetch",
    "replicate",
    "new",
    "prepare",
    "import-ejmap",
    "label",
    "versions",
    "weights",
    "show",
    "view",
    "launch",
    "search",
    "status",
    "logs",
    "retry",
    "cancel",
    "summarise",
    "report",
    "analyse",
    "compare",
    "predict",
    "prune",
    "latents",
    "dask",
    "doctor",
)


class _Guarded(TyperGroup):
    """A command group whose verbs end in a message and an exit code, never in a traceback.

    Contexts are ``Any``: typer brings a click of its own, under a private name.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["json"] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        with reported(debug=bool(ctx.params.get("debug")), as_json=ctx.meta["json"]):
            return super().invoke(ctx)


# Help formatted by rich takes 0.3 s and more to start, plain help 0.1 s.
_STYLE: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None, "context_settings": {"help_option_names": ["-h", "--help"]}}

app = typer.Typer(cls=_Guarded, name="cratermill", pretty_exceptions_enable=False, **_STYLE)


def group(name: str, help_text: str) -> typer.Typer:
    """A verb that has verbs of its own, such as ``planet synth``."""
    sub = typer.Typer(name=name, help=help_text, **_STYLE)
    app.add_typer(sub)
    return sub


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"cratermill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", envvar="CRATERMILL_DEBUG", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and end."),
) -> None:
    """Train, evaluate and map with planetary mosaics, on a laptop or a Slurm cluster.

    A run goes: mosaic and crater list, prepare, launch train, summarise, launch map. 'cratermill demo' shows all of it.
    """
