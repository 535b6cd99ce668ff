"""`invrec` and its commands; what they import for the work itself they import when they run."""

from __future__ import annotations

import traceback
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from invrec_rllib.cli import (
    backtesting,
    behaving,
    bench,
    bounding,
    calibration,
    comparing,
    evaluating,
    exporting,
    policy_tuning,
    reporting,
    reproducing,
    scenarios,
    searching,
    sensing,
    solving,
    studying,
    training,
    tuning,
)
from invrec_rllib.cli.console import examples, print_error, say
from invrec_rllib.errors import InvrecError, TrainingStoppedError

INPUT_ERROR = 2
STOPPED_BY_A_FAULT = 3
INTERRUPTED = 130


class _Group(TyperGroup):
    """Turns the package's errors into one message and an exit code; others keep their traceback and code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            with warnings.catch_warnings():
                _tell_warnings()
                return super().invoke(ctx)
        except (InvrecError, OSError) as error:
            if not _is_input_error(error):
                raise
            if ctx.params.get("debug"):
                traceback.print_exc()
            print_error(str(error))
            stopped = isinstance(error, TrainingStoppedError)
            raise typer.Exit(STOPPED_BY_A_FAULT if stopped else INPUT_ERROR) from error
        except KeyboardInterrupt as error:
            print_error("interrupted")
            raise typer.Exit(INTERRUPTED) from error


def _tell_warnings() -> None:
    """Warnings of this package are messages; others keep their file and line."""
    shown = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, *place: Any, **more: Any
    ) -> None:
        if category.__module__.startswith(__package__.partition(".")[0]):
            say(f"Warning: {message}")
        else:
            shown(message, category, filename, *place, **more)

    warnings.showwarning = show


def _is_input_error(error: Exception) -> bool:
    if isinstance(error, InvrecError) or type(error) is ConnectionError:  # no Ray cluster at that address
        return True
    return isinstance(error, OSError) and error.filename is not None


app = typer.Typer(
    cls=_Group,
    name="invrec",
    help="Inventory and recommendation as two agents of one firm: worlds, training, evaluation, reports.",
    epilog="Start here:  invrec train --scenario grocery --out runs/first  and then  invrec report runs/first",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"invrec {version('invrec-rllib')}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


scenario_app = typer.Typer(
    help="Worlds: list, show, validate, generate, calibrate from sales data.",
    epilog=examples(
        "invrec scenario list",
        "invrec scenario show grocery",
        "invrec scenario generate --seed 7 --products 20 --out worlds/seven.yaml",
    ),
    no_args_is_help=True,
)
scenarios.add_commands(scenario_app)
calibration.add_command(scenario_app)
app.add_typer(scenario_app, name="scenario")
training.add_command(app)
evaluating.add_command(app)
comparing.add_command(app)
behaving.add_command(app)
sensing.add_command(app)
bounding.add_command(app)
policy_tuning.add_command(app)
tuning.add_command(app)
searching.add_command(app)
exporting.add_command(app)
backtesting.add_command(app)
solving.add_command(app)
reporting.add_command(app)
reproducing.add_command(app)
study_app = typer.Typer(
    help="Compare ways to train: many runs with several seeds, their rows, a report.",
    epilog=examples(
        "invrec study list",
        "invrec study run parts --out studies/parts",
        "invrec study report studies/parts",
    ),
    no_args_is_help=True,
)
studying.add_commands(study_app)
app.add_typer(study_app, name="study")
bench_app = typer.Typer(
    help="How fast it runs on this machine.",
    epilog=examples("invrec bench simulator --scenario paper", "invrec bench sampling --envs 32"),
    no_args_is_help=True,
)
bench.add_commands(bench_app)
app.add_typer(bench_app, name="bench")


def main() -> None:
    """Entry point of the script `invrec`.

    Exit codes: 0 done, 1 an unexpected error, 2 a wrong option or input, 3 training that a fault stopped and that
    can be resumed, 130 stopped by Ctrl-C.
    """
    app()
