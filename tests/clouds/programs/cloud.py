#!/usr/bin/env python3
"""The clouds' command-line programs, as far as the tool calls them: aws, az and gcloud, by the name under which this file is called.

They answer from the folder that CLOUD_FOLDER names, which the schema server fills: what OpenTofu made there exists, and nothing else.
The shapes of the answers are those of the vendors' published API descriptions, cut to the fields that are read. What the test decides is
in settings.json:

    login     false: no valid login                      account   the account, subscription or project
    quota     [used, most]                               registry  host of the registry
    word      the registry's password                    token     a token that the cluster's API server accepts
    real      the real AWS CLI, the address of MiniStack and the key: tokens and the registry's login are theirs
    version   EKS's state of the Kubernetes version      extra     things that no state knows: [{"type": …, "id": …, "name": …}]
    apis      Google's enabled APIs
"""

import base64
import json
import os
import subprocess
import sys
import urllib.request

FOLDER = os.environ["CLOUD_FOLDER"]


def read(name, otherwise):
    try:
        with open(os.path.join(FOLDER, name)) as file:
            return json.load(file)
    except FileNotFoundError:
        return otherwise


SETTINGS = read("settings.json", {})


def things():
    """Everything that exists: type, id, name, and the instance that its tags name."""
    out = list(SETTINGS.get("extra", []))
    folder = os.path.join(FOLDER, "inventory")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        # A server that is killed leaves a part of a file under another name; a file may go while its folder is read.
        it = read(os.path.join("inventory", name), None) if name.endswith(".json") else None
        if not it:
            continue
        values = it.get("values") or {}
        name = values.get("name") or values.get("repository_id") or it["id"]
        if it["type"] == "google_service_account":
            name = values.get("account_id")
        if it["type"] == "google_artifact_registry_repository":
            name = values.get("repository_id")
        out.append({"type": it["type"], "id": it["id"], "name": name, "values": values})
    return out


def of(kind):
    return [it for it in things() if it["type"] == kind]


def fail(text, code=254):
    print(text, file=sys.stderr)
    sys.exit(code)


def after(flag):
    return ARGUMENTS[ARGUMENTS.index(flag) + 1] if flag in ARGUMENTS else ""


def calls(*words):
    return ARGUMENTS[: len(words)] == list(words)


def answer(value):
    print(value if isinstance(value, str) else json.dumps(value))
    sys.exit(0)


