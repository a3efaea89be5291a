"""Write the PrometheusRule of k8s/ from monitoring/lippycat.rules.yml, its one home; a part of `make docs`."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "monitoring/lippycat.rules.yml"
TARGET = ROOT / "k8s/components/monitoring/prometheusrule.yaml"


def rule(rules: str) -> str:
    """The custom resource of the Prometheus operator that carries these rules."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "lippycat", "namespace": "lippycat"},
        "spec": yaml.safe_load(rules),
    }
    head = "# Made from monitoring/lippycat.rules.yml by `make docs`.\n"
    return head + yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


if __name__ == "__main__":
    TARGET.write_text(rule(RULES.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
