"""k8s/: every overlay builds, is valid for three versions of Kubernetes, and holds what no schema can say."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import tomllib

import jsonschema
import kubernetes_validate
import pytest
import yaml
from manifest_kit import (
    OVERLAYS,
    ROOT,
    bytes_of,
    complaints,
    configured,
    containers,
    documented,
    documents,
    kustomize,
    one,
    pod,
    snapshot,
)

from lippycat_helper import policy_file

VERSIONS = ("1.30.0", "1.33.0", "1.36.0")
SNAPSHOTS = ROOT / "tests/k8s/snapshots"
BIN = ROOT / ".venv/bin"
BASELINE = 160 << 20  # bytes: the daemon at rest takes about 90 MiB (docs/kubernetes.md)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_of_three_versions_accept_every_document(overlay, version):
    for document in overlay:
        path = ROOT / "tests/k8s/schemas" / f"{document['kind']}.json"
        if path.exists():
            jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(document)
        else:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_what_is_wrong(texts):
    good = documents(texts["relay"])
    bad = copy.deepcopy(one(good, "DaemonSet"))
    bad["spec"]["template"]["spec"]["hostNetwrok"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, VERSIONS[0], strict=True)
    for kind in ("PodMonitor", "PrometheusRule"):
        bad = copy.deepcopy(one(good, kind))
        bad["spec"]["unknown"] = 1
        schema = json.loads((ROOT / f"tests/k8s/schemas/{kind}.json").read_text())
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(bad)


def test_what_no_schema_can_say(overlay):
    assert complaints(overlay) == []


def _capability(found):
    containers(found)["helper-tap"]["securityContext"]["capabilities"]["add"][0] = "NET_RAWW"


def _selector(found):
    one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = "lippycta"


def _propagation(found):
    containers(found)["helper-tap"]["volumeMounts"][2]["mountPropagation"] = "Bidirectional"


def _latest(found):
    containers(found)["lippycatd"]["image"] = "lippycatd:latest"


def _escalation(found):
    containers(found)["lippycatd"]["securityContext"]["allowPrivilegeEscalation"] = True


def _host_path(found):
    containers(found)["lippycatd"]["volumeMounts"].append({"name": "tun", "mountPath": "/dev/net/tun"})


def _missing_volume(found):
    pod(found)["spec"]["volumes"].pop()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_capability, "there is no capability NET_RAWW"),
        (_selector, "NetworkPolicy: .* selects no pod"),
        (_propagation, "helper-tap: Bidirectional without privileged"),
        (_latest, "has no tag"),
        (_escalation, "lippycatd: allowPrivilegeEscalation is True"),
        (_host_path, "lippycatd: mounts {'hostPath'}"),
        (_missing_volume, "is mounted without being there"),
    ],
)
def test_these_checks_find_what_they_look_for(texts, change, said):
    found = documents(texts["monitored"])
    change(found)
    assert any(re.search(said, line) for line in complaints(found)), complaints(found)


def test_the_capabilities_are_those_of_the_documented_table(texts):
    table = documented("## Capabilities")
    for name, text in texts.items():
        for container, body in containers(documents(text)).items():
            context = body["securityContext"]
            cells = table[container]
            cell = cells[1] if name == "hostnetwork" else cells[0]
            held = (
                "privileged"
                if context.get("privileged")
                else ", ".join(context["capabilities"].get("add", [])) or "none"
            )
            assert held == cell.replace("`", ""), (name, container)


def test_the_table_says_what_the_measured_facts_say(shared):
    """setns needs SYS_ADMIN, a device NET_ADMIN, an AF_PACKET socket NET_RAW; the daemon none."""
    facts = (shared / "facts/privilege.md").read_text()
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", facts, re.MULTILINE))
    table = documented("## Capabilities")
    for container, operation in (("helper-tap", "TUNSETIFF that creates"), ("helper-capture", "`socket(AF_PACKET)`")):
        need = next(value for key, value in rows.items() if key.startswith(operation))
        entering = next(value for key, value in rows.items() if key.startswith("setns"))
        wanted = {re.match(r"CAP_(\w+)", each)[1] for each in (need, entering)}
        assert set(table[container][0].replace("`", "").split(", ")) == wanted


def test_only_the_relay_sees_a_token(overlay):
    spec = pod(overlay)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert all(d["automountServiceAccountToken"] is False for d in overlay if d["kind"] == "ServiceAccount")
    holders = {v["name"] for v in spec["volumes"] if "projected" in v}
    seeing = {n for n, c in containers(overlay).items() for m in c.get("volumeMounts", []) if m["name"] in holders}
    assert seeing == ({"lippycat-relay"} if "lippycat-relay" in containers(overlay) else set())
    roles = [rule for d in overlay if d["kind"] == "ClusterRole" for rule in d["rules"]]
    assert all(r == {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]} for r in roles)
    accounts = {d["metadata"]["name"] for d in overlay if d["kind"] == "ServiceAccount"}
    assert accounts == {spec["serviceAccountName"]}


def test_the_probes_depend_on_the_heartbeat(overlay):
    for name in {"lippycatd", "lippycat-relay"} & set(containers(overlay)):
        body = containers(overlay)[name]
        assert body["livenessProbe"]["httpGet"]["path"] == body["startupProbe"]["httpGet"]["path"] == "/healthz"
        assert body["readinessProbe"]["httpGet"]["path"] == "/readyz"
    for name in ("helper-tap", "helper-capture"):
        body = containers(overlay)[name]
        assert body["restartPolicy"] == "Always"
        policy = tomllib.loads(configured(overlay, "lippycat-helper")["helper.toml"])
        socket = policy["capture_socket" if name == "helper-capture" else "socket"]
        assert body["livenessProbe"]["exec"]["command"] == ["/usr/bin/lippycat-probe", socket]


def test_limits_hold_what_the_configuration_can_take(overlay):
    """Tables, held frames and the interpreter fit into the limit; rings, which no limit counts, into the policy."""
    config = yaml.safe_load(configured(overlay, "lippycatd")["lippycatd.yaml"])
    policy = tomllib.loads(configured(overlay, "lippycat-helper")["helper.toml"])
    capture = config["capture"]
    assert bytes_of(capture["buffer_size"]) <= policy["capture"][0]["ring_max"]
    limit = bytes_of(containers(overlay)["lippycatd"]["resources"]["limits"]["memory"])
    assert BASELINE + bytes_of(capture["hold_bytes"]) + bytes_of(config["voip"]["tcp_memory_limit"]) <= limit
    for name, body in containers(overlay).items():
        resources = body["resources"]
        assert bytes_of(resources["requests"]["memory"]) <= bytes_of(resources["limits"]["memory"]), name
        assert "cpu" in resources["requests"], name
        # A throttled capture drops.
        assert "cpu" not in resources["limits"], name


def test_the_programs_accept_their_configuration(overlay, tmp_path):
    text = configured(overlay, "lippycat-helper")["helper.toml"]
    policy = policy_file.parse(text, "helper.toml")
    assert (policy.netns, policy.socket) == ("lc-ns", "/run/lippycat-helper/helper.sock")
    example = tomllib.loads((ROOT / "helper/helper.toml.example").read_text())["capture"][0]
    here = tomllib.loads(text)["capture"][0]
    assert (here["filter"], here["filter_raw"]) == (example["filter"], example["filter_raw"])
    files = [("lippycatd", "lippycatd", "lippycatd.yaml")]
    if "lippycat-relay" in containers(overlay):
        files.append(("lippycat-relay", "lippycat-relay", "relay.yaml"))
    for program, generator, file in files:
        (tmp_path / file).write_text(configured(overlay, generator)[file])
        done = subprocess.run(
            [BIN / program, "--check-config", "--config", tmp_path / file], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_another_configuration_rolls_the_pods_over(tmp_path, binary, texts):
    """The ConfigMap's name carries a checksum, so the pod's template changes with the content and only with it."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    shutil.copytree(ROOT / "monitoring", tmp_path / "monitoring")
    assert kustomize(tmp_path / "k8s/overlays/monitored", binary) == texts["monitored"]
    with (tmp_path / "k8s/base/lippycatd.yaml").open("a") as file:
        file.write("# changed\n")
    before, after = documents(texts["monitored"]), documents(kustomize(tmp_path / "k8s/overlays/monitored", binary))
    names = [
        {v["name"]: v["configMap"]["name"] for v in pod(d)["spec"]["volumes"] if "configMap" in v}
        for d in (before, after)
    ]
    assert names[0]["config"] != names[1]["config"]
    assert names[0]["helper-policy"] == names[1]["helper-policy"]


