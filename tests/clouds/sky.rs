//! A cloud without an account: OpenTofu with the schema server as its provider, and the vendors' programs, which see what it has made.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::programs;

/// A folder of `deploy/`, its provider, and the vendor's program.
pub(crate) const VENDORS: [(&str, &str, &str); 3] = [("eks", "aws", "aws"), ("aks", "azurerm", "az"), ("gke", "google", "gcloud")];

/// The program that reads the HCL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    OpenTofu,
    Terraform,
}

impl Reader {
    pub(crate) fn program(self) -> &'static str {
        match self {
            Reader::OpenTofu => "tofu",
            Reader::Terraform => "terraform",
        }
    }

    /// Where it is, compiled if necessary.
    pub(crate) fn built(self) -> PathBuf {
        match self {
            Reader::OpenTofu => built("tofu", "github.com/opentofu/opentofu/cmd/tofu"),
            Reader::Terraform => programs::terraform(),
        }
    }
}

pub(crate) struct Sky {
    folder: tempfile::TempDir,
    schema: PathBuf,
    path: String,
}

pub(crate) fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn schema_file(provider: &str) -> PathBuf {
    here().join(format!("tests/clouds/schemas/{provider}.json"))
}

/// A program of a Go module in `tests/clouds`, built once for each content of the module's files.
pub(crate) fn built(module: &str, package: &str) -> PathBuf {
    programs::own(&here().join("tests/clouds").join(module), package, &format!("clouds-{module}"))
}

/// Places the server as a provider of the schema's version into a mirror in the folder, and returns the reader's settings for it.
pub(crate) fn mirror(folder: &Path, provider: &str) -> PathBuf {
    let server = built("server", ".");
    let schema: Value = serde_json::from_slice(&fs::read(schema_file(provider)).unwrap()).unwrap();
    let version = schema["version"].as_str().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mirror = folder.join("mirror");
    for registry in ["registry.opentofu.org", "registry.terraform.io"] {
        let place = mirror.join(format!("{registry}/hashicorp/{provider}/{version}/linux_{architecture}"));
        fs::create_dir_all(&place).unwrap();
        fs::copy(&server, place.join(format!("terraform-provider-{provider}_v{version}"))).unwrap();
    }
    let settings = folder.join("settings");
    fs::write(&settings, format!("provider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n  }}\n}}\n")).unwrap();
    settings
}

/// The same programs but for the readers that this machine may have.
fn without_readers(path: &str, folder: &Path) -> String {
    let readers = [Reader::OpenTofu, Reader::Terraform].map(Reader::program);
    let mut out = Vec::new();
    for (number, place) in path.split(':').enumerate() {
        if !readers.iter().any(|it| Path::new(place).join(it).exists()) {
            out.push(place.to_owned());
            continue;
        }
        let others = folder.join(format!("bin-{number}"));
        fs::create_dir(&others).unwrap();
        for entry in fs::read_dir(place).unwrap().flatten().filter(|it| readers.iter().all(|name| it.file_name() != *name)) {
            std::os::unix::fs::symlink(entry.path(), others.join(entry.file_name())).unwrap();
        }
        out.push(others.to_str().unwrap().to_owned());
    }
    out.join(":")
}

impl Sky {
    /// For `eks`, `aks` or `gke`; nothing exists yet.
    pub(crate) fn new(kind: &str) -> Sky {
        Sky::read_by(Reader::OpenTofu, kind)
    }

    /// On a machine that has this reader alone.
    pub(crate) fn read_by(reader: Reader, kind: &str) -> Sky {
        let sky = Sky::of(reader, kind);
        let program = VENDORS.into_iter().find(|it| it.0 == kind).unwrap().2;
        std::os::unix::fs::symlink(here().join("tests/clouds/programs/cloud.py"), sky.folder.path().join("bin").join(program)).unwrap();
        sky
    }

    /// For EKS, without the test's `aws`.
    pub(crate) fn without_program() -> Sky {
        Sky::of(Reader::OpenTofu, "eks")
    }

