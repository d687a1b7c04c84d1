//! AKS's own Gateway controller, which the Azure CLI switches on: OpenTofu's provider has no argument for it.

use std::fs;

use super::{sky::Sky, stopped::World};

#[test]
fn aks_gets_its_gateway_controller_once_and_only_where_routes_are_asked_for() {
    let door = "expose = \"ingress\"\n[frontend]\nhost = \"shop.example.com\"\n";
    let updates = |world: &World| fs::read_to_string(world.sky.cloud().join("aks-updates")).unwrap_or_default();
    let without = World::with(Sky::new("aks"), "aks", &format!("{door}[ingress]\nclass = \"mine\"\n"));
    without.run(&["cluster", "--yes"]).ends_with(0);
    assert_eq!(updates(&without), "");

    let with = World::with(Sky::new("aks"), "aks", &format!("{door}[ingress]\napi = \"gateway\"\n"));
    with.run(&["cluster", "--yes"]).ends_with(0);
    let said = updates(&with);
    assert!(said.contains("--name trial") && said.contains("--enable-gateway-api --enable-app-routing-istio"), "{said}");
    assert_eq!(said.lines().count(), 1);
    with.run(&["cluster", "--yes"]).ends_with(0).says("skipped");
    // Another input: the cluster is changed, and has the class already.
    let mut other = with.command(&["cluster", "--yes"]);
    with.ran(other.env("POCDEPLOY_CLUSTER_ALLOWED_CIDRS", "192.0.2.8/32")).ends_with(0).says("ran");
    assert_eq!(updates(&with).lines().count(), 1, "{}", updates(&with));
}
