//! `forward`: a local port for the database's primary or the application, which survives replaced pods.

use std::{
    io::Write as _,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use anyhow::{Context as _, Result};

use crate::{
    cluster::Target,
    commands::instance,
    config::{Kind, Service},
    deploy::components::Components,
    env::Env,
    errors::Problem,
    flags::inspection::{ComponentName, Forward},
    invocation,
};

/// The number of ports to try after the usual one.
const TRIES: u16 = 100;

pub(crate) fn run(env: &Env, flags: &Forward) -> Result<()> {
    let cluster = instance::connect_for_streams(env)?;
    let components = Components::read(env)?;
    let (part, port) = match flags.to {
        ComponentName::Service(name) => {
            let it = components.service(name)?;
            let port = it.port.ok_or_else(|| Problem::config(format!("the manifests of {name} name no port of its container")))?;
            (it.part.clone(), port)
        }
        ComponentName::App => (components.app.clone(), components.app_port),
        _ => (components.primary(), 5432),
    };
    let listener = listen(flags.port, port)?;
    let local = listener.local_addr().context("ask for the local port")?.port();
    let address = match flags.to {
        ComponentName::App => format!("http://localhost:{local}{}", env.config.frontend.page),
        ComponentName::Service(name) => match env.config.service(Some(name)) {
            Service { kind: Some(Kind::Valkey), .. } => format!("redis://localhost:{local}/0"),
            it => format!("http://localhost:{local}{}", it.page),
        },
        _ => {
            format!("postgresql://{}@localhost:{local}/{}?sslmode=require", env.config.database.user, env.config.database.name)
        }
    };
    if local != port && flags.port.is_none() {
        say(&format!("port {port} is taken: using {local}"));
    }
    if flags.to == ComponentName::Database {
        say(&format!(
            "the password: cargo xtask kubectl -n {} get secret {}-app -o jsonpath='{{.data.password}}' | base64 -d",
            part.namespace, components.cluster
        ));
    }
    say("Ctrl-C ends it");
    writeln!(std::io::stdout(), "{address}").context("print the address")?;
    let target = Target { namespace: part.namespace, labels: part.selector, port };
    let last = Arc::new(Mutex::new(String::new()));
    cluster.forward(listener, &target, move |line| {
        // Each connection reports its pod; only a change is printed.
        if let Ok(mut last) = last.lock()
            && *last != line
        {
            say(&line);
            *last = line;
        }
    })
}

fn listen(set: Option<u16>, usual: u16) -> Result<TcpListener> {
    if let Some(port) = set {
        return TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
            Problem::requirement(format!("port {port} cannot be used: {error}")).hint("leave --port out to take the next free one").into()
        });
    }
    let free = (usual..usual.saturating_add(TRIES)).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    free.ok_or_else(|| Problem::requirement(format!("no port from {usual} to {} is free", usual.saturating_add(TRIES) - 1)).into())
}

fn say(line: &str) {
    // Standard error may be closed; forwarding continues.
    writeln!(std::io::stderr(), "{}", invocation::reworded(line)).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_unless_it_was_asked_for() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(listen(Some(port), 1).is_err());
        assert_ne!(listen(None, port).unwrap().local_addr().unwrap().port(), port);
    }
}
