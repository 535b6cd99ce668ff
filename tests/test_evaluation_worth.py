"""What coordination is worth: gains taken apart, the distance to the best possible, several seeds."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from policies_made import pair
from worlds import make_world

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison, compare, rollout
from invrec_rllib.evaluation.worth import Worth, find_worth
from invrec_rllib.evaluation.worth_tables import (
    ITEM_LABELS,
    Table,
    make_tables,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
)
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.policies import make_policy
from invrec_rllib.policies.coordinated import CoordinatedParameters, CoordinatedPolicy
from invrec_rllib.policies.spliced import SplicedPolicy
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.theory.fluid import fluid_bound


def apart(scenario: str | Scenario, policy: Any, *, episodes: int = 30, **options: Any) -> dict[str, Any]:
    """Parts of a policy's gain over the silo."""
    name = policy if isinstance(policy, str) else policy.name
    found = find_worth(scenario, [policy], seed=5, episodes=episodes, taken_apart=[name], **options)
    return found.decompositions[0].parts


def profit(parts: dict[str, Any], name: str) -> Any:
    return parts[name]["profit"].absolute


def test_slates_are_the_whole_gain_of_a_policy_with_the_silos_orders() -> None:
    parts = apart("tiny", "stock_aware")
    assert profit(parts, "orders").mean == 0.0
    assert profit(parts, "interaction").mean == 0.0
    assert profit(parts, "slates") == profit(parts, "total")
    assert profit(parts, "total").low > 0.0
    assert "told" not in parts


def test_orders_are_the_whole_gain_of_a_policy_with_the_silos_slates() -> None:
    parts = apart("tiny", "constant_order")
    assert profit(parts, "slates").mean == 0.0
    assert profit(parts, "interaction").mean == 0.0
    assert profit(parts, "orders") == profit(parts, "total")
    assert profit(parts, "total").mean != 0.0


def test_parts_add_up_to_the_gain_that_a_comparison_finds() -> None:
    parts = apart("tiny", "coordinated")
    for quantity in ("profit", "sales_units"):
        gain = {name: part[quantity].absolute.mean for name, part in parts.items()}
        assert gain["orders"] + gain["slates"] + gain["interaction"] == pytest.approx(gain["total"])
        assert gain["rule"] + gain["told"] == pytest.approx(gain["orders"])
        assert gain["rule"] + gain["coordination"] == pytest.approx(gain["total"])
        expected = compare("tiny", ["coordinated"], seed=5, episodes=30).row("coordinated")
        found = parts["total"][quantity]
        assert found.absolute.mean == pytest.approx(expected.differences["silo"][quantity].absolute.mean)
        assert found.percent.low == pytest.approx(expected.differences["silo"][quantity].percent.low)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_lift_carry_over_and_substitution_coordination_is_worth_nothing(seed: int) -> None:
    parts = apart(make_world(seed, lift=0.0), CoordinatedPolicy())
    for name in ("told", "slates", "interaction", "coordination"):
        for quantity in ("profit", "sales_units"):
            assert parts[name][quantity].absolute.mean == 0.0


def test_the_negative_control_sees_what_exposure_does() -> None:
    parts = apart("tiny", CoordinatedPolicy(), episodes=60)
    assert profit(parts, "slates").low > 0.0
    assert profit(parts, "coordination").low > 0.0
    assert profit(parts, "told").mean != 0.0


def test_slates_that_move_nothing_now_are_worth_something_where_they_carry_over() -> None:
    # Without lift the silo shows nothing; showing everything alike has no effect but the one that carries over.
    without, carried = (apart(make_world(1, lift=0.0, carryover=kappa), "uniform") for kappa in (0.0, 0.3))
    assert profit(without, "slates").mean == 0.0
    assert profit(carried, "slates").mean != 0.0


def test_departments_of_one_policy_put_together_are_that_policy() -> None:
    params = load_scenario("tiny")
    silo, aware = make_policy("silo"), make_policy("stock_aware")
    spliced = rollout(params, SplicedPolicy("x", silo, aware), seed=3, episodes=10)
    assert np.array_equal(spliced.profit, rollout(params, aware, seed=3, episodes=10).profit)


