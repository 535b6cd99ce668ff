"""`invrec tune-policy`: parameters of a simple policy, tuned to a world by simulation."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from invrec_rllib.cli.console import FractionProgress, check_free, examples, help_of, say
from invrec_rllib.cli.training import Information
from invrec_rllib.policies.tunable import TUNABLE


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "tune-policy",
        help=help_of(tune_policy),
        epilog=examples(
            "invrec tune-policy my_shop.yaml coordinated --out coordinated_my_shop.yaml",
            "invrec evaluate coordinated_my_shop.yaml silo --scenario my_shop.yaml",
        ),
    )(tune_policy)


def tune_policy(
    scenario: Annotated[str, typer.Argument(help="Preset or file.")],
    policy: Annotated[str, typer.Argument(help=f"Policy to tune: {', '.join(TUNABLE)}.")],
    out: Annotated[Path, typer.Option(help="YAML file for the parameters.")],
    budget: Annotated[int, typer.Option(min=1, help="Episodes to play in all.")] = 100_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    information: Annotated[
        Information, typer.Option(help="What the policy is shown.")
    ] = Information.observed,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Tune a simple policy's parameters to a world, by an evolution strategy on common random numbers.

    Needs the extra `search`. `invrec evaluate FILE` then plays the policy with what was found.
    """
    from invrec_rllib.evaluation.tuning import tune
    from invrec_rllib.policies.tuned import save_tuned
    from invrec_rllib.scenario import load_scenario

    check_free(out, force=force)
    world, shown = load_scenario(scenario), _literal(information)
    with FractionProgress(work="episodes", amount=budget) as progress:
        found = tune(
            world,
            policy,
            seed=seed,
            budget=budget,
            information=shown,
            progress=lambda fraction, profit: progress(policy, fraction),
        )
    tuned = found.tuned_to(
        world,
        information=shown,
        provenance={
            "command": f"invrec tune-policy {scenario} {policy} --information {shown} "
            f"--budget {budget} --seed {seed} --out {out.name}",
            "seed": seed,
            "budget_episodes": budget,
            "version": version("invrec-rllib"),
            "cma_version": version("cma"),
        },
    )
    save_tuned(tuned, out, overwrite=force)
    gain = 100.0 * (found.profit - found.default_profit) / abs(found.default_profit or 1.0)
    say(
        f"{out} written: profit {found.profit:,.0f} on validation, {gain:+.1f} % over the parameters by formula"
    )


def _literal(information: Information) -> Any:
    return information.value
