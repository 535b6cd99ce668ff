"""`invrec scenario calibrate`: a world from sales data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from invrec_rllib.cli.assignments import parse_lift
from invrec_rllib.cli.console import check_free, examples, help_of, print_json, results, say
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
from invrec_rllib.errors import InputError
from invrec_rllib.scenario import save_scenario

if TYPE_CHECKING:
    from invrec_rllib.scenario.calibration import Calibration


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "calibrate",
        help=help_of(calibrate_scenario),
        epilog=examples(
            "invrec scenario calibrate --source completejourney --out worlds/pizza.yaml",
            "invrec scenario calibrate --sales sales.csv --promotions promotions.csv --first-week 1 "
            "--last-fit-week 39 --last-week 52 --out worlds/mine.yaml",
            "invrec scenario calibrate --columns",
        ),
    )(calibrate_scenario)


def calibrate_scenario(
    out: Annotated[Path, typer.Option(help="Scenario file to write.")],
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
    lift: Annotated[str, typer.Option(help="Lift of exposure: careful, high, or a number.")] = "careful",
    price_path: Annotated[
        bool, typer.Option("--price-path", help="Include the logged prices, promotions and all.")
    ] = False,
    assume: AssumeOption = None,
    name: Annotated[str | None, typer.Option(help="Name of the scenario.", show_default="the file's")] = None,
    seed: SeedOption = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the fit as JSON.")] = False,
) -> None:
    """Build a world from sales and promotions; needs the extra data.

    Demand, price effects, lift and tastes are fitted to the weeks to fit, and the fit is measured on the weeks
    held out. What sales do not tell (costs, lead times, storage, slots) is assumed; the file says why.
    """
    check_free(out, force=force)
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
    found = options.calibrate(name=name or out.stem, lift=_lift(lift), price_path=price_path)
    save_scenario(found.scenario, out, overwrite=force)
    _print_fit(found, out=out, as_json=as_json)


def _lift(text: str) -> Any:
    lift = parse_lift(text)
    if isinstance(lift, str) and lift not in ("careful", "high"):
        raise InputError(f"--lift must be careful, high or a number from 0 to 10, got {text!r}")
    return lift


def _print_fit(found: Calibration, *, out: Path, as_json: bool) -> None:
    provenance: dict[str, Any] = found.scenario.provenance
    if as_json:
        print_json({"scenario": str(out), "provenance": provenance})
        return
    lines = [f"{out}: {found.scenario.description}"]
    lines += [
        f"lift, {name}: pooled {variant['pooled']:.3f} (standard error {variant['pooled_standard_error']:.3f}), "
        f"by segment {', '.join(f'{value:.3f}' for value in variant['lift'])}"
        for name, variant in provenance["lift"]["variants"].items()
    ]
    if found.holdout is not None:
        lines.append(
            f"weeks held out: {100 * found.holdout.deviance_explained:.1f} % of the deviance explained; WAPE "
            f"{100 * found.holdout.wape_model:.1f} %, mean of the last 4 weeks "
            f"{100 * found.holdout.wape_last_4_weeks:.1f} %, a quarter before "
            f"{100 * found.holdout.wape_seasonal:.1f} %"
        )
    results().print("\n".join(lines), soft_wrap=True, markup=False)
    say(f"Assumed, not fitted: {', '.join(provenance['assumed'])}; the file gives the reasons")
