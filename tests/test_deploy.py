"""The files of deploy/: held against the schemas of those who read them, and against what docs/threats.md promises."""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dask
import jsonschema
import pytest
import yaml
from compose_spec import PyCompose
from distributed import Client, LocalCluster
from distributed.security import Security

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "docker" / "compose.yaml"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
Document = dict[str, Any]


def documents() -> list[tuple[str, Document]]:
    """Every document of deploy/kubernetes, with its kind and name."""
    found = [one for file in KUBERNETES for one in yaml.safe_load_all(file.read_text())]
    return [(f"{one['kind']}-{one['metadata']['name']}", one) for one in found]


def each(kind: str) -> Any:
    return pytest.mark.parametrize("document", [pytest.param(d, id=n) for n, d in documents() if n.startswith(kind)])


def pods(node: Any) -> Iterator[Document]:
    """Every pod's specification below a node."""
    if isinstance(node, Mapping):
        if "containers" in node:
            yield dict(node)
        for value in node.values():
            yield from pods(value)


def check_command(command: list[str]) -> None:
    """Whether Dask's or emreel's own parser takes a command; nothing is run."""
    from distributed.cli import dask_scheduler, dask_worker
    from typer.main import get_command

    from emreel.cli import app

    program, rest = command[0], list(command[1:])
    if program == "dask":
        parser = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[rest[0]]
    else:
        assert program == "emreel"
        parser = get_command(app).commands[rest[0]]  # type: ignore[attr-defined]
    parser.make_context(rest[0], rest[1:])


def interpolate(text: str, values: Mapping[str, str]) -> str:
    """``${NAME:-default}`` as Compose, ``$(NAME)`` as Kubernetes puts values in."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: values.get(found[1], found[2]), text)
    return re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], text)


# ------------------------------------------------------------------------------------------------ compose


def parse_compose(text: str) -> PyCompose:
    """What the Compose specification makes of a file, once values are in and anchors are resolved."""
    read = yaml.safe_load(interpolate(text, {}))
    parsed = PyCompose.from_yaml(yaml.safe_dump({k: v for k, v in read.items() if not k.startswith("x-")}))
    parsed.validate()
    return parsed


@pytest.fixture(scope="module")
def compose() -> Document:
    read: Document = yaml.safe_load(COMPOSE.read_text())
    return read


def test_compose_is_of_the_specification() -> None:
    assert set(parse_compose(COMPOSE.read_text()).service_names()) == {"scheduler", "worker", "emreel"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("cap_drop", "cap_dropp"),
        ("service_healthy", "service_helthy"),
        ("127.0.0.1:8786:8786", "127.0.0.1:98786:8786"),
        ("interval: 5s", "interval: 5 parsecs"),
        ("memory: 4g", "memory: 4 elephants"),
    ],
)
def test_the_specification_refuses_mistakes(right: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    with pytest.raises(ValueError, match=r"services\.\w+[.:]"):
        parse_compose(text.replace(right, wrong))


def test_compose_publishes_on_loopback_only_and_speaks_tls(compose: Document) -> None:
    services = compose["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    for service in services.values():
        assert service["environment"]["DASK_CONFIG"] == "/keys/dask.yaml"
        assert {"source": "${KEYS:-../../keys}", "target": "/keys", "type": "bind", "read_only": True} in service[
            "volumes"
        ]
        assert service["cap_drop"] == ["ALL"] and not service.get("privileged") and not service["user"].startswith("0")
        assert "network_mode" not in service
    assert "tls" in services["scheduler"]["command"] and "tls://scheduler:8786" in services["worker"]["command"]


def test_composed_commands_are_what_the_programs_take(compose: Document) -> None:
    for name in ("scheduler", "worker"):
        check_command(compose["services"][name]["command"])
    assert compose["services"]["emreel"]["entrypoint"] == ["emreel"]


def test_the_image_is_built_from_what_is_there(compose: Document) -> None:
    build = compose["services"]["scheduler"]["build"]
    assert (COMPOSE.parent / build["context"]).resolve() == ROOT
    lines = (ROOT / build["dockerfile"]).read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert steps[0][0] == "FROM" and ":latest" not in steps[0][1] and ":" in steps[0][1]
    assert [rest for what, rest in steps if what == "USER"][-1] not in ("root", "0")
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for what, rest in steps if what == "COPY" for source in rest.split()[:-1]}
    assert copied == kept and all((ROOT / source).exists() for source in copied)


# ------------------------------------------------------------------------------------------------ kubernetes


def strict(schema: Any) -> Any:
    """A schema of Kubernetes as one of JSON Schema that also refuses what Kubernetes would drop without a word."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), Mapping) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    return made


