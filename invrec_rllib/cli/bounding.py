"""`invrec bound`: what no policy can exceed, beside the best simple policy on the same tastes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from invrec_rllib.cli.console import FractionProgress, examples, help_of, print_json, results
from invrec_rllib.cli.evaluating import DEFAULT_SEED
from invrec_rllib.cli.scenarios import load_with_lift

if TYPE_CHECKING:
    from invrec_rllib.evaluation.statistics import Difference, Estimate


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "bound",
        help=help_of(bound),
        epilog=examples("invrec bound tiny", "invrec bound paper --paths 50 --json"),
    )(bound)


def bound(
    scenario: Annotated[str, typer.Argument(help="Preset or file.")],
    lift: Annotated[
        str | None, typer.Option(help="Another lift of exposure: careful, high or a number.")
    ] = None,
    paths: Annotated[int, typer.Option(min=2, help="Paths of tastes to average over.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the paths.")] = DEFAULT_SEED,
    plain: Annotated[
        bool, typer.Option("--plain", help="The linear program alone, unrefined: faster and looser.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bound the mean profit of every policy, by linear programs over sampled paths of tastes.

    The best of the simple policies plays the same paths with full information: what lies between is what is
    left to gain, and what the bound gives away.
    """
    from invrec_rllib.evaluation.rollout import rollout
    from invrec_rllib.evaluation.statistics import estimate_mean, paired_difference
    from invrec_rllib.policies.registry import policy_names_for
    from invrec_rllib.sim.params import compile_scenario
    from invrec_rllib.theory.fluid import fluid_bound

    world = load_with_lift(scenario, lift)
    params = compile_scenario(world)
    profits = {
        name: rollout(params, name, seed=seed, episodes=paths, information="full").profit
        for name in policy_names_for(params)
    }
    best = max(profits, key=lambda name: float(profits[name].mean()))
    with FractionProgress(work="paths", amount=paths) as progress:
        found = fluid_bound(
            params,
            seed=seed,
            paths=paths,
            noise=not plain,
            information=not plain,
            progress=lambda fraction: progress("bound", fraction),
        )
    bound_ = estimate_mean(found.values)
    profit = estimate_mean(profits[best])
    gap = paired_difference(found.values, profits[best])
    if as_json:
        print_json(
            {
                "scenario": world.name,
                "seed": seed,
                "paths": paths,
                "bound": dataclasses.asdict(bound_),
                "policy": best,
                "profit": dataclasses.asdict(profit),
                "gap": dataclasses.asdict(gap),
                "information_priced": found.information_priced,
                "seconds_per_path": float(found.seconds.mean()),
            }
        )
        return
    _print(world.currency, best, bound_=bound_, profit=profit, gap=gap)
    results().print(
        f"{world.name}: {paths} paths of seed {seed}, 95 % intervals, {found.seconds.mean():.2f} s per path; "
        "the policy saw full information",
        soft_wrap=True,
        markup=False,
    )


def _print(currency: str, policy: str, *, bound_: Estimate, profit: Estimate, gap: Difference) -> None:
    table = Table(box=box.SIMPLE)
    table.add_column("")
    table.add_column(currency, justify="right")
    rows: list[tuple[str, Any, str]] = [
        ("bound", bound_, ",.0f"),
        (f"best simple policy, {policy}", profit, ",.0f"),
        ("bound over policy, %", gap.percent, "+.1f"),
    ]
    for name, estimate, style in rows:
        low, high = format(estimate.low, style), format(estimate.high, style)
        table.add_row(name, f"{format(estimate.mean, style)} \\[{low}, {high}]")
    results().print(table)
