//! `[ingress]`: the controller in front of the services.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Config, Kind, Service, ServiceName};

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
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Plain HTTP.
    #[default]
    None,
    /// A certificate of this machine's own authority.
    Local,
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tls::None => "none",
            Tls::Local => "local",
        })
    }
}

impl std::str::FromStr for Tls {
    type Err = String;

    fn from_str(text: &str) -> Result<Tls, String> {
        match text {
            "none" => Ok(Tls::None),
            "local" => Ok(Tls::Local),
            _ => Err("is none of none, local".to_owned()),
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
    /// `gateway`: the controller reads a Gateway and HTTPRoutes, whose CRDs the tool installs. The Ingresses of the tool and of `deploy/`
    /// become HTTPRoutes.
    pub api: Api,
    /// `local`: HTTPS with a certificate of an authority that the tool makes once for this machine, at names under `.localhost` only. Nothing
    /// trusts it by itself: `cargo xtask trust` prints how. Plain HTTP on the same port is redirected.
    pub tls: Tls,
    /// The controller as a service of the tool's own.
    #[serde(skip)]
    pub program: Service,
}

impl Default for Ingress {
    fn default() -> Ingress {
        let program = Service { kind: Some(Kind::Traefik), memory: "256Mi".to_owned(), ..Service::named(INGRESS) };
        Ingress { controller: Controller::None, api: Api::Ingress, tls: Tls::None, program }
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

    /// Whether the controller reads the Gateway API.
    pub fn has_gateway(&self) -> bool {
        self.controller().is_some() && self.ingress.api == Api::Gateway
    }

    /// Whether the controller speaks HTTPS.
    pub fn has_tls(&self) -> bool {
        self.controller().is_some() && self.ingress.tls == Tls::Local
    }
}
