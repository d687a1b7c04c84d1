//! Azure Kubernetes Service, through the Azure CLI.

use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use xshell::cmd;

use crate::{
    cluster::{Cluster, ObjectId, Verdict, Wait},
    env::Env,
    exposure::Balancer,
    fingerprint::Fingerprint,
    graph::TaskId,
    provider::{
        Requirement,
        cloud::{
            adopt::Import,
            known::{Account, Known},
            vendor::{Login, Program, Thing, Vendor, ask, exec_token, known, logged_out, read, refuse_without, strings, unset},
        },
    },
};

pub(super) struct Azure;

const TASK: TaskId = TaskId::Cluster;
const PROGRAM: Program = Program { name: "az", login: "az login", from: "https://learn.microsoft.com/cli/azure/install-azure-cli" };
/// The tag of everything that the HCL makes.
const INSTANCE: &str = "dev.pocdeploy-instance";
/// The user's name beside a token, for Azure's registries (learn.microsoft.com/azure/container-registry/container-registry-authentication).
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";
/// The role that the HCL assigns to administrators.
const ADMIN: &str = "Azure Kubernetes Service RBAC Cluster Admin";
/// AKS changes a cluster in two to ten minutes.
const UPDATE_LIMIT: Duration = Duration::from_secs(1200);
/// Its add-on starts after that.
const CLASS_LIMIT: Duration = Duration::from_secs(300);
/// The application of AKS in Microsoft Entra, for which tokens are asked (azure.github.io/kubelogin/concepts/aks.html).
const AKS: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

