//! Removes images that newer ones replaced, so that the engine's disk does not fill with them.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use bollard::query_parameters::{ListImagesOptions, PruneImagesOptions, RemoveImageOptions};

use crate::engine::{Engine, is_in_use, is_not_found};

/// Which images without a name are removed.
#[derive(Clone, Copy, Debug)]
pub enum Nameless<'a> {
    /// Those with this label.
    Labelled(&'a str),
    /// Those with this label of a base image, which the steps of a build on it have too: older than an hour, since another run may be
    /// building.
    Inherited(&'a str),
    /// All that are older than this, in Go's notation: `24h`. Only for an engine that nobody else uses.
    OlderThan(&'a str),
}

impl Engine {
    /// Removes images that lost their last name to a newer one. What a container uses stays.
    pub fn remove_nameless(&self, which: Nameless<'_>) -> Result<()> {
        let conditions: &[(&str, &str)] = match which {
            Nameless::Labelled(label) => &[("label", label)],
            Nameless::Inherited(label) => &[("label", label), ("until", "1h")],
            Nameless::OlderThan(age) => &[("until", age)],
        };
        let all = [("dangling", "true")].iter().chain(conditions);
        let filters: HashMap<String, Vec<String>> = all.map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        self.wait(async {
            match self.docker.prune_images(Some(PruneImagesOptions { filters: Some(filters) })).await {
                Ok(_) => Ok(()),
                // Another run is doing it: an engine prunes once at a time.
                Err(error) if is_in_use(&error) => Ok(()),
                Err(error) => Err(self.explain(error)),
            }
        })
        .context("remove replaced images")
    }

    /// Of the images `repository:…` with the label, keeps `current`, the newest of the others, and all of the last day, which a run in another
    /// checkout may be about to use; removes the rest. What a container uses stays.
    pub fn keep_two(&self, repository: &str, label: &str, current: &str) -> Result<()> {
        let filters = [("reference".to_owned(), vec![format!("{repository}:*")]), ("label".to_owned(), vec![label.to_owned()])];
        let options = ListImagesOptions { filters: Some(HashMap::from(filters)), ..ListImagesOptions::default() };
        self.wait(async {
            let mut found = self.docker.list_images(Some(options)).await.map_err(|error| self.explain(error))?;
            found.retain(|it| !it.repo_tags.iter().any(|name| name == current));
            found.sort_by_key(|it| std::cmp::Reverse(it.created));
            let is_recent = |created: i64| jiff::Timestamp::now().as_second() - created < 24 * 60 * 60;
            for name in found.iter().skip(1).filter(|it| !is_recent(it.created)).flat_map(|it| &it.repo_tags) {
                match self.docker.remove_image(name, None::<RemoveImageOptions>, None).await {
                    Err(error) if !is_not_found(&error) && !is_in_use(&error) => return Err(self.explain(error)),
                    _ => {}
                }
            }
            Ok(())
        })
        .with_context(|| format!("remove older images of {repository}"))
    }
}
