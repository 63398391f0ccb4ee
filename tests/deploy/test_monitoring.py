"""deploy/monitoring: promtool accepts and tests the rules, and the docs explain each alert."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from demo.kong_settings import ROOT

FOLDER = ROOT / "deploy" / "monitoring"
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]


def dashboard_queries() -> list[str]:
    """Every query of the dashboard, with a time in place of Grafana's variable."""
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [query.replace("$__rate_interval", "5m") for query in queries]


def promtool(*arguments: str) -> str:
    """Run promtool in the folder; its output. It must end well."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "prometheus.yml")


def test_the_rules_tests_pass() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts.test.yml")


def test_every_alert_is_tested_quiet_and_firing() -> None:
    tests = yaml.safe_load((FOLDER / "alerts.test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == alerts


def test_the_page_for_operators_says_what_to_do_about_every_alert() -> None:
    explained = re.findall(r"^\| `(JanMedia\w+)` \| \S.{20,} \|$", PAGE, re.MULTILINE)
    assert explained == [rule["alert"] for rule in RULES]


def test_prometheus_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = dashboard_queries()
    rules = [{"record": f"q{at}", "expr": query} for at, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", str(file))


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