impl Vendor for Azure {
    fn title(&self) -> &'static str {
        "Azure Kubernetes Service"
    }

    fn program(&self) -> Program {
        PROGRAM
    }

    fn account(&self, env: &Env) -> Result<Account> {
        refuse_without(&PROGRAM)?;
        // Unlike `account show`, this fails if the login has expired.
        read(env, TASK, "az", &["account", "get-access-token", "--query", "expiresOn", "--output", "tsv"])
            .map_err(|error| logged_out(&PROGRAM, &error))?;
        let mut arguments = vec!["account", "show", "--output", "json"];
        if let Some(subscription) = &env.config.cluster.account {
            arguments.extend(["--subscription", subscription]);
        }
        let said = ask(env, TASK, "az", &arguments).map_err(|error| logged_out(&PROGRAM, &error))?;
        let location = env.config.cluster.region.clone();
        Ok(Account {
            who: said["user"]["name"].as_str().unwrap_or_default().to_owned(),
            account: said["id"].as_str().unwrap_or_default().to_owned(),
            region: location.ok_or_else(|| unset("cluster.region", "the location", "POCDEPLOY_CLUSTER_REGION=germanywestcentral"))?,
        })
    }

    fn requirements(&self, env: &Env, account: &Account) -> Vec<Requirement> {
        let mut out: Vec<Requirement> = ["Microsoft.ContainerService", "Microsoft.ContainerRegistry"]
            .into_iter()
            .map(|it| match registered(env, account, it) {
                Ok(true) => Requirement::met("resource provider", format!("{it} is registered")),
                Ok(false) => Requirement::missed(
                    "resource provider",
                    format!("{it} is not registered in subscription {}", account.account),
                    format!("az provider register --namespace {it} --subscription {} --wait", account.account),
                ),
                Err(error) => Requirement::unknown("resource provider", &error),
            })
            .collect();
        out.push(cores(env, account));
        out
    }

    fn variables(&self, env: &Env, known: &Known) -> Result<Value> {
        let tags = json!({
            "dev.pocdeploy-owner": known.account.who,
            "dev.pocdeploy-created": known.created.to_string(),
            "dev.pocdeploy-expires": known.expires.to_string(),
        });
        let (tenant, admin) = administrator(env, known)?;
        Ok(json!({
            "subscription": known.account.account,
            "location": known.account.region,
            "registry": registry(known),
            "tenant": tenant,
            "admins": [admin],
            "tags": tags,
        }))
    }

    fn registry_resources(&self) -> &'static [&'static str] {
        &["azurerm_container_registry"]
    }

    fn login(&self, env: &Env, known: &Known) -> Result<Login> {
        let name = registry(known);
        let arguments = ["acr", "login", "--name", &name, "--subscription", &known.account.account, "--expose-token", "--output", "json"];
        let said = ask(env, TASK, "az", &arguments)?;
        let text = |name: &str| said[name].as_str().map(str::to_owned).with_context(|| format!("`az acr login` answers without {name}"));
        Ok(Login { place: text("loginServer")?, user: TOKEN_USER.to_owned(), password: text("accessToken")? })
    }

    fn exec(&self, _env: &Env, known: &Known) -> Value {
        let account = &known.account.account;
        exec_token(&format!("az account get-access-token --resource {AKS} --subscription {account} --query accessToken --output tsv"))
    }

    fn balancer(&self, _known: Option<&Known>) -> Balancer {
        Balancer::default()
    }

    fn objects(&self, _known: &Known) -> Vec<Value> {
        Vec::new()
    }

    // azurerm has no argument for it (hashicorp/terraform-provider-azurerm#31710), and the Azure CLI has had these since 2.86.
    fn serve_gateways(&self, env: &Env, cluster: &Cluster, known: &Known) -> Result<()> {
        let class = ObjectId::new("gateway.networking.k8s.io/v1", "GatewayClass", "", "approuting-istio");
        let is_there = || -> Result<bool> {
            let found = cluster.list_if_known(&class.api_version, &class.kind, "", "")?;
            Ok(found.iter().any(|it| it["metadata"]["name"] == class.name.as_str()))
        };
        if is_there()? {
            return Ok(());
        }
        let (name, subscription) = (known.name.as_str(), known.account.account.as_str());
        let sh = env.tools.shell(&env.project)?;
        let update = ["aks", "update", "--resource-group", name, "--name", name, "--subscription", subscription];
        let switches = ["--enable-gateway-api", "--enable-app-routing-istio", "--output", "none"];
        env.tools.read_within(TASK, cmd!(sh, "az {update...} {switches...}"), UPDATE_LIMIT)?;
        let what = class.to_string();
        let wait = Wait::new(env, &what, CLASS_LIMIT);
        cluster
            .wait_for(env, TASK, &wait, || Ok(if is_there()? { Verdict::Yes } else { Verdict::NotYet("it does not exist yet".to_owned()) }))
    }

    fn clusters(&self, env: &Env, account: &Account) -> Result<Vec<Known>> {
        let said = ask(env, TASK, "az", &["aks", "list", "--subscription", &account.account, "--output", "json"])?;
        Ok(said
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| known("aks", account, it["location"].as_str()?, &it["tags"], "dev.pocdeploy-"))
            .collect())
    }

    fn existing(&self, env: &Env, task: TaskId, known: &Known) -> Result<Vec<Import>> {
        let (name, subscription) = (known.name.as_str(), known.account.account.as_str());
        let group = format!("/subscriptions/{subscription}/resourceGroups/{name}");
        let groups = ask(env, task, "az", &["group", "list", "--subscription", subscription, "--output", "json"])?;
        if !strings(&groups, "", "name").any(|it| it == name) {
            return Ok(Vec::new());
        }
        let arguments = ["resource", "list", "--resource-group", name, "--subscription", subscription, "--output", "json"];
        let resources: Vec<String> = strings(&ask(env, task, "az", &arguments)?, "", "id").collect();
        let mut out = vec![("azurerm_resource_group.this".to_owned(), group.clone())];
        let registry = format!("{group}/providers/Microsoft.ContainerRegistry/registries/{}", registry(known));
        let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/{name}");
        let (_, admin) = administrator(env, known)?;
        for (address, id, role, assigned) in [
            ("azurerm_container_registry.this", registry, "AcrPull", "azurerm_role_assignment.pull".to_owned()),
            ("azurerm_kubernetes_cluster.this", cluster, ADMIN, format!("azurerm_role_assignment.admin[\"{admin}\"]")),
        ] {
            if !resources.iter().any(|it| it.eq_ignore_ascii_case(&id)) {
                continue;
            }
            let arguments =
                ["role", "assignment", "list", "--scope", &id, "--role", role, "--subscription", subscription, "--output", "json"];
            let assignments = ask(env, task, "az", &arguments)?;
            // Those of a wider scope are listed too.
            let own = strings(&assignments, "", "id").find(|it| it.to_lowercase().starts_with(&id.to_lowercase()));
            out.push((address.to_owned(), id));
            out.extend(own.map(|it| (assigned, it)));
        }
        Ok(out)
    }

    fn inventory(&self, env: &Env, task: TaskId, account: &Account, name: &str) -> Result<Vec<Thing>> {
        let subscription = account.account.as_str();
        let mut out = Vec::new();
        let arguments = ["group", "list", "--subscription", subscription, "--output", "json"];
        // AKS makes a group of its own for nodes, disks and load balancers, named after group, cluster and location.
        let nodes = format!("MC_{name}_{name}_");
        out.extend(strings(&ask(env, task, "az", &arguments)?, "", "name").filter(|it| it == name || it.starts_with(&nodes)).map(|it| {
            Thing { command: format!("az group delete --name {it} --subscription {subscription}"), what: format!("resource group {it}") }
        }));
        let tag = format!("{INSTANCE}={name}");
        let arguments = ["resource", "list", "--tag", &tag, "--subscription", subscription, "--output", "json"];
        out.extend(
            strings(&ask(env, task, "az", &arguments)?, "", "id")
                .map(|it| Thing { command: format!("az resource delete --ids {it}"), what: format!("resource {it}") }),
        );
        Ok(out)
    }

    fn longest_name(&self) -> usize {
        40
    }

    fn minutes(&self) -> (u64, u64) {
        (6, 6)
    }

    fn cluster_resource(&self) -> &'static str {
        "azurerm_kubernetes_cluster"
    }
}

