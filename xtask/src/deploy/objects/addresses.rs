//! Settings that contain the application's address.

use serde_json::{Value, json};

use crate::{
    deploy::objects::Values,
    exposure::{Address, ServiceType},
};

/// The end of the name of a setting with the header in which a proxy says `https`. Only a proxy that takes it away from callers may be named.
const PROXY_HEADER: &str = "PROXY_SSL_HEADER";

/// Whether a setting with this name contains the application's address.
pub fn follows_address(name: &str) -> bool {
    ["ALLOWED_HOSTS", "TRUSTED_ORIGINS", "PLAIN_HTTP_HOSTS", "APP_URL", PROXY_HEADER].iter().any(|it| name.ends_with(it))
}

/// Sets the settings of a service that contain its address, if the manifest has keys for them.
pub(super) fn set(data: &mut Value, values: &Values<'_>) {
    let Some(entries) = data.as_object_mut() else { return };
    let route = values.service.route(&values.config.frontend.host);
    let own = route.as_ref().and_then(|(host, _)| Some(values.address?.at(host)));
    let addresses: Vec<&Address> = own.iter().chain(values.address).collect();
    // An address without TLS is requested over plain HTTP.
    let plain = addresses.iter().filter(|it| it.origin.starts_with("http://")).map(|it| it.host().to_owned());
    let mut plain_hosts = values.exposure.plain_hosts.clone();
    extend(&mut plain_hosts, plain);
    let mut hosts = vec![values.service.host.clone()];
    extend(&mut hosts, addresses.iter().map(|it| it.host().to_owned()).chain(plain_hosts.iter().cloned()).filter(|it| !it.is_empty()));
    let port = values.address.and_then(Address::port);
    let mut origins = vec![format!("https://{}", values.service.host)];
    extend(&mut origins, addresses.iter().map(|it| it.origin.clone()));
    let of_plain = |host: &String| port.map_or_else(|| format!("http://{host}"), |port| format!("http://{host}:{port}"));
    extend(&mut origins, plain_hosts.iter().map(of_plain));
    // Every controller sets the header itself, whatever a caller says.
    let is_encrypted = values.address.is_some_and(|it| it.origin.starts_with("https://"));
    let is_behind_proxy = values.config.has_tls() || (values.exposure.service == ServiceType::ClusterIp && is_encrypted);
    for (name, value) in entries.iter_mut() {
        if name.ends_with("ALLOWED_HOSTS") {
            *value = json!(hosts.join(","));
        } else if name.ends_with("TRUSTED_ORIGINS") {
            *value = json!(origins.join(","));
        } else if name.ends_with("APP_URL") {
            let path = route.as_ref().map_or("", |(_, path)| path.trim_end_matches('/'));
            *value = json!(addresses.first().map(|it| it.url(path)).unwrap_or_default());
        } else if name.ends_with("PLAIN_HTTP_HOSTS") {
            *value = json!(plain_hosts.join(","));
        } else if name.ends_with(PROXY_HEADER) && is_behind_proxy {
            *value = json!("X-Forwarded-Proto");
        }
    }
}

/// Adds what is not in the list yet.
fn extend(list: &mut Vec<String>, with: impl Iterator<Item = String>) {
    for it in with {
        if !list.contains(&it) {
            list.push(it);
        }
    }
}
