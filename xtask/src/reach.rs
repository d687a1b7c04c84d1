//! How a deployed application is reached: what a provider says and manifests need to know.

use std::time::Duration;

/// The application's way out of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The Service's type.
    pub service: &'static str,
    /// The address that a browser opens, without a path.
    pub origin: String,
    /// Hosts that are reached over plain HTTP, because they are the user's own machine.
    pub plain_hosts: Vec<String>,
    /// The port of the node that the Service must answer on; nothing where a load balancer stands in front.
    pub node_port: Option<u16>,
}

/// What the application answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub text: String,
}

impl Reach {
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
        let mut response = agent.get(format!("{}{path}", self.origin)).call().map_err(|error| error.to_string())?;
        let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
        Ok(Page { status: response.status().as_u16(), text })
    }
}
