"""Rollouts: by hand on a world without chance, split anyhow, recorded as they happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Rollout, load_trajectories, rollout, save_trajectories
from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.view import View
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params


class _Fixed:
    """The same order every period, uniform slates."""

    name = "fixed"

    def __init__(self, *order: int) -> None:
        self._order = np.array(order)

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> None: ...

    def act(self, view: View, memory: Any) -> Decision:
        share = view.params.slots / view.params.num_products
        return Decision(
            np.tile(self._order, (view.state.num_episodes, 1)), np.full(view.scores.shape, share), memory
        )


def _changed(name: str, section: str, **changes: object) -> Scenario:
    data = load_scenario(name).model_dump()
    return Scenario.model_validate({**data, section: {**data[section], **changes}})


def _arrays(result: Rollout) -> dict[str, np.ndarray]:
    units = {name: value for name, value in vars(result).items() if isinstance(value, np.ndarray)}
    return units | result.economics | {"fill_rate": result.fill_rate}


def test_money_and_units_without_customers_are_those_by_hand() -> None:
    # tiny without visitors: of each product 4 on hand, 2 under way, 1 ordered in each of 30 periods.
    result = rollout(_changed("tiny", "segments", traffic=(1e-12,)), _Fixed(1, 1), seed=0, episodes=2)
    assert result.sales_units.tolist() == [0, 0]
    assert result.ordered_units.tolist() == [60, 60]
    assert result.fill_rate.tolist() == [1.0, 1.0]
    assert result.stockout_rate.tolist() == [0.0, 0.0]
    cost = 6.0 + 6.6
    # On hand after receipt: 6 at first (4 + 2), then one more per period: 6, 7, ..., 35.
    stock = sum(range(6, 36))
    holding = stock * (0.12 + 0.132)
    salvage = (6 + 30) * 0.9 * cost
    assert result.stock_units[0] == pytest.approx(2 * stock / 30)
    assert result.economics["holding_cost"][0] == pytest.approx(holding)
    assert result.economics["salvage"][0] == pytest.approx(salvage)
    assert result.profit[0] == pytest.approx(salvage - 36 * cost - holding)


def test_with_an_empty_store_all_demand_is_lost() -> None:
    empty = _changed("tiny", "products", initial_on_hand=(0, 0), initial_pipeline=((0,), (0,)))
    result = rollout(empty, _Fixed(0, 0), seed=3, episodes=4)
    assert (result.lost_units == result.demand_units).all()
    assert result.fill_rate.tolist() == [0.0] * 4
    assert (result.stockout_rate > 0.5).all()


def test_units_served_late_or_as_second_choice_do_not_count_as_filled() -> None:
    for changes in ({"unmet": "backorder"}, {"substitution": 1.0}):
        result = rollout(_changed("tiny", "demand", **changes), _Fixed(2, 2), seed=3, episodes=20)
        assert (result.first_choice_units <= result.sales_units).all()
        assert (result.first_choice_units < result.sales_units).any()
        assert (result.first_choice_units <= result.demand_units).all()


@pytest.mark.parametrize("policy", ["silo", "random"])
@pytest.mark.parametrize("information", ["full", "observed"])
def test_results_do_not_depend_on_how_episodes_are_split(policy: str, information: Any) -> None:
    kwargs: dict[str, Any] = {"seed": 11, "information": information}
    whole = _arrays(rollout("paper", policy, episodes=9, block_episodes=9, **kwargs))
    blocks = _arrays(rollout("paper", policy, episodes=9, block_episodes=4, **kwargs))
    tail = _arrays(rollout("paper", policy, episodes=4, first_episode=5, **kwargs))
    for name, values in whole.items():
        np.testing.assert_array_equal(values, blocks[name], err_msg=name)
        np.testing.assert_array_equal(values[5:], tail[name], err_msg=name)


def test_recorded_episodes_add_up_to_the_totals_and_obey_the_balance_of_stock() -> None:
    result = rollout("paper", "silo", seed=2, episodes=5, record=2, block_episodes=1)
    assert len(result.trajectories) == 2
    for k, trajectory in enumerate(result.trajectories):
        assert trajectory.exposure.shape == (60, 5, 10)
        assert trajectory.profit.sum() == pytest.approx(result.profit[k])
        assert trajectory.sales.sum() == result.sales_units[k]
        assert trajectory.demand.sum() == result.demand_units[k]
        assert trajectory.order.sum() == result.ordered_units[k]
        # Lead times are 1 or more: stock before a decision is what was left and what arrived.
        left = trajectory.on_hand[:-1] - trajectory.sales[:-1]
        np.testing.assert_array_equal(trajectory.on_hand[1:], left + trajectory.received[1:])


def test_an_order_without_lead_time_is_recorded_as_received_in_its_period() -> None:
    scenario = _changed("tiny", "products", lead_time=(0, 0), initial_pipeline=((), ()))
    (trajectory,) = rollout(scenario, _Fixed(2, 1), seed=2, episodes=3, record=True).trajectories
    np.testing.assert_array_equal(trajectory.received, trajectory.order)


def test_recorded_episodes_go_to_a_file_and_back(tmp_path: Path) -> None:
    episodes = {
        name: rollout("tiny", name, seed=2, episodes=1, record=1).trajectories[0]
        for name in ("silo", "stock_aware")
    }
    path = save_trajectories(tmp_path / "run" / "trajectory.npz", episodes)
    loaded = load_trajectories(path)
    assert list(loaded) == ["silo", "stock_aware"]
    for name, trajectory in episodes.items():
        for field, values in vars(trajectory).items():
            np.testing.assert_array_equal(getattr(loaded[name], field), values)
    with np.load(path) as file:
        assert file["stock_aware__on_hand"].shape == (30, 2)
    assert [file.name for file in path.parent.iterdir()] == ["trajectory.npz"]


def test_a_file_without_recorded_episodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"not a zip file")
    np.savez(tmp_path / "partial.npz", silo__order=np.zeros((3, 2)))
    with pytest.raises(InputError, match="recorded episodes"):
        load_trajectories(tmp_path / "broken.npz")
    with pytest.raises(InputError, match=r"on_hand.*silo"):
        load_trajectories(tmp_path / "partial.npz")


def test_progress_rises_to_one() -> None:
    seen: list[float] = []
    rollout("tiny", "silo", seed=0, episodes=5, block_episodes=2, progress=seen.append)
    assert len(seen) == 90
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_no_episodes_are_refused() -> None:
    with pytest.raises(InputError, match="episodes"):
        rollout("tiny", "silo", seed=0, episodes=0)
