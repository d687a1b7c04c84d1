//! Amazon EKS, through the AWS CLI.

mod things;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    env::Env,
    exposure::{Balancer, Front},
    graph::TaskId,
    provider::{
        Requirement,
        cloud::{
            account::repositories,
            adopt::Import,
            aws::things::{delete_role, of_ec2, rank, subnets},
            known::{Account, Known},
            vendor::{Login, Program, Thing, Vendor, ask, ask_for, exec, known, logged_out, read, refuse_without, strings, unset},
        },
    },
};

pub(super) struct Aws;

const TASK: TaskId = TaskId::Cluster;
const PROGRAM: Program = Program {
    name: "aws",
    login: "aws login, or aws sso login, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    from: "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
};
/// The tag of everything that the HCL makes.
const INSTANCE: &str = "dev.pocdeploy/instance";
/// The tag that EKS Auto Mode gives to what it makes (docs.aws.amazon.com/eks/latest/userguide/auto-cluster-iam-role.html).
const OF_CLUSTER: &str = "eks:eks-cluster-name";
/// The default of the variable `kubernetes` in deploy/eks/main.tf.
const KUBERNETES: &str = "1.36";

impl Vendor for Aws {
    fn title(&self) -> &'static str {
        "Amazon EKS"
    }

    fn program(&self) -> Program {
        PROGRAM
    }

    fn account(&self, env: &Env) -> Result<Account> {
        refuse_without(&PROGRAM)?;
        let said =
            ask(env, TASK, "aws", &["sts", "get-caller-identity", "--output", "json"]).map_err(|error| logged_out(&PROGRAM, &error))?;
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        Ok(Account { who: text("Arn"), account: text("Account"), region: region(env)? })
    }

    fn requirements(&self, env: &Env, account: &Account) -> Vec<Requirement> {
        vec![version(env, &account.region), vpcs(env, &account.region)]
    }

    fn variables(&self, env: &Env, known: &Known) -> Result<Value> {
        let tags = json!({
            "dev.pocdeploy/owner": known.account.who,
            "dev.pocdeploy/created": known.created.to_string(),
            "dev.pocdeploy/expires": known.expires.to_string(),
        });
        Ok(json!({ "region": known.account.region, "tags": tags, "repositories": repositories(env)? }))
    }

    fn registry_resources(&self) -> &'static [&'static str] {
        &["aws_ecr_repository"]
    }

    fn login(&self, env: &Env, known: &Known) -> Result<Login> {
        let said = ask(env, TASK, "aws", &["ecr", "get-authorization-token", "--region", &known.account.region, "--output", "json"])?;
        let first = &said["authorizationData"][0];
        let (token, endpoint) = (first["authorizationToken"].as_str(), first["proxyEndpoint"].as_str());
        let decoded = token.and_then(|it| STANDARD.decode(it).ok()).and_then(|it| String::from_utf8(it).ok());
        let decoded = decoded.context("`aws ecr get-authorization-token` answers without a token")?;
        let (user, password) = decoded.split_once(':').context("`aws ecr get-authorization-token` answers with a token of another form")?;
        let host = endpoint.context("`aws ecr get-authorization-token` answers without an endpoint")?;
        let host = host.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        Ok(Login { place: format!("{host}/{}", known.name), user: user.to_owned(), password: password.to_owned() })
    }

    fn exec(&self, _env: &Env, known: &Known) -> Value {
        let arguments = ["eks", "get-token", "--cluster-name", &known.name, "--region", &known.account.region, "--output", "json"];
        exec("v1beta1", "aws", &arguments)
    }

    fn balancer(&self, known: Option<&Known>) -> Balancer {
        // docs.aws.amazon.com/eks/latest/userguide/auto-configure-nlb.html
        let mut annotations = vec![("service.beta.kubernetes.io/aws-load-balancer-scheme", "internet-facing".to_owned())];
        if let Some(known) = known {
            let tags = format!("{INSTANCE}={},dev.pocdeploy/expires={}", known.name, known.expires);
            annotations.push(("service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags", tags));
        }
        Balancer { class: Some("eks.amazonaws.com/nlb"), annotations }
    }

    fn front(&self, known: Option<&Known>) -> Front {
        let tags = |it: &Known| vec![(INSTANCE, it.name.clone()), ("dev.pocdeploy/expires", it.expires.to_string())];
        Front { annotations: Vec::new(), tags: known.map(tags).unwrap_or_default() }
    }

    fn objects(&self, known: &Known) -> Vec<Value> {
        vec![
            // Auto Mode has no StorageClass of its own, and that of the name gp2 is of a provisioner that it does not have.
            json!({
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": { "name": "gp3", "annotations": { "storageclass.kubernetes.io/is-default-class": "true" } },
                "provisioner": "ebs.csi.eks.amazonaws.com",
                "volumeBindingMode": "WaitForFirstConsumer",
                "allowVolumeExpansion": true,
                "parameters": {
                    "type": "gp3",
                    "encrypted": "true",
                    "tagSpecification_1": format!("{INSTANCE}={}", known.name),
                    "tagSpecification_2": format!("dev.pocdeploy/expires={}", known.expires),
                },
            }),
            // Without it NetworkPolicies are accepted and ignored (docs.aws.amazon.com/eks/latest/userguide/auto-net-pol.html); the
            // built-in NodeClass has networkPolicy: DefaultAllow.
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": "amazon-vpc-cni", "namespace": "kube-system" },
                "data": { "enable-network-policy-controller": "true" },
            }),
        ]
    }

    fn clusters(&self, env: &Env, account: &Account) -> Result<Vec<Known>> {
        let region = account.region.as_str();
        let said = ask(env, TASK, "aws", &["eks", "list-clusters", "--region", region, "--output", "json"])?;
        let mut out = Vec::new();
        for name in strings(&said, "clusters", "") {
            // One that was just deleted, or that the login may not see, is not the tool's.
            let arguments = ["eks", "describe-cluster", "--name", &name, "--region", region, "--output", "json"];
            let said = ask_for(env, TASK, "aws", &arguments, &["ResourceNotFoundException", "AccessDenied"])?;
            out.extend(said.and_then(|it| known("eks", account, region, &it["cluster"]["tags"], "dev.pocdeploy/")));
        }
        Ok(out)
    }

    fn existing(&self, env: &Env, task: TaskId, known: &Known) -> Result<Vec<Import>> {
        let (name, region) = (known.name.as_str(), known.account.region.as_str());
        let mut out = Vec::new();
        let named = |address: &str, id: String| (address.to_owned(), id);
        for role in ["cluster", "node"] {
            let id = format!("{name}-{role}");
            let found = ask_for(env, task, "aws", &["iam", "get-role", "--role-name", &id, "--output", "json"], &["NoSuchEntity"])?;
            out.extend(found.map(|_| (format!("aws_iam_role.this[\"{role}\"]"), id)));
        }
        let own = format!("{name}/");
        let said = ask(env, task, "aws", &["ecr", "describe-repositories", "--region", region, "--output", "json"])?;
        let repositories = strings(&said, "repositories", "repositoryName");
        out.extend(repositories.filter_map(|it| Some((format!("aws_ecr_repository.this[\"{}\"]", it.strip_prefix(&own)?), it))));
        let filters = [format!("Name=tag:{INSTANCE},Values={name}"), format!("Name=tag:dev.pocdeploy/created,Values={}", known.created)];
        let of = |what: &str| {
            ask(env, task, "aws", &["ec2", what, "--region", region, "--output", "json", "--filters", &filters[0], &filters[1]])
        };
        out.extend(strings(&of("describe-vpcs")?, "Vpcs", "VpcId").map(|it| named("aws_vpc.this", it)));
        out.extend(
            strings(&of("describe-internet-gateways")?, "InternetGateways", "InternetGatewayId")
                .map(|it| named("aws_internet_gateway.this", it)),
        );
        out.extend(subnets(name, &of("describe-subnets")?, &of("describe-route-tables")?));
        let said = ask(env, task, "aws", &["eks", "list-clusters", "--region", region, "--output", "json"])?;
        out.extend(strings(&said, "clusters", "").filter(|it| it == name).map(|it| named("aws_eks_cluster.this", it)));
        Ok(out)
    }

    fn inventory(&self, env: &Env, task: TaskId, account: &Account, name: &str) -> Result<Vec<Thing>> {
        let region = account.region.as_str();
        let mut out = of_ec2(env, task, region, name)?;
        let filter = format!("Key={OF_CLUSTER},Values={name}");
        let kinds = "elasticloadbalancing:loadbalancer";
        let arguments = [
            "resourcegroupstaggingapi",
            "get-resources",
            "--region",
            region,
            "--output",
            "json",
            "--resource-type-filters",
            kinds,
            "--tag-filters",
            &filter,
        ];
        out.extend(strings(&ask(env, task, "aws", &arguments)?, "ResourceTagMappingList", "ResourceARN").map(|it| Thing {
            command: format!("aws elbv2 delete-load-balancer --load-balancer-arn {it} --region {region}"),
            what: format!("load balancer {it}"),
        }));
        let said = ask(env, task, "aws", &["eks", "list-clusters", "--region", region, "--output", "json"])?;
        out.extend(strings(&said, "clusters", "").filter(|it| it == name).map(|it| Thing {
            command: format!(
                "aws eks delete-cluster --name {it} --region {region} && aws eks wait cluster-deleted --name {it} --region {region}"
            ),
            what: format!("EKS cluster {it}"),
        }));
        let said = ask(env, task, "aws", &["ecr", "describe-repositories", "--region", region, "--output", "json"])?;
        let own = format!("{name}/");
        out.extend(strings(&said, "repositories", "repositoryName").filter(|it| it.starts_with(&own)).map(|it| Thing {
            command: format!("aws ecr delete-repository --repository-name {it} --force --region {region}"),
            what: format!("ECR repository {it}"),
        }));
        for role in ["cluster", "node"].map(|it| format!("{name}-{it}")) {
            let found = ask_for(env, task, "aws", &["iam", "get-role", "--role-name", &role, "--output", "json"], &["NoSuchEntity"])?;
            out.extend(found.map(|_| Thing { command: delete_role(&role), what: format!("IAM role {role}") }));
        }
        out.sort_by_key(|it| (rank(&it.what), it.what.clone()));
        out.dedup_by(|one, other| one.what == other.what);
        Ok(out)
    }

    fn longest_name(&self) -> usize {
        40
    }

    fn minutes(&self) -> (u64, u64) {
        (12, 10)
    }

    fn cluster_resource(&self) -> &'static str {
        "aws_eks_cluster"
    }
}

