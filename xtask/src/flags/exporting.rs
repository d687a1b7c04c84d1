//! The flags of `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{config, export::ci};

#[derive(Clone, Debug, Args)]
pub struct Export {
    /// The form of the files
    #[arg(long, value_enum)]
    pub format: Format,
    /// The folder for the files [default: export/FORMAT]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// The registry to push the images to, such as registry.example.com/team [default: cluster.registry]
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub registry: Option<String>,
    /// Also write a file for continuous integration
    #[arg(long, value_enum)]
    pub ci: Option<Ci>,
    /// flux and argocd: the repository that the cluster reads [default: the URL of git's remote origin]
    #[arg(long, value_name = "URL")]
    pub repository: Option<String>,
    /// Overwrite files that were changed since the last export
    #[arg(long)]
    pub force: bool,
}

fn place(text: &str) -> Result<String, String> {
    config::complaint_about_registry(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// The form of exported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A base and an overlay for each way to reach the application
    Kustomize,
    /// A chart with a schema of its values
    Helm,
    /// A Compose file with PostgreSQL, for one machine
    Compose,
    /// The kustomize files with Flux' objects
    Flux,
    /// The kustomize files with Argo CD's objects
    Argocd,
}

impl Format {
    pub fn name(self) -> &'static str {
        match self {
            Format::Kustomize => "kustomize",
            Format::Helm => "helm",
            Format::Compose => "compose",
            Format::Flux => "flux",
            Format::Argocd => "argocd",
        }
    }
}

impl From<Format> for ci::Format {
    fn from(format: Format) -> ci::Format {
        match format {
            Format::Kustomize => ci::Format::Kustomize,
            Format::Helm => ci::Format::Helm,
            Format::Compose => ci::Format::Compose,
            Format::Flux => ci::Format::Flux,
            Format::Argocd => ci::Format::Argocd,
        }
    }
}

/// A service for continuous integration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ci {
    /// GitHub Actions: .github/workflows/deploy-NAMESPACE.yaml
    Github,
    /// GitLab CI: .gitlab-ci.yml
    Gitlab,
}
