"""`invrec tune`: sweeps over settings of training with Ray Tune."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from invrec_rllib.cli.console import examples, help_of, print_json, results, say
from invrec_rllib.cli.training import INTERRUPTED, Address, ShipCode
from invrec_rllib.errors import InputError

if TYPE_CHECKING:
    from invrec_rllib.tuning.keeping import SweepResult
    from invrec_rllib.tuning.plan import Plan
    from invrec_rllib.tuning.sweep import Sweep

FAILED = 1


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "tune",
        help=help_of(tune),
        epilog=examples(
            "invrec tune tune_configs/timescale_ratio.yaml --dry-run",
            "invrec tune tune_configs/learning_rates.yaml --samples 8 --jobs 2",
            "invrec tune tune_configs/learning_rates.yaml --resume",
            "invrec tune tune_configs/seeds.yaml --address auto --ship-code --storage s3://bucket/sweeps",
            "invrec train --config sweeps/learning_rates/best.yaml --out runs/best",
        ),
    )(tune)


def tune(
    file: Annotated[Path, typer.Argument(help="YAML file of the sweep; tune_configs/ has seven.")],
    storage: Annotated[
        str,
        typer.Option(
            "--storage",
            "--out",
            metavar="DIR|URI",
            help="Where sweeps are kept, each in a folder of its name: a path, or object storage such as "
            "s3://bucket/sweeps. All machines of a cluster must reach it.",
        ),
    ] = "sweeps",
    name: Annotated[
        str | None, typer.Option(help="Name of the sweep's folder.", show_default="the file's")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Draws, in the place of the file's.", show_default="the file's")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the sweep that is there, wherever it stopped.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and start nothing.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trials at once.", show_default="as many as fit")
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of the local Ray.", show_default="the machine's")
    ] = None,
    address: Address = None,
    ship_code: ShipCode = False,
    wandb: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="Log to Weights & Biases too (extra wandb).")
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="Log to this MLflow server too (extra mlflow).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search settings of training with Ray Tune: by grid, at random, with Optuna, ASHA or population-based training.

    Prints the plan, shows money per trial while they learn, and leaves trials.csv, the best configuration as a file
    that `invrec train --config` takes, and a report page (extra report). Ctrl-C stops with all trials where they were
    saved; --resume goes on. TensorBoard's files lie beside each trial.
    """
    from invrec_rllib.tuning.files import load_sweep
    from invrec_rllib.tuning.sweep import with_samples

    if resume and (wandb or mlflow or jobs):
        raise InputError("a resumed sweep keeps its loggers and jobs: drop --wandb, --mlflow and --jobs")
    sweep = load_sweep(file)
    if samples is not None:
        sweep = with_samples(sweep, samples)
    if dry_run:
        from invrec_rllib.tuning.plan import make_plan

        plan = make_plan(sweep)
        _print_plan(plan, _fitting(plan, jobs=jobs, cpus=cpus, address=address), as_json=as_json)
        return
    resume_command = _resume_command(file, storage, name=name, samples=samples)
    result = _run(
        sweep,
        storage=storage,
        name=name,
        resume=resume,
        ray={"num_cpus": cpus, "address": address, "ship_code": ship_code, "jobs": jobs},
        loggers={"wandb": wandb, "mlflow": mlflow},
        resume_command=resume_command,
    )
    _print_result(sweep, result, resume_command=resume_command, as_json=as_json)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if any(row.status == "failed" for row in result.rows):
        raise typer.Exit(FAILED)


def _fitting(plan: Plan, *, jobs: int | None, cpus: int | None, address: str | None) -> int | None:
    """Trials side by side on this machine; None where only Ray knows: on a cluster, or with GPUs."""
    # Planning has imported Ray already.
    from invrec_rllib.rllib.quiet import usable_cpus

    if address or os.environ.get("RAY_ADDRESS") or set(plan.resources) - {"CPU"}:
        return None
    # A local Ray declares what a trial needs, if the machine has less.
    declared = cpus or max(usable_cpus(), plan.resources.get("CPU", 0.0))
    return plan.at_once({"CPU": float(declared)}, jobs=jobs)