    fn of(reader: Reader, kind: &str) -> Sky {
        let (_, provider, _) = VENDORS.into_iter().find(|it| it.0 == kind).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(reader.built(), bin.join(reader.program())).unwrap();
        mirror(folder.path(), provider);
        fs::create_dir_all(folder.path().join("cloud/blockers")).unwrap();
        let machine = std::env::var("PATH").unwrap();
        let machine = if reader == Reader::Terraform { without_readers(&machine, folder.path()) } else { machine };
        let path = format!("{}:{machine}", bin.display());
        Sky { schema: schema_file(provider), folder, path }
    }

    /// Installs this reader too.
    pub(crate) fn install(&self, reader: Reader) {
        std::os::unix::fs::symlink(reader.built(), self.folder.path().join("bin").join(reader.program())).unwrap();
    }

    /// Removes this reader.
    pub(crate) fn uninstall(&self, reader: Reader) {
        fs::remove_file(self.folder.path().join("bin").join(reader.program())).unwrap();
    }

    /// Lets a command of the tool see this cloud.
    pub(crate) fn over<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("PATH", &self.path).env("TF_CLI_CONFIG_FILE", self.folder.path().join("settings"));
        command.env("SCHEMA_FILE", &self.schema).env("CLOUD_FOLDER", self.cloud()).env("XDG_DATA_HOME", self.folder.path().join("data"))
    }

    /// Where the vendors' programs and the provider keep what they know.
    pub(crate) fn cloud(&self) -> PathBuf {
        self.folder.path().join("cloud")
    }

    /// What the vendors' programs answer: see tests/clouds/programs/cloud.py.
    pub(crate) fn settings(&self, settings: &Value) {
        fs::write(self.cloud().join("settings.json"), settings.to_string()).unwrap();
    }

    /// The server and CA (base64) that every cluster of this cloud has.
    pub(crate) fn cluster_is(&self, server: &str, authority: &str) {
        let host = server.trim_start_matches("https://");
        let values = json!({
            "aws_eks_cluster": { "endpoint": server, "certificate_authority": [{ "data": authority }] },
            "data.aws_availability_zones": { "names": ["eu-central-1a", "eu-central-1b", "eu-central-1c"] },
            "azurerm_kubernetes_cluster": {
                "kube_config": [{ "cluster_ca_certificate": authority, "client_certificate": "", "client_key": "", "host": server, "password": "", "username": "" }],
            },
            "google_container_cluster": { "endpoint": host, "master_auth": [{ "cluster_ca_certificate": authority }] },
        });
        fs::write(self.cloud().join("values.json"), values.to_string()).unwrap();
    }

    /// The next faults of the provider: see tests/clouds/server.
    pub(crate) fn faults(&self, faults: &Value) {
        fs::write(self.cloud().join("faults.json"), faults.to_string()).unwrap();
    }

    /// While this file exists, something that Kubernetes made holds the network.
    pub(crate) fn blocker(&self, name: &str) -> PathBuf {
        self.cloud().join("blockers").join(name)
    }

    /// The types of all resources that exist, sorted.
    pub(crate) fn inventory(&self) -> Vec<String> {
        let files = fs::read_dir(self.cloud().join("inventory")).into_iter().flatten().flatten();
        let kind = |text: Vec<u8>| serde_json::from_slice::<Value>(&text).unwrap()["type"].as_str().unwrap().to_owned();
        let mut out: Vec<String> = files
            .filter(|it| it.path().extension().is_some_and(|it| it == "json"))
            .filter_map(|it| fs::read(it.path()).ok())
            .map(kind)
            .collect();
        out.sort();
        out
    }

    /// The mirror from which OpenTofu takes the provider.
    pub(crate) fn mirror(&self) -> PathBuf {
        self.folder.path().join("mirror")
    }

    /// The folder with the keys of states.
    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("data/pocdeploy/state-keys")
    }

    /// The processes of OpenTofu and its provider that work for this cloud.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mark = format!("CLOUD_FOLDER={}", self.cloud().display());
        let id = |it: fs::DirEntry| it.file_name().to_str()?.parse::<i32>().ok();
        let own = |id: &i32| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            environment.split(|it| *it == 0).any(|it| it == mark.as_bytes())
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(id).filter(own).collect()
    }
}
