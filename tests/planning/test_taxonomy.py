from __future__ import annotations

from datetime import timedelta

import pytest

from leeward.planning.estate import taxonomy

GOOD = {
    "Customer": "acme",
    "Environment": "Production",
    "dr:enabled": "true",
    "dr:priority": "high",
    "dr:wave": "2",
    "dr:recovery-strategy": "drs",
}


def changed(**tags: str | None) -> dict[str, str]:
    """GOOD with tags replaced or (None) taken away; `_` in a name stands for `-`, `dr_` for dr:."""
    given = {k.replace("dr_", "dr:").replace("_", "-"): v for k, v in tags.items()}
    return {k: v for k, v in {**GOOD, **given}.items() if v is not None}


def test_tags_in_order_are_read() -> None:
    verdict = taxonomy.judge(changed(dr_rto_target="30", dr_rpo_target="15"))
    assert verdict == taxonomy.Verdict(
        enrolled=True,
        priority="high",
        wave=2,
        strategy="drs",
        rto=timedelta(minutes=30),
        rpo=timedelta(minutes=15),
    )


@pytest.mark.parametrize(
    ("tags", "reason", "tag"),
    [
        (changed(Customer=None), "MissingCustomer", "Customer"),
        (changed(Customer=""), "MissingCustomer", "Customer"),
        (changed(Environment=None), "MissingEnvironment", "Environment"),
        (changed(dr_enabled=None), "MissingEnabled", "dr:enabled"),
        (changed(dr_enabled="True"), "InvalidEnabled", "dr:enabled"),
        (changed(dr_enabled="yes"), "InvalidEnabled", "dr:enabled"),
        (changed(dr_enabled=""), "InvalidEnabled", "dr:enabled"),
        (changed(dr_priority=None), "MissingPriority", "dr:priority"),
        (changed(dr_priority="Critical"), "InvalidPriority", "dr:priority"),
        (changed(dr_wave=None), "MissingWave", "dr:wave"),
        (changed(dr_wave="6"), "InvalidWave", "dr:wave"),
        (changed(dr_wave="0"), "InvalidWave", "dr:wave"),
        (changed(dr_wave="02"), "InvalidWave", "dr:wave"),
        (changed(dr_wave="two"), "InvalidWave", "dr:wave"),
        (changed(dr_recovery_strategy=None), "MissingRecoveryStrategy", "dr:recovery-strategy"),
        (changed(dr_recovery_strategy="DRS"), "InvalidRecoveryStrategy", "dr:recovery-strategy"),
        (changed(dr_rto_target="0"), "InvalidRtoTarget", "dr:rto-target"),
        (changed(dr_rto_target="30m"), "InvalidRtoTarget", "dr:rto-target"),
        (changed(dr_rpo_target="-5"), "InvalidRpoTarget", "dr:rpo-target"),
        (changed(dr_rpo_target="1.5"), "InvalidRpoTarget", "dr:rpo-target"),
        (changed(dr_rpo_target="١٥"), "InvalidRpoTarget", "dr:rpo-target"),
    ],
)
def test_a_wrong_tag_is_named_with_what_to_set(tags: dict[str, str], reason: str, tag: str) -> None:
    (problem,) = taxonomy.judge(tags).problems
    assert (problem.reason, problem.tag) == (reason, tag)
    assert tag in problem.message
    assert f"set the tag {tag}" in problem.remedy or f"set the tag to {tag}" in problem.remedy
    if tags.get(tag):
        assert f'"{tags[tag]}"' in problem.message


def test_all_wrong_tags_are_named_at_once() -> None:
    verdict = taxonomy.judge({"dr:enabled": "true", "dr:wave": "9"})
    assert [problem.reason for problem in verdict.problems] == [
        "MissingCustomer",
        "MissingEnvironment",
        "MissingPriority",
        "InvalidWave",
        "MissingRecoveryStrategy",
    ]
    assert verdict.wave is None


def test_a_resource_that_is_not_enrolled_needs_no_further_tags() -> None:
    tags = {"Customer": "acme", "Environment": "Production", "dr:enabled": "false"}
    assert taxonomy.judge(tags) == taxonomy.Verdict(enrolled=False)


def test_without_the_enrolment_tag_nothing_is_assumed() -> None:
    assert taxonomy.judge(changed(dr_enabled=None)).enrolled is None
    assert taxonomy.judge(changed(dr_enabled="TRUE")).enrolled is None


def test_a_wave_beyond_five_is_right_when_the_plan_numbers_one_so() -> None:
    verdict = taxonomy.judge(changed(dr_wave="42"), taxonomy.WAVES | {42})
    assert (verdict.wave, verdict.problems) == (42, ())


def test_every_problem_fits_into_an_inventory_line() -> None:
    verdict = taxonomy.judge(changed(dr_wave="6", dr_priority="x" * 20, dr_rto_target="soon"))
    assert all(len(problem.line()) <= 256 for problem in verdict.problems)
    assert len(verdict.problems) == 3


# --- shared services, and values of our users' own ----------------------------------------------


@pytest.mark.parametrize("value", ["orders,billing", "orders+billing", "orders, billing"])
def test_a_shared_service_names_its_applications(value: str) -> None:
    verdict = taxonomy.judge({**changed(), "dr:shared-by": value})
    assert (verdict.problems, verdict.shared_by) == ((), ("orders", "billing"))


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("dr:shared-by", "orders,,billing", "InvalidSharedBy"),
        ("dr:shared-by", "", "InvalidSharedBy"),
        ("dr:failover-mode", "both", "InvalidFailoverMode"),
    ],
)
def test_a_wrong_tag_of_a_shared_service_is_named(tag: str, value: str, reason: str) -> None:
    verdict = taxonomy.judge({**changed(), tag: value})
    assert [p.reason for p in verdict.problems] == [reason]
    assert verdict.shared_by == ()


def test_what_serves_from_both_regions_needs_no_place_in_the_order() -> None:
    tags = changed(dr_wave=None, dr_priority=None, dr_recovery_strategy=None)
    verdict = taxonomy.judge({**tags, "dr:failover-mode": "active-active"})
    assert (verdict.problems, verdict.active_active) == ((), True)


def test_the_operators_settings_add_values() -> None:
    words = taxonomy.Words((*taxonomy.PRIORITIES, "bronze"), (*taxonomy.STRATEGIES, "oracle"))
    tags = changed(dr_priority="bronze", dr_recovery_strategy="oracle")
    assert taxonomy.judge(tags, words=words).problems == ()
    reasons = [p.reason for p in taxonomy.judge(tags).problems]
    assert reasons == ["InvalidPriority", "InvalidRecoveryStrategy"]
    (wrong,) = taxonomy.judge(changed(dr_priority="gold"), words=words).problems
    assert "low, bronze" in wrong.remedy


def test_every_remedy_can_be_told() -> None:
    for reason in taxonomy.REMEDIES:
        assert taxonomy.TAXONOMY.remedy(reason)
    assert taxonomy.TAXONOMY.remedy("Unheard") == ""
