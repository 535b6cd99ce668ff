"""`invrec train`: train the pair, show money while it learns, stop and resume."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.markup import escape

from invrec_rllib.cli.assignments import parse_assignments
from invrec_rllib.cli.console import examples, help_of, print_json, say
from invrec_rllib.cli.scenarios import load_with_lift
from invrec_rllib.cli.training_screen import TrainingScreen
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings, load_settings, make_settings
from invrec_rllib.scenario import Scenario

if TYPE_CHECKING:
    from invrec_rllib.training import RunResult

INTERRUPTED = 130
_FIELDS = TrainSettings.model_fields


Address = Annotated[
    str | None,
    typer.Option(help="Ray cluster, auto or host:port.", show_default="RAY_ADDRESS, or a local Ray"),
]
ShipCode = Annotated[
    bool,
    typer.Option(
        "--ship-code",
        help="Send this package's code to the cluster; its workers need what it depends on alone.",
    ),
]


class Information(str, Enum):
    """What policies are shown."""

    full = "full"
    observed = "observed"
    department = "department"


def _setting(field: str, *names: str, **options: Any) -> Any:
    """The option of a setting; its default is the settings' own, so that a settings file can differ."""
    described = escape(f"{_FIELDS[field].description} [default: {_FIELDS[field].default}]")
    return typer.Option(*names, help=described, **options)


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "train",
        help=help_of(train_pair),
        epilog=examples(
            "invrec train --scenario grocery --out runs/first",
            "invrec train --scenario grocery --lift high --iterations 30 --out runs/high",
            "invrec train --scenario paper --information full --set hidden=64 --set clip=0.3 --out runs/wide",
            "invrec train --out runs/first --resume --iterations 120",
            "invrec train --scenario large --env-runners 8 --address auto --ship-code --out runs/large",
            "invrec train --settings > settings.yaml; invrec train --config settings.yaml --out runs/mine",
        ),
    )(train_pair)


def _print_settings(value: bool) -> None:
    """A settings file with every key, its default and its meaning."""
    if value:
        for name, field in _FIELDS.items():
            typer.echo(f"# {field.description}")
            typer.echo(yaml.safe_dump({name: field.default}), nl=False)
        raise typer.Exit


