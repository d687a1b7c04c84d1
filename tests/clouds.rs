//! The HCL of the clouds, without an account: OpenTofu itself, with the whole schema of each cloud's provider and no cloud behind it.
//!
//! The schemas in `tests/clouds/schemas` are extracted from packages of bindings (`tests/clouds/extract.py`); `tests/clouds/server` serves them
//! to OpenTofu. What only code of a provider knows (enumerations, formats, arguments that exclude each other) is not checked.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "programs that are not the tool's")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

#[path = "clouds/azurerm.rs"]
mod azurerm;
#[path = "clouds/emulated.rs"]
mod emulated;
#[path = "clouds/emulator.rs"]
#[expect(dead_code, reason = "shared with the tests on a cluster, which use more of it")]
mod emulator;
#[path = "clouds/gateways.rs"]
mod gateways;
#[path = "support/http.rs"]
#[expect(dead_code, reason = "shared with the tests that need no OpenTofu, which use more of it")]
mod http;
#[path = "support/kubernetes/mod.rs"]
#[expect(dead_code, reason = "shared with the tests that need no OpenTofu, which use more of it")]
mod kubernetes;
#[path = "clouds/life.rs"]
mod life;
#[path = "e2e/programs.rs"]
#[expect(dead_code, reason = "shared with the tests on a cluster, which use more of it")]
mod programs;
#[path = "clouds/providers.rs"]
mod providers;
#[path = "clouds/sky.rs"]
mod sky;
#[path = "clouds/stopped.rs"]
mod stopped;
#[path = "support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests that need no OpenTofu, which use more of it")]
mod support;
#[path = "clouds/terraform.rs"]
mod terraform;

use sky::{Reader, here, schema_file};

struct Cloud {
    /// The folder in `deploy/`.
    name: &'static str,
    provider: &'static str,
    /// Blocks of resources and data sources, so that a reader is through in a minute.
    most_blocks: usize,
    /// A text of main.tf, and what replaces it. Each makes the configuration wrong in another way.
    mistakes: &'static [(&'static str, &'static str)],
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        name: "eks",
        provider: "aws",
        most_blocks: 14,
        mistakes: &[
            // Unknown names: of an argument, a block, a nested argument, a nested block, a resource, a data source, a reference.
            ("cidr_block           = \"10.42", "cidr_blok            = \"10.42"),
            ("upgrade_policy {", "upgrade_policies {"),
            ("support_type =", "support_types ="),
            ("elastic_load_balancing {", "elastic_load_balancer {"),
            ("resource \"aws_internet_gateway\"", "resource \"aws_internet_gateways\""),
            ("data \"aws_availability_zones\"", "data \"aws_availability_zone_names\""),
            ("aws_vpc.this.cidr_block, 4", "aws_vpc.this.cidr, 4"),
            ("aws_eks_cluster.this.endpoint", "aws_eks_cluster.this.endpoints"),
            ("certificate_authority[0].data", "certificate_authority[0].datum"),
            ("data.aws_availability_zones.usable.names", "data.aws_availability_zones.usable.ids"),
            ("region = var.region", "regions = var.region"),
            ("default_tags {", "default_tag {"),
            // Missing arguments and blocks.
            ("  role_arn                      = aws_iam_role.this[\"cluster\"].arn\n", ""),
            ("    subnet_ids              = aws_subnet.public[*].id\n", ""),
            ("  assume_role_policy = jsonencode({", "  description = jsonencode({"),
            ("  role       = aws_iam_role.this[each.value.role].name\n", ""),
            ("  route_table_id = aws_route_table.public.id\n", ""),
            // Wrong types.
            ("enable_dns_hostnames = true", "enable_dns_hostnames = \"yes\""),
            ("endpoint_public_access  = true", "endpoint_public_access  = [true]"),
            ("public_access_cidrs     = var.allowed_cidrs", "public_access_cidrs     = { all = true }"),
            ("force_delete         = true", "force_delete         = \"always\""),
            // Wrong nesting: a block as an argument, an argument as a block, two of a single block.
            ("  upgrade_policy {\n    support_type = \"STANDARD\"\n  }", "  upgrade_policy = { support_type = \"STANDARD\" }"),
            ("    values = [\"opt-in-not-required\"]", "    values {\n    }"),
            ("  access_config {\n", "  access_config {\n  }\n  access_config {\n"),
            ("  storage_config {\n", "  storage_config {\n  }\n  storage_config {\n"),
            (
                "  image_scanning_configuration {\n",
                "  image_scanning_configuration {\n    scan_on_push = true\n  }\n  image_scanning_configuration {\n",
            ),
            // What the language itself knows.
            ("aws_subnet.public[count.index].id", "aws_subnet.private[count.index].id"),
            ("var.kubernetes\n", "var.kubernetes_version\n"),
        ],
    },
    Cloud {
        name: "aks",
        provider: "azurerm",
        most_blocks: 5,
        mistakes: &[
            ("sku_tier                  =", "sku_level                 ="),
            ("network_policy      =", "network_policies    ="),
            ("node_provisioning_profile {", "node_provisioning {"),
            ("login_server", "login_servers"),
            ("  features {}\n", "  features = {}\n"),
            ("  location = var.location\n", ""),
            ("  identity {\n    type = \"SystemAssigned\"\n  }", "  identity {\n  }"),
            ("  default_node_pool {\n", "  node_pool {\n"),
            ("    mode = \"Manual\"\n", "    mode = [\"Manual\"]\n"),
            ("  scope                = azurerm_container_registry.this.id\n", ""),
            ("admin_enabled       = false", "admin_enabled       = \"never\""),
            ("os_disk_size_gb = 32", "os_disk_size_gb = \"small\""),
            ("authorized_ip_ranges = var.allowed_cidrs", "authorized_ip_ranges = true"),
            ("  network_profile {\n", "  network_profile {\n    network_plugin = \"azure\"\n  }\n  network_profile {\n"),
            ("resource \"azurerm_role_assignment\"", "resource \"azurerm_role_assignments\""),
        ],
    },
    Cloud {
        name: "gke",
        provider: "google",
        most_blocks: 8,
        mistakes: &[
            ("datapath_provider =", "data_path_provider ="),
            ("release_channel {", "release_channels {"),
            ("workload_pool =", "workload_pools ="),
            ("machine_type    =", "machine_types   ="),
            ("google_service_account.node.member\n}", "google_service_account.node.members\n}"),
            ("  repository_id = var.name\n", ""),
            ("  network                  = google_compute_network.this.id\n", ""),
            ("    channel = \"REGULAR\"\n", ""),
            ("      mode = \"GKE_METADATA\"\n", ""),
            ("deletion_protection      = false", "deletion_protection      = \"off\""),
            ("node_count = 2", "node_count = \"two\""),
            ("oauth_scopes    = [\"https", "oauth_scopes    = [[\"https"),
            ("  ip_allocation_policy {}\n", "  ip_allocation_policy = {}\n"),
            ("  release_channel {\n", "  release_channel {\n    channel = \"RAPID\"\n  }\n  release_channel {\n"),
            ("master_auth[*].cluster_ca_certificate", "master_auth[*].ca_certificate"),
        ],
    },
];

