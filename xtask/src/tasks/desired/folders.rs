//! The manifests of an instance, by their folders.

use anyhow::Result;

use crate::{
    config::ServiceName,
    deploy::{
        folder,
        manifests::{self, Manifest},
        roles::Roles,
        room::Bound,
    },
    env::Env,
    provider::provider,
};

/// The manifests of the database and of every service.
pub(in crate::tasks) struct Folders {
    pub(in crate::tasks) database: Vec<Manifest>,
    /// At least the first service's, which comes first.
    pub(in crate::tasks) services: Vec<Folder>,
}

/// The manifests of a service, and which of them are its Deployment, migration and Service.
pub(in crate::tasks) struct Folder {
    pub(in crate::tasks) service: Option<ServiceName>,
    pub(in crate::tasks) manifests: Vec<Manifest>,
    pub(in crate::tasks) roles: Roles,
}

impl Folders {
    pub(in crate::tasks) fn read(env: &Env) -> Result<Folders> {
        let database = folder::of_database(env)?;
        let mut services: Vec<Folder> = Vec::new();
        for (service, _) in env.config.all_services() {
            let manifests = folder::of_service(env, service)?;
            let image = &env.config.service(env.config.image_of(service)).image;
            let mut roles = Roles::of(&manifests, image, service)?;
            if let Some(first) = services.first().filter(|_| roles.home.is_empty()) {
                roles.home.clone_from(&first.roles.home);
            }
            services.push(Folder { service, manifests, roles });
        }
        let all = std::iter::once(&database).chain(services.iter().map(|it| &it.manifests));
        manifests::refuse_twins(all, &services[0].roles.home)?;
        Ok(Folders { database, services })
    }

    pub(in crate::tasks) fn first(&self) -> &Folder {
        &self.services[0]
    }

    /// What of the manifests depends on the requests for processors as they are written. On any cluster but a disposable one: everything.
    pub(super) fn room(&self, env: &Env) -> Bound {
        if !provider(env).features(env).throw_away {
            return Bound::everything();
        }
        let all = self.services.iter().map(|it| &it.manifests).chain([&self.database]).flatten();
        Bound::of(all.map(|it| &it.object))
    }
}
