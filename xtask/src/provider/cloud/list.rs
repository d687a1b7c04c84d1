//! The clusters in a list: those of this project, and their lines in `ls`.

use crate::{
    env::Env,
    provider::{
        Expired, Instance,
        cloud::{
            known::{self, Known},
            prices::Price,
        },
    },
};

/// The clusters of this project whose time is over.
pub(in crate::provider) fn expired(env: &Env) -> Vec<Expired> {
    let over = known::all(env).into_iter().filter(|(it, _)| it.is_expired());
    over.map(|(it, is_named)| Expired { on: it.expires_on(), instance: it.name, kind: it.kind, is_named }).collect()
}

/// A line of `ls`.
pub(super) fn instance(known: &Known, price: &Price) -> Instance {
    let state = match (known.is_expired(), known.finished) {
        (true, _) => "expired",
        (false, true) => "running",
        (false, false) => "unfinished",
    };
    let hours = known.age().as_secs() / 3600;
    let place = format!(
        "{} {} {}, {} h old, {} so far, expires on {}",
        known.kind,
        known.account.account,
        known.account.region,
        hours,
        price.so_far(known.age()),
        known.expires_on()
    );
    Instance { name: known.name.clone(), state, url: String::new(), project: place }
}
