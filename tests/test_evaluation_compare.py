"""Comparisons: pairs, round trips, tables."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass

import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison, compare
from invrec_rllib.policies.recommenders import revenue_greedy_slates
from invrec_rllib.policies.silos import SiloPolicy


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(
        "tiny",
        ["traditional", "stock_aware"],
        seed=4,
        episodes=60,
        baselines=("silo", "traditional"),
        provenance={"git_revision": "abc"},
    )


def test_a_policy_does_not_differ_from_its_twin() -> None:
    twin = SiloPolicy("twin", revenue_greedy_slates)
    result = compare("paper", [twin], seed=1, episodes=20, baselines=("silo",))
    for difference in result.row("twin").differences["silo"].values():
        for estimate in (difference.absolute, difference.percent):
            assert (estimate.mean, estimate.low, estimate.high) == (0.0, 0.0, 0.0)


def test_missing_baselines_are_played_and_compared_with_but_not_with_themselves(
    comparison: Comparison,
) -> None:
    assert comparison.policies == ("traditional", "stock_aware", "silo")
    assert list(comparison.row("silo").differences) == ["traditional"]
    there = comparison.row("silo").differences["traditional"]["profit"].absolute
    back = comparison.row("traditional").differences["silo"]["profit"].absolute
    assert there.mean == pytest.approx(-back.mean)
    gap = comparison.row("silo").profit.mean - comparison.row("traditional").profit.mean
    assert there.mean == pytest.approx(gap)


def test_profit_is_the_sum_of_its_items(comparison: Comparison) -> None:
    for row in comparison.rows:
        signs = {"revenue": 1, "salvage": 1}
        total = sum(signs.get(item, -1) * money for item, money in row.economics.items())
        assert total == pytest.approx(row.profit.mean)


def test_json_reads_back_equal(comparison: Comparison) -> None:
    assert Comparison.from_json(comparison.to_json()) == comparison
    assert json.loads(comparison.to_json())["provenance"] == {"git_revision": "abc"}


def test_one_episode_without_intervals_survives_json_and_tables() -> None:
    single = compare("tiny", ["silo"], seed=1, episodes=1, baselines=("traditional",))
    again = Comparison.from_json(single.to_json())
    assert math.isnan(again.row("silo").profit.low)
    assert again.row("silo").profit.mean == single.row("silo").profit.mean
    assert "nan" not in single.to_markdown().lower()
    assert "nan" not in single.to_csv().lower()


def test_csv_holds_the_numbers_of_the_rows(comparison: Comparison) -> None:
    records = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [record["policy"] for record in records] == list(comparison.policies)
    row = comparison.row("stock_aware")
    assert float(records[1]["profit"]) == row.profit.mean
    percent = row.differences["silo"]["profit"].percent
    assert float(records[1]["profit_over_silo_percent_low"]) == percent.low
    assert float(records[1]["holding_cost"]) == row.economics["holding_cost"]
    assert records[2]["profit_over_silo"] == ""


def test_markdown_has_one_line_per_policy_and_as_many_cells_in_each(comparison: Comparison) -> None:
    lines = [line for line in comparison.to_markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(comparison.rows)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| traditional | ")


def test_equal_names_and_unknown_policies_are_refused() -> None:
    with pytest.raises(InputError, match="different names, got several called silo"):
        compare("tiny", ["silo", "silo"], seed=0, episodes=2)
    with pytest.raises(InputError, match="'nobody' is unknown"):
        compare("tiny", ["silo"], seed=0, episodes=2, baselines=("nobody",))
    with pytest.raises(InputError, match="'nobody' is not in the comparison"):
        compare("tiny", ["silo"], seed=0, episodes=2).row("nobody")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{}]}'])
def test_text_that_is_no_comparison_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a comparison"):
        Comparison.from_json(text)


def test_progress_names_the_policy() -> None:
    seen: dict[str, float] = {}
    compare("tiny", ["traditional"], seed=0, episodes=3, progress=seen.__setitem__)
    assert seen == {"traditional": 1.0, "silo": 1.0}


def test_a_policy_that_breaks_the_rules_is_named_by_its_fault() -> None:
    @dataclass(frozen=True)
    class Greedy:
        name: str = "greedy"

        def begin(self, params, *, num_episodes, seed):  # type: ignore[no-untyped-def]
            return None

        def act(self, view, memory):  # type: ignore[no-untyped-def]
            decision = SiloPolicy("inner", revenue_greedy_slates).act(view, None)
            return decision._replace(exposure=decision.exposure + 1.0)

    with pytest.raises(InputError, match="exposure"):
        compare("tiny", [Greedy()], seed=0, episodes=2)
