"""The manifest of a Dask cluster, against the schema of the operator that would take it."""

import importlib.resources
from typing import Any

import jsonschema
import pytest
import yaml

from conf.schema import Engine
from sweeps.trials.dask_engine import kubernetes

pytest.importorskip("dask_kubernetes", reason="needs the extra kubernetes")

CONFIG = Engine("kubernetes", image="registry.example.org/text-sweeps:1", memory="4GiB", min=2, threads=3)
CRD = "operator/deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema of the operator's version, which here also refuses what Kubernetes would drop in silence."""
    text = importlib.resources.files("dask_kubernetes").joinpath(CRD).read_text(encoding="utf-8")
    (version,) = yaml.safe_load(text)["spec"]["versions"]
    schema: dict[str, Any] = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {key: {} for key in ("apiVersion", "kind", "metadata")}
    return schema


def closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    is_open = "additionalProperties" in inner or inner.get("x-kubernetes-preserve-unknown-fields")
    return (
        inner if is_open or not isinstance(inner.get("properties"), dict) else inner | {"additionalProperties": False}
    )


@pytest.mark.parametrize("gpus", [0, 1])
def test_the_operator_knows_every_field_of_the_manifest(gpus: int, schema: dict[str, Any]) -> None:
    made = yaml.safe_load(kubernetes.manifest_text(Engine(**{**vars(CONFIG), "gpus": gpus})))
    jsonschema.validate(made, schema)
    assert (made["apiVersion"], made["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")


def test_a_wrong_field_would_be_noticed(schema: dict[str, Any]) -> None:
    made = kubernetes.manifest(CONFIG)
    (container,) = made["spec"]["worker"]["spec"]["containers"]
    container["resurces"] = container.pop("resources")
    with pytest.raises(jsonschema.ValidationError, match="resurces"):
        jsonschema.validate(made, schema)


def test_only_workers_get_gpus_and_each_trains_one_trial_within_its_memory() -> None:
    made = kubernetes.manifest(Engine(**{**vars(CONFIG), "gpus": 1}))["spec"]
    (worker,), (scheduler,) = (made[part]["spec"]["containers"] for part in ("worker", "scheduler"))
    assert made["worker"]["replicas"] == 2
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in scheduler["resources"]["limits"]
    assert worker["image"] == scheduler["image"] == CONFIG.image
    arguments = worker["args"]
    assert arguments[arguments.index("--nthreads") + 1] == "1"
    assert arguments[arguments.index("--memory-limit") + 1] == str(4 * 2**30)
    assert int(worker["resources"]["limits"]["memory"]) > 4 * 2**30  # beside the worker there is its nanny
    variables = {each["name"]: each["value"] for each in worker["env"]}
    assert variables["TF_NUM_INTRAOP_THREADS"] == "3"
    assert variables["DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE"] == "False"
    assert {"name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "value": "0"} in scheduler["env"]


def test_no_two_sweeps_share_a_cluster() -> None:
    names = {kubernetes.manifest(CONFIG)["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(len(name) < 32 for name in names)
