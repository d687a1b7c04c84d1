//! The kubeconfig of a cluster in a cloud: address and certificate from OpenTofu, credentials from the vendor's program.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    env::Env,
    provider::cloud::{known::Known, vendor::Vendor},
    record,
};

/// Writes the kubeconfig of the instance. `outputs` are those of the HCL; `endpoint` must be among them.
pub(super) fn write(env: &Env, vendor: &dyn Vendor, known: &Known, outputs: &Value) -> Result<()> {
    let output = |name: &str| outputs[name].as_str().filter(|it| !it.is_empty()).with_context(|| format!("the HCL has no output `{name}`"));
    let mut cluster = json!({ "server": output("endpoint")? });
    if let Ok(authority) = output("ca") {
        cluster["certificate-authority-data"] = json!(authority);
    }
    let name = known.name.as_str();
    let file = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name, "namespace": env.config.namespace } }],
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": { "exec": vendor.exec(env, known) } }],
    });
    record::write_file(&env.kubeconfig(), &serde_json::to_vec_pretty(&file)?)
}