/// The registry's name, of which there is only one in all of Azure: letters and digits, 5 to 50.
fn registry(known: &Known) -> String {
    let mut key = Fingerprint::new();
    key.add("subscription", &known.account.account);
    key.add("name", &known.name);
    let name: String = known.name.chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    format!("{name}{}", &key.short()[..8])
}

/// The directory in Microsoft Entra, and the object in it that administers the cluster: that of the login, by the claims of its token, which a
/// service principal or a managed identity has too, without permissions in the directory.
fn administrator(env: &Env, known: &Known) -> Result<(String, String)> {
    let arguments = ["account", "get-access-token", "--subscription", &known.account.account, "--query", "accessToken", "--output", "tsv"];
    let token = read(env, TASK, "az", &arguments)?;
    env.withhold([token.trim().to_owned()].into_iter());
    claims(token.trim()).context("the token of `az account get-access-token` has no claims `tid` and `oid`")
}

/// `tid` and `oid` of a JSON Web Token.
fn claims(token: &str) -> Option<(String, String)> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Some((claims["tid"].as_str()?.to_owned(), claims["oid"].as_str()?.to_owned()))
}

fn registered(env: &Env, account: &Account, provider: &str) -> Result<bool> {
    let arguments = [
        "provider",
        "show",
        "--namespace",
        provider,
        "--subscription",
        &account.account,
        "--query",
        "registrationState",
        "--output",
        "tsv",
    ];
    Ok(read(env, TASK, "az", &arguments)?.trim() == "Registered")
}

/// The family of Standard_D2as_v5 has two cores left.
fn cores(env: &Env, account: &Account) -> Requirement {
    const NAME: &str = "quota of cores";
    let arguments = ["vm", "list-usage", "--location", &account.region, "--subscription", &account.account, "--output", "json"];
    let said = match ask(env, TASK, "az", &arguments) {
        Ok(said) => said,
        Err(error) => return Requirement::unknown(NAME, &error),
    };
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let family = said
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["name"]["value"].as_str().is_some_and(|it| it.eq_ignore_ascii_case("standardDASv5Family")));
    match family.and_then(|it| Some((number(&it["currentValue"])?, number(&it["limit"])?))) {
        None => Requirement::unknown(NAME, &anyhow::anyhow!("{} does not list the family standardDASv5Family", account.region)),
        Some((used, most)) if used + 2 <= most => Requirement::met(NAME, format!("{used} of {most} of standardDASv5Family are used")),
        Some((used, most)) => Requirement::missed(
            NAME,
            format!("{used} of {most} of standardDASv5Family are used; the node needs 2"),
            "choose another `cluster.region`, or ask for more in the portal under Quotas",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claims_of_a_token_name_directory_and_object() {
        let token = format!("head.{}.signature", URL_SAFE_NO_PAD.encode(r#"{"tid":"t","oid":"o","aud":"x"}"#));
        assert_eq!(claims(&token), Some(("t".to_owned(), "o".to_owned())));
        assert_eq!([claims("no token"), claims("a.b.c")], [None, None]);
    }

    #[test]
    fn a_registrys_name_has_letters_and_digits_only_and_depends_on_the_subscription() {
        let known = |name: &str, account: &str| Known {
            kind: "aks".to_owned(),
            name: name.to_owned(),
            account: Account { account: account.to_owned(), ..Account::default() },
            created: 0,
            expires: 0,
            inputs: None,
            finished: false,
        };
        let name = registry(&known("polls-ab12", "one"));
        assert!(name.starts_with("pollsab12") && name.chars().all(|it| it.is_ascii_digit() || it.is_ascii_lowercase()), "{name}");
        assert_ne!(name, registry(&known("polls-ab12", "other")));
        assert!((5..=50).contains(&registry(&known("a", "one")).len()) && registry(&known(&"a-".repeat(20), "one")).len() <= 50);
    }
}