@pytest.fixture(scope="module")
def definitions() -> dict[str, Any]:
    """Kind -> schema, from the operator's package."""
    files = importlib.metadata.files("dask-kubernetes") or []
    found = {}
    for file in files:
        if file.parent.name == "crds":
            resource = yaml.safe_load(Path(str(file.locate())).read_text())
            (version,) = [v for v in resource["spec"]["versions"] if v["name"] == "v1"]
            schema = strict(version["schema"]["openAPIV3Schema"])
            for name, kind in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
                schema["properties"].setdefault(name, {"type": kind})
            found[resource["spec"]["names"]["kind"]] = schema
    return found


@each("Dask")
def test_resources_are_as_the_operator_defines_them(document: Document, definitions: dict[str, Any]) -> None:
    assert document["apiVersion"] == "kubernetes.dask.org/v1"
    jsonschema.validate(document, definitions[document["kind"]])


def test_the_definitions_refuse_mistakes(definitions: dict[str, Any]) -> None:
    (cluster,) = [d for name, d in documents() if name.startswith("DaskCluster")]
    schema = definitions["DaskCluster"]
    for change in (
        lambda d: d["spec"]["worker"].update(replica=3),
        lambda d: d["spec"]["worker"].update(replicas="three"),
        lambda d: d["spec"]["scheduler"].pop("service"),
        lambda d: d["spec"]["worker"]["spec"]["containers"][0].update(volumeMount=[]),
        lambda d: d["spec"]["scheduler"]["spec"]["containers"][0]["ports"][0].pop("containerPort"),
    ):
        broken = copy.deepcopy(cluster)
        change(broken)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


@pytest.mark.parametrize("document", [pytest.param(d, id=n) for n, d in documents() if not n.startswith("Dask")])
def test_other_resources_are_as_kubernetes_defines_them(document: Document) -> None:
    """Kubernetes' own client builds them and gives them back whole: what it does not know would be lost."""
    from kubernetes import client

    class Reply:
        data = yaml.safe_dump(document)

    model = {"NetworkPolicy": "V1NetworkPolicy", "PersistentVolumeClaim": "V1PersistentVolumeClaim"}[document["kind"]]
    api = client.ApiClient()
    built = api._ApiClient__deserialize(document, model)
    assert api.sanitize_for_serialization(built) == document


