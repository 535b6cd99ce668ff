"""The record: experiments are valid, findings right by hand, and it is made again from any point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from invrec_rllib.cli import app, reproducing
from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import compare
from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.learning.pathwise.files import load_pair
from invrec_rllib.learning.pathwise.policy import PathwisePolicy
from invrec_rllib.report.style import png
from invrec_rllib.reproduction.experiment import (
    Experiment,
    experiment_names,
    load_experiment,
    parse_experiment,
)
from invrec_rllib.reproduction.figures import findings_figure
from invrec_rllib.reproduction.findings import Finding, find, results_data
from invrec_rllib.reproduction.folder import ExperimentDir
from invrec_rllib.reproduction.running import find_all, reproduce
from invrec_rllib.reproduction.scores import Score
from invrec_rllib.reproduction.tables import to_markdown
from invrec_rllib.rllib.quiet import start_ray, stop_ray
from invrec_rllib.scenario import load_scenario

SMALL: dict[str, Any] = {
    "scenario": "tiny",
    "information": "full",
    "iterations": 2,
    "steps_per_iteration": 240,
    "envs_per_runner": 8,
    "minibatch_size": 120,
    "epochs": 1,
    "evaluate_every": 0,
    "final_episodes": 4,
}


def declared(**changes: Any) -> str:
    study = {
        "name": "small",
        "question": "How much?",
        "base": SMALL,
        "seeds": 2,
        "baseline": "pair",
        "variants": {
            "pair": {"label": "pair"},
            "silos": {"label": "silos", "set": {"reward": "siloed"}},
        },
    }
    return yaml.safe_dump(
        {"study": study, "references": ["silo"], "episodes": 6, "bound_paths": 2, **changes}
    )


def small(**changes: Any) -> Experiment:
    return parse_experiment(declared(**changes))


def score(*profit: float, units: float = 10.0) -> Score:
    return Score(np.array(profit), np.full(len(profit), units), np.full(len(profit), 0.9))


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_of_the_record_is_named_as_its_file_and_has_a_quick_form(name: str) -> None:
    full = load_experiment(name)
    quick = full.made_quick()
    assert full.name == quick.name == name
    assert quick.episodes < full.episodes
    assert quick.bound_paths <= quick.episodes
    variant = full.ways.baseline
    assert len(quick.ways.seeds_of(variant)) < len(full.ways.seeds_of(variant))
    if full.searches is not None:
        assert full.searches.information == full.information
    elif full.study is not None:
        settings = [full.study.settings(name, variant, seed=0) for name in full.study.conditions]
        assert {one.information for one in settings} == {full.information}


def test_an_unknown_experiment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'nothing' is unknown, must be one of: .*tiny-optimum"):
        load_experiment("nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"references": ["sillo"]}, r"references: 'sillo' is unknown, must be one of random"),
        ({"references": []}, r"references.* got \[\]"),
        ({"bound_paths": 7}, r"bound_paths = 7 is above episodes = 6"),
        ({"episode": 5}, r"episode: .*"),
        ({"episodes": 1}, r"episodes: must be at least 2, got 1"),
    ],
)
def test_a_wrong_declaration_names_the_field_and_what_is_allowed(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        small(**changes)


def searched(**changes: Any) -> str:
    searches = {
        "name": "found",
        "question": "How much?",
        "worlds": ["tiny"],
        "base": {"steps": 2, "episodes": 4, "validations": 1, "validation_episodes": 4, "hidden": 4},
        "seeds": 2,
        "baseline": "pair",
        "variants": {"pair": {"label": "pair"}, "fast": {"label": "fast", "set": {"learning_rate": 0.1}}},
        **changes,
    }
    return yaml.safe_dump({"searches": searches, "references": ["silo"], "episodes": 6}, sort_keys=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worlds": ["nowhere"]}, "nowhere"),
        ({"baseline": "slow"}, "baseline: 'slow' is no variant, must be one of pair, fast"),
        ({"base": {"seed": 1}}, "base: seed must not be set: `seeds` decides it, got 1"),
        ({"base": {"hold": 3}}, "settings of variant pair are not valid.*hold: must be at most 1"),
    ],
)
def test_wrong_searches_name_the_field_and_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        parse_experiment(searched(**changes))


def test_an_experiment_trains_or_searches() -> None:
    both = yaml.safe_load(declared()) | yaml.safe_load(searched())
    for wrong in (both, {"references": ["silo"]}):
        with pytest.raises(InputError, match="study, searches: one of them must be given, and only one"):
            parse_experiment(yaml.safe_dump(wrong))


@pytest.mark.parametrize("text", ["- a\n", "a: [\n"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="experiment"):
        parse_experiment(text)


def made(**others: Any) -> Finding:
    pairs = {0: score(110.0, 130.0), 1: score(120.0, 140.0, units=12.0)}
    return find(condition="base", variant="pair", label="pair", pairs=pairs, others=others)


def test_a_ratio_is_that_of_the_means_on_the_same_episodes() -> None:
    ratio = made(silo=score(90.0, 110.0)).profit_over["silo"]
    # Seeds earn 120 and 130, the silo 100.
    assert ratio.seeds.value == pytest.approx(1.25)
    assert (ratio.seeds.low, ratio.seeds.high) == (pytest.approx(1.2), pytest.approx(1.3))
    # Means over seeds exceed the silo by 25 in both episodes: only the base varies.
    assert ratio.episodes_low < 1.25 < ratio.episodes_high
    assert made(silo=score(90.0, 110.0)).units_over["silo"].seeds.value == pytest.approx(1.1)


def test_the_bound_is_compared_on_its_own_episodes_and_sells_nothing() -> None:
    found = made(bound=Score(np.array([200.0]), np.array([np.nan]), np.array([np.nan])))
    assert found.profit_over["bound"].seeds.value == pytest.approx(115.0 / 200.0)
    assert found.units_over == {}


def test_ways_to_train_are_compared_on_equal_seeds() -> None:
    found = made(other={1: score(100.0, 100.0), 7: score(0.0, 0.0)})
    assert found.profit_over["other"].seeds.value == pytest.approx(1.3)


def test_ahead_needs_both_intervals_above_one() -> None:
    assert made(silo=score(92.0, 108.0)).profit_over["silo"].ahead
    assert not made(silo=score(20.0, 180.0)).profit_over["silo"].ahead  # one episode won, one lost
    assert not made(silo=score(125.0, 125.0)).profit_over["silo"].ahead  # one seed below


def test_findings_become_one_flat_mapping_with_other_ways_under_their_names() -> None:
    optimum = score(100.0, 100.0)
    both = [
        made(optimal=optimum),
        find(condition="base", variant="silos", label="s", pairs={0: score(90.0, 90.0)}, others={}),
    ]
    data = results_data(both, baseline="pair")
    assert data["profit_over_optimum"] == pytest.approx(1.25)
    assert data["silos"]["profit"] == 90.0
    assert data["silos"]["profit_low"] is None  # one seed has no interval
    json.dumps(data, allow_nan=False)


def test_a_figure_has_a_panel_for_every_condition_and_a_line_for_everything_held_against() -> None:
    experiment = parse_experiment(searched(worlds=["tiny", "paper"]))
    pairs = {0: score(110.0, 130.0), 1: score(120.0, 140.0)}
    silo = score(100.0, 100.0)
    findings = [
        find(condition=world, variant=variant, label=variant, pairs=pairs, others={"silo": silo, **others})
        for world in experiment.ways.conditions
        for variant, others in (("pair", {}), ("fast", {"bound": score(200.0)}))
    ]
    figure = findings_figure(experiment, findings)
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes]
    assert labels == [["fast over the upper bound", "fast over silo", "pair over silo"]] * 2
    values = [text.get_text() for text in figure.axes[0].texts]
    # The bound is over the first episode, of which the seeds make 110 and 120.
    assert values == ["\N{MINUS SIGN}42.50 %", "+25.00 %", "+25.00 %"]
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_the_command_writes_findings_and_figure_and_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = parse_experiment(searched(seeds=1, variants={"pair": {"label": "pair"}}))
    monkeypatch.setattr(reproducing, "load_experiment", lambda name: experiment)
    out = tmp_path / "results"
    shown = CliRunner().invoke(
        app, ["reproduce", "--only", "found", "--out", str(out), "--jobs", "1", "--json"]
    )
    assert shown.exit_code == 0, shown.stderr
    found = json.loads(shown.stdout)["results"]["found"]
    assert found == json.loads((out / "found" / "findings.json").read_text("utf-8"))
    assert found["profit_over_silo"] > 0
    assert (out / "found" / "findings.png").read_bytes().startswith(b"\x89PNG")
    assert "1/1 tiny/pair/0: found after" in shown.stderr


@pytest.fixture(scope="module")
def _ray() -> Iterator[None]:
    start_ray(2)
    yield
    stop_ray()


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_a_record_is_made_goes_on_and_plays_what_an_evaluation_plays(tmp_path: Path) -> None:
    experiment, out = small(), tmp_path / "small"
    scores: list[str] = []
    cut = reproduce(experiment, out=out, jobs=2, max_minutes=0.0)
    assert (cut.findings, cut.failed) == ([], {})
    assert cut.left == 4 + 2  # four runs, the bound and the silo; games of runs follow them
    first = reproduce(experiment, out=out, jobs=2, on_score=lambda name, done, planned: scores.append(name))
    assert (first.left, first.failed) == (0, {})
    assert sorted(scores) == [
        "base/bound", "base/pair/0", "base/pair/1", "base/silo", "base/silos/0", "base/silos/1",
    ]  # fmt: skip
    folder = ExperimentDir(out)
    before = folder.score_file("base/pair/1").read_bytes()
    folder.score_file("base/pair/1").unlink()
    scores.clear()
    again = reproduce(experiment, out=out, jobs=2, on_score=lambda name, done, planned: scores.append(name))
    assert scores == ["base/pair/1"]
    assert folder.score_file("base/pair/1").read_bytes() == before
    assert again.data == first.data == json.loads(folder.findings_file.read_text("utf-8"))
    assert find_all(experiment, folder) == first.findings
    assert to_markdown(experiment, first.findings, provenance=first.data) == folder.table_file.read_text(
        "utf-8"
    )
    silo = compare("tiny", ["silo"], seed=experiment.seed, episodes=6, information="full", baselines=())
    assert Score.load(folder.score_file("base/silo")).profit.mean() == pytest.approx(
        silo.row("silo").profit.mean
    )
    with pytest.raises(InputError, match="another episodes: choose another folder"):
        reproduce(small(episodes=8), out=out)


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_searched_pairs_are_made_say_why_they_failed_go_on_and_are_played(tmp_path: Path) -> None:
    experiment, out = parse_experiment(searched()), tmp_path / "found"
    assert reproduce(experiment, out=out, jobs=2, max_minutes=0.0).left == 4 + 1  # searches, and the silo
    mine = out / "pairs" / "tiny" / "fast" / "1" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    told: list[str] = []
    cut = reproduce(experiment, out=out, jobs=2, on_pair=lambda news: told.append(news.name))
    assert sorted(told) == ["tiny/fast/0", "tiny/fast/1", "tiny/pair/0", "tiny/pair/1"]
    assert (list(cut.failed), cut.findings) == (["tiny/fast/1"], [])
    assert "is not an empty folder" in (out / "errors" / "tiny" / "fast" / "1.txt").read_text("utf-8")

    mine.unlink()
    told.clear()
    whole = reproduce(experiment, out=out, jobs=1, on_pair=lambda news: told.append(news.name))
    assert (told, whole.left, whole.failed) == (["tiny/fast/1"], 0, {})
    assert whole.data["profit_over_silo"] != whole.data["fast"]["profit_over_silo"]
    origin = load_pair(mine.parent).provenance
    assert (origin["settings"]["learning_rate"], origin["settings"]["seed"]) == (0.1, 1)
    given: dict[str, Any] = {"seed": experiment.seed, "episodes": 6, "information": "full"}
    played = rollout(load_scenario("tiny"), PathwisePolicy.load(mine.parent), **given)
    kept = Score.load(ExperimentDir(out).score_file("tiny/fast/1"))
    np.testing.assert_allclose(kept.profit, played.profit)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is no experiment's folder"):
        reproduce(small(), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_list_tells_runs_and_episodes() -> None:
    shown = CliRunner().invoke(app, ["reproduce", "--list", "--only", "tiny-optimum", "--json"])
    assert shown.exit_code == 0
    (entry,) = json.loads(shown.stdout)
    assert (entry["runs"], entry["episodes"]) == (8, 1000)


def test_the_command_refuses_an_unknown_experiment() -> None:
    shown = CliRunner().invoke(app, ["reproduce", "--only", "all"])
    assert shown.exit_code == 2
    assert "'all' is unknown" in shown.output
