"""Building overlays, and what a schema cannot see: pure functions over the documents, each gives its complaints."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("dev", "hostnetwork", "monitored", "relay")
# include/uapi/linux/capability.h
_CAPABILITIES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = set(_CAPABILITIES.split())
UNPRIVILEGED = {"lippycatd", "lippycat-relay"}


def kustomize(folder, binary):
    """What `kustomize build` gives; a warning is an error."""
    done = subprocess.run([binary, "build", folder], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def documents(text):
    return list(yaml.safe_load_all(text))


def one(documents, kind, name=""):
    found = [d for d in documents if d["kind"] == kind and d["metadata"]["name"].startswith(name)]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod(documents):
    return one(documents, "DaemonSet")["spec"]["template"]


def containers(documents):
    """All containers of the pod by name."""
    spec = pod(documents)["spec"]
    return {c["name"]: c for c in [*spec.get("initContainers", []), *spec["containers"]]}


def configured(documents, name):
    """The files of the ConfigMap that is mounted under this generator's name."""
    return one(documents, "ConfigMap", f"{name}-" if name != "lippycatd" else "lippycatd-")["data"]


def bytes_of(text):
    """A quantity of Kubernetes, or a size of ours."""
    number, unit = re.fullmatch(r"(\d+)\s*([KMG]i)?B?", str(text)).groups()
    return int(number) << {None: 0, "Ki": 10, "Mi": 20, "Gi": 30}[unit]


def capability_names(documents):
    for name, container in containers(documents).items():
        asked = container.get("securityContext", {}).get("capabilities", {})
        for each in asked.get("add", []):
            if each not in CAPABILITIES:
                yield f"{name}: there is no capability {each}"
        if not container["securityContext"].get("privileged") and asked.get("drop") != ["ALL"]:
            yield f"{name}: does not drop ALL"


def selectors(documents):
    template = pod(documents)["metadata"]["labels"]
    for kind, path in (
        ("DaemonSet", ("selector",)),
        ("NetworkPolicy", ("podSelector",)),
        ("PodMonitor", ("selector",)),
    ):
        for document in (d for d in documents if d["kind"] == kind):
            wanted = document["spec"][path[0]]["matchLabels"]
            if not wanted or not wanted.items() <= template.items():
                yield f"{kind}: {wanted} selects no pod of ours"
    ports = {p["name"] for c in containers(documents).values() for p in c.get("ports", [])}
    named = [
        p["port"] for d in documents if d["kind"] == "NetworkPolicy" for i in d["spec"]["ingress"] for p in i["ports"]
    ]
    named += [e["port"] for d in documents if d["kind"] == "PodMonitor" for e in d["spec"]["podMetricsEndpoints"]]
    for port in named:
        if port not in ports:
            yield f"there is no port {port}"


def propagation(documents):
    for name, container in containers(documents).items():
        privileged = container["securityContext"].get("privileged", False)
        for mount in container.get("volumeMounts", []):
            value = mount.get("mountPropagation", "None")
            if value not in {"None", "HostToContainer", "Bidirectional"}:
                yield f"{name}: {value} is no propagation"
            if value == "Bidirectional" and not privileged:
                yield f"{name}: Bidirectional without privileged"


def restricted(documents):
    """The fields of Pod Security's *restricted* that a container has, for those that need nothing."""
    for name in UNPRIVILEGED & set(containers(documents)):
        container = containers(documents)[name]
        context = container["securityContext"]
        for key, value in {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }.items():
            if context.get(key) != value:
                yield f"{name}: {key} is {context.get(key)}"
        if context.get("privileged") or context.get("runAsUser", 0) == 0 or context.get("procMount"):
            yield f"{name}: privileged, root or an unmasked /proc"
        if any("hostPort" in port for port in container.get("ports", [])) and not pod(documents)["spec"]["hostNetwork"]:
            yield f"{name}: hostPort"
        volumes = {v["name"]: v for v in pod(documents)["spec"]["volumes"]}
        for mount in container.get("volumeMounts", []):
            kinds = set(volumes[mount["name"]]) - {"name"}
            if not kinds <= {"configMap", "emptyDir", "projected", "secret", "downwardAPI"}:
                yield f"{name}: mounts {kinds}"


def images(documents):
    tags = {}
    for name, container in containers(documents).items():
        repository, _, tag = container["image"].rpartition(":")
        if not repository or tag == "latest":
            yield f"{name}: {container['image']} has no tag"
        tags[name] = tag
    if len(set(tags.values())) != 1:
        yield f"different tags: {tags}"


def volumes(documents):
    """Each mount has its volume, each volume its mount, each ConfigMap is there."""
    spec = pod(documents)["spec"]
    known = {v["name"] for v in spec["volumes"]}
    used = {m["name"] for c in containers(documents).values() for m in c.get("volumeMounts", [])}
    for name in known ^ used:
        yield f"volume {name} is mounted without being there, or there without being mounted"
    maps = {d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap"}
    for volume in spec["volumes"]:
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            yield f"there is no ConfigMap {volume['configMap']['name']}"


CHECKS = (capability_names, selectors, propagation, restricted, images, volumes)


def complaints(documents):
    return [each for check in CHECKS for each in check(documents)]


def documented(heading):
    """The rows of the first table below a heading of docs/kubernetes.md: its cells by the first one."""
    text = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8").split(f"\n{heading}\n", 1)[1]
    rows = [line.strip("|").split("|") for line in text.split("\n## ", 1)[0].splitlines() if line.startswith("|")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in rows[2:]}


def snapshot(text):
    """The output as it is kept: what has its home in monitoring/ is named, not repeated."""
    kept = []
    for document in documents(text):
        if document["kind"] == "PrometheusRule":
            document["spec"] = "monitoring/lippycat.rules.yml"
        if document["metadata"]["name"].startswith("lippycat-dashboard-"):
            document["metadata"]["name"] = "lippycat-dashboard-CHECKSUM"
            document["data"] = "monitoring/grafana/lippycat.json"
        kept.append(document)
    return yaml.safe_dump_all(kept, sort_keys=False, width=120)


def cache():
    return Path(os.environ.get("LIPPYCAT_CACHE", "/var/cache/lippycat"))
