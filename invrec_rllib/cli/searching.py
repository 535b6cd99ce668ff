"""`invrec pathwise`: a pair found by the gradient of profit through the simulated world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invrec_rllib.cli.assignments import parse_assignments
from invrec_rllib.cli.console import FractionProgress, examples, help_of, say
from invrec_rllib.cli.evaluating import DEFAULT_SEED
from invrec_rllib.cli.training import Information

if TYPE_CHECKING:
    from invrec_rllib.evaluation import Comparison
    from invrec_rllib.learning.pathwise.settings import PathwiseSettings

_BASELINES = ("silo", "coordinated")


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "pathwise",
        help=help_of(pathwise),
        epilog=examples(
            "invrec pathwise paper --information full --out pairs/paper",
            "invrec pathwise my_shop.yaml --start coordinated_my_shop.yaml --out pairs/my_shop",
            "invrec evaluate pairs/paper silo coordinated --episodes 2000",
        ),
    )(pathwise)


def pathwise(
    scenario: Annotated[str, typer.Argument(help="Preset or file.")],
    out: Annotated[Path, typer.Option(help="Folder for the pair.")],
    information: Annotated[
        Information, typer.Option(help="What the pair sees of tastes: full or observed.")
    ] = Information.observed,
    steps: Annotated[int | None, typer.Option(min=1, help="Gradient steps.", show_default="300")] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Episodes played for every step; memory grows with them.", show_default="64"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the networks and of the episodes.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another setting as name=value, repeatable: learning_rate=0.003."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of `invrec tune-policy SCENARIO coordinated` to begin with.",
            show_default="parameters that ship for the world, else those by formula",
        ),
    ] = None,
    compared: Annotated[int, typer.Option(min=2, help="Episodes of the comparison in the end.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Train a pair by pathwise gradients: profit's own derivative, through stock, slates and tastes.

    It begins as the heuristic `coordinated` and learns its parameters and small networks that correct its orders
    and prices. No critic, no exploration, no Ray; worlds with second choices, backorders or uncertain lead times
    are refused. In the end it plays episodes that it never met, beside silo and coordinated.
    """
    from invrec_rllib.evaluation import compare
    from invrec_rllib.learning.pathwise.policy import PathwisePolicy
    from invrec_rllib.policies.tuned import load_tuned
    from invrec_rllib.rundir import describe_machine
    from invrec_rllib.scenario import load_scenario
    from invrec_rllib.scenario.files import write_text_atomically
    from invrec_rllib.searching import search_pair

    world = load_scenario(scenario)
    chosen = _settings(settings or [], seed=seed, steps=steps, episodes=episodes)
    with FractionProgress(work="steps", amount=chosen.steps) as progress:
        folder = search_pair(
            world,
            information=information.value,
            settings=chosen,
            out=out,
            start=None if start is None else load_tuned(start),
            progress=lambda fraction: progress("pathwise", fraction),
        )
    say(f"{out} written")
    machine = describe_machine()
    pair = PathwisePolicy.load(folder, name=folder.name)
    with FractionProgress(work="episodes", amount=compared) as progress:
        comparison = compare(
            world,
            [pair],
            seed=DEFAULT_SEED,
            episodes=compared,
            baselines=_BASELINES,
            information=information.value,
            provenance={"command": str(machine["command"]), "git revision": str(machine["git_revision"])},
            progress=progress,
        )
    write_text_atomically(folder / "comparison.json", comparison.to_json())
    _print(comparison, as_json=as_json)


def _settings(assignments: Sequence[str], **options: int | None) -> PathwiseSettings:
    """Settings from options, and from texts ``name=value``."""
    from invrec_rllib.learning.pathwise.settings import PathwiseSettings, make_pathwise_settings

    known = [name for name in PathwiseSettings.model_fields if name not in options]
    values = parse_assignments(assignments, option="--set", known=known)
    return make_pathwise_settings(
        {**values, **{name: value for name, value in options.items() if value is not None}}
    )


def _print(comparison: Comparison, *, as_json: bool) -> None:
    if as_json:
        typer.echo(comparison.to_json(), nl=False)
    else:
        from invrec_rllib.cli.tables import print_comparison

        print_comparison(comparison)
