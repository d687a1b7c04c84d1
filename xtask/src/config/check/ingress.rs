//! The Ingress controller, the tool's or the cluster's, and what it leads to.

use crate::{
    config::{
        Api, ClusterType, Config, Expose, Tls,
        form::{host_name, label, url_path},
    },
    exposure::is_local,
};

/// Checks `[ingress]`, and the routes of further services.
pub(super) fn check(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    if config.cluster.kind == ClusterType::Kind {
        own(config, check);
    } else {
        of_others(config, check);
    }
    routes(config, check);
}

/// On kind the tool brings the controller.
fn own(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    let ingress = &config.ingress;
    let why = || "needs a controller: `ingress.controller = \"traefik\"`".to_owned();
    let has_none = config.controller().is_none();
    check("ingress.api", (ingress.api == Api::Gateway && has_none).then(why));
    check("ingress.tls", (ingress.tls == Tls::Local && has_none).then(why));
    if ingress.tls == Tls::Local {
        let first = ("frontend.host".to_owned(), config.frontend.host.clone());
        for (key, host) in std::iter::once(first).chain(config.routes().map(|it| (format!("services.{}.route", it.service), it.host))) {
            let why = format!("`local` certifies names under `.localhost` only, and {key} is `{host}`");
            check("ingress.tls", (!is_local(&host)).then_some(why));
        }
    }
    for (key, is_set) in for_others(config) {
        check(key, is_set.then(|| "is for clusters of type `existing`, `eks`, `aks`, `gke`".to_owned()));
    }
}