def _run(
    sweep: Sweep,
    *,
    storage: str,
    name: str | None,
    resume: bool,
    ray: dict[str, Any],
    loggers: dict[str, Any],
    resume_command: str,
) -> SweepResult:
    from invrec_rllib.cli.tuning_screen import TuningScreen
    from invrec_rllib.tuning.running import Cluster, Loggers, run_sweep

    with TuningScreen(
        resume_command=resume_command, show_plan=lambda plan, n: say(plan_text(plan, n))
    ) as screen:
        return run_sweep(
            sweep,
            storage=storage,
            name=name,
            resume=resume,
            cluster=Cluster(**ray),
            loggers=Loggers(**loggers),
            watcher=screen.watcher(),
        )


def plan_text(plan: Plan, at_once: int | None) -> str:
    """The plan in a few lines.

    Args:
        plan: of the sweep.
        at_once: trials side by side; None: as many as Ray has room for.
    """
    sweep = plan.sweep
    seeds = f"{len(sweep.seeds)} seed{'s' if len(sweep.seeds) > 1 else ''}"
    takes = ", ".join(f"{amount:g} {name}" for name, amount in plan.resources.items())
    side_by_side = "as many at once as Ray has room for" if at_once is None else f"{at_once} at once"
    return "\n".join(
        [
            f"{sweep.name}: {sweep.question.strip()}",
            f"{sweep.num_trials} trials: {sweep.num_configurations} configurations x {seeds}; search {sweep.search}, "
            f"scheduler {sweep.scheduler.kind}",
            f"each takes {takes}; {side_by_side}; {plan.iterations:,} iterations in all; how long they take is known "
            "after the first results",
        ]
    )


def _print_plan(plan: Plan, at_once: int | None, *, as_json: bool) -> None:
    if as_json:
        print_json({**plan.to_json(), "at_once": at_once})
        return
    results().print(Text(plan_text(plan, at_once)), soft_wrap=True)
    table = Table("key", "searched by", "values", box=box.SIMPLE)
    for key, dimension in plan.sweep.space.items():
        shown = dimension.values if dimension.values is not None else dimension.arguments
        table.add_row(Text(key), dimension.kind, Text(", ".join(map(str, shown))))
    results().print(table)


def _print_result(sweep: Sweep, result: SweepResult, *, resume_command: str, as_json: bool) -> None:
    from invrec_rllib.tuning.sweep import describe

    path = result.folder.path
    counts = Counter(row.status for row in result.rows)
    if as_json:
        print_json(
            {
                "sweep": sweep.name,
                "path": path,
                "trials": counts,
                "interrupted": result.interrupted,
                "best": {
                    scenario: {"configuration": best.values, "profit": best.mean}
                    for scenario, best in result.best.items()
                },
                "files": result.files,
            }
        )
    for row in result.rows:
        if row.status == "failed":
            say(
                f"failed: {row.trial} {describe(row.configuration)} seed {row.seed}: {row.error}", style="red"
            )
    say(
        f"{sweep.name}: {', '.join(f'{count} {status}' for status, count in counts.items())}; {path}/trials.csv"
    )
    for scenario, best in result.best.items():
        spread = f" (sd {best.spread:,.1f} over {len(best.trials)} seeds)" if len(best.trials) > 1 else ""
        say(f"Best on {scenario}: {describe(best.values) or 'base'}, profit {best.mean:,.1f}{spread}")
    if result.interrupted:
        say(f"Stopped; all trials are saved where they were. Go on with them: {resume_command}")
        return
    for name in result.files:
        say(f"{path}/{name}")
    best_files = [name for name in result.files if name.startswith("best")]
    if best_files and result.folder.local:
        say(f"Next: invrec train --config {shlex.quote(f'{path}/{best_files[0]}')} --out runs/best")


def _resume_command(file: Path, storage: str, *, name: str | None, samples: int | None) -> str:
    options = [] if storage == "sweeps" else ["--storage", storage]
    options += ["--name", name] if name else []
    options += ["--samples", str(samples)] if samples else []
    return shlex.join(["invrec", "tune", str(file), *options, "--resume"])
