//! One service: `[frontend]`, or `[services.NAME]` with defaults that follow from the name.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::Secret;

/// One service of the application: its source, its patches, its image, and how it runs.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Service {
    /// `[services.NAME]` only: the service whose image this one runs, so that it needs no source, no patches and no Dockerfile. `frontend`
    /// or the name of a service that has an image of its own.
    pub uses: Option<String>,
    /// The upstream source; never edited.
    pub path: PathBuf,
    /// Patches in git format, applied in name order. May be empty or absent.
    pub patch_dir: PathBuf,
    pub dockerfile: PathBuf,
    /// The pinned requirements that are kept in the repository.
    pub requirements: PathBuf,
    /// The distribution of an imported module that is not known: `environ = "django-environ"`; "" for none.
    pub packages: BTreeMap<String, String>,
    /// Dependency groups and extras of pyproject.toml or a lock that go into the image beside the main ones.
    pub groups: Vec<String>,
    /// The image's name without a tag.
    pub image: String,
    /// The image's tag.
    pub version: String,
    /// Whether `RUN` steps of the Dockerfile have a network. The shipped one needs none.
    pub build_network: bool,
    /// Pods of the service's Deployment. An autoscaler in the manifests decides instead.
    #[schemars(range(min = 1, max = 50))]
    pub replicas: u16,
    /// The value of `secret-key` in the Secret of the service: `polls-app` for the first one, `NAME-app` for others. Not set: generated
    /// once, and kept only in the cluster. `POCDEPLOY_SECRET_KEY` goes first for the first service.
    pub secret_key: Option<Secret>,
    /// The host name of the service's Ingress.
    pub host: String,
    /// The page that must answer 200. Not set for a further service: its pods need only be ready.
    pub page: String,
    /// Text that the page must hold for `validate`. Not set: no text is looked for, and `validate` asks for the status 200 alone.
    pub text: String,
}

impl Default for Service {
    fn default() -> Service {
        Service {
            uses: None,
            path: "third_party/django-polls".into(),
            patch_dir: "build/patches".into(),
            dockerfile: "build/Dockerfile.frontend".into(),
            requirements: "build/requirements.txt".into(),
            packages: BTreeMap::new(),
            groups: Vec::new(),
            image: "polls".to_owned(),
            version: "1.0.0".to_owned(),
            build_network: false,
            replicas: 2,
            secret_key: None,
            host: "polls.localhost".to_owned(),
            page: "/".to_owned(),
            text: String::new(),
        }
    }
}

impl Service {
    /// The defaults of `[services.NAME]`: every path has the service's name, one pod, no page.
    pub fn named(name: &str) -> Service {
        Service {
            path: format!("third_party/{name}").into(),
            patch_dir: format!("build/patches-{name}").into(),
            dockerfile: format!("build/Dockerfile.{name}").into(),
            requirements: format!("build/requirements-{name}.txt").into(),
            image: name.to_owned(),
            replicas: 1,
            host: format!("{name}.localhost"),
            page: String::new(),
            ..Service::default()
        }
    }
}