def test_every_pod_has_the_keys_and_no_rights() -> None:
    found = [pod for _, document in documents() for pod in pods(document["spec"])]
    assert len(found) == 5
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] and "hostNetwork" not in pod
        assert {"name": "keys", "secret": {"secretName": "emreel-tls", "defaultMode": 0o440}} in pod["volumes"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {"name": "DASK_CONFIG", "value": "/keys/dask.yaml"} in container["env"]
            assert not container["securityContext"]["allowPrivilegeEscalation"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert not container["image"].endswith("latest") and ":" in container["image"]


def test_commands_and_addresses_in_the_cluster() -> None:
    for name, document in documents():
        for pod in pods(document["spec"]):
            for container in pod["containers"]:
                env = {pair["name"]: pair["value"] for pair in container["env"]}
                check_command([interpolate(word, {"DASK_WORKER_NAME": "w", **env}) for word in container["args"]])
                address = env.get("DASK_SCHEDULER_ADDRESS")
                own = f"tls://{document['metadata']['name']}-scheduler.emreel.svc.cluster.local:8786"
                assert address == (None if container["name"] == "scheduler" else own), name
    services = [
        d["spec"].get("cluster", d)["spec"]["scheduler"]["service"] for n, d in documents() if "service" in str(d)
    ]
    assert services and all(service["type"] == "ClusterIP" for service in services)


def test_the_schedulers_port_is_closed_to_strangers() -> None:
    policies = {d["metadata"]["name"]: d["spec"] for n, d in documents() if d["kind"] == "NetworkPolicy"}
    rules = policies["emreel-scheduler"]["ingress"]
    assert all(rule["from"] and rule["ports"] for rule in rules)
    reach = {port["port"]: rule["from"] for rule in rules for port in rule["ports"]}
    assert set(reach) == {8786, 8787} and "namespaceSelector" in reach[8787][0]


# ------------------------------------------------------------------------------------------------ slurm


@pytest.fixture(scope="module")
def slurm_run() -> Any:
    """deploy/slurm/run.py as a module."""
    spec = importlib.util.spec_from_file_location("slurm_run", DEPLOY / "slurm" / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_jobs_ask_for_what_the_settings_say(slurm_run: Any, tmp_path: Path) -> None:
    from dask_jobqueue import SLURMCluster

    settings = slurm_run.read_settings(slurm_run.SETTINGS)
    defaults = dask.config.get("jobqueue.slurm")
    assert set(settings["jobqueue"]["slurm"]) <= set(defaults)
    settings["jobqueue"]["slurm"]["interface"] = "lo"
    keys = {"tls_ca_file": "ca.pem", "tls_worker_cert": "cert.pem", "tls_worker_key": "key.pem"}
    for name in keys.values():
        (tmp_path / name).touch()
    security = Security(require_encryption=True, **{key: str(tmp_path / name) for key, name in keys.items()})
    whole = {"jobqueue": {"slurm": {**defaults, **settings["jobqueue"]["slurm"]}}}
    with dask.config.set(whole):
        job = SLURMCluster.job_cls(scheduler="tls://127.0.0.1:8786", name="w", security=security, protocol="tls://")
    script = job.job_script()
    for line in ("#SBATCH --cpus-per-task=8", "#SBATCH --mem=32G", "#SBATCH -t 04:00:00", "export OMP_NUM_THREADS=1"):
        assert line in script
    command = shlex.split(script.splitlines()[-1])
    assert command[1:4] == ["-m", "distributed.cli.dask_worker", "tls://127.0.0.1:8786"]
    check_command(["dask", "worker", *command[3:]])
    for words in (
        ["--protocol", "tls://"],
        ["--tls-key", str(tmp_path / "key.pem")],
        ["--dashboard-address", "127.0.0.1:0"],
    ):
        assert " ".join(words) in " ".join(command)


def test_nothing_is_started_on_slurm_without_keys(slurm_run: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="No keys"):
        slurm_run.require_keys()
    (tmp_path / "settings.yaml").write_text("slurm: {}")
    with pytest.raises(SystemExit, match="wanted the key 'jobqueue'"):
        slurm_run.read_settings(tmp_path / "settings.yaml")


def test_who_has_done_tasks_is_counted(slurm_run: Any) -> None:
    done = slurm_run.TasksDone()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        for address in cluster.scheduler.workers:
            done.add_worker(cluster.scheduler, address)
        cluster.scheduler.add_plugin(done)
        client.gather(client.map(abs, range(20), workers=next(iter(cluster.scheduler.workers))))
        names = [str(worker.name) for worker in cluster.scheduler.workers.values()]
    assert dict(done.by_worker) == {names[0]: 20, names[1]: 0}


def test_the_log_in_the_page_is_the_log_of_the_run() -> None:
    log = (DEPLOY / "slurm" / "run.log").read_text()
    assert log in (DEPLOY / "slurm" / "README.md").read_text()
    counts = [int(count) for count in re.findall(r"worker \S+ did (\d+) tasks", log)]
    assert len(counts) == 2 and min(counts) > 0 and "both times" in log


# ------------------------------------------------------------------------------------------------ pages


@pytest.mark.parametrize("page", sorted(DEPLOY.rglob("*.md")), ids=lambda page: page.parent.name)
def test_pages_name_files_and_commands_that_are_there(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"\bdeploy/[\w./-]+\w", text):
        assert (ROOT / path).exists() or "*" in path, path
    for block in re.findall(r"```\n(.*?)```", text, re.DOTALL):
        for line in re.findall(r"^(?:dask|emreel) .*$", block, re.MULTILINE):
            check_command(shlex.split(line, comments=True))