def test_orders_told_of_ones_own_slates_are_ones_own_orders() -> None:
    # Where orders follow the slates shown now alone, being told of them from outside changes nothing.
    world = make_world(4, periods=12, longest_lead_time=2)
    policy = CoordinatedPolicy(CoordinatedParameters(plan_share=1.0))
    own = rollout(world, policy, seed=3, episodes=20)
    told = rollout(world, SplicedPolicy("x", policy, policy), seed=3, episodes=20)
    past = rollout(world, SplicedPolicy("x", policy, policy, ahead=False), seed=3, episodes=20)
    assert np.array_equal(told.ordered_units, own.ordered_units)
    assert np.array_equal(told.profit, own.profit)
    assert not np.array_equal(past.ordered_units, own.ordered_units)


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_a_trained_pair_can_be_taken_apart(memory: str) -> None:
    trained = TrainedPolicy(pair("tiny", memory=memory))
    own = rollout("tiny", trained, seed=3, episodes=5, information="full")
    spliced = rollout("tiny", SplicedPolicy("x", trained, trained), seed=3, episodes=5, information="full")
    assert np.array_equal(spliced.profit, own.profit)
    parts = apart("tiny", trained, episodes=5, information="full")
    assert set(parts) == {"orders", "slates", "interaction", "total"}
    assert profit(parts, "orders").mean != 0.0


def test_a_world_that_can_be_solved_is_held_against_its_optimum() -> None:
    found = find_worth("tiny", ["optimal", "uniform"], seed=5, episodes=200, bound_paths=1)
    gap = found.gap
    assert gap is not None
    assert gap.kind == "optimum"
    assert gap.episodes == 200
    assert gap.below_percent["optimal"].mean == 0.0
    # Of the optimum's exact value, not of what it made of these episodes.
    best, other = (found.comparison.row(name).profit.mean for name in ("optimal", "uniform"))
    assert gap.reference.mean != best
    assert gap.below_percent["uniform"].mean == pytest.approx(100 * (best - other) / gap.reference.mean)


def test_other_worlds_are_held_against_the_bound_on_the_same_tastes() -> None:
    world = make_world(6, products=3, periods=6, taste_noise=0.3)
    found = find_worth(world, ["uniform"], seed=5, episodes=12, bound_paths=4)
    values = fluid_bound(world, seed=5, paths=4).values
    profits = rollout(world, "uniform", seed=5, episodes=4).profit
    gap = found.gap
    assert gap is not None
    assert (gap.kind, gap.episodes) == ("bound", 4)
    assert gap.reference.mean == pytest.approx(values.mean())
    below = gap.below_percent["uniform"]
    assert below.mean == pytest.approx(100 * (values.mean() - profits.mean()) / abs(values.mean()))
    assert below.low < below.mean < below.high
    assert find_worth(world, ["uniform"], seed=5, episodes=3).gap is None


def test_several_seeds_are_pooled_and_kept_apart_as_well() -> None:
    found = find_worth("tiny", ["uniform"], seed=7, num_seeds=2, episodes=15)
    assert found.comparison.episodes == 30
    assert found.comparison.drawn == "30 paired episodes of seeds 7 to 8"
    for seed in (7, 8):
        alone = compare("tiny", ["uniform"], seed=seed, episodes=15).row("uniform")
        (row,) = [row for row in found.by_seed if (row.policy, row.seed) == ("uniform", seed)]
        assert row.profit == pytest.approx(alone.profit.mean)
        assert row.sales_units == pytest.approx(alone.metrics["sales_units"].mean)
        assert row.fill_rate == pytest.approx(alone.metrics["fill_rate"].mean)
    pooled = found.comparison.row("uniform").profit.mean
    assert pooled == pytest.approx(np.mean([r.profit for r in found.by_seed if r.policy == "uniform"]))
    assert Comparison.from_json(found.comparison.to_json()).num_seeds == 2


