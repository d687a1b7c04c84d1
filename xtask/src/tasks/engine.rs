//! A running container engine, or the tool's own, started with consent.

use anyhow::Result;

use crate::{
    engines::{self, Managed, PACKAGES},
    env::Env,
    errors::{Code, Problem},
    fingerprint::Fingerprint,
    graph::TaskId,
    probe::Probe,
    setup,
    tasks::Task,
};

pub struct Engine;

impl Task for Engine {
    fn id(&self) -> TaskId {
        TaskId::Engine
    }

    fn inputs(&self, _env: &Env) -> Result<Fingerprint> {
        Ok(Fingerprint::new())
    }

    fn probe(&self, env: &Env, _want: &Fingerprint) -> Result<Probe> {
        if env.engine().is_err() {
            match engines::find(env)? {
                Some(found) => env.set_engine(found),
                None => return Ok(Probe::Stale("no container engine answers".to_owned())),
            }
        }
        let engine = env.engine()?;
        let info = engine.info()?;
        let version = info.server_version.unwrap_or_default();
        Ok(Probe::Fresh(format!("{} answers (version {version})", engine.title)))
    }

    fn run(&self, env: &Env, _want: &Fingerprint) -> Result<()> {
        if let Err(reason) = Managed::possible() {
            let what = format!("no container engine answers, and the tool cannot start its own: {reason}");
            return Err(Problem::requirement(what)
                .code(Code::NoEngine)
                .hint("start Docker, or set DOCKER_HOST to an engine that you may use")
                .into());
        }
        let managed = Managed::new(env);
        let place = env.cache("engine");
        if setup::missing(&PACKAGES).is_empty() {
            setup::consent(env, self.id(), &format!("starts its own engine, private to {}", place.display()))?;
        } else {
            setup::ensure(env, self.id(), &PACKAGES, &format!("the tool's own engine, private to {},", place.display()))?;
        }
        let engine = managed.start(env, self.id())?;
        env.set_engine(engine);
        Ok(())
    }
}
