"""`invrec bound`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from invrec_rllib.cli import app
from invrec_rllib.evaluation import rollout
from invrec_rllib.policies.registry import policy_names
from invrec_rllib.scenario import load_scenario
from invrec_rllib.theory.fluid import fluid_bound


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["bound", *arguments])


def test_json_is_the_bound_beside_the_best_simple_policy_on_the_same_paths() -> None:
    result = run("tiny", "--paths", "3", "--seed", "4", "--plain", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    bound = fluid_bound(load_scenario("tiny"), seed=4, paths=3, noise=False, information=False).values.mean()
    profits = {
        name: rollout("tiny", name, seed=4, episodes=3, information="full").profit.mean()
        for name in policy_names()
    }
    assert found["bound"]["mean"] == pytest.approx(bound)
    assert found["policy"] == max(profits, key=lambda name: profits[name])
    assert found["profit"]["mean"] == pytest.approx(max(profits.values()))
    assert found["gap"]["percent"]["mean"] == pytest.approx(100 * (bound / max(profits.values()) - 1))
    assert found["seconds_per_path"] > 0
    assert found["information_priced"] is False


def test_refinements_lower_the_bound_that_is_printed() -> None:
    arguments = ("tiny", "--paths", "2", "--seed", "4", "--json")
    refined, plain = (json.loads(run(*arguments, *more).stdout) for more in ((), ("--plain",)))
    assert refined["bound"]["mean"] < plain["bound"]["mean"]


def test_the_table_names_the_policy_and_the_gap() -> None:
    result = run("tiny", "--paths", "2", "--seed", "4", "--plain")
    assert result.exit_code == 0, result.stderr
    assert "best simple policy" in result.stdout
    assert "2 paths of seed 4" in result.stdout


@pytest.mark.parametrize("arguments", [("nowhere",), ("tiny", "--paths", "1"), ("tiny", "--seed", "-1")])
def test_wrong_input_is_refused(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