/// The keys for a controller that the cluster has, and whether they are set.
fn for_others(config: &Config) -> [(&'static str, bool); 5] {
    let it = &config.ingress;
    [
        ("ingress.tls", matches!(it.tls, Tls::CertManager | Tls::External)),
        ("ingress.class", it.class.is_some()),
        ("ingress.gateway", it.gateway.is_some()),
        ("ingress.issuer", it.issuer.is_some()),
        ("ingress.certificate", it.certificate.is_some()),
    ]
}

/// Other clusters have a controller of their own.
fn of_others(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    let (kind, ingress) = (config.cluster.kind, &config.ingress);
    if config.controller().is_some() {
        let what = format!("`{}` is for clusters of type `kind`; others have controllers of their own: ", ingress.controller);
        check("ingress.controller", Some(what + "`cluster.expose = \"ingress\"` uses one"));
    }
    let local = "`local` is for clusters of type `kind`; `cert-manager` and `external` are for others";
    check("ingress.tls", (ingress.tls == Tls::Local).then(|| local.to_owned()));
    if !config.is_behind_others() {
        let is_gateway = ingress.api == Api::Gateway;
        for (key, is_set) in for_others(config).into_iter().chain([("ingress.api", is_gateway)]) {
            check(key, is_set.then(|| "needs the cluster's controller: `cluster.expose = \"ingress\"`".to_owned()));
        }
        return;
    }
    if kind.is_cloud() && is_local(&config.frontend.host) {
        let why =
            format!("`{}` is this machine; a controller in a cloud needs a name for which you can make a DNS record", config.frontend.host);
        check("frontend.host", Some(why));
    }
    form(config, check);
    if ingress.api == Api::Gateway {
        let why = match kind {
            ClusterType::Eks | ClusterType::Gke => {
                format!(
                    "`gateway` needs a Gateway that {kind} does not bring: name yours in `ingress.gateway`, or its class in `ingress.class`"
                )
            }
            _ => "`gateway` needs `ingress.gateway`, the Gateway that routes join, or `ingress.class`, a GatewayClass".to_owned(),
        };
        check("ingress.api", (ingress.gateway.is_none() && config.class_of_others().is_none()).then_some(why));
        if ingress.gateway.is_none() {
            let why = "a Gateway that the tool makes has no certificate: `cert-manager`, or name yours in `ingress.gateway`";
            check("ingress.tls", (ingress.tls == Tls::External).then(|| why.to_owned()));
            let why = "the tool's Gateway is in a namespace of its own, where your Issuer is not: name a ClusterIssuer";
            let is_issuer = ingress.issuer.as_deref().is_some_and(|it| it.starts_with("Issuer/"));
            check("ingress.issuer", is_issuer.then(|| why.to_owned()));
            let why = "must have at most 55 characters: the Gateway's namespace has its name and `-gateway`";
            check("namespace", (config.namespace.len() > 55).then(|| why.to_owned()));
        }
        let both = "is of a Gateway that the tool makes, and `ingress.gateway` names one that the cluster has";
        check("ingress.class", (ingress.gateway.is_some() && ingress.class.is_some()).then(|| both.to_owned()));
    } else {
        check("ingress.gateway", ingress.gateway.is_some().then(|| "needs `ingress.api = \"gateway\"`".to_owned()));
        if kind == ClusterType::Aks {
            let why =
                "`ingress` needs a controller on AKS: `ingress.api = \"gateway\"` for its own, or `ingress.class` of one that you bring";
            check("cluster.expose", ingress.class.is_none().then(|| why.to_owned()));
        }
    }
    certificate(config, check);
}

/// The forms of names.
fn form(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    let ingress = &config.ingress;
    // A class is a DNS name of several labels (RFC 1123).
    let class = ingress.class.as_deref().and_then(|it| it.split('.').find_map(|part| label(part, 63)));
    check("ingress.class", class);
    let gateway = ingress.gateway.as_deref().and_then(|it| {
        let parts: Vec<&str> = it.split('/').collect();
        let good = parts.len() == 2 && label(parts[0], 63).is_none() && parts[1].split('.').all(|part| label(part, 63).is_none());
        (!good).then(|| format!("`{it}` must read `NAMESPACE/NAME`"))
    });
    check("ingress.gateway", gateway);
    let issuer = ingress.issuer.as_deref().and_then(|it| {
        let name = it.split_once('/').map_or(Some(it), |(kind, name)| ["Issuer", "ClusterIssuer"].contains(&kind).then_some(name));
        let good = name.is_some_and(|it| it.split('.').all(|part| label(part, 63).is_none()));
        (!good).then(|| format!("`{it}` must be the name of a ClusterIssuer, or `Issuer/NAME`"))
    });
    check("ingress.issuer", issuer);
}

/// Where the certificate comes from.
fn certificate(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    let (kind, ingress) = (config.cluster.kind, &config.ingress);
    let is_cert_manager = ingress.tls == Tls::CertManager;
    if ingress.issuer.is_none() {
        let why = "`cert-manager` needs `ingress.issuer`; `kubectl get clusterissuers` lists those of the cluster";
        check("ingress.tls", is_cert_manager.then(|| why.to_owned()));
    }
    check("ingress.issuer", (ingress.issuer.is_some() && !is_cert_manager).then(|| "needs `ingress.tls = \"cert-manager\"`".to_owned()));
    if ingress.gateway.is_some() {
        let why = "the certificates of a Gateway that the cluster has are its own: `external`, or `none` for plain HTTP";
        check("ingress.tls", is_cert_manager.then(|| why.to_owned()));
    }
    // The cloud's own controller, which reads no Secret on EKS.
    let is_own = ingress.api == Api::Ingress && ingress.class.is_none() && matches!(kind, ClusterType::Eks | ClusterType::Gke);
    if is_own && kind == ClusterType::Eks {
        let why = "EKS's load balancers read certificates from AWS Certificate Manager alone: `external`, with `ingress.certificate`";
        check("ingress.tls", is_cert_manager.then(|| why.to_owned()));
    }
    if is_own && ingress.tls == Tls::External {
        let example =
            if kind == ClusterType::Eks { "the ARN of one in AWS Certificate Manager" } else { "the name of a global SSL certificate" };
        check("ingress.tls", ingress.certificate.is_none().then(|| format!("`external` needs `ingress.certificate`: {example}")));
    }
    if let Some(name) = &ingress.certificate {
        let good = if kind == ClusterType::Eks {
            name.starts_with("arn:") && (name.contains(":acm:") || name.contains(":server-certificate/"))
        } else {
            label(name, 63).is_none()
        };
        let why = match () {
            () if !is_own => Some("is for the load balancers of EKS and GKE; other controllers have their certificates already".to_owned()),
            () if ingress.tls != Tls::External => Some("needs `ingress.tls = \"external\"`".to_owned()),
            () if !good && kind == ClusterType::Eks => {
                Some(format!("`{name}` is no ARN of a certificate, `arn:aws:acm:REGION:ACCOUNT:certificate/ID`"))
            }
            () if !good => Some(format!("`{name}` is no name of an SSL certificate; `gcloud compute ssl-certificates list` lists them")),
            () => None,
        };
        check("ingress.certificate", why);
    }
}

/// The routes of further services.
fn routes(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    let mut taken = vec![(config.frontend.host.clone(), "/".to_owned())];
    for it in config.routes() {
        let key = format!("services.{}.route", it.service);
        check(&key, host_name(&it.host).or_else(|| url_path(&it.path)));
        if it.path.contains(['?', '#']) {
            check(&key, Some("is the start of a path, without a query".to_owned()));
        }
        if config.cluster.kind == ClusterType::Kind && config.controller().is_none() {
            check(&key, Some("needs a controller: `ingress.controller = \"traefik\"`".to_owned()));
        }
        if config.cluster.kind != ClusterType::Kind && config.cluster.expose != Some(Expose::Ingress) {
            check(&key, Some("needs the cluster's controller: `cluster.expose = \"ingress\"`".to_owned()));
        }
        if config.is_behind_others() && config.cluster.kind == ClusterType::Gke && config.class_of_others() == Some("gce") {
            check(&key, Some("GKE gives each Ingress an address of its own; `ingress.class` names a controller that does not".to_owned()));
        }
        if config.service(Some(it.service)).port.is_none() {
            check(&key, Some(format!("leads nowhere: services.{}.port is not set", it.service)));
        }
        if !it.page.starts_with(it.path.as_str()) {
            let why = format!("needs services.{}.page below it, which must answer 200, such as `{}`", it.service, it.path);
            check(&key, Some(why));
        }
        let place = (it.host, it.path);
        if taken.contains(&place) {
            check(&key, Some(format!("`{}{}` leads to another service already", place.0, place.1)));
        }
        taken.push(place);
    }
}
