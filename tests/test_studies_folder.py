"""A study's folder: what is finished, what was made otherwise, and the rows of its runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from study_folders import STUDY, fill_run, make_folder, make_small_study

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison
from invrec_rllib.studies.folder import StudyDir
from invrec_rllib.studies.plan import plan_runs
from invrec_rllib.studies.rows import COLUMNS, Row, read_rows, write_rows


def test_a_row_is_what_the_run_found(tmp_path: Path) -> None:
    study = make_small_study()
    folder, run = StudyDir(tmp_path), plan_runs(study)[0]
    made = fill_run(folder, run)
    found = Comparison.from_json(made.comparison_file.read_text("utf-8")).row("trained")
    (row,) = folder.collect(study)
    assert (row.study, row.condition, row.variant, row.seed) == ("mine", "base", "plain", 0)
    assert row.profit == pytest.approx(found.profit.mean, abs=0.005)
    assert row.units_sold == pytest.approx(found.metrics["sales_units"].mean, abs=0.005)
    assert row.fill_rate == pytest.approx(found.metrics["fill_rate"].mean, abs=5e-6)
    assert row.over_silo_percent == pytest.approx(found.differences["silo"]["profit"].percent.mean, abs=5e-4)
    assert (row.env_steps, row.seconds, row.code) == (960, 12.5, "0123abc")


def test_rows_can_be_made_again_from_the_runs_alone(tmp_path: Path) -> None:
    study = make_small_study()
    folder = make_folder(tmp_path, study)
    written = folder.collect(study)
    assert read_rows(folder.rows_file) == written
    assert [(row.variant, row.seed) for row in written] == [
        (variant, seed) for variant in ("plain", "slow", "fast") for seed in (0, 1)
    ]
    text = folder.rows_file.read_bytes()
    folder.rows_file.unlink()
    folder.collect(study)
    assert folder.rows_file.read_bytes() == text


def test_only_finished_runs_have_rows(tmp_path: Path) -> None:
    study = make_small_study()
    folder, (first, second, third, *_) = StudyDir(tmp_path), plan_runs(study)
    fill_run(folder, first)
    fill_run(folder, second, status="running")
    assert [folder.is_finished(run) for run in (first, second, third)] == [True, False, False]
    assert [row.variant for row in folder.collect(study)] == ["plain"]
    folder.clear(second)
    assert not folder.folder(second).exists()


def test_a_run_of_other_settings_is_not_taken_for_the_studys(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, make_small_study())
    slow = {"label": "slow", "set": {"learning_rate_inventory": 1e-4, "hidden": 8}}
    # Of all runs in the folder, whichever are to be made next: their rows stand side by side.
    with pytest.raises(InputError, match=r"base/slow/0 in .* was made otherwise: hidden 32, now 8\. Choose"):
        folder.check_free_for(make_small_study(variants={**STUDY["variants"], "slow": slow}, best_of={}))


def test_a_run_in_another_world_is_not_taken_for_the_studys(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, make_small_study())
    conditions = {"base": {"label": "base", "scenario": {"tastes.noise": 0.1}}}
    with pytest.raises(InputError, match="its scenario is another"):
        folder.check_free_for(make_small_study(conditions=conditions))


def test_only_its_own_folder_is_free_for_a_study(tmp_path: Path) -> None:
    study, other = make_small_study(), make_small_study(name="other")
    StudyDir(tmp_path / "new").check_free_for(study)
    (tmp_path / "new").mkdir()
    folder = StudyDir(tmp_path / "new")
    folder.check_free_for(study)
    folder.write_study(study)
    folder.check_free_for(study)
    with pytest.raises(InputError, match="holds runs of study mine, not of other"):
        folder.check_free_for(other)
    with pytest.raises(InputError, match="is no study's folder"):
        StudyDir(tmp_path).check_free_for(study)


def test_one_process_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    folder = StudyDir(tmp_path / "study")
    with folder.locked(), pytest.raises(InputError, match="another invrec study run"), folder.locked():
        pass
    with folder.locked():
        pass


def test_rows_read_back_as_they_were(tmp_path: Path) -> None:
    rows = [
        Row("s", "c", "a", 3, 97468.25, 6290.5, 0.94661, 17.5, 192000, 49.5, "abc"),
        Row("s", "c", "b, b", 4, 1.5),
    ]
    write_rows(rows, tmp_path / "rows.csv")
    first, second = read_rows(tmp_path / "rows.csv")
    assert first == rows[0]
    assert (second.variant, second.seed, second.profit, second.code) == ("b, b", 4, 1.5, "")
    assert math.isnan(second.fill_rate)
    assert (tmp_path / "rows.csv").read_text("utf-8").splitlines()[0] == ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variant,seed\na,0\n", "lack profit"),
        ("variant,seed,profit\n", "hold no run"),
        ("variant,seed,profit\na,0,1\na,0,2\n", "base/a/0 more than once"),
        ("variant,seed,profit\na,0,much\n", "line 2: profit must be a number, got 'much'"),
        ("variant,seed,profit\na,0,\n", "line 2: profit must be a number, got ''"),
        ("variant,seed,profit\na,0.5,1\n", "line 2: seed must be a whole number, got '0.5'"),
        ("variant,seed,profit,fill_rate\na,0,1,full\n", "line 2: fill_rate must be a number"),
    ],
)
def test_rows_that_cannot_be_read_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(text, "utf-8")
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / "rows.csv")


def test_missing_rows_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "nothing.csv")
