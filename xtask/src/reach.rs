//! How a deployed application is reached: what a provider says and manifests need to know.

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
