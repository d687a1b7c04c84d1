//! How users reach the application: the type of its Service, and its address.

use std::{
    fs,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use ureq::{
    http::Uri,
    tls::{Certificate, RootCerts, TlsConfig},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// The annotation of a Service that is deleted when another one wants its node port.
pub const LENT_PORT: &str = "dev.pocdeploy/lent-node-port";

/// The annotation of an Ingress through which the application's page is asked for: the page tells whether a controller serves it, also a
/// controller that writes no address into its status.
pub const ASKED: &str = "dev.pocdeploy/asked";

/// How long a page may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether a host name is of the user's own machine: `localhost`, or a name below it (RFC 6761, section 6.3).
pub fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// The type of the Service that publishes the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceType {
    /// A port on every node: the given one, or one that the API server chooses.
    NodePort(Option<u16>),
    /// An external address, which the cluster assigns some time after the Service was applied.
    LoadBalancer,
    /// Not published: an Ingress or a Gateway in the manifests routes to it.
    ClusterIp,
}

impl ServiceType {
    /// The value of `spec.type`.
    pub fn name(&self) -> &'static str {
        match self {
            ServiceType::NodePort(_) => "NodePort",
            ServiceType::LoadBalancer => "LoadBalancer",
            ServiceType::ClusterIp => "ClusterIP",
        }
    }
}

/// The settings in manifests by which users reach the application. Known before anything is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    pub service: ServiceType,
    /// Hosts that may be requested over plain HTTP, because they are the user's own machine.
    pub plain_hosts: Vec<String>,
    /// What a Service of type LoadBalancer needs in this cloud.
    pub balancer: Balancer,
    /// What the cloud's Ingress controller needs.
    pub front: Front,
}

/// The fields of a Service of type LoadBalancer that a cloud reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancer {
    /// `spec.loadBalancerClass`.
    pub class: Option<&'static str>,
    pub annotations: Vec<(&'static str, String)>,
}

/// What a cloud's own Ingress controller reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Annotations of the application's Service.
    pub annotations: Vec<(&'static str, String)>,
    /// Tags for what the controller makes.
    pub tags: Vec<(&'static str, String)>,
}

impl Exposure {
    /// Without hosts of the user's machine, and without a cloud's fields.
    pub fn of(service: ServiceType) -> Exposure {
        Exposure { service, plain_hosts: Vec::new(), balancer: Balancer::default(), front: Front::default() }
    }

    /// For the user's own machine.
    pub fn here(service: ServiceType) -> Exposure {
        Exposure { plain_hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()], ..Exposure::of(service) }
    }

    /// Sets what the cloud needs in the application's Service. What the manifest says already is kept.
    pub fn complete(&self, service: &mut Value) {
        let annotations = match self.service {
            ServiceType::LoadBalancer => &self.balancer.annotations,
            ServiceType::ClusterIp => &self.front.annotations,
            ServiceType::NodePort(_) => return,
        };
        if let Some(class) =
            self.balancer.class.filter(|_| service["spec"]["loadBalancerClass"].is_null() && self.service == ServiceType::LoadBalancer)
        {
            service["spec"]["loadBalancerClass"] = Value::from(class);
        }
        for (name, value) in annotations {
            if service["metadata"]["annotations"][*name].is_null() {
                service["metadata"]["annotations"][*name] = Value::from(value.as_str());
            }
        }
    }
}

/// The application's address. May be known only after its Service was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `http://localhost:8080`: scheme, host and port, without a path.
    pub origin: String,
    /// Whether the host is this machine, whatever its name: no DNS server is asked for it.
    pub is_here: bool,
    /// The file with the certificate authority, in PEM, of an address of this machine with HTTPS.
    pub authority: Option<PathBuf>,
}

/// A response of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub text: String,
}

impl Address {
    pub fn new(origin: impl Into<String>) -> Address {
        Address { origin: origin.into(), is_here: false, authority: None }
    }

    /// An address of this machine: `http://shop.localhost:8080`.
    pub fn here(origin: impl Into<String>) -> Address {
        Address { origin: origin.into(), is_here: true, authority: None }
    }

    /// The first address of a Service of type LoadBalancer: `http://IP-OR-HOST`, with the port if it is not 80. `None` until the cluster
    /// assigns one.
    pub fn of_load_balancer(service: &Value) -> Option<Address> {
        let ingress = service.pointer("/status/loadBalancer/ingress/0")?;
        let host = ["hostname", "ip"].iter().find_map(|name| ingress[*name].as_str().filter(|it| !it.is_empty()))?;
        let port = service.pointer("/spec/ports/0/port").and_then(Value::as_u64).unwrap_or(80);
        Some(Address::of_host(host, port))
    }

    /// The address of a node, and the port that the API server chose for a Service of type NodePort. `None` until it has chosen one.
    pub fn of_node_port(service: &Value, node: &str) -> Option<Address> {
        let port = service.pointer("/spec/ports/0/nodePort").and_then(Value::as_u64)?;
        Some(Address::of_host(node, port))
    }

