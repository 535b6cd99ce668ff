"""Reports of studies: numbers by hand, what is chosen after the fact, files that are and are not there."""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from study_folders import STUDY, make_folder, make_small_study

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation.robust import estimate_iqm
from invrec_rllib.studies.curves import read_curves
from invrec_rllib.studies.files import load_study
from invrec_rllib.studies.page import write_study_report
from invrec_rllib.studies.rows import Row, write_rows
from invrec_rllib.studies.source import Source, read_source, study_of
from invrec_rllib.studies.study import Study
from invrec_rllib.studies.tables import Line, folded, make_lines, shown, to_csv, to_markdown
from invrec_rllib.studies.words import caveats, headline, unfinished

PROFITS = {
    "plain": [100.0, 110.0, 120.0, 130.0],
    "slow": [101.0, 112.0, 123.0, 134.0],
    "fast": [10.0, 11.0, 12.0, 13.0],
}


def rows_of(profits: dict[str, list[float]], *, study: str = "mine") -> list[Row]:
    return [
        Row(study, "base", variant, seed, profit)
        for variant, values in profits.items()
        for seed, profit in enumerate(values)
    ]


def lines_of(profits: dict[str, list[float]], study: Study | None = None) -> dict[str, Line]:
    lines = make_lines(study or make_small_study(seeds=4), rows_of(profits))
    return {f"{line.variant}*" if line.chosen_from > 1 else line.variant: line for line in lines}


def test_a_line_is_what_a_hand_finds() -> None:
    lines = lines_of(PROFITS)
    # Of 4 seeds the lowest and the highest are left out.
    assert lines["plain"].profit.value == pytest.approx(115.0)
    assert lines["slow"].profit.value == pytest.approx(117.5)
    # Seed by seed 1, 2, 3, 4 more: the middle two are 2 and 3.
    assert lines["slow"].difference.absolute.value == pytest.approx(2.5)
    assert lines["slow"].difference.percent.value == pytest.approx(100 * 2.5 / 115.0)
    assert lines["slow"].difference.absolute.low >= 1.0
    # Of 16 pairs: 101 beats 1, 112 beats 2, 123 beats 3, 134 beats 4.
    assert lines["slow"].improvement.value == pytest.approx(10 / 16)
    assert lines["fast"].improvement.value == 0.0
    assert math.isnan(lines["plain"].difference.absolute.value)


def test_differences_are_taken_on_equal_seeds_alone() -> None:
    # Paired, seeds 0 and 1 differ by 1; of all seeds the means differ by more than 1,000.
    lines = lines_of({"plain": [10.0, 20.0, 5000.0, 5000.0], "slow": [11.0, 21.0]})
    assert lines["slow"].difference.absolute.value == pytest.approx(1.0)
    assert len(lines["slow"].seeds) == 2


def test_the_best_of_several_is_one_line_that_says_so() -> None:
    study = make_small_study(seeds=4)
    lines = make_lines(study, rows_of(PROFITS))
    kept = shown(study, lines, condition="base")
    assert [(line.label, line.chosen_from) for line in kept] == [
        ("plain", 1),
        ("one speed, best of 2 (slow)", 2),
    ]
    assert kept[1].profit == lines[1].profit
    assert [line.variant for line in folded(study, lines, condition="base")] == ["slow", "fast"]
    assert "chosen after the fact" in to_markdown(study, lines)
    assert any("chosen after the fact" in note for note in caveats(Source(study, [], None), lines))


def test_one_of_one_is_not_chosen() -> None:
    study = make_small_study(seeds=4)
    lines = make_lines(study, rows_of({name: PROFITS[name] for name in ("plain", "slow")}))
    assert [line.chosen_from for line in lines] == [1, 1]
    assert not any("chosen" in note for note in caveats(Source(study, [], None), lines))


def test_the_baseline_is_shown_though_it_is_one_of_several() -> None:
    study = make_small_study(seeds=4, best_of={"all": ["plain", "slow", "fast"]})
    kept = shown(study, make_lines(study, rows_of(PROFITS)), condition="base")
    assert [line.label for line in kept] == ["plain", "all, best of 3 (slow)"]


def test_sentences_tell_apart_what_the_intervals_do() -> None:
    profits = {**PROFITS, "slow": [99.0, 112.0, 119.0, 131.0]}
    study = make_small_study(seeds=4, best_of={})
    source = Source(study, rows_of(profits), None)
    (sentence,) = headline(source, make_lines(study, source.rows))
    assert sentence.startswith("base, against plain. Less: rates, fast (-9")
    assert "not told apart: slow (" in sentence
    single = Source(study, rows_of({"plain": [1.0], "slow": [2.0]}), None)
    (sentence,) = headline(single, make_lines(study, single.rows))
    assert sentence == "base, against plain. Without an interval: slow (+100.0 %)."


def test_what_is_planned_and_missing_is_counted() -> None:
    study = make_small_study(seeds=4)
    assert unfinished(Source(study, rows_of(PROFITS), None)) == ""
    part = rows_of({"plain": [1.0, 2.0], "slow": [1.0]})
    assert unfinished(Source(study, part, None)).startswith("3 of the 12 runs")


def test_csv_holds_every_line_and_no_nan() -> None:
    records = list(csv.DictReader(io.StringIO(to_csv(list(lines_of(PROFITS).values())))))
    assert [(record["variant"], record["chosen_from"]) for record in records] == [
        ("plain", "1"),
        ("slow", "1"),
        ("fast", "1"),
        ("slow", "2"),
    ]
    assert records[0]["difference"] == ""
    assert float(records[1]["difference"]) == pytest.approx(2.5)
    assert "nan" not in str(records)


