//! One task of one service: what a task gets that is done for each service by itself.

use std::{ops::Deref, path::PathBuf};

use crate::{
    config::{Service, table_of},
    env::Env,
    graph::TaskId,
};

/// A run's surroundings as one task of one service sees them. All of [`Env`] is there; folders are the service's own, because the tasks
/// of two services run at the same time.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    env: &'a Env,
    pub id: TaskId,
    /// The service's table of the configuration.
    pub service: &'a Service,
}

impl Deref for Scope<'_> {
    type Target = Env;

    fn deref(&self) -> &Env {
        self.env
    }
}

impl Env {
    /// The surroundings of a task of a service.
    pub fn scope(&self, id: TaskId) -> Scope<'_> {
        Scope { env: self, id, service: self.config.service(id.service) }
    }
}

impl Scope<'_> {
    /// A path below the service's part of the work folder. That of the first service is the work folder itself.
    pub fn own(&self, relative: &str) -> PathBuf {
        match self.id.service {
            Some(name) => self.env.work(format!("services/{name}")).join(relative),
            None => self.env.work(relative),
        }
    }

    /// The staged, patched source.
    pub fn stage(&self) -> PathBuf {
        self.own("app")
    }

    /// The wheels of the pinned requirements, for the image's Python and platform.
    pub fn wheels(&self) -> PathBuf {
        self.own("wheels")
    }

    /// The table of the service in the configuration, as messages name it: `frontend`, `services.worker`.
    pub fn table(&self) -> String {
        table_of(self.id.service)
    }
}