/// A working folder for each cloud, with the provider's schema behind OpenTofu or Terraform.
struct Workplace {
    folder: tempfile::TempDir,
    reader: Reader,
}

impl Workplace {
    fn of(reader: Reader) -> Workplace {
        let folder = tempfile::tempdir().unwrap();
        for cloud in &CLOUDS {
            sky::mirror(folder.path(), cloud.provider);
            let work = folder.path().join(cloud.name);
            fs::create_dir(&work).unwrap();
            fs::copy(main_tf(cloud), work.join("main.tf")).unwrap();
        }
        Workplace { folder, reader }
    }

    fn run(&self, cloud: &Cloud, arguments: &[&str]) -> Output {
        self.command(cloud, arguments).output().unwrap()
    }

    fn command(&self, cloud: &Cloud, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.reader.built());
        command.args(arguments).arg("-no-color").current_dir(self.folder.path().join(cloud.name));
        command.env("TF_CLI_CONFIG_FILE", self.folder.path().join("settings")).env("TF_IN_AUTOMATION", "1");
        command.env("SCHEMA_FILE", schema_file(cloud.provider));
        command
    }

    #[track_caller]
    fn succeeds(&self, cloud: &Cloud, arguments: &[&str]) -> String {
        let ran = self.run(cloud, arguments);
        assert!(ran.status.success(), "{}: {arguments:?}: {}{}", cloud.name, text(&ran.stdout), text(&ran.stderr));
        text(&ran.stdout)
    }
}

fn main_tf(cloud: &Cloud) -> PathBuf {
    here().join("deploy").join(cloud.name).join("main.tf")
}

