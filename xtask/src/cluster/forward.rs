//! Forwards a local port to a pod. Each connection selects a ready pod, so forwarding survives replaced pods.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};
use tokio::{net::TcpStream, time::Instant};

use crate::{
    cluster::{Cluster, pods::is_ready},
    errors::Problem,
};

/// The labels of the pods, and their port.
#[derive(Clone, Debug)]
pub struct Target {
    pub namespace: String,
    pub labels: String,
    pub port: u16,
}

/// How long a connection waits for a ready pod while pods are replaced.
const POD_LIMIT: Duration = Duration::from_secs(30);

impl Cluster {
    /// Serves the listener until Ctrl-C, which counts as success. Calls `say` for each failed connection and each connected pod.
    pub fn forward(&self, listener: TcpListener, target: &Target, say: impl Fn(String) + Send + Sync + Clone + 'static) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &target.namespace);
        let interrupt = self.interrupt.clone();
        self.runtime.block_on(async {
            listener.set_nonblocking(true).context("listen")?;
            let listener = tokio::net::TcpListener::from_std(listener).context("listen")?;
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.context("take a connection")?.0,
                    _ = interrupt.came() => return Ok(()),
                };
                let (api, target, say) = (api.clone(), target.clone(), say.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(&api, &target, stream, &say).await {
                        say(format!("a connection ended: {error:#}"));
                    }
                });
            }
        })
    }
}

async fn serve(api: &Api<Pod>, target: &Target, mut stream: TcpStream, say: &impl Fn(String)) -> Result<()> {
    let began = Instant::now();
    let mut last;
    loop {
        match reach(api, target).await {
            Ok((pod, mut there)) => {
                say(format!("connected to {pod}"));
                // Either side may close the connection.
                tokio::io::copy_bidirectional(&mut stream, &mut there).await.ok();
                return Ok(());
            }
            Err(error) => last = error,
        }
        if began.elapsed() > POD_LIMIT {
            return Err(last);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn reach(api: &Api<Pod>, target: &Target) -> Result<(String, impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin)> {
    let pods = api.list(&ListParams::default().labels(&target.labels)).await.context("list pods")?;
    let ready = pods.items.into_iter().filter(is_ready).max_by_key(|it| it.metadata.creation_timestamp.clone().map(|it| it.0));
    let Some(name) = ready.and_then(|it| it.metadata.name) else {
        return Err(Problem::new(format!("no pod of {} is ready", target.labels)).into());
    };
    let mut forwarder = api.portforward(&name, &[target.port]).await.with_context(|| format!("forward to pod {name}"))?;
    let stream = forwarder.take_stream(target.port).context("the API server opened no stream")?;
    // The forwarder continues until the stream ends.
    drop(forwarder);
    Ok((name, stream))
}