def real(arguments, **settings):
    """The real AWS CLI, with or without the emulator's address."""
    program, _, name, secret = SETTINGS["real"]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret, **settings}
    return subprocess.run([program, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def own_registry():
    """MiniStack's ECR, with the repositories that OpenTofu made."""
    address = SETTINGS["real"][1]
    for it in of("aws_ecr_repository"):
        real(["ecr", "create-repository", "--repository-name", it["name"]], AWS_ENDPOINT_URL=address, AWS_DEFAULT_REGION="eu-central-1")
    said = json.loads(real(ARGUMENTS, AWS_ENDPOINT_URL=address).stdout)
    # Its own answer names AWS's host.
    said["authorizationData"][0]["proxyEndpoint"] = address
    answer(said)


def aws():
    if not SETTINGS.get("login", True):
        fail("An error occurred (ExpiredToken) when calling the GetCallerIdentity operation: The security token included in the request is expired")
    account = SETTINGS.get("account", "111122223333")
    used, most = SETTINGS.get("quota", [1, 5])
    if calls("sts", "get-caller-identity"):
        answer({"UserId": "AIDAEXAMPLE", "Account": account, "Arn": f"arn:aws:iam::{account}:user/dev"})
    if calls("configure", "get", "region"):
        answer("eu-central-1")
    if calls("eks", "describe-cluster-versions"):
        state = SETTINGS.get("version", "STANDARD_SUPPORT")
        answer({"clusterVersions": [{"clusterVersion": "1.36", "versionStatus": state, "endOfStandardSupportDate": "2027-08-02T00:00:00+00:00"}]})
    if calls("service-quotas", "get-service-quota"):
        answer({"Quota": {"QuotaCode": "L-F678F1CE", "Value": float(most)}})
    # With a filter by tag, as the tool asks for what it made.
    if "--filters" in ARGUMENTS and calls("ec2", "describe-vpcs"):
        answer({"Vpcs": [{"VpcId": it["id"]} for it in of("aws_vpc")]})
    if calls("ec2", "describe-internet-gateways"):
        answer({"InternetGateways": [{"InternetGatewayId": it["id"]} for it in of("aws_internet_gateway")]})
    if calls("ec2", "describe-subnets"):
        named = [{"SubnetId": it["id"], "Tags": [{"Key": "Name", "Value": it["values"].get("tags", {}).get("Name", "")}]} for it in of("aws_subnet")]
        answer({"Subnets": named})
    if calls("ec2", "describe-route-tables"):
        connected = [it["values"] for it in of("aws_route_table_association")]
        tables = [{"RouteTableId": it["id"], "Associations": [{"SubnetId": one.get("subnet_id")} for one in connected]} for it in of("aws_route_table")]
        answer({"RouteTables": tables})
    if calls("ec2", "describe-vpcs"):
        answer({"Vpcs": [{"VpcId": f"vpc-{it}"} for it in range(used)]})
    if calls("ecr", "get-authorization-token") and "real" in SETTINGS:
        own_registry()
    if calls("eks", "get-token") and "real" in SETTINGS:
        # A signature that needs nobody's answer.
        answer(real(ARGUMENTS).stdout)
    if calls("ecr", "get-authorization-token"):
        token = base64.b64encode(f"AWS:{SETTINGS['word']}".encode()).decode()
        answer({"authorizationData": [{"authorizationToken": token, "proxyEndpoint": f"https://{SETTINGS['registry']}"}]})
    if calls("eks", "get-token"):
        answer({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1beta1", "spec": {}, "status": {"token": SETTINGS["token"]}})
    for operation, answered, id, kind in [
        ("describe-volumes", "Volumes", "VolumeId", "aws_volume"),
        ("describe-snapshots", "Snapshots", "SnapshotId", "aws_snapshot"),
        ("describe-security-groups", "SecurityGroups", "GroupId", "aws_security_group"),
    ]:
        if calls("ec2", operation):
            answer({answered: [{id: it["id"]} for it in of(kind)]})
    if calls("ec2", "describe-instances"):
        answer({"Reservations": []})
    if calls("resourcegroupstaggingapi", "get-resources"):
        answer({"ResourceTagMappingList": [{"ResourceARN": it["id"]} for it in of("aws_lb")]})
    if calls("eks", "list-clusters"):
        answer({"clusters": [it["name"] for it in of("aws_eks_cluster")]})
    if calls("eks", "describe-cluster"):
        found = [it for it in of("aws_eks_cluster") if it["name"] == after("--name")]
        if not found:
            fail("An error occurred (ResourceNotFoundException) when calling the DescribeCluster operation: No cluster found")
        tags = read(os.path.join("inventory", f"{found[0]['id']}.json"), {}).get("values", {}).get("tags_all") or {}
        answer({"cluster": {"name": after("--name"), "status": "ACTIVE", "tags": tags}})
    if calls("ecr", "describe-repositories"):
        answer({"repositories": [{"repositoryName": it["name"]} for it in of("aws_ecr_repository")]})
    if calls("iam", "get-role"):
        if after("--role-name") in [it["name"] for it in of("aws_iam_role")]:
            answer({"Role": {"RoleName": after("--role-name")}})
        fail("An error occurred (NoSuchEntity) when calling the GetRole operation: The role cannot be found.")


def az():
    if not SETTINGS.get("login", True):
        fail("ERROR: Please run 'az login' to setup account.", 1)
    account = SETTINGS.get("account", "00000000-1111-2222-3333-444444444444")
    used, most = SETTINGS.get("quota", [1, 10])
    if calls("account", "get-access-token"):
        if "accessToken" not in ARGUMENTS:
            answer("2026-12-31 12:00:00.000000")
        if "--resource" in ARGUMENTS:
            answer(SETTINGS["token"])
        claims = {"tid": "99999999-8888-7777-6666-555555555555", "oid": "55555555-6666-7777-8888-999999999999"}
        answer("head." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".signature")
    if calls("account", "show"):
        answer({"id": account, "name": "Trial", "tenantId": "99999999-8888-7777-6666-555555555555", "user": {"name": "dev@example.com", "type": "user"}})
    if calls("provider", "show"):
        answer("Registered")
    if calls("vm", "list-usage"):
        answer([{"name": {"value": "standardDASv5Family"}, "currentValue": str(used), "limit": str(most)}])
    if calls("acr", "login"):
        answer({"accessToken": SETTINGS["word"], "loginServer": SETTINGS["registry"]})
    if calls("group", "list"):
        answer([{"name": it["name"]} for it in of("azurerm_resource_group")])
    if calls("resource", "list"):
        kinds = {"azurerm_kubernetes_cluster": "Microsoft.ContainerService/managedClusters", "azurerm_container_registry": "Microsoft.ContainerRegistry/registries"}
        group = f"/subscriptions/{account}/resourceGroups/{of('azurerm_resource_group')[0]['name']}" if of("azurerm_resource_group") else ""
        answer([{"id": f"{group}/providers/{kinds[it['type']]}/{it['name']}"} for it in things() if it["type"] in kinds])
    if calls("role", "assignment", "list"):
        of_role = [it for it in of("azurerm_role_assignment") if it["values"].get("role_definition_name") == after("--role")]
        # The ID of the real one begins with its scope.
        answer([{"id": f"{after('--scope')}/providers/Microsoft.Authorization/roleAssignments/{it['id']}"} for it in of_role])
    if calls("aks", "update"):
        with open(os.path.join(FOLDER, "aks-updates"), "a") as file:
            print(*ARGUMENTS, file=file)
        # What AKS's add-on does in the cluster.
        name = "approuting-istio"
        one = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": name}, "spec": {"controllerName": "istio.io/gateway-controller"}}
        address = read("values.json", {})["azurerm_kubernetes_cluster"]["kube_config"][0]["host"]
        place = f"{address}/apis/gateway.networking.k8s.io/v1/gatewayclasses/{name}?fieldManager=aks"
        request = urllib.request.Request(place, json.dumps(one).encode(), {"Content-Type": "application/apply-patch+yaml"}, method="PATCH")
        urllib.request.urlopen(request).read()
        sys.exit(0)
    if calls("aks", "list"):
        answer([{"name": it["name"], "location": it["values"].get("location"), "tags": tags(it, "tags")} for it in of("azurerm_kubernetes_cluster")])


def gcloud():
    login = SETTINGS.get("login", True)
    if calls("auth", "print-access-token") or calls("auth", "application-default", "print-access-token"):
        if not login:
            fail("ERROR: (gcloud.auth.print-access-token) There was a problem refreshing your current auth tokens: Reauthentication required.", 1)
        # The registry takes the account's token as a password, and so does the cluster.
        answer(SETTINGS["token"])
    project = SETTINGS.get("account", "trial-1234")
    used, most = SETTINGS.get("quota", [0, 24])
    if calls("config", "get"):
        answer({"account": "dev@example.com", "project": project, "compute/zone": "europe-west1-b"}.get(ARGUMENTS[2], ""))
    if calls("services", "list"):
        usual = ["container.googleapis.com", "artifactregistry.googleapis.com", "compute.googleapis.com", "iam.googleapis.com"]
        answer([{"config": {"name": it}, "state": "ENABLED"} for it in SETTINGS.get("apis", usual)])
    if calls("compute", "regions", "describe"):
        answer({"quotas": [{"metric": "CPUS", "usage": float(used), "limit": float(most)}]})
    if calls("artifacts", "repositories", "describe"):
        answer({"name": f"projects/{project}/locations/europe-west1/repositories/{ARGUMENTS[3]}", "registryUri": f"{SETTINGS['registry']}/{project}/{ARGUMENTS[3]}"})
    if calls("artifacts", "repositories", "list"):
        answer([{"name": f"projects/{project}/locations/europe-west1/repositories/{it['name']}"} for it in of("google_artifact_registry_repository")])
    for words, kind, field in [
        (["container", "node-pools", "list"], "google_container_node_pool", "name"),
        (["container", "clusters", "list"], "google_container_cluster", "name"),
        (["compute", "disks", "list"], "google_compute_disk", "name"),
        (["compute", "forwarding-rules", "list"], "google_compute_forwarding_rule", "name"),
        (["compute", "firewall-rules", "list"], "google_compute_firewall", "name"),
        (["compute", "networks", "subnets", "list"], "google_compute_subnetwork", "name"),
        (["compute", "networks", "list"], "google_compute_network", "name"),
        (["iam", "service-accounts", "list"], "google_service_account", "email"),
    ]:
        if calls(*words):
            labels = [{field: it["name"], "location": it["values"].get("location"), "resourceLabels": tags(it, "resource_labels")} for it in of(kind)]
            answer(labels)


def tags(it, name):
    return (read(os.path.join("inventory", f"{it['id']}.json"), {}).get("values") or {}).get(name) or {}


NAME = os.path.basename(sys.argv[0])
ARGUMENTS = sys.argv[1:]
{"aws": aws, "az": az, "gcloud": gcloud}[NAME]()
fail(f"{NAME}: this test knows no answer to: {' '.join(ARGUMENTS)}", 3)