fn schema(provider: &str) -> Value {
    serde_json::from_slice(&fs::read(schema_file(provider)).unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_hcl_of_each_cloud_is_valid_short_and_does_what_it_says() {
    hcl_is_valid(&Workplace::of(Reader::OpenTofu));
}

fn hcl_is_valid(workplace: &Workplace) {
    for cloud in &CLOUDS {
        let hcl = fs::read_to_string(main_tf(cloud)).unwrap();
        let blocks = hcl.lines().filter(|it| it.starts_with("resource ") || it.starts_with("data ")).count();
        assert!(blocks <= cloud.most_blocks, "{}: {blocks} blocks", cloud.name);
        workplace.succeeds(cloud, &["init", "-input=false"]);
        assert!(workplace.succeeds(cloud, &["validate"]).contains("The configuration is valid"));
        let checks = format!("{}.tftest.hcl", cloud.name);
        fs::copy(here().join("tests/clouds").join(&checks), workplace.folder.path().join(cloud.name).join(&checks)).unwrap();
        workplace.succeeds(cloud, &["fmt", "-check", "-diff"]);
        let said = workplace.succeeds(cloud, &["test"]);
        assert!(said.contains("Success! 4 passed, 0 failed."), "{said}");
    }
}

#[test]
fn every_deliberate_mistake_is_refused() {
    let passed = mistakes_that_pass(&Workplace::of(Reader::OpenTofu));
    assert!(passed.is_empty(), "{passed:#?}");
    assert!(CLOUDS.iter().map(|it| it.mistakes.len()).sum::<usize>() >= 40);
}

fn mistakes_that_pass(workplace: &Workplace) -> Vec<String> {
    let mut passed = Vec::new();
    for cloud in &CLOUDS {
        let hcl = fs::read_to_string(main_tf(cloud)).unwrap();
        workplace.succeeds(cloud, &["init", "-input=false"]);
        for (right, wrong) in cloud.mistakes {
            assert!(hcl.contains(right), "{} does not contain {right:?}", cloud.name);
            fs::write(workplace.folder.path().join(cloud.name).join("main.tf"), hcl.replacen(right, wrong, 1)).unwrap();
            let ran = workplace.run(cloud, &["validate"]);
            let said = text(&ran.stderr);
            if ran.status.success() || said.contains("Plugin did not respond") {
                passed.push(format!("{}: {right:?} -> {wrong:?} {said}", cloud.name).trim_end().to_owned());
            }
        }
    }
    passed
}

#[test]
#[ignore = "long: `cargo xtask test --full` downloads 180 MB for it"]
fn the_schemas_are_those_of_the_named_packages() {
    let folder = tempfile::tempdir().unwrap();
    for cloud in &CLOUDS {
        let known = schema(cloud.provider);
        let file = known["package"].as_str().unwrap();
        let (package, version) = file.trim_end_matches("-py3-none-any.whl").rsplit_once('-').unwrap();
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest"];
        let pinned = format!("{package}=={version}");
        let ran = Command::new("python3").args(pip).arg(folder.path()).arg(pinned).output().unwrap();
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let names = |of: &str, prefix: &str| -> Vec<String> {
            known["schema"][of].as_object().unwrap().keys().map(|it| format!("{prefix}{it}")).collect()
        };
        let mut command = Command::new("python3");
        command.arg(here().join("tests/clouds/extract.py")).arg(folder.path().join(file)).arg(cloud.provider);
        let ran = command.args(names("resource_schemas", "")).args(names("data_source_schemas", "data.")).output().unwrap();
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        assert!(text(&ran.stdout) == fs::read_to_string(schema_file(cloud.provider)).unwrap(), "{file} gives another schema");
    }
}

#[test]
#[ignore = "long: `cargo xtask test --full` downloads 100 MB for it"]
fn checkov_finds_nothing_that_has_no_reason() {
    let program = programs::python("checkov", "3.3.30");
    let folder = here().join("deploy");
    let check = |rules: PathBuf| {
        let mut command = Command::new(&program);
        command.arg("--directory").arg(&folder).arg("--config-file").arg(rules).output().unwrap()
    };
    let rules = here().join("tests/clouds/checkov.yaml");
    let ran = check(rules.clone());
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    // Each of the reasons is for a check that fails without it.
    let other = tempfile::tempdir().unwrap();
    let all = fs::read_to_string(&rules).unwrap();
    let without = other.path().join("rules.yaml");
    fs::write(&without, all.split("skip-check:").next().unwrap()).unwrap();
    let said = text(&check(without).stdout);
    for line in all.lines().filter_map(|it| it.trim().strip_prefix("- ")) {
        let name = line.split_whitespace().next().unwrap();
        assert!(said.contains(&format!("{name}:")), "{name} does not fail any more");
    }
}
