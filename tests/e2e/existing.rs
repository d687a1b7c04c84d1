//! An existing cluster: here the kind cluster of another project, whose operator also runs a second database.

use std::fs;

use crate::{bench::Bench, exported::Exported, registry::Registry};

/// The registry's name for the nodes.
const INNER: &str = "registry.internal:5000";

/// From consent to delete. The state `owner` must not change. With `exports` the exported files come up without the tool.
pub(crate) fn another_project_deploys_to_a_cluster_that_is_there(owner: &Bench, registry: &Registry, exports: bool) {
    let guest = Bench::new("guest");
    registry.introduce(&owner.node(), INNER);
    guest.configure(&format!(
        "namespace = \"guest\"\n{}[frontend]\nreplicas = 1\n[cluster]\ntype = \"existing\"\nkubeconfig = \"{}\"\ncontext = \"kind-{}\"\nregistry = \"{}/team\"\npull_registry = \"{INNER}/team\"\n\
         expose = \"node-port\"\n",
        registry.settings(),
        owner.path("target/pocdeploy/kubeconfig").display(),
        owner.instance,
        registry.place(),
    ));
    // One pod, since the node has no room for more pods during a rollout.
    let before = owner.world();
    let url = guest.step("nothing is made there without consent", || {
        guest.run(&["create"]).ends_with(4).says("creates namespace guest, uses CloudNativePG");
        assert!(owner.kubectl_fails("get namespace guest").contains("not found"));
        let created = guest.run(&["create", "--yes"]);
        created.ends_with(0);
        created.stdout.trim_end().to_owned()
    });
    guest.step("its pods run what was pushed, by digest, under the nodes' name of the registry", || {
        guest.wait_for_page(&url);
        let images =
            owner.kubectl("-n guest get pods -l app.kubernetes.io/component=frontend -o jsonpath={.items[*].spec.containers[*].image}");
        assert!(images.contains(&format!("{INNER}/team/polls:1.0.0-")) && images.contains("@sha256:"), "{images}");
        guest.run(&["validate"]).ends_with(0);
        guest.run(&["create", "--yes"]).ends_with(0).says("0 ran");
        let listed = guest.run(&["ls"]);
        assert!(listed.stdout.contains(&guest.instance), "{}", listed.stdout);
    });
    guest.step("an update and the way back", || {
        guest.edit_source("\nCHANGED = True\n");
        guest.run(&["update"]).ends_with(0).says("revision 2 serves");
        guest.run(&["rollback"]).ends_with(0);
        guest.wait_for_page(&url);
    });
    let exported = guest.step("it is exported, and a change is a small difference", || {
        let exported = Exported::write(owner, &guest);
        guest.edit_source("\nEXPORTED = True\n");
        exported.follow_a_change();
        exported
    });
    guest.step("delete takes its own and nothing else", || {
        guest.run(&["delete", "--yes"]).ends_with(0).says("audit: nothing in the cluster carries this instance's label");
        assert!(owner.kubectl_fails("get namespace guest").contains("not found"));
        let said = owner.kubectl(&format!("get all,crd,clusterroles -A -l dev.pocdeploy/instance={}", guest.instance));
        assert!(said.trim().is_empty() || said.contains("No resources found"), "{said}");
        crate::similar(&before, &owner.world());
        owner.run(&["validate"]).ends_with(0);
        assert!(!fs::exists(guest.path("target/pocdeploy/kubeconfig")).unwrap());
    });
    if exports {
        guest.step("the exported files come up by kustomize", || exported.come_up_by_kustomize());
        guest.step("the exported files come up by Helm", || exported.come_up_by_helm());
    }
    guest.step("Flux, Argo CD and continuous integration take what is exported for them", || exported.are_what_others_read());
}
