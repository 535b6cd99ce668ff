"""Tuned parameters: files that come back equal, ship for the very presets, and are used there alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.policies import tuned as tuned_module
from invrec_rllib.policies.tunable import TUNABLE, tunable
from invrec_rllib.policies.tuned import (
    TunedParameters,
    TunedPolicy,
    load_tuned,
    save_tuned,
    shipped_parameters,
)
from invrec_rllib.scenario import Scenario, load_scenario

SHIPPED = sorted(Path(tuned_module.__file__).with_name("tuned").glob("*.yaml"))


def example(**changes: Any) -> TunedParameters:
    return TunedParameters.model_validate(
        {
            "policy": "sequential",
            "scenario": "tiny",
            "scenario_sha256": "0" * 64,
            "information": "full",
            "parameters": {"mean_factor": 1.25},
            "provenance": {"command": "by hand", "seed": 3},
            **changes,
        }
    )


def test_a_file_comes_back_equal_and_is_not_overwritten(tmp_path: Path) -> None:
    file = save_tuned(example(), tmp_path / "found.yaml")
    assert load_tuned(file) == example()
    with pytest.raises(InputError, match="exists"):
        save_tuned(example(), file)
    save_tuned(example(policy="silo_best"), file, overwrite=True)
    assert load_tuned(file).policy == "silo_best"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "silo"}, "'silo' cannot be tuned, must be one of: sequential, silo_best, coordinated"),
        ({"parameters": {"mean": 1.0}}, "'mean' is unknown"),
        ({"parameters": {"mean_factor": 9.0}}, "mean_factor is 9.0, must be from 0.2 to 4"),
        ({"information": "everything"}, "information"),
        ({"profit": 1.0}, "profit"),
    ],
)
def test_a_file_that_holds_no_parameters_of_a_policy_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump({**example().model_dump(), **changes}), "utf-8")
    with pytest.raises(InputError, match=message):
        load_tuned(file)


def test_a_missing_file_and_text_that_is_not_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file"):
        load_tuned(tmp_path / "nowhere.yaml")
    (tmp_path / "broken.yaml").write_text("policy: [", "utf-8")
    with pytest.raises(InputError, match="does not hold parameters"):
        load_tuned(tmp_path / "broken.yaml")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_what_ships_was_tuned_to_the_preset_of_its_name(file: Path) -> None:
    policy, scenario, information = file.stem.split(".")
    found = load_tuned(file)
    assert (found.policy, found.scenario, found.information) == (policy, scenario, information)
    assert found.fits(load_scenario(scenario))
    assert set(found.parameters) == set(tunable(policy).parameters.bounds())
    stated = found.provenance
    assert float(stated["validation_profit"]) >= float(stated["validation_profit_by_formula"])
    assert str(stated["command"]).startswith(f"invrec tune-policy {scenario} {policy} ")


def test_parameters_ship_for_every_policy_on_the_presets_that_results_are_stated_for() -> None:
    for scenario in ("paper", "seasonal", "capacity", "grocery"):
        for policy in TUNABLE:
            assert shipped_parameters(policy, load_scenario(scenario), information="full") is not None
            assert shipped_parameters(policy, load_scenario(scenario), information="observed") is not None


def test_a_department_plays_with_the_parameters_of_the_observed_view() -> None:
    world = load_scenario("paper")
    observed = shipped_parameters("coordinated", world, information="observed")
    assert shipped_parameters("coordinated", world, information="department") == observed
    assert shipped_parameters("coordinated", world, information="full") != observed


@pytest.mark.parametrize("information", ["full", "observed"])
def test_on_its_preset_a_name_plays_with_what_was_tuned(information: Any) -> None:
    found = shipped_parameters("coordinated", load_scenario("paper"), information=information)
    assert found is not None
    play = {"seed": 1, "episodes": 5, "information": information}
    by_name = rollout("paper", TunedPolicy("coordinated"), **play).profit
    np.testing.assert_array_equal(by_name, rollout("paper", found.build(), **play).profit)


def test_elsewhere_a_name_plays_with_parameters_by_formula() -> None:
    data = load_scenario("paper").model_dump()
    data["products"]["price"] = [1.01 * price for price in data["products"]["price"]]
    world = Scenario.model_validate(data)
    assert world.name == "paper"
    kind = tunable("silo_best")
    by_formula = kind.build(kind.parameters(), "by_formula")
    by_name = rollout(world, TunedPolicy("silo_best"), seed=1, episodes=5).profit
    np.testing.assert_array_equal(by_name, rollout(world, by_formula, seed=1, episodes=5).profit)


def test_by_formula_the_tuned_silos_are_the_silo() -> None:
    silo = rollout("capacity", "silo", seed=1, episodes=5).profit
    for name in ("sequential", "silo_best"):
        kind = tunable(name)
        by_formula = kind.build(kind.parameters(), name)
        np.testing.assert_array_equal(rollout("capacity", by_formula, seed=1, episodes=5).profit, silo)


def test_a_forecast_drawn_wholly_to_organic_demand_does_not_follow_sales() -> None:
    kind = tunable("silo_best")
    fixed = kind.build(kind.parameters.from_values({"shrinkage": 1.0, "smoothing": 0.6}), "fixed")
    other = kind.build(kind.parameters.from_values({"shrinkage": 1.0, "smoothing": 0.02}), "other")
    free = kind.build(kind.parameters.from_values({"smoothing": 0.6}), "free")
    profit = {p.name: rollout("seasonal", p, seed=1, episodes=5).ordered_units for p in (fixed, other, free)}
    # The spread of errors around the forecast still differs a little.
    np.testing.assert_allclose(profit["fixed"], profit["other"], rtol=0.05)
    assert (np.abs(profit["fixed"] - profit["free"]) > 0.05 * profit["fixed"]).any()