    fn of_host(host: &str, port: u64) -> Address {
        // An IPv6 address needs brackets (RFC 3986, section 3.2.2).
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        Address::new(if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") })
    }

    /// The host without port, and without brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        match authority.strip_prefix('[').and_then(|it| it.split(']').next()) {
            Some(address) => address,
            None => authority.split(':').next().unwrap_or_default(),
        }
    }

    /// The port, if the origin has one.
    pub fn port(&self) -> Option<&str> {
        let (_, port) = self.authority().rsplit_once(':')?;
        port.chars().all(|it| it.is_ascii_digit()).then_some(port)
    }

    /// Host and port, as in the header `Host`.
    pub fn authority(&self) -> &str {
        self.origin.split("://").nth(1).unwrap_or_default()
    }

    /// Why some functions of the page may fail in a browser; `None` if none do. Browsers send `Secure` cookies only over HTTPS and to the
    /// user's own machine.
    pub fn warning(&self) -> Option<String> {
        let is_own = is_local(self.host()) || self.host().starts_with("127.");
        (self.origin.starts_with("http://") && !is_own).then(|| {
            format!("{} is plain HTTP: browsers send no secure cookie there, so that forms and logins that need one are refused; an Ingress with TLS has no such limit", self.origin)
        })
    }

    /// The same address by another of its names.
    pub fn at(&self, host: &str) -> Address {
        let scheme = self.origin.split("://").next().unwrap_or_default();
        let port = self.port().map(|it| format!(":{it}")).unwrap_or_default();
        Address { origin: format!("{scheme}://{host}{port}"), ..self.clone() }
    }

    /// The URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Like [`Address::fetch`], once more over another connection if there is no answer: a busy machine may need longer, and a connection that
    /// leads to a pod that has just ended gets none.
    pub fn ask(&self, path: &str) -> Result<Page, String> {
        self.fetch(path).or_else(|_| self.fetch(path))
    }

    /// Requests a page through the Service, for at most [`LIMIT`]; the error says why there is no response.
    pub fn fetch(&self, path: &str) -> Result<Page, String> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(LIMIT))
            .max_redirects(3)
            .http_status_as_error(false)
            // The address is on this machine, so the user's HTTP proxy must not be used.
            .proxy(None)
            .tls_config(self.tls()?)
            .build();
        let agent = if self.is_here {
            ureq::Agent::with_parts(config, DefaultConnector::default(), ThisMachine(self.host().to_owned()))
        } else {
            ureq::Agent::new_with_config(config)
        };
        let mut response = agent.get(self.url(path)).call().map_err(|error| in_words(&error))?;
        let text = response.body_mut().read_to_string().map_err(|error| format!("the answer did not come whole: {}", in_words(&error)))?;
        Ok(Page { status: response.status().as_u16(), text })
    }

    /// Which certificates are right: those of the machine's own authority, or those that the user's system trusts.
    fn tls(&self) -> Result<TlsConfig, String> {
        let roots = match &self.authority {
            Some(path) => {
                let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                RootCerts::new_with_certs(&[Certificate::from_pem(&text).map_err(|error| format!("{}: {error}", path.display()))?])
            }
            None => RootCerts::PlatformVerifier,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
    }
}

/// Why there is no response, in the words of one who waits for it.
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", LIMIT.as_secs()),
        ureq::Error::HostNotFound => "its name does not resolve".to_owned(),
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                "the connection was closed".to_owned()
            }
            _ => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// Finds this host, and every name of this machine, at 127.0.0.1; others, to which a page may redirect, by DNS. Names under `.localhost` are of this machine (RFC 6761, section 6.3), and yet many resolvers, glibc's among
/// them, ask a DNS server.
#[derive(Debug)]
struct ThisMachine(String);

impl Resolver for ThisMachine {
    fn resolve(&self, uri: &Uri, config: &ureq::config::Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        if host != self.0 && !is_local(host) {
            return DefaultResolver::default().resolve(uri, config, timeout);
        }
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let mut out = self.empty();
        out.push(SocketAddr::from((Ipv4Addr::LOCALHOST, uri.port_u16().unwrap_or(usual))));
        Ok(out)
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
    fn a_cloud_completes_a_load_balancer_and_keeps_what_the_manifest_says() {
        let balancer = Balancer { class: Some("cloud/nlb"), annotations: vec![("cloud/scheme", "public".to_owned())] };
        let exposure = Exposure { balancer, ..Exposure::of(ServiceType::LoadBalancer) };
        let mut service = json!({ "metadata": { "annotations": { "cloud/scheme": "internal" } }, "spec": {} });
        exposure.complete(&mut service);
        let expected =
            json!({ "metadata": { "annotations": { "cloud/scheme": "internal" } }, "spec": { "loadBalancerClass": "cloud/nlb" } });
        assert_eq!(service, expected);
        let mut inner = json!({ "metadata": {}, "spec": {} });
        Exposure { service: ServiceType::ClusterIp, ..exposure }.complete(&mut inner);
        assert_eq!(inner, json!({ "metadata": {}, "spec": {} }));
    }

    #[test]
    fn why_a_page_does_not_answer_is_said_in_words() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new(format!("http://{}", listener.local_addr().unwrap()));
        let closes = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert_eq!(address.fetch("/").err().as_deref(), Some("the connection was closed"));
        closes.join().unwrap();
        // Nothing listens at this port without the rights of root.
        assert_eq!(Address::new("http://127.0.0.1:1").fetch("/").err().as_deref(), Some("connection refused"));
        assert_eq!(in_words(&ureq::Error::Timeout(ureq::Timeout::Global)), "no answer within 5 s");
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
