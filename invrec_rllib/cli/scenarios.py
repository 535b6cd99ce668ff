"""`invrec scenario`: list, show, validate, schema, generate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from invrec_rllib.cli.assignments import parse_assignments, parse_lift
from invrec_rllib.cli.console import check_free, examples, print_error, print_json, results, say
from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.scenario import (
    Scenario,
    dump_scenario,
    generate_scenario,
    load_scenario,
    preset_names,
    save_scenario,
    scenario_json_schema,
)
from invrec_rllib.scenario.files import write_text_atomically
from invrec_rllib.scenario.generator import Recipe
from invrec_rllib.scenario.lifts import with_lift

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]
INVALID = 2


def add_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list", epilog=examples("invrec scenario list", "invrec scenario list --json"))(list_presets)
    app.command(
        epilog=examples(
            "invrec scenario show grocery",
            "invrec scenario show grocery --lift high --yaml > grocery_high.yaml",
        )
    )(show)
    app.command(epilog=examples("invrec scenario validate my_shop.yaml"))(validate)
    app.command(epilog=examples("invrec scenario schema --out scenario.schema.json"))(schema)
    app.command(
        epilog=examples(
            "invrec scenario generate --seed 7 --products 20 --segments 4 --out worlds/seven.yaml",
            "invrec scenario generate --lead-times 3,4,5 --margins 0.2,0.3 --set noise_cv=0.5",
        )
    )(generate)


def list_presets(as_json: AsJson = False) -> None:
    """The worlds that ship with the package."""
    worlds = [load_scenario(name) for name in preset_names()]
    if as_json:
        print_json([_summary(world) for world in worlds])
        return
    table = Table(box=box.SIMPLE)
    table.add_column("name", style="bold", no_wrap=True)
    for column in ("products", "segments", "slots", "periods"):
        table.add_column(column, justify="right")
    table.add_column("description")
    for world in worlds:
        counts = (world.products.count, world.segments.count, world.recommendation.slots, world.periods)
        table.add_row(world.name, *(f"{count:g}" for count in counts), world.description)
    results().print(table)


def show(
    scenario: Annotated[str, typer.Argument(help="Preset name, or path of a scenario file.")],
    lift: Annotated[
        str | None,
        typer.Option(help="Another lift of exposure: careful, high (calibrated worlds) or a number."),
    ] = None,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the whole scenario as YAML.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole scenario as JSON.")] = False,
) -> None:
    """One world in a few lines, or whole."""
    if as_yaml and as_json:
        raise InputError("--yaml and --json exclude each other: give one")
    world = load_with_lift(scenario, lift)
    if as_json:
        print_json(world.model_dump(mode="json"))
    elif as_yaml:
        typer.echo(dump_scenario(world), nl=False)
    else:
        _print_facts(world)


def load_with_lift(scenario: str | Scenario, lift: str | None) -> Scenario:
    """A scenario, with the lift of a `--lift` option if there is one, which its name then tells.

    Raises:
        InputError, ScenarioError: no such scenario, or no such lift in it.
    """
    world = load_scenario(scenario)
    if lift is None:
        return world
    return with_lift(world, parse_lift(lift)).model_copy(update={"name": f"{world.name}-lift-{lift}"})


def _print_facts(world: Scenario) -> None:
    from invrec_rllib.report.words import scenario_facts

    console = results()
    console.print(f"[bold]{world.name}[/bold]")
    if world.description:
        console.print(world.description, markup=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for label, value in scenario_facts(world):
        table.add_row(label.replace("[", r"\["), value.replace("[", r"\["))
    console.print(table)


def _summary(world: Scenario) -> dict[str, Any]:
    return {
        "name": world.name,
        "description": world.description,
        "products": world.products.count,
        "segments": world.segments.count,
        "slots": world.recommendation.slots,
        "periods": world.periods,
        "period_name": world.period_name,
        "currency": world.currency,
    }


def validate(
    file: Annotated[str, typer.Argument(help="Path of a scenario file, or preset name.")],
    as_json: AsJson = False,
) -> None:
    """Check a scenario file: 0 if it is valid, else 2 and what is wrong with each field."""
    try:
        world = load_scenario(file)
    except ScenarioError as error:
        if not as_json:
            raise
        header, *faults = [line.strip() for line in str(error).splitlines()]
        if not header.endswith("is not a valid scenario:"):
            # One fault over several lines, such as YAML's own.
            faults = [" ".join([header, *faults])]
        print_json({"valid": False, "file": file, "faults": faults})
        print_error(str(error))
        raise typer.Exit(INVALID) from error
    if as_json:
        print_json({"valid": True, "file": file, **_summary(world)})
    else:
        facts = (
            f"{world.products.count:,} products, {world.segments.count:,} segments, {world.periods:,} periods"
        )
        results().print(f"{file} is valid: {world.name}, {facts}", soft_wrap=True, markup=False)


def schema(
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="print it")] = None,
    force: Force = False,
) -> None:
    """JSON Schema of scenario files, for editors that complete and check YAML."""
    if out is None:
        typer.echo(scenario_json_schema(), nl=False)
        return
    check_free(out, force=force)
    write_text_atomically(out.expanduser(), scenario_json_schema())
    say(f"{out} written; name it in a scenario's first line: # yaml-language-server: $schema={out}")


def generate(
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    products: Annotated[int, typer.Option(min=1, help="Number of products.")] = 10,
    segments: Annotated[int, typer.Option(min=1, help="Number of customer segments.")] = 5,
    slots: Annotated[float, typer.Option(help="Exposure per segment and period.")] = 2,
    periods: Annotated[int, typer.Option(min=1, help="Horizon.")] = 60,
    lead_times: Annotated[
        str, typer.Option(help="Periods, which the products take in turn, such as 1,2,3.")
    ] = "1,2,3",
    margins: Annotated[str, typer.Option(help="Least and largest margin, share of the price.")] = "0.3,0.5",
    lift_odds: Annotated[
        float, typer.Option(help="Factor on the odds of purchase under full exposure, 1 or more.")
    ] = 2.5,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other knob of the generator, repeatable."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the scenario.")] = "generated",
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="print it")] = None,
    force: Force = False,
) -> None:
    """Draw a random world; the same seed and knobs give the same world."""
    check_free(out, force=force)
    named: dict[str, Any] = {
        "num_products": products,
        "num_segments": segments,
        "slots": slots,
        "periods": periods,
        "lead_times": _numbers(lead_times, option="--lead-times"),
        "margin_range": _numbers(margins, option="--margins"),
        "lift_odds": lift_odds,
    }
    others = [knob for knob in Recipe.model_fields if knob not in named]
    knobs = parse_assignments(settings or [], option="--set", known=others)
    world = generate_scenario(seed=seed, name=name, **named, **knobs)
    if out is None:
        typer.echo(dump_scenario(world), nl=False)
    else:
        save_scenario(world, out, overwrite=force)
        say(f"{out} written")


def _numbers(text: str, *, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} must be numbers with commas between them, got {text!r}") from error
