//! The Ingress controller, and what it leads to.

use crate::{
    config::{
        Api, ClusterType, Config, Expose, Tls,
        form::{host_name, url_path},
    },
    exposure::is_local,
};

/// Checks `[ingress]`, and the routes of further services.
pub(super) fn check(config: &Config, check: &mut impl FnMut(&str, Option<String>)) {
    if config.controller().is_some() && config.cluster.kind != ClusterType::Kind {
        let what = format!("`{}` is for clusters of type `kind`; others have controllers of their own: ", config.ingress.controller);
        check("ingress.controller", Some(what + "`cluster.expose = \"ingress\"` uses one"));
    }
    if config.ingress.api == Api::Gateway {
        let why = "needs a controller: `ingress.controller = \"traefik\"`";
        check("ingress.api", config.controller().is_none().then(|| why.to_owned()));
    }
    if config.ingress.tls == Tls::Local {
        let why = "needs a controller: `ingress.controller = \"traefik\"`";
        check("ingress.tls", config.controller().is_none().then(|| why.to_owned()));
        let first = ("frontend.host".to_owned(), config.frontend.host.clone());
        for (key, host) in std::iter::once(first).chain(config.routes().map(|it| (format!("services.{}.route", it.service), it.host))) {
            let why = format!("`local` certifies names under `.localhost` only, and {key} is `{host}`");
            check("ingress.tls", (!is_local(&host)).then_some(why));
        }
    }
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
