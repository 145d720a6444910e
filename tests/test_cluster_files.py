"""The cluster files at the root: valid for Ray's launcher and for KubeRay, guarded, and of the Ray that is pinned."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

ROOT = Path(__file__).resolve().parents[1]
LAUNCHER_FILES = ["cluster.yaml", "cluster_local.yaml"]
ALL_FILES = [*LAUNCHER_FILES, "kuberay.yaml"]


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


SCHEMA = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
"""By which `ray up` checks a file."""


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_rays_launcher_takes_the_file(name):
    settings = load(name)
    jsonschema.validate(settings, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**settings, "max_worker": 3}, SCHEMA)


def test_the_kinds_of_nodes_are_complete_and_within_their_limits():
    """What the schema does not say, and the launcher checks."""
    settings = load("cluster.yaml")
    kinds = settings["available_node_types"]
    assert settings["head_node_type"] in kinds
    for name, kind in kinds.items():
        assert kind["node_config"] and kind["resources"] and name
        assert 0 <= kind.get("min_workers", 0) <= kind.get("max_workers", 0) <= settings["max_workers"]


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_the_dashboard_is_on_loopback_and_all_nodes_need_a_token(name):
    settings = load(name)
    [head] = [line for line in settings["head_start_ray_commands"] if "start --head" in line]
    [worker] = [line for line in settings["worker_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in head
    assert all("RAY_AUTH_MODE=token" in line and "RAY_JOB_STOP_WAIT_TIME_S=120" in line for line in (head, worker))
    assert "~/.ray/auth_token" in settings["file_mounts"].values()


def test_the_head_has_no_gpu_and_gpu_nodes_scale_from_zero():
    settings = load("cluster.yaml")
    kinds = settings["available_node_types"]
    head = kinds.pop(settings["head_node_type"])
    assert "GPU" not in head["resources"]
    assert all(kind["resources"]["GPU"] == 1 and kind["min_workers"] == 0 for kind in kinds.values())
    markets = [kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType") for kind in kinds.values()]
    assert sorted(map(str, markets)) == ["None", "spot"]


@pytest.mark.parametrize("name", ALL_FILES)
def test_rays_version_is_the_one_that_is_pinned(name):
    pinned = re.search(r"^ray==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert pinned
    text = (ROOT / name).read_text()
    assert set(re.findall(r'(?:rayproject/ray:|rayVersion: ")([\d.]+)', text)) <= {pinned[1]}
    assert name == "cluster_local.yaml" or pinned[1] in text


@pytest.mark.parametrize("name", ALL_FILES)
def test_the_guide_names_everything_that_is_to_be_filled_in(name):
    guide = (ROOT / "docs/cluster.md").read_text()
    places = set(re.findall(r"FILL_IN_\w+", (ROOT / name).read_text()))
    assert places and not [place for place in places if place not in guide]


# ---- KubeRay: the fields that we use, with the types that its API reference gives them (KubeRay 1.6)


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object that may have these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
STRINGS = {"type": "object", "additionalProperties": STRING}


def several(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


SECRET = fields("name key", name=NAME, key=STRING, optional=BOOLEAN)
CONTAINER = fields(
    "name image",
    name=NAME,
    image=STRING,
    workingDir=STRING,
    env=several(fields("name", name=STRING, value=STRING, valueFrom=fields("secretKeyRef", secretKeyRef=SECRET))),
    resources=fields("requests limits", requests=STRINGS, limits=STRINGS),
    volumeMounts=several(fields("name mountPath", name=NAME, mountPath=STRING)),
)
VOLUME = fields(
    "name",
    name=NAME,
    persistentVolumeClaim=fields("claimName", claimName=STRING),
    emptyDir=fields(medium={"enum": ["", "Memory"]}, sizeLimit=STRING),
)
TOLERATION = fields(
    key=STRING,
    operator={"enum": ["Exists", "Equal"]},
    effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
)
POD = fields(
    "spec",
    spec=fields(
        "containers",
        containers=several(CONTAINER),
        terminationGracePeriodSeconds=INTEGER,
        securityContext=fields(runAsNonRoot=BOOLEAN, runAsUser=INTEGER, fsGroup=INTEGER),
        volumes=several(VOLUME),
        nodeSelector=STRINGS,
        tolerations=several(TOLERATION),
    ),
)
WORKERS = fields(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=NAME,
    replicas=INTEGER,
    minReplicas=INTEGER,
    maxReplicas=INTEGER,
    rayStartParams=STRINGS,
    template=POD,
)
CLUSTER = fields(
    "headGroupSpec rayVersion",
    rayVersion=STRING,
    enableInTreeAutoscaling=BOOLEAN,
    authOptions=fields("mode", mode={"enum": ["disabled", "token"]}),
    autoscalerOptions=fields(idleTimeoutSeconds=INTEGER),
    headGroupSpec=fields("template", rayStartParams=STRINGS, template=POD),
    workerGroupSpecs=several(WORKERS),
)
RAY_JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name=NAME),
    spec=fields(
        "entrypoint rayClusterSpec",
        entrypoint=STRING,
        shutdownAfterJobFinishes=BOOLEAN,
        ttlSecondsAfterFinished=INTEGER,
        backoffLimit=INTEGER,
        rayClusterSpec=CLUSTER,
    ),
)


def test_kuberay_takes_the_job():
    job = load("kuberay.yaml")
    jsonschema.validate(job, RAY_JOB)
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 1
        jsonschema.validate(job, RAY_JOB)


def test_every_pod_mounts_the_storage_and_declared_volumes():
    cluster = load("kuberay.yaml")["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["storage"] == "/mnt/quintet"
        assert set(mounts) == {volume["name"] for volume in pod["volumes"]}


def test_every_pod_has_the_time_and_rights_that_it_needs():
    """Longer than a stopped job may take to save its checkpoint; the user of the image; shared memory for Ray."""
    cluster = load("kuberay.yaml")["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > 120
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 100}
        assert {"name": "shm", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]


def test_the_jobs_command_is_a_good_one():
    """Its settings are checked as `submit` checks them."""
    from ray_jobs.cli import check_words

    words = load("kuberay.yaml")["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "ray_jobs"]
    file = check_words([str(ROOT / word) if word.endswith(".yaml") else word for word in words[3:]])
    assert file.is_file()


# ---- the image


def instructions(name: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their arguments, each on one line."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [
        (verb, re.sub(r"\s+", " ", rest))
        for verb, _, rest in (line.partition(" ") for line in text.splitlines())
        if verb
    ]


def copied_paths() -> list[str]:
    return [path for verb, rest in instructions("Dockerfile") if verb == "COPY" for path in rest.split()[:-1]]


def test_the_image_holds_all_that_the_installation_reads():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["importlinter"]["root_packages"]
    assert set(copied_paths()) == {"requirements.lock", "pyproject.toml", project["project"]["readme"], *packages}
    assert all((ROOT / path).exists() for path in copied_paths())


def test_the_image_installs_pinned_versions_first():
    steps = [rest for verb, rest in instructions("Dockerfile") if verb == "RUN" and "pip install" in rest]
    assert len(steps) == 2
    assert "--requirement /tmp/requirements.lock" in steps[0]
    assert "--no-deps" in steps[1] and not any("http" in step for step in steps)


def test_nothing_is_sent_to_the_image_that_it_does_not_copy():
    everything, *rules = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    assert everything == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied_paths())


def test_the_image_is_what_kuberay_expects():
    """A user without rights of root, wget for the probes, the Python that this project needs."""
    steps = instructions("Dockerfile")
    assert ("USER", "ray") in steps and steps.index(("USER", "ray")) > max(
        index for index, (verb, _) in enumerate(steps) if verb in ("COPY", "RUN")
    )
    assert any(verb == "RUN" and "apt-get install" in rest and " wget" in rest for verb, rest in steps)
    assert steps[0][0] == "FROM" and steps[0][1].startswith("python:3.11-")


def test_every_pod_uses_the_image_that_the_guide_builds():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    image = f"FILL_IN_REGISTRY/quintet:{version}"
    assert f"docker build --tag {image} ." in (ROOT / "docs/cluster.md").read_text()
    cluster = load("kuberay.yaml")["spec"]["rayClusterSpec"]
    folder = dict(instructions("Dockerfile"))["WORKDIR"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        [container] = group["template"]["spec"]["containers"]
        assert (container["image"], container["workingDir"]) == (image, folder)