def test_items_add_up_to_profit_and_to_its_change() -> None:
    found = find_worth("tiny", ["coordinated"], seed=5, episodes=10)
    for items, expected in (
        (found.items["coordinated"], found.comparison.row("coordinated").profit),
        (
            found.changes["coordinated"],
            found.comparison.row("coordinated").differences["silo"]["profit"].absolute,
        ),
    ):
        signs = {item: 1 if item in ("revenue", "salvage") else -1 for item in ITEM_LABELS}
        assert sum(sign * items[item].mean for item, sign in signs.items()) == pytest.approx(expected.mean)
    assert set(items) == set(ITEM_LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound_paths": 5}, "paths of the bound are 5, must be from 0 to the 4 episodes"),
        ({"num_seeds": 0}, "seeds and episodes must be >= 1, got 0 and 4"),
        ({"baselines": ()}, "baselines must name at least one policy"),
        ({"taken_apart": ["silo"]}, "gain of 'silo' cannot be taken apart, must be one of: uniform"),
        ({"taken_apart": ["random"]}, "gain of 'random' cannot be taken apart"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_worth("tiny", ["uniform"], seed=1, episodes=4, **options)


@pytest.fixture(scope="module")
def worth() -> Worth:
    return find_worth(
        "tiny",
        ["silo_best", "coordinated"],
        seed=5,
        episodes=10,
        baselines=("silo", "traditional"),
        taken_apart=["coordinated"],
        bound_paths=1,
    )


def test_csv_and_json_hold_every_number(worth: Worth) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(worth))))
    cells = {(row["policy"], row["part"], row["quantity"], row["measure"]): row for row in rows}
    assert len(cells) == len(rows)
    assert worth.gap is not None
    percent = worth.comparison.row("coordinated").differences["traditional"]["profit"].percent
    for key, expected in {
        ("coordinated", "", "profit", "percent over traditional"): percent,
        ("silo", "", "profit", "percent below optimum"): worth.gap.below_percent["silo"],
        ("silo_best", "", "revenue", "over silo"): worth.changes["silo_best"]["revenue"],
        ("coordinated", "told", "profit", "over silo"): worth.decompositions[0]
        .parts["told"]["profit"]
        .absolute,
    }.items():
        assert float(cells[key]["mean"]) == expected.mean
        assert float(cells[key]["high"]) == expected.high
    data = json.loads(to_json(worth))
    assert data["gap"]["reference"]["mean"] == worth.gap.reference.mean
    assert data["gap"]["reference"]["low"] is None
    assert data["decompositions"][0]["parts"]["slates"]["sales_units"]["percent"]["mean"] == pytest.approx(
        worth.decompositions[0].parts["slates"]["sales_units"].percent.mean
    )


def test_tables_are_rectangular_and_leave_out_items_that_nobody_pays(worth: Worth) -> None:
    tables = make_tables(worth)
    assert [table.title for table in tables] == [
        "Policies",
        "Money by item, money, and how it differs from silo",
        "The gain of coordinated over silo",
    ]
    for table in tables:
        assert {len(cells) for cells in table.rows} == {len(table.header)}
    assert "below the optimum" in tables[0].header
    labels = [cells[0] for cells in tables[1].rows]
    assert "holding" in labels
    assert "storage overflow" not in labels


def test_markdown_and_latex_escape_what_they_would_misread() -> None:
    table = Table("A & B", ("a_b", "50 %"), (("x|y", "[1, 2]"), ("±", "{}")))
    markdown, latex = (text([table], note="n") for text in (to_markdown, to_latex))
    assert "| x\\|y | [1, 2] |" in markdown
    assert "|---|---:|" in markdown
    assert r"\caption{A \& B}" in latex
    assert r"a\_b & 50 \% \\" in latex
    assert r"x|y & {[}1, 2] \\" in latex
    assert r"$\pm$ & \{\} \\" in latex


def test_a_mean_without_interval_is_written_without(worth: Worth) -> None:
    single = find_worth("tiny", ["uniform"], seed=1, episodes=1)
    text = to_markdown(make_tables(single), note="")
    assert "nan" not in text
    assert math.isnan(single.comparison.row("uniform").profit.low)
