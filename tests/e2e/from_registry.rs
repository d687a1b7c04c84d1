//! An instance whose images come from a registry that answers, another project's in its cluster, and PostgreSQL 16 where it is available.

use crate::{bench::Bench, existing, exported, registry, sixteen};

/// With `exports`, exported files come up as well, without the tool.
pub(crate) fn comes_up(exports: bool) {
    let bench = Bench::new("registry");
    let registry = bench.step("a registry with upstream's images under upstream's names", || registry::Registry::start(&bench));
    let database = sixteen::published(&bench, &registry);
    bench.configure(&format!("{}{database}", registry.settings()));
    let url = bench.step("create finds it and takes the images by digest and through mirrors", || {
        let mut command = bench.command(&["create", "--yes"]);
        command.env("SSL_CERT_FILE", registry.trusted());
        let created = bench.ran(&mut command);
        created.ends_with(0).says("upstream's images come from their registries: sha256:");
        created.stdout.trim_end().to_owned()
    });
    bench.step("operator and database run what the registry served", || {
        let images = bench.kubectl("get pods -A -o jsonpath={.items[*].status.containerStatuses[*].imageID}");
        for name in ["ghcr.io/cloudnative-pg/cloudnative-pg@sha256:", "ghcr.io/cloudnative-pg/postgresql@sha256:"] {
            assert!(images.contains(name), "{images}");
        }
        bench.wait_for_page(&url);
    });
    existing::another_project_deploys_to_a_cluster_that_is_there(&bench, &registry, exports);
    if exports {
        bench.step("an exported Compose file comes up on this machine", || exported::come_up_by_compose(&registry));
    }
    if !database.is_empty() {
        sixteen::serves_and_moves_on(&bench, &registry.settings(), &url);
    }
    bench.step("delete takes it away", || {
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(bench.traces(), Vec::<String>::new());
    });
}
