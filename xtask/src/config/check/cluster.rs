//! The keys that a type of cluster requires, and those that it does not know.

use std::net::IpAddr;

use crate::config::{
    ClusterConfig, ClusterType, Expose,
    form::{control_character, image_place},
};

/// Checks `[cluster]`.
pub(super) fn check(cluster: &ClusterConfig, check: &mut impl FnMut(&str, Option<String>)) {
    if cluster.port == Some(0) {
        check("cluster.port", Some("must be between 1 and 65535".to_owned()));
    }
    if !(1..=365).contains(&cluster.expires_days) {
        check("cluster.expires_days", Some("must be between 1 and 365".to_owned()));
    }
    // Each needs about 200 MB of memory, and its pods' besides.
    if cluster.workers.is_some_and(|it| it > 10) {
        check("cluster.workers", Some("must be between 0 and 10".to_owned()));
    }
    foreign(cluster, check);
    match cluster.kind {
        ClusterType::Existing => existing(cluster, check),
        kind if kind.is_cloud() => cloud(cluster, check),
        _ => {}
    }
    for (key, value) in [("cluster.registry", &cluster.registry), ("cluster.pull_registry", &cluster.pull_registry)] {
        check(key, value.as_deref().and_then(image_place));
    }
}

/// Keys for other types of clusters.
fn foreign(cluster: &ClusterConfig, check: &mut impl FnMut(&str, Option<String>)) {
    use ClusterType::{Aks, Eks, Existing, Gke, Kind};
    // A file of type kind may have `region`, `account` and `allowed_cidrs`, for `--type`.
    const NOT_KIND: &[ClusterType] = &[Existing, Eks, Aks, Gke];
    for (key, is_set, types) in [
        ("cluster.port", cluster.port.is_some(), &[Kind] as &[ClusterType]),
        ("cluster.workers", cluster.workers.is_some(), &[Kind]),
        ("cluster.kubeconfig", cluster.kubeconfig.is_some(), &[Existing]),
        ("cluster.context", cluster.context.is_some(), &[Existing]),
        ("cluster.registry", cluster.registry.is_some(), NOT_KIND),
        ("cluster.pull_registry", cluster.pull_registry.is_some(), NOT_KIND),
        ("cluster.expose", cluster.expose.is_some(), NOT_KIND),
    ] {
        if is_set && !types.contains(&cluster.kind) {
            let names: Vec<String> = types.iter().map(|it| format!("`{it}`")).collect();
            check(key, Some(format!("is for clusters of type {}", names.join(", "))));
        }
    }
}

fn existing(cluster: &ClusterConfig, check: &mut impl FnMut(&str, Option<String>)) {
    for (key, value, example) in [
        ("cluster.context", &cluster.context, "a context of the kubeconfig; `kubectl config get-contexts` lists them"),
        ("cluster.registry", &cluster.registry, "where images are pushed to, such as registry.example.com/team"),
    ] {
        let is_given = value.as_deref().is_some_and(|it| !it.trim().is_empty());
        check(key, (!is_given).then(|| format!("a cluster of type `existing` needs it: {example}")));
    }
}

fn cloud(cluster: &ClusterConfig, check: &mut impl FnMut(&str, Option<String>)) {
    if cluster.expose == Some(Expose::NodePort) {
        check(
            "cluster.expose",
            Some("no rule lets anything in to the nodes of a cloud; `load-balancer` and `ingress` are possible".to_owned()),
        );
    }
    if cluster.registry.is_none() && cluster.pull_registry.is_some() {
        check("cluster.pull_registry", Some("is the nodes' name for `cluster.registry`, which is not set".to_owned()));
    }
    let is_name = |it: &str| {
        let is_word = it.starts_with(|it: char| it.is_ascii_alphanumeric());
        is_word && it.len() <= 64 && it.chars().all(|it| it.is_ascii_alphanumeric() || "-.:".contains(it))
    };
    for (key, value, example) in [
        ("cluster.region", &cluster.region, if cluster.kind == ClusterType::Gke { "europe-west1-b" } else { "eu-central-1" }),
        ("cluster.account", &cluster.account, "my-project-1234"),
    ] {
        check(key, value.as_deref().filter(|it| !is_name(it)).map(|it| format!("`{it}` is no name such as `{example}`")));
    }
    check("cluster.backend", backend(cluster));
    if cluster.allowed_cidrs.is_empty() {
        let why = format!(
            "a cluster of type `{}` needs it: the addresses that may reach its API server, such as [\"192.0.2.7/32\"]",
            cluster.kind
        );
        check("cluster.allowed_cidrs", Some(why));
    }
    check("cluster.allowed_cidrs", cluster.allowed_cidrs.iter().find_map(|it| range(it)));
}

