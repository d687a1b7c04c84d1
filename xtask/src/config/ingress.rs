//! `[ingress]`: the controller in front of the services, the tool's own or the cluster's.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{ClusterType, Config, Expose, Kind, Service, ServiceName};

/// An Ingress controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// None: the application's Service has the port.
    #[default]
    None,
    /// Traefik 3, with one pod in the application's namespace.
    Traefik,
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Controller::None => "none",
            Controller::Traefik => "traefik",
        })
    }
}

impl std::str::FromStr for Controller {
    type Err = String;

    fn from_str(text: &str) -> Result<Controller, String> {
        match text {
            "none" => Ok(Controller::None),
            "traefik" => Ok(Controller::Traefik),
            _ => Err("is none of none, traefik".to_owned()),
        }
    }
}

/// The kind of the objects that the controller reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Ingress of `networking.k8s.io/v1`.
    #[default]
    Ingress,
    /// Gateway and HTTPRoute of the Gateway API.
    Gateway,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Api::Ingress => "ingress",
            Api::Gateway => "gateway",
        })
    }
}

impl std::str::FromStr for Api {
    type Err = String;

    fn from_str(text: &str) -> Result<Api, String> {
        match text {
            "ingress" => Ok(Api::Ingress),
            "gateway" => Ok(Api::Gateway),
            _ => Err("is none of ingress, gateway".to_owned()),
        }
    }
}

/// HTTPS at the controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Plain HTTP, unless the manifests' Ingress has a certificate.
    #[default]
    None,
    /// A certificate of this machine's own authority.
    Local,
    /// A certificate that cert-manager in the cluster requests from `issuer`.
    CertManager,
    /// A certificate that the controller, the Gateway or the cloud has already.
    External,
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tls::None => "none",
            Tls::Local => "local",
            Tls::CertManager => "cert-manager",
            Tls::External => "external",
        })
    }
}

impl std::str::FromStr for Tls {
    type Err = String;

    fn from_str(text: &str) -> Result<Tls, String> {
        match text {
            "none" => Ok(Tls::None),
            "local" => Ok(Tls::Local),
            "cert-manager" => Ok(Tls::CertManager),
            "external" => Ok(Tls::External),
            _ => Err("is none of none, local, cert-manager, external".to_owned()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Ingress {
    /// kind: the Ingress controller, which the tool installs. The application's address becomes `http://HOST:PORT` with `frontend.host`, and
    /// every request to it goes through its Ingress. `none`: the application's Service has the port, and the Ingress leads nowhere.
    pub controller: Controller,
    /// `gateway`: the controller reads HTTPRoutes of the Gateway API; the Ingresses of the tool and of `deploy/` become HTTPRoutes. kind: the
    /// tool installs the CRDs and makes the Gateway. Others: with `cluster.expose = "ingress"`, see `gateway` and `class`.
    pub api: Api,
    /// `local` (kind): HTTPS with a certificate of an authority that the tool makes once for this machine, at names under `.localhost` only.
    /// Nothing trusts it by itself: `cargo xtask trust` prints how. Plain HTTP on the same port is redirected. Others, with
    /// `cluster.expose = "ingress"`: `cert-manager`, which the cluster has, requests a certificate from `issuer`; or `external`: the
    /// controller, the Gateway or the cloud has one already.
    pub tls: Tls,
    /// existing, eks, aks, gke: the IngressClass of the Ingresses, or with `api = "gateway"` the GatewayClass of the tool's Gateway. Not set:
    /// the cloud's own (eks: `alb`, gke: `gce`, aks: `approuting-istio`), and on existing clusters that of the manifests, or the default.
    pub class: Option<String>,
    /// existing, eks, aks, gke: the cluster's Gateway that the HTTPRoutes join, `NAMESPACE/NAME`. Not set: the tool makes one of `class`.
    pub gateway: Option<String>,
    /// `tls = "cert-manager"`: a ClusterIssuer of the cluster (`letsencrypt`), or for Ingresses an Issuer of your manifests (`Issuer/corporate`).
    pub issuer: Option<String>,
    /// `tls = "external"` on eks: the ARN of a certificate in AWS Certificate Manager; on gke: the name of a global SSL certificate.
    pub certificate: Option<String>,
    /// The controller as a service of the tool's own.
    #[serde(skip)]
    pub program: Service,
}

impl Default for Ingress {
    fn default() -> Ingress {
        let program = Service { kind: Some(Kind::Traefik), memory: "256Mi".to_owned(), ..Service::named(INGRESS) };
        Ingress {
            controller: Controller::None,
            api: Api::Ingress,
            tls: Tls::None,
            class: None,
            gateway: None,
            issuer: None,
            certificate: None,
            program,
        }
    }
}

/// Where the Ingress leads to a further service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    pub service: ServiceName,
    pub host: String,
    /// The start of the paths of requests.
    pub path: String,
    /// The page that must answer 200.
    pub page: &'a str,
}

/// The name of the service that the controller is.
pub const INGRESS: &str = "ingress";

impl Config {
    /// The service that is the Ingress controller, if there is one.
    pub fn controller(&self) -> Option<ServiceName> {
        (self.ingress.controller != Controller::None).then(|| ServiceName::new(INGRESS)).flatten()
    }

    /// The further services with a route: name, host, path of the route, and the page that must answer.
    pub fn routes(&self) -> impl Iterator<Item = Route<'_>> {
        self.all_services().filter(|(_, it)| it.kind.is_none()).filter_map(|(name, it)| {
            let (host, path) = it.route(&self.frontend.host)?;
            Some(Route { service: name?, host, path, page: &it.page })
        })
    }

    /// The hosts at which pages are asked for: the application's, and those of routes.
    pub fn asked_hosts(&self) -> BTreeSet<String> {
        std::iter::once(self.frontend.host.clone()).chain(self.routes().map(|it| it.host)).collect()
    }

    /// Whether the tool's controller reads the Gateway API.
    pub fn has_gateway(&self) -> bool {
        self.controller().is_some() && self.ingress.api == Api::Gateway
    }

    /// Whether the tool's controller speaks HTTPS.
    pub fn has_tls(&self) -> bool {
        self.controller().is_some() && self.ingress.tls == Tls::Local
    }

    /// Whether requests come through a controller of the cluster.
    pub fn is_behind_others(&self) -> bool {
        self.cluster.kind != ClusterType::Kind && self.cluster.expose == Some(Expose::Ingress)
    }

    /// Whether routes are HTTPRoutes, by the tool's controller or the cluster's.
    pub fn has_routes(&self) -> bool {
        self.has_gateway() || (self.is_behind_others() && self.ingress.api == Api::Gateway)
    }

    /// The class for a controller of the cluster: the configured one, or the cloud's own. `None`: that of the manifests.
    pub fn class_of_others(&self) -> Option<&str> {
        let own = match (self.cluster.kind, self.ingress.api) {
            (ClusterType::Eks, Api::Ingress) => Some("alb"),
            (ClusterType::Gke, Api::Ingress) => Some("gce"),
            (ClusterType::Aks, Api::Gateway) => Some("approuting-istio"),
            _ => None,
        };
        self.ingress.class.as_deref().or(own)
    }
}
