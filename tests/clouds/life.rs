//! Life cycles in OpenTofu, and in Terraform, of what the HCL describes: what is in the state and what in the cloud, also when the cloud fails.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{CLOUDS, Cloud, Reader, Workplace, text};

const ENDPOINT: &str = "https://127.0.0.1:6443";
const CERTIFICATE: &str = "Q0E=";

struct Life<'a> {
    workplace: &'a Workplace,
    cloud: &'a Cloud,
    /// The folder that is the cloud: see tests/clouds/server/cloud.go.
    folder: PathBuf,
    /// The cluster's type, and its ID in the inventory.
    cluster: &'static str,
    id: String,
    resources: usize,
}

impl<'a> Life<'a> {
    fn new(workplace: &'a Workplace, cloud: &'a Cloud) -> Life<'a> {
        let (cluster, resources, variables) = match cloud.name {
            "eks" => ("aws_eks_cluster", 20, json!({ "region": "eu-central-1", "repositories": ["api", "web"] })),
            "aks" => {
                let variables = json!({ "subscription": "trial", "tenant": "trial", "location": "westeurope", "registry": "demo12345", "admins": ["a-group"] });
                ("azurerm_kubernetes_cluster", 5, variables)
            }
            _ => ("google_container_cluster", 8, json!({ "project": "trial", "zone": "europe-west1-b" })),
        };
        let folder = workplace.folder.path().join(format!("cloud-of-{}", cloud.name));
        fs::create_dir_all(folder.join("blockers")).unwrap();
        let life = Life { workplace, cloud, cluster, id: format!("{cluster}-demo"), resources, folder };
        write(&life.folder.join("values.json"), &values());
        write(&life.work().join("terraform.tfvars.json"), &variables);
        life.allow("192.0.2.7/32");
        life
    }

    fn work(&self) -> PathBuf {
        self.workplace.folder.path().join(self.cloud.name)
    }

    fn allow(&self, addresses: &str) {
        write(&self.work().join("demo.auto.tfvars.json"), &json!({ "name": "demo", "allowed_cidrs": [addresses] }));
    }

    /// Runs the reader, which must end with the code, and returns what it printed.
    #[track_caller]
    fn ends_with(&self, code: i32, arguments: &[&str]) -> String {
        let ran = self.workplace.command(self.cloud, arguments).env("CLOUD_FOLDER", &self.folder).output().unwrap();
        let said = text(&ran.stdout) + &text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{}: {arguments:?}: {said}", self.cloud.name);
        said
    }

    /// An application of the configuration fails, with this text.
    #[track_caller]
    fn fails(&self, command: &str, why: &str) {
        let said = self.ends_with(1, &[command, "-auto-approve"]);
        assert!(said.contains(why), "{}: {command}: {said}", self.cloud.name);
    }

    fn fault(&self, does: &str) {
        write(&self.folder.join("faults.json"), &json!([{ "type": self.cluster, "on": "create", "does": does, "times": 1 }]));
    }

    fn inventory(&self) -> usize {
        fs::read_dir(self.folder.join("inventory")).map_or(0, Iterator::count)
    }

    fn cluster_file(&self) -> PathBuf {
        self.folder.join(format!("inventory/{}.json", self.id))
    }

    fn comes_and_goes(&self) {
        self.ends_with(0, &["init", "-input=false"]);
        self.ends_with(2, &["plan", "-out=plan", "-detailed-exitcode"]);
        assert_eq!(self.inventory(), 0, "a plan made something");
        self.ends_with(0, &["apply", "plan"]);
        assert_eq!(self.inventory(), self.resources);
        self.ends_with(0, &["plan", "-detailed-exitcode"]);
        self.ends_with(0, &["apply", "-refresh-only", "-auto-approve"]);
        let outputs: Value = serde_json::from_str(&self.ends_with(0, &["output", "-json"])).unwrap();
        assert_eq!((&outputs["endpoint"]["value"], &outputs["ca"]["value"]), (&json!(ENDPOINT), &json!(CERTIFICATE)));

        self.allow("192.0.2.8/32");
        self.ends_with(0, &["apply", "-auto-approve"]);
        assert!(fs::read_to_string(self.cluster_file()).unwrap().contains("192.0.2.8/32"));
        assert_eq!(self.inventory(), self.resources);
    }

    fn is_held_by_a_dependant(&self) {
        let blocker = self.folder.join("blockers/interface-7");
        fs::write(&blocker, "").unwrap();
        self.fails("destroy", "has dependencies (interface-7) and cannot be deleted");
        assert!(self.inventory() > 0);
        fs::remove_file(blocker).unwrap();
        self.ends_with(0, &["destroy", "-auto-approve"]);
        assert_eq!(self.inventory(), 0);
    }

    fn is_throttled(&self) {
        self.fault("throttle");
        self.fails("apply", "ThrottlingException: Rate exceeded");
        assert!(!self.cluster_file().exists());
        self.ends_with(0, &["apply", "-auto-approve"]);
        assert_eq!(self.inventory(), self.resources);
    }

    /// Another client deletes the cluster; the answer to the creation of the next one is lost, so that no state knows it.
    fn is_lost(&self) {
        fs::remove_file(self.cluster_file()).unwrap();
        self.fault("lost");
        self.fails("apply", "connection reset by peer");
        assert!(self.cluster_file().exists());
        self.fails("apply", "already exists");
        self.ends_with(0, &["import", &format!("{}.this", self.cluster), &self.id]);
        self.ends_with(0, &["apply", "-auto-approve"]);
        self.ends_with(0, &["plan", "-detailed-exitcode"]);
        assert_eq!(self.inventory(), self.resources);
        self.ends_with(0, &["destroy", "-auto-approve"]);
        assert_eq!(self.inventory(), 0);
    }
}

/// What the clouds answer; all else is made up.
fn values() -> Value {
    json!({
        "data.aws_availability_zones": { "names": ["a", "b"] },
        "aws_eks_cluster": { "endpoint": ENDPOINT, "certificate_authority": [{ "data": CERTIFICATE }] },
        "azurerm_kubernetes_cluster": { "kube_config": [{ "host": ENDPOINT, "cluster_ca_certificate": CERTIFICATE }] },
        "google_container_cluster": { "endpoint": "127.0.0.1:6443", "master_auth": [{ "cluster_ca_certificate": CERTIFICATE }] },
    })
}

fn write(file: &Path, value: &Value) {
    fs::write(file, value.to_string()).unwrap();
}

#[test]
fn the_life_cycle_of_each_cloud_ends_with_an_empty_one_after_every_fault() {
    all_end_empty(&Workplace::of(Reader::OpenTofu));
}

pub(super) fn all_end_empty(workplace: &Workplace) {
    std::thread::scope(|scope| {
        for cloud in &CLOUDS {
            let life = Life::new(workplace, cloud);
            scope.spawn(move || {
                life.comes_and_goes();
                life.is_held_by_a_dependant();
                life.is_throttled();
                life.is_lost();
            });
        }
    });
}

#[test]
fn without_a_cloud_nothing_is_applied() {
    let workplace = Workplace::of(Reader::OpenTofu);
    let life = Life::new(&workplace, &CLOUDS[2]);
    life.ends_with(0, &["init", "-input=false"]);
    let ran = workplace.run(life.cloud, &["apply", "-auto-approve"]);
    assert!(!ran.status.success() && text(&ran.stderr).contains("CLOUD_FOLDER is not set"), "{}", text(&ran.stderr));
}
