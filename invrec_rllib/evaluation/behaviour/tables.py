"""What was found of policies' behaviour as tables: for readers as text, for programs as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from invrec_rllib.evaluation.behaviour.measure import Behaviour, PolicyBehaviour
from invrec_rllib.evaluation.behaviour.testing import EffectTest
from invrec_rllib.evaluation.comparison import without_nan
from invrec_rllib.evaluation.worth_tables import Table

SIGNS = {1: "+", -1: "\N{MINUS SIGN}", 0: ""}


def make_tables(found: Behaviour) -> list[Table]:
    """The tables for readers: all policies side by side, then the effects of each."""
    return [summary_table(found), *(effects_table(policy) for policy in found.all)]


def summary_table(found: Behaviour) -> Table:
    """Sizes of all effects, policies side by side; behind each whether it has the optimum's sign."""
    names = effect_names(found)
    tests = [{test.name: test for test in policy.tests} for policy in found.all]
    rows = []
    for name in names:
        one = next(of[name] for of in tests if name in of)
        expected = next((SIGNS[of[name].expected] for of in tests[1:] if name in of), "")
        sign = SIGNS[tests[0][name].sign] if name in tests[0] else expected
        rows.append((one.label, sign, one.unit, *(_cell(of.get(name)) for of in tests)))
    rows.append(("signs of the optimum that hold", "", "", *(held_text(policy) for policy in found.all)))
    rows.append(("synchronised", "", "", *(_yes_no(policy.synchronised) for policy in found.all)))
    header = ("effect of", "optimum's sign", "size in", *(title_of(policy, found) for policy in found.all))
    return Table("What one change does, by policy", header, tuple(rows))


def effects_table(policy: PolicyBehaviour) -> Table:
    """Every effect of a policy: the optimum's sign, size, interval, adjusted p-value, whether it holds."""
    rows = tuple(
        (
            test.label,
            SIGNS[test.expected],
            _number(test.size.mean),
            "" if math.isnan(test.size.low) else f"[{_number(test.size.low)}, {_number(test.size.high)}]",
            test.unit,
            p_text(test.adjusted),
            _yes_no(test.holds),
        )
        for test in policy.tests
    )
    header = ("effect of", "optimum's sign", "size", "interval", "in", "adjusted p", "holds")
    return Table(f"{policy.policy} in {policy.scenario}", header, rows)


def effect_names(found: Behaviour) -> list[str]:
    """Names of all effects that some policy was asked for, in the order of the table."""
    return list(dict.fromkeys(test.name for policy in found.all for test in policy.tests))


def size_text(test: EffectTest) -> str:
    """Its size with a sign; a dash where nothing could move."""
    return _number(test.size.mean)


def title_of(policy: PolicyBehaviour, found: Behaviour) -> str:
    """A policy's name, with its world where that is another than the rest's."""
    return policy.policy if policy.scenario == found.scenario else f"{policy.policy} ({policy.scenario})"


def held_text(policy: PolicyBehaviour) -> str:
    """How many of the optimum's signs hold: ``17 of 19``; empty for the optimum itself."""
    return f"{policy.held} of {policy.signs}" if policy.signs else ""


def p_text(value: float) -> str:
    """``0.034``, or ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def basis(found: Behaviour) -> str:
    """What the numbers are based on, in sentences."""
    asked = (
        "the states that each policy comes to" if found.states is None else f"the states of {found.states}"
    )
    own = found.optimum.scenario == found.scenario
    whose = (
        "this world" if own else f"{found.optimum.scenario}, since this world is too large to solve exactly"
    )
    return (
        f"{found.scenario}: {found.episodes:,} episodes of seed {found.seed}, {found.information} information, asked "
        f"in {asked}; means with {100 * found.confidence:g} % intervals over episodes. The signs are those of the "
        f"exact optimum of {whose}. p-values are one-sided where the optimum has a sign, else two-sided, and adjusted "
        f"for the number of tests of a policy (Holm); level {found.significance:g}."
    )


def to_rows(found: Behaviour) -> list[dict[str, Any]]:
    """Plain values of every test, a row each; NaN for what is not known."""
    rows = []
    for policy in found.all:
        for test in policy.tests:
            size = test.size
            rows.append(
                {
                    "policy": policy.policy,
                    "scenario": policy.scenario,
                    "effect": test.name,
                    "unit": test.unit,
                    "expected_sign": test.expected,
                    "size": size.mean,
                    "low": size.low,
                    "high": size.high,
                    "p_value": test.p_value,
                    "adjusted_p": test.adjusted,
                    "sign": test.sign,
                    "holds": test.holds,
                }
            )
    return rows


def to_csv(found: Behaviour) -> str:
    """CSV of `to_rows`; empty for what is not known."""
    stream = io.StringIO()
    rows = to_rows(found)
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: "" if value is None or value != value else value for name, value in row.items()}
        )
    return stream.getvalue()


def to_json(found: Behaviour) -> str:
    """JSON of all that was found; NaN becomes null."""
    data: dict[str, Any] = without_nan(_plain(asdict(found)))
    for entry, policy in zip([data["optimum"], *data["policies"]], found.all, strict=True):
        entry |= {"signs": policy.signs, "held": policy.held, "synchronised": policy.synchronised}
    return json.dumps(data, indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def _cell(test: EffectTest | None) -> str:
    if test is None or math.isnan(test.size.mean):
        return "-"
    mark = {True: " holds", False: " fails", None: ""}[test.holds]
    return f"{size_text(test)}{mark}"


def _yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    digits = 2 if abs(value) >= 1.0 else 3 if abs(value) >= 0.01 else 4
    text = f"{value:+.{digits}f}" if abs(value) >= 5e-5 else "0"
    return text.replace("-", "\N{MINUS SIGN}")
