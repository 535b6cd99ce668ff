"""`invrec backtest`: what policies would have cost in weeks that nothing was fitted to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invrec_rllib.cli.console import FractionProgress, check_free, examples, help_of, print_json, say, working
from invrec_rllib.cli.evaluating import common_information, find_trained, load_pairs
from invrec_rllib.cli.sales_options import (
    AssumeOption,
    CategoryOption,
    ColumnsOption,
    DepartmentOption,
    FirstWeekOption,
    HouseholdsOption,
    LastFitWeekOption,
    LastWeekOption,
    NumProductsOption,
    NumSegmentsOption,
    ProductsOption,
    PromotionsOption,
    SalesOption,
    SalesOptions,
    SeedOption,
    Segments,
    SegmentsOption,
    SourceOption,
)
from invrec_rllib.errors import InputError, require
from invrec_rllib.policies.registry import make_policy, policy_names
from invrec_rllib.scenario import Scenario, save_scenario

if TYPE_CHECKING:
    from invrec_rllib.evaluation.backtest import ReplayReport
    from invrec_rllib.evaluation.backtest_pair import PairReport
    from invrec_rllib.learning.trained_pairs import TrainedPair
    from invrec_rllib.scenario.calibration import Calibration

_PAIR_POLICIES = ("traditional", "silo", "stock_aware")
_NAME = "backtest"


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "backtest",
        help=help_of(backtest),
        epilog=examples(
            "invrec backtest",
            "invrec backtest runs/first --episodes 1000 --json",
            "invrec backtest --training-world worlds/replay.yaml",
            "invrec train --scenario worlds/replay.yaml --out runs/replay",
            "invrec backtest runs/replay",
            "invrec backtest --sales sales.csv --promotions promotions.csv --first-week 1 "
            "--last-fit-week 39 --last-week 52",
        ),
    )(backtest)


def backtest(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN|CHECKPOINT]...", help="Folders of runs or checkpoints to include."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Episodes per lift in the pair's worlds.")] = 500,
    training_world: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Only write the world to train a replenisher in, which the replay can then include.",
        ),
    ] = None,
    source: SourceOption = None,
    sales: SalesOption = None,
    promotions: PromotionsOption = None,
    products: ProductsOption = None,
    households: HouseholdsOption = None,
    columns: ColumnsOption = False,
    category: CategoryOption = None,
    department: DepartmentOption = None,
    num_products: NumProductsOption = 20,
    segments: SegmentsOption = Segments.taste,
    num_segments: NumSegmentsOption = 4,
    first_week: FirstWeekOption = 2,
    last_fit_week: LastFitWeekOption = 40,
    last_week: LastWeekOption = 53,
    assume: AssumeOption = None,
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Backtest on weeks that nothing was fitted to; needs the extra data.

    Two reports, each with its caveats. The replay plays orders against logged sales: what each replenisher would
    have cost. The pair's worlds are refitted to the weeks held out, at lift zero, careful and high; what
    recommendation gains there is a claim of the model. A run is part of a report where that world's
    observations hold what it was trained on. Of runs only files that hold no code are read.
    """
    check_free(training_world, force=force)
    require("pandas", extra="data")
    pairs = _load(runs or [])
    options = SalesOptions(
        source=source,
        sales=sales,
        promotions=promotions,
        products=products,
        households=households,
        category=category,
        department=department,
        num_products=num_products,
        segments=segments,
        num_segments=num_segments,
        first_week=first_week,
        last_fit_week=last_fit_week,
        last_week=last_week,
        assume=tuple(assume or ()),
        seed=seed,
    )
    found = options.calibrate(name=_NAME)
    if training_world is not None:
        _write_training_world(found, training_world, force=force, as_json=as_json)
    else:
        _report(found, pairs, episodes=episodes, seed=seed, as_json=as_json)


def _load(runs: list[str]) -> dict[str, TrainedPair]:
    for argument in runs:
        if argument in policy_names():
            raise InputError(
                f"{argument} is a simple policy: a backtest takes runs and checkpoints, and always includes "
                f"{', '.join(_PAIR_POLICIES)}"
            )
    return load_pairs(find_trained(runs))


def _write_training_world(found: Calibration, path: Path, *, force: bool, as_json: bool) -> None:
    from invrec_rllib.evaluation.replay import replenishment_world

    world = replenishment_world(found)
    save_scenario(world, path, overwrite=force)
    if as_json:
        print_json({"training_world": str(path)})
    else:
        say(f"{path}: {world.periods} weeks, made from the fitted weeks alone")
        say(f"Next: invrec train --scenario {path} --out runs/replay; invrec backtest runs/replay")


def _report(
    found: Calibration, pairs: Mapping[str, TrainedPair], *, episodes: int, seed: int, as_json: bool
) -> None:
    from invrec_rllib.evaluation.backtest import replay_backtest
    from invrec_rllib.evaluation.backtest_pair import held_out_scenario, pair_backtest
    from invrec_rllib.evaluation.replay import sales_log

    information: Any = common_information(pairs)
    replayed, not_replayed = _fitting(pairs, sales_log(found).scenario)
    met, not_met = _fitting(pairs, held_out_scenario(found, "zero"))
    with working("Replaying the log"):
        replay = replay_backtest(found, [make_policy("silo"), *replayed], information=information, seed=seed)
    with FractionProgress(work="episodes", amount=episodes) as progress:
        pair = pair_backtest(
            found,
            [*_PAIR_POLICIES, *met],
            episodes=episodes,
            seed=seed,
            information=information,
            progress=progress,
        )
    left_out = {"replay": not_replayed, "pair": not_met}
    if as_json:
        print_json(_as_data(replay, pair, left_out))
        return
    typer.echo(replay.to_text())
    typer.echo("Both departments, in worlds refitted to the weeks held out.\n")
    typer.echo(pair.to_text(), nl=False)
    for report, reasons in left_out.items():
        for name, reason in reasons.items():
            typer.echo(f"- {name} is not part of the {report} report: {reason}")


def _fitting(pairs: Mapping[str, TrainedPair], world: Scenario) -> tuple[list[TrainedPair], dict[str, str]]:
    """The pairs that can decide in a world, and why the others cannot, by name."""
    from invrec_rllib.sim import compile_scenario

    params = compile_scenario(world)
    fitting, reasons = [], {}
    for pair in pairs.values():
        try:
            pair.begin(params, num_episodes=1, seed=0)
        except InputError as error:
            reasons[pair.name] = str(error)
        else:
            fitting.append(pair)
    return fitting, reasons


def _as_data(replay: ReplayReport, pair: PairReport, left_out: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "replay": asdict(replay),
        "pair": {
            "lifts": {lift: json.loads(found.to_json()) for lift, found in pair.comparisons.items()},
            "caveats": list(pair.caveats),
        },
        "left_out": left_out,
    }
