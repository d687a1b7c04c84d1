//! `export`: what is deployed, as files that work without this tool. Objects in, files out: nothing is read or written here.

mod apply;
pub mod argocd;
pub mod ci;
mod clean;
pub mod compose;
pub mod flux;
pub mod helm;
pub mod kustomize;
mod readme;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    deploy::{objects, yaml},
    errors::Problem,
    exposure::{Address, ServiceType},
};

pub use crate::export::{
    clean::{clean, image_names, job_for_files},
    secrets::{Key, Required},
};

/// The files of an export, by their paths in its folder.
pub type Files = BTreeMap<PathBuf, File>;

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub content: String,
    pub executable: bool,
    /// Written for the user to change: a changed one is kept by later exports.
    pub to_change: bool,
}

impl File {
    fn script(content: String) -> File {
        File { content, executable: true, to_change: false }
    }

    fn to_change(content: String) -> File {
        File { content, executable: false, to_change: true }
    }
}

impl From<String> for File {
    fn from(content: String) -> File {
        File { content, executable: false, to_change: false }
    }
}

/// What is deployed, without the tool's own marks, and without any secret value.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The namespace of the services and their database.
    pub namespace: String,
    /// What pods need to start, in the order of application: the namespace first, the `Cluster` last.
    pub foundation: Vec<Value>,
    /// The migrations and other Jobs.
    pub jobs: Vec<Value>,
    /// Workloads, Services, Ingress and the rest.
    pub app: Vec<Value>,
    /// ConfigMaps with text only, which are in none of the lists above.
    pub settings: Vec<Settings>,
    /// The operator's release, if the instance has its own.
    pub operator: Vec<Value>,
    /// The images of the services' containers.
    pub images: Vec<Image>,
    /// PostgreSQL's image, with its digest.
    pub postgresql: String,
    /// The name of the `Cluster`.
    pub database: String,
    /// The Secrets that the user creates; the operator creates the database's.
    pub secrets: Vec<Required>,
    /// The Secret for pulling from the registry, if it wants credentials.
    pub pull_secret: Option<String>,
    /// The Ingress's host.
    pub host: String,
    /// The Service that publishes the application, and its Deployment's port.
    pub published: Published,
    /// What differs between clusters; the first one is the default.
    pub variants: Vec<Variant>,
    /// What the format of the files cannot say, and the user should know. One sentence each.
    pub notes: Vec<String>,
}

/// A ConfigMap with text only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub name: String,
    pub data: BTreeMap<String, String>,
}

/// An image that this tool built or brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The service that runs it: `frontend`.
    pub service: String,
    /// The name in the objects, which no other image has: `exported/frontend`.
    pub name: String,
    /// `registry.example.com/team/polls`.
    pub repository: String,
    /// For people, and for CloudNativePG, which reads PostgreSQL's version from it.
    pub tag: String,
    /// `sha256:…`.
    pub digest: String,
}

impl Image {
    /// From a reference with tag and digest: `registry.example.com/team/polls:1.0.0@sha256:…`.
    pub fn new(service: &str, reference: &str) -> Result<Image> {
        let (tagged, digest) = reference.split_once('@').ok_or_else(|| Problem::new(format!("{reference} has no digest")))?;
        let (repository, tag) = match tagged.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => return Err(Problem::new(format!("{reference} has no tag")).into()),
        };
        let [repository, tag, digest] = [repository, tag, digest].map(str::to_owned);
        Ok(Image { service: service.to_owned(), name: format!("exported/{service}"), repository, tag, digest })
    }

    /// Whether a container of the object names it.
    fn is_in(&self, object: &Value) -> bool {
        match object {
            Value::Array(items) => items.iter().any(|it| self.is_in(it)),
            Value::Object(fields) => {
                fields.get("image").is_some_and(|it| *it == self.name.as_str()) || fields.values().any(|it| self.is_in(it))
            }
            _ => false,
        }
    }

    /// `registry.example.com/team/polls:1.0.0@sha256:…`.
    pub fn reference(&self) -> String {
        format!("{}:{}@{}", self.repository, self.tag, self.digest)
    }
}

/// The Service that publishes the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    pub service: String,
    /// The index of the page's port in the Service.
    pub port: usize,
    /// The port of the container.
    pub container_port: Option<u16>,
}

/// How users reach the application on one sort of cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// `ingress`, `load-balancer` or `node-port`.
    pub name: &'static str,
    pub service: ServiceType,
    pub address: Address,
    /// The settings that differ from those of [`Exported::settings`].
    pub settings: Vec<Settings>,
}

impl Exported {
    /// The names of the ConfigMaps and Secrets that an object's pods refer to, of this kind.
    fn used(object: &Value, kind: &str) -> BTreeSet<String> {
        objects::settings_of(object).into_iter().filter(|(of, _)| of == kind).map(|(_, name)| name).collect()
    }

    /// The object of the database.
    fn cluster(&self) -> Option<&Value> {
        self.foundation.iter().find(|it| it["kind"] == "Cluster" && it["metadata"]["name"] == self.database.as_str())
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

/// A value as YAML that kubectl reads as the same value.
fn text(value: &Value) -> Result<String> {
    yaml::text(value).map_err(|error| Problem::new(error).into())
}

/// A Job's name without the hash of its content.
fn short_name(job: &Value) -> &str {
    name(job).rsplit_once('-').map_or(name(job), |(short, _)| short)
}

/// `deployment-polls-frontend.yaml`; the namespace stands before it if another file has this name. A Job's file keeps its name, so that a
/// change is a small difference.
fn file_name(object: &Value, taken: &BTreeSet<String>) -> String {
    let own = if kind(object) == "Job" { short_name(object) } else { name(object) };
    let short = format!("{}-{}.yaml", kind(object).to_lowercase(), own.to_lowercase().replace(':', "-"));
    if !taken.contains(&short) {
        return short;
    }
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("cluster");
    format!("{namespace}-{}-{short}", crate::deploy::scope::group(object))
}

#[cfg(test)]
mod tests;
