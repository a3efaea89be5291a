"""The alert rules: promtool accepts them, each fires for what it is for, and they name metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml

from lippycatd.observe import metrics


@pytest.fixture
def rules(root):
    return root / "monitoring" / "lippycat.rules.yml"


def promtool(*arguments):
    assert shutil.which("promtool"), "promtool is missing: make setup installs it"
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_promtool_accepts_them(rules):
    done = promtool("check", "rules", rules)
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_fire_when_they_should(rules):
    done = promtool("test", "rules", rules.with_name("lippycat.rules.test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def alerts(rules):
    return [rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]]


def test_each_is_tested_and_says_what_to_do(rules):
    cases = yaml.safe_load(rules.with_name("lippycat.rules.test.yml").read_text())["tests"]
    fired = {t["alertname"] for case in cases for t in case["alert_rule_test"] if t.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in alerts(rules)}
    for rule in alerts(rules):
        assert set(rule["annotations"]) == {"summary", "action"}
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_they_name_metrics_that_exist(rules):
    known = {metrics.PREFIX + family.name + family.suffix for family in metrics.FAMILIES}
    known |= {metrics.PREFIX + metrics.LATENCY[0] + "_bucket"}
    named = {name for rule in alerts(rules) for name in re.findall(r"lippycat_\w+", rule["expr"])}
    assert named
    assert named <= known