def test_markdown_has_a_row_per_line_and_keeps_its_columns() -> None:
    study = make_small_study(seeds=4, best_of={}, variants={**STUDY["variants"], "slow": {"label": "a | b"}})
    table = [
        line
        for line in to_markdown(study, make_lines(study, rows_of(PROFITS))).splitlines()
        if line[:1] == "|"
    ]
    assert len(table) == 2 + 3
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {9}
    assert table[3].startswith(r"| a \| b | 4 | 117.5 [")


def test_rows_of_a_shipped_study_are_told_in_its_words() -> None:
    profits = {"default": [1.0], "siloed": [0.5]}
    rows = [Row("parts", "paper", v, s, p) for v, values in profits.items() for s, p in enumerate(values)]
    assert study_of(rows) == load_study("parts")
    # A name that the study lacks: then only the names in the rows are known.
    assert study_of([*rows, Row("parts", "paper", "mtmappo", 0, 1.0)]).baseline == "default"


def test_rows_of_several_studies_are_refused() -> None:
    with pytest.raises(InputError, match="several studies, one, two"):
        study_of([Row("one", "c", "a", 0, 1.0), Row("two", "c", "a", 0, 1.0)])


def test_a_curve_is_the_middle_of_its_seeds_where_all_were_evaluated(tmp_path: Path) -> None:
    line = lines_of(PROFITS)["plain"]
    for seed in range(4):
        folder = tmp_path / "base" / "plain" / str(seed)
        folder.mkdir(parents=True)
        text = f"iteration,env_steps,profit_eval_mean\n1,10,{seed}\n2,20,\n3,30,{10 * seed**2}\n"
        # The last run was cut before its third iteration.
        (folder / "progress.csv").write_text(text if seed < 3 else f"{text.split('3,30')[0]}3,3", "utf-8")
    (curve,) = read_curves(tmp_path, [line])
    assert curve.env_steps.tolist() == [10.0]
    assert curve.profit.tolist() == [1.5]
    expected = estimate_iqm([0.0, 1.0, 2.0, 3.0])
    assert (curve.low[0], curve.high[0]) == (expected.low, expected.high)
    assert read_curves(tmp_path / "elsewhere", [line]) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("matplotlib")
    return make_folder(tmp_path_factory.mktemp("studies") / "mine", make_small_study()).path


def images(html: str) -> set[bytes]:
    return {base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)}


def test_the_page_holds_every_figure_and_escapes_what_it_is_told(folder: Path, tmp_path: Path) -> None:
    report = write_study_report(folder, out=tmp_path / "report")
    html = report.page.read_text("utf-8")
    assert [file.name for file in report.figures] == [
        "factors.png",
        "intervals_base.png",
        "learning_base.png",
    ]
    assert images(html) == {file.read_bytes() for file in report.figures}
    assert "Which &lt;way&gt; earns most?" in html
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert [file.name for file in report.tables] == ["tables.md", "tables.csv"]
    assert all(file.is_file() for file in report.tables)
    # Equal runs give equal files.
    again = write_study_report(folder, out=tmp_path / "again")
    assert again.page.read_bytes() == report.page.read_bytes()


def test_rows_alone_give_all_but_the_curves(folder: Path, tmp_path: Path) -> None:
    source = read_source(folder)
    write_rows(source.rows, tmp_path / "rows.csv")
    (tmp_path / "study.yaml").write_bytes((folder / "study.yaml").read_bytes())
    alone = write_study_report(tmp_path / "rows.csv", out=tmp_path / "report")
    whole = write_study_report(folder, out=tmp_path / "whole")
    assert [file.name for file in alone.figures] == ["factors.png", "intervals_base.png"]
    for mine, its in zip(alone.tables, whole.tables, strict=True):
        assert mine.read_bytes() == its.read_bytes()
    with pytest.raises(InputError, match="out="):
        write_study_report(tmp_path / "rows.csv")


def test_an_older_report_is_replaced_and_its_figures_with_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_study_report(folder, out=out)
    write_rows(rows_of({"a": [1.0, 2.0], "b": [1.0, 3.0]}, study=""), tmp_path / "rows.csv")
    write_study_report(tmp_path / "rows.csv", out=out)
    assert sorted(file.name for file in out.iterdir()) == [
        "index.html",
        "intervals_base.png",
        "tables.csv",
        "tables.md",
    ]


@pytest.mark.parametrize("name", ["index.html", "tables.md", "learning_base.png"])
def test_a_file_that_is_not_a_reports_stays(name: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine", "utf-8")
    with pytest.raises(InputError, match=name):
        write_study_report(folder, out=tmp_path)
    assert (tmp_path / name).read_text("utf-8") == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_without_a_finished_run_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no study\.yaml"):
        read_source(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "study.yaml").write_text(
        "name: x\nquestion: q\nbaseline: a\nseeds: 1\nvariants: {a: {label: A}}\n", "utf-8"
    )
    with pytest.raises(InputError, match="no run of the study"):
        read_source(tmp_path)


def test_a_variant_far_off_does_not_squeeze_the_others() -> None:
    pytest.importorskip("matplotlib")
    from invrec_rllib.report import style
    from invrec_rllib.studies.figures import intervals_figure

    study = make_small_study(seeds=4, best_of={})
    near = {"plain": PROFITS["plain"], "slow": PROFITS["slow"]}
    limits = []
    for profits in (near, {**near, "fast": [-1e6, -1e6 + 2, -1e6 + 2, -1e6 + 3]}):
        with style.style():
            figure = intervals_figure(study, list(lines_of(profits, study).values()), currency="money")
        limits.append(figure.axes[0].get_xlim())
    np.testing.assert_allclose(limits[0], limits[1])
    assert "-999,998" in [text.get_text() for text in figure.axes[0].texts]
