"""`invrec scenario calibrate`: options, refusals, and a scenario from one's own tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.scenario import load_scenario

pd = pytest.importorskip("pandas")
pytest.importorskip("statsmodels")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["scenario", "calibrate", *arguments])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Made-up sales of two drinks beside bread in 12 weeks, 4 stores and 200 households, as csv files."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    rows, shown = [], rng.random((13, 4, 2)) < 0.4
    price = np.round(np.exp(rng.normal(0.0, 0.1, (13, 2))), 2)
    for week in range(1, 13):
        for household in range(200):
            store = household % 4
            visit = (week, household, store, f"{week}-{household}")
            rows.append((*visit, "bread", 1, 1.0))
            bought = rng.random(2) < np.array([0.2, 0.1]) * (1 + shown[week, store]) / price[week]
            rows += [(*visit, ("cola", "tea")[i], 1, price[week, i]) for i in np.nonzero(bought)[0]]
    places = [(w, s, ("cola", "tea")[i]) for w, s, i in np.argwhere(shown) if w > 0]
    frames = {
        "sales": pd.DataFrame(
            rows, columns=["week", "household", "store", "basket", "product", "quantity", "amount"]
        ),
        "promotions": pd.DataFrame(places, columns=["week", "store", "product"]),
        "products": pd.DataFrame(
            {"product": ["cola", "tea", "bread"], "category": ["drinks", "drinks", "other"]}
        ),
    }
    arguments = []
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        arguments += [f"--{name}", str(folder / f"{name}.csv")]
    weeks = ["--first-week", "1", "--last-fit-week", "9", "--last-week", "12"]
    return [
        *arguments,
        *weeks,
        "--category",
        "drinks",
        "--num-products",
        "2",
        "--num-segments",
        "2",
        "--assume",
        "slots=1",
    ]


def test_own_tables_become_a_scenario_file(tables: list[str], tmp_path: Path) -> None:
    out = tmp_path / "drinks.yaml"
    result = run(
        *tables, "--out", str(out), "--assume", "mean_demand=50", "--assume", "lead_times=[3]", "--json"
    )
    assert result.exit_code == 0, result.stderr
    scenario = load_scenario(out)
    assert scenario.name == "drinks"
    assert scenario.products.labels == ("cola", "tea")
    assert scenario.products.lead_time == (3, 3)
    assert json.loads(result.stdout)["provenance"] == json.loads(json.dumps(scenario.provenance))
    rows = len(pd.read_csv(tables[1]))
    assert f"sales: {rows:,} rows read" in result.stderr


def test_the_summary_tells_lifts_and_fit(tables: list[str], tmp_path: Path) -> None:
    result = run(*tables, "--out", str(tmp_path / "drinks.yaml"), "--lift", "high")
    assert result.exit_code == 0, result.stderr
    assert "lift, careful: pooled" in result.stdout
    assert "lift, high: pooled" in result.stdout
    assert "of the deviance explained" in result.stdout
    assert "lead_times" in result.stderr


def test_an_existing_file_is_refused_before_any_table_is_read(tmp_path: Path) -> None:
    out = tmp_path / "drinks.yaml"
    out.write_text("precious", "utf-8")
    result = run("--sales", "nowhere.csv", "--promotions", "nowhere.csv", "--out", str(out))
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert out.read_text("utf-8") == "precious"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sales", "sales.csv"], "--promotions"),
        (["--source", "tables"], "--sales and --promotions"),
        (["--source", "completejourney", "--sales", "sales.csv"], "drop --sales"),
        (["--sales", "a.csv", "--promotions", "b.csv"], "there is no file"),
        (["--lift", "enormous", "--sales", "a.csv", "--promotions", "b.csv"], "--lift"),
        (["--assume", "mean_demand=-1"], "--assume is not valid:\n  mean_demand must be above 0, got -1"),
        (["--assume", "mean_demand=many"], "mean_demand"),
        (["--assume", "lead_time=[1]"], "did you mean lead_times"),
        (["--first-week", "9", "--last-fit-week", "3"], "weeks must rise"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = run(*arguments, "--out", str(tmp_path / "drinks.yaml"))
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "drinks.yaml").exists()


def test_columns_of_the_tables_are_documented_without_other_options() -> None:
    result = run("--columns")
    assert result.exit_code == 0
    assert all(f"{table}:" in result.stdout for table in ("sales", "promotions", "products", "households"))
