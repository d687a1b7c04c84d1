//! How an application is exposed: what its Service must be, and the address at which it answers.

use std::time::Duration;

use serde_json::Value;

/// The Service that leads to the application from outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// A port of every node: this one, or one that the API server chooses.
    NodePort(Option<u16>),
    /// An address of its own, which the cluster assigns some time after the Service was applied.
    LoadBalancer,
    /// None: an Ingress or a Gateway in the manifests leads to it.
    ClusterIp,
}

impl ServiceType {
    /// As `spec.type` has it.
    pub fn name(&self) -> &'static str {
        match self {
            ServiceType::NodePort(_) => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::ClusterIp => "ClusterIP",
        }
    }
}

/// What manifests must say so that the application can be reached. Known before anything is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub service: ServiceType,
    /// Hosts that may be asked over plain HTTP, because they are the user's own machine.
    pub plain_hosts: Vec<String>,
}

/// Where the application answers. May be known only after its Service was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http://localhost:8080`: scheme, host and port, without a path.
    pub origin: String,
}

/// What the application answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub text: String,
}

impl Address {
    pub fn new(origin: impl Into<String>) -> Address {
        Address { origin: origin.into() }
    }

    /// The first address of a Service of type LoadBalancer: `http://IP-OR-HOST`, with the port where it is not 80. Nothing before
    /// the cluster assigned one.
    pub fn of_load_balancer(service: &Value) -> Option<Address> {
        let ingress = service.pointer("/status/loadBalancer/ingress/0")?;
        let host = ["hostname", "ip"].iter().find_map(|name| ingress[*name].as_str().filter(|it| !it.is_empty()))?;
        let port = service.pointer("/spec/ports/0/port").and_then(Value::as_u64).unwrap_or(80);
        Some(Address::of_host(host, port))
    }

    /// The address of a node and the port that the API server chose for a Service of type NodePort. Nothing before it chose one.
    pub fn of_node_port(service: &Value, node: &str) -> Option<Address> {
        let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64)?;
        Some(Address::of_host(node, port))
    }

    fn of_host(host: &str, port: u64) -> Address {
        // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Address::new(if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") })
    }

    /// The host without its port, and without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[').and_then(|it| it.split(']').next()) {
            Some(address) => address,
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// The port, where the origin names one.
    pub fn port(&self) -> Option<&str> {
        let (_, port) = self.authority().rsplit_once(':')?;
        port.chars().all(|it| it.is_ascii_digit()).then_some(port)
    }

    /// Host and port, as the header `Host` has them.
    pub fn authority(&self) -> &str {
        self.origin.split("://").nth(1).unwrap_or_default()
    }

    /// Why a browser may not be able to do all that the page offers; nothing where it can. Browsers keep cookies marked as secure for
    /// HTTPS and for the user's own machine alone.
    pub fn warning(&self) -> Option<String> {
        let is_own = self.host() == "localhost" || self.host().ends_with(".localhost") || self.host().starts_with("127.");
        (self.origin.starts_with("http://") && !is_own).then(|| {
            format!("{} is plain HTTP: browsers send no secure cookie there, so that forms and logins that need one are refused; an Ingress with TLS has no such limit", self.origin)
        })
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// A page through the Service, or why there is no answer. At most five seconds.
    pub fn fetch(&self, path: &str) -> Result<Page, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .max_redirects(3)
            .http_status_as_error(false)
            // The address is the host's own: a company's proxy has no business with it.
            .proxy(None)
            .build()
            .into();
        let mut response = agent.get(self.url(path)).call().map_err(|error| error.to_string())?;
        let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
        Ok(Page { status: response.status().as_u16(), text })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_balancer_has_an_address_once_the_cluster_assigned_one() {
        let service = |ingress: Value, port: u16| json!({ "spec": { "ports": [{ "port": port }] }, "status": { "loadBalancer": ingress } });
        assert_eq!(Address::of_load_balancer(&service(json!({}), 80)), None);
        assert_eq!(Address::of_load_balancer(&json!({})), None);
        for (ingress, port, origin) in [
            (json!({ "ip": "192.0.2.7" }), 80, "http://192.0.2.7"),
            (json!({ "ip": "192.0.2.7" }), 8000, "http://192.0.2.7:8000"),
            (json!({ "ip": "2001:db8::7" }), 8000, "http://[2001:db8::7]:8000"),
            (json!({ "hostname": "lb.example.com", "ip": "" }), 80, "http://lb.example.com"),
        ] {
            assert_eq!(Address::of_load_balancer(&service(json!({ "ingress": [ingress] }), port)).unwrap().origin, origin);
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_is_warned_of() {
        for (origin, is_warned) in [
            ("http://localhost:8080", false),
            ("http://127.0.0.1:8080", false),
            ("http://polls.localhost", false),
            ("https://polls.example.com", false),
            ("http://polls.example.com", true),
            ("http://192.0.2.7:30080", true),
        ] {
            assert_eq!(Address::new(origin).warning().is_some(), is_warned, "{origin}");
        }
    }

    #[test]
    fn host_and_port_are_parts_of_the_origin() {
        for (origin, host, port) in [
            ("http://localhost:8081", "localhost", Some("8081")),
            ("https://polls.example.com", "polls.example.com", None),
            ("http://[2001:db8::7]:30080", "2001:db8::7", Some("30080")),
            ("http://[2001:db8::7]", "2001:db8::7", None),
        ] {
            let address = Address::new(origin);
            assert_eq!((address.host(), address.port()), (host, port), "{origin}");
        }
    }
}