def train_pair(
    scenario: Annotated[str | None, _setting("scenario")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; new or empty.", show_default="runs/SCENARIO")
    ] = None,
    algo: Annotated[str | None, _setting("algo")] = None,
    iterations: Annotated[int | None, _setting("iterations", min=1)] = None,
    seed: Annotated[int | None, _setting("seed", min=0)] = None,
    information: Annotated[Information | None, _setting("information")] = None,
    env_runners: Annotated[int | None, _setting("env_runners", min=0)] = None,
    lift: Annotated[
        str | None,
        typer.Option(help="Another lift of exposure: careful, high (calibrated worlds) or a number."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; other options win.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any setting; repeatable. --settings lists them."),
    ] = None,
    show_settings: Annotated[
        bool,
        typer.Option(
            "--settings", callback=_print_settings, is_eager=True, help="Print all settings, as YAML."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out; only --iterations may change.")
    ] = False,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of the local Ray.", show_default="the machine's")
    ] = None,
    address: Address = None,
    ship_code: ShipCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train an inventory and a recommender agent together with RLlib.

    Shows profit on validation episodes as it learns, and in the end compares the pair with simple policies on
    episodes that it never met. Ctrl-C stops after the running iteration, with a checkpoint.
    """
    named = {
        "scenario": scenario,
        "algo": algo,
        "iterations": iterations,
        "seed": seed,
        "information": information.value if information else None,
        "env_runners": env_runners,
    }
    given = {name: value for name, value in named.items() if value is not None}
    others = {"lift": lift, "config": config, "set": assignments}
    ray: dict[str, Any] = {"num_cpus": cpus, "address": address, "ship_code": ship_code}
    if resume:
        run, result = _resume(out, given, others=others, ray=ray)
    else:
        run, result = _start(out, given, lift=lift, config=config, assignments=assignments or [], ray=ray)
    _print_result(run, result, as_json=as_json)
    if result.stopped:
        raise typer.Exit(INTERRUPTED)


def _start(
    out: Path | None,
    given: dict[str, Any],
    *,
    lift: str | None,
    config: Path | None,
    assignments: list[str],
    ray: dict[str, Any],
) -> tuple[Path, RunResult]:
    known = [name for name in _FIELDS if name not in given]
    changes = {**parse_assignments(assignments, option="--set", known=known), **given}
    settings = load_settings(config, **changes) if config else make_settings(changes)
    world = load_with_lift(settings.scenario, lift)
    run = out or Path("runs") / world.name
    with _screen(settings, world, run) as screen:
        from invrec_rllib.training import train

        return run, train(settings, out=run, scenario=world, watcher=screen.watcher(), **ray)


def _resume(
    out: Path | None, given: dict[str, Any], *, others: dict[str, Any], ray: dict[str, Any]
) -> tuple[Path, RunResult]:
    if out is None:
        raise InputError("--resume needs --out, the folder of the run")
    changed = [name for name in given if name != "iterations"]
    changed += [name for name, value in others.items() if value]
    if changed:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise InputError(f"a resumed run keeps its settings; only --iterations may change: drop {options}")

    from invrec_rllib.rundir import RunDir, iteration_of

    run = RunDir.open(out)
    settings, world = run.settings(), run.scenario()
    iterations = given.get("iterations")
    if iterations is not None and run.has_checkpoint():
        done = iteration_of(run.latest_checkpoint())
        if iterations < done:
            raise InputError(f"--iterations {iterations}: {out} has done {done} already")
    with _screen(settings, world, out) as screen:
        from invrec_rllib.training import resume

        return out, resume(out, iterations=iterations, watcher=screen.watcher(), **ray)


def _screen(settings: TrainSettings, world: Scenario, run: Path) -> TrainingScreen:
    def silo_profit() -> float:
        from invrec_rllib.evaluation.rollout import rollout
        from invrec_rllib.learning_pair import VALIDATION_SEED

        played = rollout(
            world,
            "silo",
            seed=VALIDATION_SEED,
            episodes=settings.evaluate_episodes,
            information=settings.information,
        )
        return float(played.profit.mean())

    return TrainingScreen(
        title=f"Training {settings.algo} on {world.name}, {settings.information} information, in {run}",
        currency=world.currency,
        silo_profit=silo_profit,
        evaluates=settings.evaluate_every > 0,
        final_episodes=settings.final_episodes,
        on_interrupt=lambda: (
            f"Go on with it: {_resume_command(run)}" if (run / "settings.yaml").is_file() else ""
        ),
    )


def _print_result(run: Path, result: RunResult, *, as_json: bool) -> None:
    if as_json:
        import json

        comparison = result.comparison
        print_json(
            {
                "run": str(result.path),
                "iterations": result.iterations,
                "stopped": result.stopped,
                "checkpoint": str(result.checkpoint),
                "comparison": None if comparison is None else json.loads(comparison.to_json()),
            }
        )
    if result.stopped:
        say(f"Stopped after iteration {result.iterations}; checkpoint: {result.checkpoint}")
        say(f"Go on with it: {_resume_command(run)}")
        return
    if result.comparison is not None and not as_json:
        from invrec_rllib.cli.tables import print_comparison

        print_comparison(result.comparison)
    folder = shlex.quote(str(run))
    say(f"Run: {run}, {result.iterations} iterations, checkpoint {result.checkpoint.name}")
    say(f"Next: invrec report {folder}")
    say(f"      invrec evaluate {folder} --episodes 2000")
    say(f"      tensorboard --logdir {folder}/tensorboard   (pip install tensorboard)")


def _resume_command(run: Path) -> str:
    return f"invrec train --out {shlex.quote(str(run))} --resume"
