"""`invrec compare`: what coordination is worth, itemised, against the best possible, and taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invrec_rllib.cli.assignments import parse_names
from invrec_rllib.cli.console import FractionProgress, examples, help_of, results, say
from invrec_rllib.cli.evaluating import DEFAULT_SEED, Contenders, find_contenders
from invrec_rllib.cli.scenarios import load_with_lift
from invrec_rllib.cli.tables import rich_table
from invrec_rllib.cli.training import Information
from invrec_rllib.errors import InputError
from invrec_rllib.policies.registry import policy_names

if TYPE_CHECKING:
    from invrec_rllib.evaluation.worth import Worth

_COORDINATED = ("coordinated", "optimal")


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "compare",
        help=help_of(compare),
        epilog=examples(
            "invrec compare paper --policies silo,silo_best,coordinated --seeds 4 --information full --out worth/paper",
            "invrec compare tiny --policies coordinated,optimal --json",
            "invrec compare paper --policies runs/first,coordinated --baseline silo_best --paths 0",
        ),
    )(compare)


def compare(
    scenario: Annotated[str, typer.Argument(help="Preset or file.")],
    policies: Annotated[
        str,
        typer.Option(
            help="Separated by commas: folders of runs, checkpoints or exports, YAML files of "
            f"`invrec tune-policy`, and names of simple policies: {', '.join(policy_names())}.",
        ),
    ] = "traditional,silo,sequential,silo_best,coordinated",
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Policy to take paired differences to, repeatable; gains are taken apart against the first.",
            show_default="silo",
        ),
    ] = None,
    apart: Annotated[
        str | None,
        typer.Option(
            help="Policies whose gain is taken apart, separated by commas; none: leave that out.",
            show_default="trained pairs, coordinated and optimal",
        ),
    ] = None,
    lift: Annotated[
        str | None, typer.Option(help="Another lift of exposure: careful, high or a number.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes per seed.")] = 500,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = DEFAULT_SEED,
    paths: Annotated[
        int,
        typer.Option(
            min=0,
            help="Paths of tastes of the upper bound, where there is no exact optimum; 0 leaves the gap out.",
        ),
    ] = 20,
    information: Annotated[
        Information | None,
        typer.Option(help="What policies are shown.", show_default="that of the runs, else observed"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for tables and page.")] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Write the page into --out.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what the folder holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What coordination is worth: profit and sales on the same episodes, itemised, and where the gain comes from.

    A gain is taken apart by exchanging the departments of a pair for those of the baseline, one at a time. The best
    possible is the exact optimum where the world can be solved, else an upper bound. Needs the extra `report` for
    the page.
    """
    from invrec_rllib.evaluation.worth import find_worth

    if out is not None:
        from invrec_rllib.report.document import check_installed
        from invrec_rllib.report.worth import check_folder

        check_folder(out.expanduser(), force=force)
        if page:
            check_installed()
    arguments = parse_names(policies)
    if not arguments:
        raise InputError("--policies names no policy, must be one or more separated by commas")
    world = load_with_lift(scenario, lift)
    baselines = baseline or ["silo"]
    found = find_contenders(arguments, information=information.value if information else None)
    provenance = found.provenance(world, also=baselines)
    paths = min(paths, episodes)
    others = {"bound": ("paths", paths)}
    with FractionProgress(work="episodes", amount=episodes * seeds, others=others) as progress:
        worth = find_worth(
            world,
            found.players,
            seed=seed,
            num_seeds=seeds,
            episodes=episodes,
            baselines=baselines,
            taken_apart=_apart(apart, found, baseline=baselines[0]),
            bound_paths=paths,
            information=found.information,
            provenance=provenance,
            progress=progress,
        )
    if out is not None:
        from invrec_rllib.report.worth import write_worth

        for file in write_worth(worth, out.expanduser(), page=page):
            say(f"{file} written")
    _print(worth, as_json=as_json)


def _apart(text: str | None, found: Contenders, *, baseline: str) -> list[str]:
    if text is not None:
        return [] if text == "none" else parse_names(text)
    return [name for name in found.coordinated(_COORDINATED) if name != baseline]


def _print(worth: Worth, *, as_json: bool) -> None:
    from invrec_rllib.evaluation.worth_tables import basis, make_tables, to_json

    if as_json:
        typer.echo(to_json(worth), nl=False)
        return
    for table in make_tables(worth):
        results().print(rich_table(table))
    results().print(basis(worth), soft_wrap=True, markup=False)