def test_alerts_and_dashboard_have_one_home(texts):
    found = documents(texts["monitored"])
    rules = yaml.safe_load((ROOT / "monitoring/lippycat.rules.yml").read_text())
    assert one(found, "PrometheusRule")["spec"] == rules, "run make docs"
    dashboard = one(found, "ConfigMap", "lippycat-dashboard")
    assert dashboard["data"]["lippycat.json"] == (ROOT / "monitoring/grafana/lippycat.json").read_text()
    # The rules name the job; the monitor gives it that name.
    job = pod(found)["metadata"]["labels"][one(found, "PodMonitor")["spec"]["jobLabel"]]
    assert f'job="{job}"' in str(rules)


def test_the_images_are_those_of_this_version(overlay):
    version = re.search(r'^version = "(.+)"', (ROOT / "dataplane/Cargo.toml").read_text(), re.MULTILINE)[1]
    assert {c["image"].rpartition(":")[2] for c in containers(overlay).values()} == {version}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_output_is_the_one_that_was_looked_at(texts, name):
    """LIPPYCAT_SNAPSHOT=1 writes it anew; then look at the difference."""
    path, now = SNAPSHOTS / f"{name}.yaml", snapshot(texts[name])
    if os.environ.get("LIPPYCAT_SNAPSHOT"):
        path.write_text(now)
    was = path.read_text()
    digest = hashlib.sha256(now.encode()).hexdigest()[:12]
    assert now == was, f"k8s/overlays/{name} gives something else ({digest}): LIPPYCAT_SNAPSHOT=1, then git diff"
