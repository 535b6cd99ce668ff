"""`invrec backtest`: both reports with their caveats, what is left out and why, refusals, the world to train in."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app, backtesting
from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.scenario import load_scenario

pd = pytest.importorskip("pandas")
pytest.importorskip("statsmodels")


def run(*arguments: str, command: str = "backtest") -> Any:
    return CliRunner().invoke(app, [command, *arguments])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Made-up sales of two drinks beside bread: 12 weeks of which 3 are held out, 4 stores, 200 households."""
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    rows, shown = [], rng.random((13, 4, 2)) < 0.4
    price = np.round(2.0 * np.exp(rng.normal(0.0, 0.1, (13, 2))), 2)
    for week in range(1, 13):
        for household in range(200):
            store = household % 4
            visit = (week, household, store, f"{week}-{household}")
            rows.append((*visit, "bread", 1, 1.0))
            chance = np.array([0.2, 0.1]) * (1 + shown[week, store]) * (2.0 / price[week]) ** 2
            rows += [
                (*visit, ("cola", "tea")[i], 1, price[week, i]) for i in np.nonzero(rng.random(2) < chance)[0]
            ]
    columns = ["week", "household", "store", "basket", "product", "quantity", "amount"]
    places = [(w, s, ("cola", "tea")[i]) for w, s, i in np.argwhere(shown) if w > 0]
    categories = {"product": ["cola", "tea", "bread"], "category": ["drinks", "drinks", "other"]}
    frames = {
        "sales": pd.DataFrame(rows, columns=columns),
        "promotions": pd.DataFrame(places, columns=["week", "store", "product"]),
        "products": pd.DataFrame(categories),
    }
    arguments = []
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
        arguments += [f"--{name}", str(folder / f"{name}.csv")]
    weeks = "--first-week 1 --last-fit-week 9 --last-week 12"
    choice = "--category drinks --num-products 2 --num-segments 2 --assume slots=1"
    return [*arguments, *weeks.split(), *choice.split()]


class SizedPolicy:
    """The silo by another name, which knows worlds of one length alone, as a trained pair knows one layout."""

    information = "observed"

    def __init__(self, name: str, *, periods: int) -> None:
        self.name, self._periods, self._silo = name, periods, make_policy("silo")

    def begin(self, params: Any, *, num_episodes: int, seed: int) -> Any:
        if params.num_periods != self._periods:
            raise InputError(f"{self.name} was trained on {self._periods} periods")
        return self._silo.begin(params, num_episodes=num_episodes, seed=seed)

    def act(self, view: Any, memory: Any) -> Any:
        return self._silo.act(view, memory)


def test_both_reports_are_printed_with_their_caveats(tables: list[str]) -> None:
    result = run(*tables, "--episodes", "5")
    assert result.exit_code == 0, result.stderr
    for policy in (
        "plan_aware",
        "price_aware",
        "last_4_weeks",
        "fit_mean",
        "silo",
        "traditional",
        "stock_aware",
    ):
        assert f"\n{policy} " in result.stdout or f"| {policy} |" in result.stdout
    assert "Inventory replay, 3 weeks held out" in result.stdout
    assert "Logged sales stand for demand" in result.stdout
    assert "never observed" in result.stdout
    for lift in ("zero", "careful", "high"):
        assert f"Lift {lift}:" in result.stdout


def test_runs_take_part_where_they_fit_and_the_reader_is_told_why_not(
    tables: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log has 9 + 3 weeks and 3 more after it; the pair's worlds have the 52 weeks that are assumed.
    pairs = {"a": SizedPolicy("replenisher", periods=15), "b": SizedPolicy("couple", periods=52)}
    monkeypatch.setattr(backtesting, "find_trained", lambda runs: {})
    monkeypatch.setattr(backtesting, "load_pairs", lambda found: pairs)
    result = run(*tables, "runs/a", "runs/b", "--episodes", "5", "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["left_out"] == {
        "replay": {"couple": "couple was trained on 52 periods"},
        "pair": {"replenisher": "replenisher was trained on 15 periods"},
    }
    rows = {row["policy"]: row for row in data["replay"]["rows"]}
    assert rows["replenisher"]["cost_per_week"] == rows["silo"]["cost_per_week"]
    for lift in ("zero", "careful", "high"):
        found = Comparison.from_json(json.dumps(data["pair"]["lifts"][lift]))
        assert found.policies == ("traditional", "silo", "stock_aware", "couple")
        assert found.episodes == 5
    assert data["pair"]["caveats"]
    assert data["replay"]["caveats"]
    text = run(*tables, "runs/a", "runs/b", "--episodes", "5").stdout
    assert "- couple is not part of the replay report: couple was trained on 52 periods" in text


def test_the_training_world_is_written_alone_and_never_over_another(
    tables: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "world.yaml"
    result = run(*tables, "--training-world", str(file), "--json")
    assert json.loads(result.stdout) == {"training_world": str(file)}
    world = load_scenario(file)
    assert (world.periods, world.demand.price_notice_periods) == (15, 2)
    result = run(*tables, "--training-world", str(file))
    assert result.exit_code == 2
    assert "--force" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["silo"], "silo is a simple policy"),
        (["nowhere"], "neither a folder of a run"),
        (["--sales", "sales.csv"], "--promotions"),
        (["--assume", "lead_time=[1]"], "did you mean lead_times"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_pandas(name: str, *more: Any) -> Any:
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", without_pandas)
    result = run()
    assert result.exit_code == 2
    assert "pip install 'invrec-rllib[data]'" in result.stderr


@pytest.mark.slow
def test_a_pair_trained_on_the_training_world_is_replayed(tables: list[str], tmp_path: Path) -> None:
    world, folder = tmp_path / "world.yaml", tmp_path / "mine"
    assert run(*tables, "--training-world", str(world)).exit_code == 0
    quick = ["steps_per_iteration=480", "minibatch_size=240", "final_episodes=2", "evaluate_every=0"]
    options = ["--iterations", "1", "--env-runners", "0", "--cpus", "1"]
    options += [part for setting in quick for part in ("--set", setting)]
    trained = run("--scenario", str(world), "--out", str(folder), *options, command="train")
    assert trained.exit_code == 0, trained.stderr
    result = run(*tables, str(folder), "--episodes", "2", "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["replay"]["rows"][-1]["policy"] == "mine"
    assert data["left_out"]["replay"] == {}
    assert "was trained on coming_prices" in data["left_out"]["pair"]["mine"]
