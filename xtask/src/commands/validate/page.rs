//! Whether the pages of the application answer.

use anyhow::Result;
use serde_json::Value;

use crate::{
    cluster::{Cluster, Verdict, verdict},
    commands::validate::{
        check::{Area, Check},
        collect::{counted, started},
    },
    deploy::components::{Component, Components},
    env::Env,
    exposure::Address,
    provider::provider,
    tasks,
};

pub(super) fn page(env: &Env, cluster: &Cluster, components: &Components) -> Result<Vec<Check>> {
    let app = &env.config.frontend;
    let Some(address) = provider(env).address(env)? else {
        let seen = Err("the cluster has not assigned one to the application's Service yet".to_owned());
        return Ok(vec![Check::new(Area::App, "the application's address", seen)]);
    };
    // While a pod is starting, such as the one that enforces NetworkPolicies, a connection may hang: the page is asked for once more after it.
    let is_early = counted(env, cluster)?.iter().any(verdict::is_starting);
    let ask = |address: &Address, page: &str, text: &str| match asked(address, page, text) {
        Err(_) if is_early => started(env, cluster, false).map(|_| asked(address, page, text)),
        seen => Ok(seen),
    };
    let mut seen = ask(&address, &app.page, &app.text)?;
    if let Err(why) = &mut seen
        && let Some(said) = tasks::deploy::explain_front_door(env, cluster)?
    {
        *why = format!("{why}; {said}");
    }
    let mut out = vec![Check::new(Area::App, address.url(&app.page), seen)];
    for it in env.config.routes() {
        let own = address.at(&it.host);
        out.push(Check::new(Area::App, own.url(it.page), ask(&own, it.page, "")?));
    }
    for it in &components.services {
        let page = &env.config.service(Some(it.service)).page;
        if let (Some(port), false) = (it.port, page.is_empty()) {
            out.push(Check::new(
                Area::App,
                format!("page {page} of {}", it.service),
                page_of_pods(cluster, &it.part, port, &address, page)?,
            ));
        }
    }
    Ok(out)
}

/// Whether the page answers 200 with a text, and is not empty.
fn asked(address: &Address, page: &str, text: &str) -> Result<String, String> {
    match address.ask(page)? {
        page if page.status != 200 => Err(format!("status {}", page.status)),
        page if !page.text.contains(text) => Err(format!("status 200, without the text {text:?}")),
        page if page.text.trim().is_empty() => Err("status 200, and an empty page".to_owned()),
        _ if text.is_empty() => Ok("status 200".to_owned()),
        _ => Ok(format!("status 200 and the text {text:?}")),
    }
}

/// Whether each pod of a further service answers 200 for the page, since it cannot be reached from outside the cluster.
fn page_of_pods(cluster: &Cluster, part: &Component, port: u16, address: &Address, page: &str) -> Result<Result<String, String>> {
    let pods = cluster.list("v1", "Pod", &part.namespace, &part.selector)?;
    let there: Vec<&Value> = pods.iter().filter(|it| verdict::of_metadata(it) == Verdict::Yes && !verdict::is_left_behind(it)).collect();
    for pod in &there {
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        match cluster.page_of_pod(&part.namespace, name, port, address, page) {
            Ok(200) => {}
            Ok(other) => return Ok(Err(format!("pod {name} answers {other}"))),
            Err(error) => return Ok(Err(format!("pod {name}: {error:#}"))),
        }
    }
    Ok(if there.is_empty() { Err("no pod is there".to_owned()) } else { Ok("status 200 from every pod".to_owned()) })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_page_that_does_not_answer_is_asked_once_more() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::new(format!("http://{}", listener.local_addr().unwrap()));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                drop(listener.accept().unwrap());
                let mut second = listener.accept().unwrap().0;
                assert_ne!(second.read(&mut [0; 4096]).unwrap(), 0);
                second.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\npolls").unwrap();
            });
            assert!(asked(&address, "/", "polls").is_ok());
        });
    }
}
