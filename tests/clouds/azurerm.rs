//! The real provider of Azure, built from its Go module, with the validators that an extracted schema does not have; and what that says about
//! the extraction, which serves for the two providers that cannot be built.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::{Reader, here, main_tf, programs, schema, text};

/// Release 5.2.0, as its module is named; the extract is of 5.10.0.
const MODULE: (&str, &str) = ("github.com/hashicorp/terraform-provider-azurerm", "v1.44.1-0.20260824201233-fae580791926");

/// What the extract has and the real schema of 5.2.0 has not.
const KNOWN: [&str; 5] = [
    // Blocks that may also be written as attributes: the bindings have them as blocks.
    "azurerm_container_registry.encryption is no block",
    "azurerm_container_registry.network_rule_set is no block",
    // New in 5.10.0.
    "azurerm_kubernetes_cluster.oms_agent.retina_flow_logs_enabled is missing",
    // The language's own argument of every provider.
    "provider.alias is missing",
    // The bindings say optional.
    "provider.features.template_deployment.delete_nested_items_during_deletion is another",
];

/// How the extract differs, below a path.
fn differences(path: &str, extract: &Value, real: &Value, out: &mut Vec<String>) {
    let list = |of: &Value, name: &str| of[name].as_object().cloned().unwrap_or_default();
    let (attributes, blocks) = (list(real, "attributes"), list(real, "block_types"));
    let is = |of: &Value, name: &str| of[name] == Value::Bool(true);
    for (name, it) in list(extract, "attributes") {
        let path = format!("{path}.{name}");
        match attributes.get(&name) {
            None => out.push(format!("{path} is missing")),
            Some(other)
                if ["required", "optional", "computed"].iter().any(|mark| is(&it, mark) != is(other, mark))
                    || it["type"] != other["type"] =>
            {
                out.push(format!("{path} is another"));
            }
            Some(_) => {}
        }
    }
    for (name, it) in list(extract, "block_types") {
        let path = format!("{path}.{name}");
        match blocks.get(&name) {
            None => out.push(format!("{path} is no block")),
            Some(other) if it["nesting_mode"] != other["nesting_mode"] || it["max_items"].as_u64() != other["max_items"].as_u64() => {
                out.push(format!("{path} is nested otherwise"));
            }
            Some(other) => differences(&path, &it["block"], &other["block"], out),
        }
    }
}

fn provider() -> PathBuf {
    let place = pocdeploy::env::cache_dir().unwrap().join("test-programs/terraform-provider-azurerm-5.2.0");
    if !place.is_file() {
        let copy = programs::copied(MODULE.0, MODULE.1);
        programs::build(copy.path(), ".", &place);
    }
    place
}

#[test]
#[ignore = "long: `cargo xtask test --full` compiles the provider for a quarter of an hour"]
fn the_real_provider_of_azure_takes_the_hcl_and_has_what_was_extracted() {
    let folder = tempfile::tempdir().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let place = folder.path().join(format!("mirror/registry.opentofu.org/hashicorp/azurerm/5.2.0/linux_{architecture}"));
    fs::create_dir_all(&place).unwrap();
    std::os::unix::fs::symlink(provider(), place.join("terraform-provider-azurerm_v5.2.0")).unwrap();
    let settings = folder.path().join("settings");
    fs::write(
        &settings,
        format!("provider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\n", folder.path().join("mirror")),
    )
    .unwrap();
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    let cloud = super::CLOUDS.iter().find(|it| it.name == "aks").unwrap();
    fs::copy(main_tf(cloud), work.join("main.tf")).unwrap();
    fs::copy(here().join("tests/clouds/aks.tftest.hcl"), work.join("aks.tftest.hcl")).unwrap();
    let tofu = Reader::OpenTofu.built();
    let run = |arguments: &[&str]| {
        let ran = Command::new(&tofu).args(arguments).current_dir(&work).env("TF_CLI_CONFIG_FILE", &settings).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}{}", text(&ran.stdout), text(&ran.stderr));
        text(&ran.stdout)
    };
    run(&["init", "-input=false", "-no-color"]);
    assert!(run(&["validate", "-no-color"]).contains("The configuration is valid"));
    assert!(run(&["test", "-no-color"]).contains("Success! 4 passed, 0 failed."));

    let all: Value = serde_json::from_str(&run(&["providers", "schema", "-json"])).unwrap();
    let real = &all["provider_schemas"]["registry.opentofu.org/hashicorp/azurerm"];
    let extract = &schema("azurerm")["schema"];
    let mut found = Vec::new();
    for (name, it) in extract["resource_schemas"].as_object().unwrap() {
        differences(name, &it["block"], &real["resource_schemas"][name]["block"], &mut found);
    }
    differences("provider", &extract["provider"]["block"], &real["provider"]["block"], &mut found);
    assert_eq!(found, KNOWN);
}