/// What is wrong with the place of the state.
fn backend(cluster: &ClusterConfig) -> Option<String> {
    if cluster.backend.is_empty() {
        return None;
    }
    if !cluster.backend.contains_key("type") {
        return Some("needs `type`, such as \"s3\", \"azurerm\" or \"gcs\"".to_owned());
    }
    let is_secret = |it: &&String| {
        ["secret", "password", "token", "access_key", "sas", "credentials", "conn_str", "encryption_key", "customer_key"]
            .iter()
            .any(|part| it.contains(part))
    };
    let names_a_user = |it: &(&String, &String)| it.1.contains("://") && it.1.contains('@');
    if let Some((key, why)) = cluster.backend.iter().find_map(|(key, it)| Some((key, control_character(it)?))) {
        return Some(format!("`{key}` {why}"));
    }
    // In its JSON, OpenTofu evaluates both.
    let evaluated = cluster.backend.iter().find(|it| it.1.contains("${") || it.1.contains("%{"));
    if let Some((key, _)) = evaluated {
        return Some(format!("`{key}` has `${{` or `%{{`, which would be an expression: write the value itself"));
    }
    let secret = cluster.backend.keys().find(is_secret).or_else(|| cluster.backend.iter().find(names_a_user).map(|it| it.0))?;
    Some(format!("`{secret}` does not belong into a file: the backend reads it from the environment"))
}

/// Why the text is no range of IPv4 addresses, as the three clouds take it.
fn range(text: &str) -> Option<String> {
    let parsed = text.split_once('/').and_then(|(address, bits)| Some((address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?)));
    match parsed {
        Some((IpAddr::V4(_), 0)) => Some(format!("`{text}` opens the API server to everyone")),
        Some((IpAddr::V4(address), bits @ 1..=32)) => {
            let inside = u32::from(address) & u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            (inside != 0).then(|| format!("`{text}` has bits after its first {bits}; a single address ends in /32"))
        }
        _ => Some(format!("`{text}` is no range of IPv4 addresses, such as `192.0.2.7/32`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn complaints(text: &str) -> Vec<String> {
        let config: Config = toml::from_str(&format!("[cluster]\n{text}")).unwrap();
        let mut out = Vec::new();
        check(&config.cluster, &mut |key, text| out.extend(text.map(|it| format!("{key}: {it}"))));
        out
    }

    #[test]
    fn each_type_of_cluster_has_its_own_keys() {
        for (text, expected) in [
            ("type = \"kind\"\nport = 8080\n", vec![]),
            ("type = \"kind\"\nregion = \"x\"\nallowed_cidrs = [\"192.0.2.7/32\"]\n", vec![]),
            ("type = \"kind\"\nexpose = \"ingress\"\n", vec!["cluster.expose: is for clusters of type `existing`, `eks`, `aks`, `gke`"]),
            ("type = \"existing\"\ncontext = \"a\"\nregistry = \"r.example.com\"\n", vec![]),
            ("type = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nregion = \"eu-central-1\"\n", vec![]),
            (
                "type = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\ncontext = \"a\"\n",
                vec!["cluster.context: is for clusters of type `existing`"],
            ),
            (
                "type = \"aks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\nexpose = \"node-port\"\n",
                vec!["cluster.expose: no rule lets anything in to the nodes of a cloud; `load-balancer` and `ingress` are possible"],
            ),
            (
                "type = \"gke\"\n",
                vec![
                    "cluster.allowed_cidrs: a cluster of type `gke` needs it: the addresses that may reach its API server, such as [\"192.0.2.7/32\"]",
                ],
            ),
        ] {
            assert_eq!(complaints(text), expected, "{text}");
        }
    }

    #[test]
    fn a_backend_has_a_type_and_no_secret() {
        let start = "type = \"eks\"\nallowed_cidrs = [\"192.0.2.7/32\"]\n[cluster.backend]\n";
        for (text, part) in [
            ("type = \"s3\"\nbucket = \"b\"\n", None),
            ("bucket = \"b\"\n", Some("needs `type`")),
            ("type = \"http\"\naddress = \"https://u:p@h\"\n", Some("`address` does not belong into a file")),
            ("type = \"s3\"\nsecret_key = \"x\"\n", Some("`secret_key` does not belong into a file")),
        ] {
            let found = complaints(&format!("{start}{text}"));
            assert_eq!(found.len(), part.iter().count(), "{found:?}");
            assert!(found.concat().contains(part.unwrap_or_default()), "{found:?}");
        }
    }

    #[test]
    fn only_a_range_of_addresses_is_one() {
        for (text, part) in [
            ("192.0.2.7/32", None),
            ("192.0.2.0/24", None),
            ("128.0.0.0/1", None),
            ("0.0.0.0/0", Some("opens the API server to everyone")),
            ("192.0.2.7/24", Some("has bits after its first 24")),
            ("192.0.2.7", Some("no range")),
            ("192.0.2.7/33", Some("no range")),
            ("::1/128", Some("no range")),
            ("", Some("no range")),
        ] {
            let found = range(text);
            assert_eq!(found.is_some(), part.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().contains(part.unwrap_or_default()), "{text}");
        }
    }
}