fn region(env: &Env) -> Result<String> {
    if let Some(set) = &env.config.cluster.region {
        return Ok(set.clone());
    }
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(set) = std::env::var(name).ok().filter(|it| !it.is_empty()) {
            return Ok(set);
        }
    }
    // It fails if nothing is set.
    match read(env, TASK, "aws", &["configure", "get", "region"]) {
        Ok(set) if !set.trim().is_empty() => Ok(set.trim().to_owned()),
        _ => Err(unset("cluster.region", "the region", "aws configure set region REGION")),
    }
}

/// Kubernetes' version is in its standard support: AWS bills six times the price after it.
fn version(env: &Env, region: &str) -> Requirement {
    const NAME: &str = "EKS version";
    let arguments = ["eks", "describe-cluster-versions", "--cluster-versions", KUBERNETES, "--region", region, "--output", "json"];
    let said = match ask(env, TASK, "aws", &arguments) {
        Ok(said) => said,
        Err(error) => return Requirement::unknown(NAME, &error),
    };
    let found = &said["clusterVersions"][0];
    // The older field is in lower case.
    let state = found["versionStatus"].as_str().or_else(|| found["status"].as_str()).unwrap_or_default().to_uppercase().replace('-', "_");
    let until = found["endOfStandardSupportDate"].as_str().unwrap_or_default().split('T').next().unwrap_or_default().to_owned();
    match state.as_str() {
        "STANDARD_SUPPORT" => Requirement::met(NAME, format!("Kubernetes {KUBERNETES} is in standard support until {until}")),
        "" => Requirement::missed(NAME, format!("EKS does not know Kubernetes {KUBERNETES} in {region}"), "choose another region"),
        _ => Requirement::missed(
            NAME,
            format!("Kubernetes {KUBERNETES} is out of standard support since {until}"),
            "use a newer version of this tool",
        ),
    }
}

