"""What the program asks of OLM and of the Tekton operator on OpenShift."""

import pytest

from components import openshift_pipelines as openshift
from components.unit import UnitArgs, environment, wait_environment
from units.request import read_request


def test_the_operator_makes_no_config_of_its_own() -> None:
    spec = openshift.subscription()["spec"]
    assert spec["config"]["env"] == [{"name": "AUTOINSTALL_COMPONENTS", "value": "false"}]


def test_the_operators_minor_version_is_pinned() -> None:
    spec = openshift.subscription()["spec"]
    assert spec["channel"] == "pipelines-1.21"
    assert spec["installPlanApproval"] == "Automatic"


@pytest.mark.parametrize("part", ["pruner", "tektonpruner", "chain", "result"])
def test_nothing_on_the_cluster_prunes_or_signs_or_moves_runs(part: str) -> None:
    assert openshift.tekton_config(openshift.TektonSetup())["spec"][part]["disabled"] is True


def test_what_the_operators_schemas_require_stands_there() -> None:
    spec = openshift.tekton_config(openshift.TektonSetup())["spec"]
    assert "global-config" in spec["tektonpruner"]
    assert "is_external_db" in spec["result"]


def test_runs_have_the_account_of_other_clusters_and_no_right_to_edit() -> None:
    spec = openshift.tekton_config(openshift.TektonSetup())["spec"]
    assert spec["pipeline"]["default-service-account"] == "pipeline"
    params = {one["name"]: one["value"] for one in spec["params"]}
    assert params["legacyPipelineRbac"] == "false"
    assert params["createRbacResource"] == "true"


def test_the_runner_understands_what_the_operators_unit_asks_for() -> None:
    args = UnitArgs(
        unit="x",
        sha256="0",
        kubeconfig="k",
        wait_for=openshift.OPERATOR_WAIT_FOR,
        leftovers=openshift.OPERATOR_LEFTOVERS,
    )
    variables = {**environment(args), **wait_environment(args)}
    request = read_request({key: str(value) for key, value in variables.items()})
    assert [condition.namespace for condition in request.conditions] == [
        "openshift-operators",
        None,
        "openshift-operators",
        "openshift-operators",
    ]
    [leftover] = request.leftovers
    assert leftover.selector == "operators.coreos.com/openshift-pipelines-operator-rh.openshift-operators"
    # The prefix aside, a label's key has 63 characters at most.
    assert len(leftover.selector.partition("/")[2]) <= 63


def test_the_controllers_are_awaited_with_all_that_the_syncer_publishes() -> None:
    names = [one["resource"] for one in openshift.TEKTON_WAIT_FOR]
    assert names[0] == "tektonconfigs.operator.tekton.dev/config"
    assert {
        f"customresourcedefinitions/{one}.tekton.dev" for one in ("pipelines", "pipelineruns", "tasks")
    } == set(names[1:])


def test_settings_of_tekton_are_the_operators_options() -> None:
    pipeline = openshift.tekton_config(
        openshift.TektonSetup(
            config_maps={"feature-flags": {"coschedule": "disabled"}}, performance={"replicas": 2}
        )
    )["spec"]["pipeline"]
    assert pipeline["options"] == {"configMaps": {"feature-flags": {"data": {"coschedule": "disabled"}}}}
    assert pipeline["performance"] == {"replicas": 2}


def test_resources_go_to_the_controllers_container_and_to_no_other() -> None:
    setup = openshift.TektonSetup(resources={"limits": {"memory": "1Gi"}})
    options = openshift.tekton_config(setup)["spec"]["pipeline"]["options"]
    [(deployment, changed)] = options["deployments"].items()
    [container] = changed["spec"]["template"]["spec"]["containers"]
    assert deployment == "tekton-pipelines-controller"
    assert container == {"name": "tekton-pipelines-controller", "resources": {"limits": {"memory": "1Gi"}}}
