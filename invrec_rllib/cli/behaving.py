"""`invrec behaviour`: how policies react to one change, beside the exact optimum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invrec_rllib.cli.console import FractionProgress, examples, help_of, results, say
from invrec_rllib.cli.evaluating import DEFAULT_SEED, common_scenario, find_contenders
from invrec_rllib.cli.scenarios import load_with_lift
from invrec_rllib.cli.tables import rich_table
from invrec_rllib.cli.training import Information
from invrec_rllib.policies.registry import policy_names

if TYPE_CHECKING:
    from invrec_rllib.evaluation.behaviour import Behaviour

_USUAL = ("silo", "silo_best", "coordinated")


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "behaviour",
        help=help_of(behaviour),
        epilog=examples(
            "invrec behaviour",
            "invrec behaviour runs/first silo coordinated --out behaviour/first",
            "invrec behaviour coordinated --scenario paper --information full --json",
        ),
    )(behaviour)


def behaviour(
    policies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN|CHECKPOINT|EXPORT|TUNED|POLICY...",
            help="Folders of runs, checkpoints or exports, YAML files of `invrec tune-policy`, and names of simple "
            f"policies: {', '.join(policy_names())}.",
            show_default=", ".join(_USUAL),
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(help="Preset or file.", show_default="that of the runs, else tiny"),
    ] = None,
    lift: Annotated[
        str | None, typer.Option(help="Another lift of exposure: careful, high or a number.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes in which each policy is asked.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episodes.")] = DEFAULT_SEED,
    information: Annotated[
        Information | None,
        typer.Option(help="What policies are shown.", show_default="that of the runs, else observed"),
    ] = None,
    states: Annotated[
        str | None,
        typer.Option(
            help="Policy, run or file in whose states all are asked.", show_default="each in its own"
        ),
    ] = None,
    product: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Product, from 0 on, whose response surfaces are drawn.",
            show_default="that of the largest demand",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for page, figures and tables.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what the folder holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What policies do when one stock, delivery or date changes, sign by sign beside the exact optimum.

    In the states of their episodes policies are asked again with one thing changed. Each effect on orders and
    exposures is tested for the sign that it has at the optimum, with p-values adjusted for the number of tests. Where
    the scenario is too large to solve, the signs are those of `tiny`. Needs the extra `report` for --out.
    """
    from invrec_rllib.evaluation.behaviour import measure_behaviour

    if out is not None:
        from invrec_rllib.report.behaviour_page import check_folder
        from invrec_rllib.report.document import check_installed

        check_folder(out.expanduser(), force=force)
        check_installed()
    arguments = list(policies or _USUAL)
    shown = information.value if information else None
    found = find_contenders(arguments, information=shown)
    world = load_with_lift(scenario or common_scenario(found.trained, otherwise="tiny"), lift)
    steering = find_contenders([states], information=found.information) if states is not None else None
    provenance = found.provenance(world, also=[states] if states is not None else ())
    with FractionProgress(work="episodes", amount=episodes) as progress:
        measured = measure_behaviour(
            world,
            found.players,
            seed=seed,
            episodes=episodes,
            information=found.information,
            states=steering.players[0] if steering else None,
            product=product,
            surfaces=out is not None,
            provenance=provenance,
            progress=progress,
        )
    if out is not None:
        from invrec_rllib.report.behaviour_page import write_behaviour

        for file in write_behaviour(measured, out.expanduser()):
            say(f"{file} written")
    _print(measured, as_json=as_json)


def _print(found: Behaviour, *, as_json: bool) -> None:
    from invrec_rllib.evaluation.behaviour.tables import basis, make_tables, to_json

    if as_json:
        typer.echo(to_json(found), nl=False)
        return
    for table in make_tables(found):
        results().print(rich_table(table))
    results().print(basis(found), soft_wrap=True, markup=False)