/// The region has room for one more VPC; the usual quota is 5.
fn vpcs(env: &Env, region: &str) -> Requirement {
    const NAME: &str = "quota of VPCs";
    let quota = [
        "service-quotas",
        "get-service-quota",
        "--service-code",
        "vpc",
        "--quota-code",
        "L-F678F1CE",
        "--region",
        region,
        "--output",
        "json",
    ];
    let used = ["ec2", "describe-vpcs", "--region", region, "--output", "json"];
    let asked = ask(env, TASK, "aws", &quota).and_then(|quota| Ok((quota, ask(env, TASK, "aws", &used)?)));
    let (quota, used) = match asked {
        Ok(asked) => asked,
        Err(error) => return Requirement::unknown(NAME, &error),
    };
    let Some(most) = quota["Quota"]["Value"].as_f64() else {
        return Requirement::unknown(NAME, &anyhow::anyhow!("the answer has no value"));
    };
    let count = strings(&used, "Vpcs", "VpcId").count();
    let found = format!("{count} of {most:.0} in {region}");
    if (count as f64) < most {
        Requirement::met(NAME, found)
    } else {
        Requirement::missed(
            NAME,
            found,
            "delete a VPC, choose another region, or ask for more: aws service-quotas request-service-quota-increase",
        )
    }
}
