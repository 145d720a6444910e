"""The cluster files at the root: valid for Ray's launcher and for KubeRay, guarded, and of the Ray that is pinned."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[1]
LAUNCHER_FILES = ["cluster.yaml", "cluster_local.yaml"]
ALL_FILES = [*LAUNCHER_FILES, "kuberay.yaml"]


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_rays_launcher_takes_the_file(name):
    settings = load(name)
    validate_config(prepare_config(settings))
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**settings, "max_worker": 3}))


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_the_dashboard_is_on_loopback_and_every_machine_asks_for_the_token(name):
    settings = load(name)
    [head] = [line for line in settings["head_start_ray_commands"] if "start --head" in line]
    [worker] = [line for line in settings["worker_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in head
    assert all("RAY_AUTH_MODE=token" in line and "RAY_JOB_STOP_WAIT_TIME_S=120" in line for line in (head, worker))
    assert "~/.ray/auth_token" in settings["file_mounts"].values()


def test_the_head_has_no_gpu_and_gpu_machines_come_and_go_some_of_them_spot():
    settings = load("cluster.yaml")
    kinds = settings["available_node_types"]
    head = kinds.pop(settings["head_node_type"])
    assert "GPU" not in head["resources"]
    assert all(kind["resources"]["GPU"] == 1 and kind["min_workers"] == 0 for kind in kinds.values())
    markets = [kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType") for kind in kinds.values()]
    assert sorted(map(str, markets)) == ["None", "spot"]


@pytest.mark.parametrize("name", ALL_FILES)
def test_rays_version_is_the_one_that_is_pinned(name):
    pinned = re.search(r"ray\[.*\]==([\d.]+)", (ROOT / "pyproject.toml").read_text())
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


CONTAINER = fields(
    "name image",
    name=NAME,
    image=STRING,
    workingDir=STRING,
    env=several(fields("name value", name=STRING, value=STRING)),
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


def test_every_pod_mounts_the_storage_and_what_it_mounts_is_there():
    cluster = load("kuberay.yaml")["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["storage"] == "/mnt/quintet"
        assert set(mounts) == {volume["name"] for volume in pod["volumes"]}


def test_the_jobs_command_is_a_good_one():
    """Its settings are checked as `submit` checks them."""
    from ray_jobs.cli import check_words

    words = load("kuberay.yaml")["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "ray_jobs"]
    file = check_words([str(ROOT / word) if word.endswith(".yaml") else word for word in words[3:]])
    assert file.is_file()
