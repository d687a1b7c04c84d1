//! A container engine in memory on a unix socket: images, containers, networks, commands in containers, and a list of its requests.
//!
//! ```ignore
//! let engine = Engine::start(folder);
//! engine.node("polls-1", 8081);                     // a finished kind node of instance polls-1, publishing a port
//! engine.image("polls:1.0.0", &[("label", "value")]);
//! engine.answer_exec(|container, command| …);        // the output of commands in containers
//! engine.fail("/networks/", 1, "permission denied"); // the next request whose path contains this fails
//! assert_eq!(engine.changes(), ["DELETE /containers/polls-1-control-plane", …]);
//! ```
//!
//! It creates no container by itself and pulls nothing, since no registry answers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};

use crate::http::{self, Answer, Health, Request};

#[path = "engine/state.rs"]
mod state;

type Exec = dyn Fn(&str, &str) -> (String, i64) + Send + Sync;

#[derive(Default)]
struct State {
    images: BTreeMap<String, Value>,
    containers: BTreeMap<String, Value>,
    networks: BTreeMap<String, Value>,
    volumes: BTreeMap<String, Value>,
    /// Existing paths in containers.
    paths: Vec<(String, String)>,
    /// Readable files of containers: container, path, content.
    files: Vec<(String, String, String)>,
    commands: BTreeMap<String, (String, i64)>,
    builds: Vec<Build>,
    requests: Vec<String>,
    failures: Vec<(String, usize, String)>,
    exec: Option<Arc<Exec>>,
    /// Pushed images, if a registry answers.
    registry: Option<Vec<String>>,
    /// Containers that are being made, by name: no list has them.
    making: BTreeMap<String, Value>,
    /// A part of a path, and the start of the names of images that a request for it removes.
    loses: Option<(String, String)>,
}

/// The requests of builds.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) query: Vec<(String, String)>,
    /// The archive of its context.
    pub(crate) context: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Engine {
    state: Arc<Mutex<State>>,
    socket: PathBuf,
    pub(crate) health: Health,
}

impl Engine {
    /// The socket is in `folder`.
    pub(crate) fn start(folder: &Path) -> Engine {
        let engine = Engine { state: Arc::default(), socket: folder.join("engine.sock"), health: Health::default() };
        let served = engine.state.clone();
        http::serve_unix(&engine.socket, &engine.health, move |request| answer(&served, request));
        engine
    }

    /// The value of `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    pub(crate) fn image(&self, reference: &str, labels: &[(&str, &str)]) {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let value = json!({ "Id": format!("sha256:{reference}"), "Size": 1_000_000, "Config": { "Labels": labels } });
        self.lock().images.insert(reference.to_owned(), value);
    }

    /// Adds a name to an image.
    pub(crate) fn same_image(&self, reference: &str, name: &str) {
        let mut state = self.lock();
        let image = state.images[reference].clone();
        state.images.insert(name.to_owned(), image);
    }

    /// A finished node of an instance, on the instance's own network. `port` is the application's port on the host.
    pub(crate) fn node(&self, instance: &str, port: u16) {
        self.node_of(instance, "/a/project", port);
    }

    /// The same for the project in a folder.
    pub(crate) fn node_of(&self, instance: &str, project: &str, port: u16) {
        let network = format!("pocdeploy-{instance}");
        let labels = json!({ "dev.pocdeploy.instance": instance, "dev.pocdeploy.project": project });
        self.lock().networks.insert(network.clone(), json!({ "Name": network, "Labels": labels }));
        self.container(&format!("{instance}-control-plane"), &network, port);
        self.lock().paths.push((format!("{instance}-control-plane"), "/kind/pocdeploy-finished".to_owned()));
    }

    pub(crate) fn container(&self, name: &str, network: &str, port: u16) {
        let value = json!({
            "Id": format!("id-{name}"), "Name": format!("/{name}"), "State": { "Running": true, "Status": "running", "Pid": 0 },
            "Config": { "Image": "image", "Labels": {} },
            "NetworkSettings": { "Networks": { network: {} } },
            "HostConfig": { "PortBindings": { "30080/tcp": [{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }] } },
            "Mounts": [],
        });
        self.lock().containers.insert(name.to_owned(), value);
    }

    pub(crate) fn network(&self, name: &str, labels: &Value) {
        self.lock().networks.insert(name.to_owned(), json!({ "Name": name, "Labels": labels }));
    }

    pub(crate) fn volume(&self, name: &str, labels: &Value) {
        self.lock().volumes.insert(
            name.to_owned(),
            json!({ "Name": name, "Driver": "local", "Mountpoint": "/v", "Scope": "local", "Options": {}, "Labels": labels }),
        );
    }

    /// Everything that the engine has: each thing with its properties.
    pub(crate) fn inventory(&self) -> Vec<(String, Value)> {
        let state = self.lock();
        let kinds = [("container", &state.containers), ("image", &state.images), ("network", &state.networks), ("volume", &state.volumes)];
        kinds.iter().flat_map(|(kind, all)| all.iter().map(move |(name, it)| (format!("{kind} {name}"), it.clone()))).collect()
    }

    /// The engine is already removing the container: it is listed, its files cannot be read, and a second removal is refused.
    pub(crate) fn leaving(&self, name: &str) {
        self.lock().containers.get_mut(name).unwrap()["State"]["Status"] = json!("removing");
    }

    /// From now on a registry accepts pushes and returns digests.
    pub(crate) fn registry(&self) {
        self.lock().registry = Some(Vec::new());
    }

    /// The registry has this image already.
    pub(crate) fn in_registry(&self, name: &str) {
        self.lock().registry.get_or_insert_default().push(name.to_owned());
    }

    /// The pushed images, `name:tag`.
    pub(crate) fn pushed(&self) -> Vec<String> {
        self.lock().registry.clone().unwrap_or_default()
    }

    /// Adds a file to a container.
    pub(crate) fn file(&self, container: &str, path: &str, content: &str) {
        let mut state = self.lock();
        state.paths.push((container.to_owned(), path.to_owned()));
        state.files.push((container.to_owned(), path.to_owned(), content.to_owned()));
    }

    /// A stopped container.
    pub(crate) fn stopped(&self, name: &str) {
        self.lock().containers.get_mut(name).unwrap()["State"] = json!({ "Running": false, "Status": "exited", "ExitCode": 137 });
    }

    /// A container whose processes the engine has frozen: it calls that both running and paused.
    pub(crate) fn frozen(&self, name: &str) {
        self.lock().containers.get_mut(name).unwrap()["State"] = json!({ "Running": true, "Paused": true, "Status": "paused", "Pid": 1 });
    }

    /// An unfinished node.
    pub(crate) fn half_made_node(&self, instance: &str, port: u16) {
        self.node(instance, port);
        self.lock().paths.retain(|(_, path)| path != "/kind/pocdeploy-finished");
    }

    /// An unfinished node that the engine is making for a client that has ended. It is there once a request asked for its name.
    pub(crate) fn node_in_the_making(&self, instance: &str, port: u16) {
        self.half_made_node(instance, port);
        let mut state = self.lock();
        let name = format!("{instance}-control-plane");
        let node = state.containers.remove(&name).unwrap();
        state.making.insert(name, node);
    }

    /// The function answers commands in containers: from container and command line to output and exit code.
    pub(crate) fn answer_exec(&self, exec: impl Fn(&str, &str) -> (String, i64) + Send + Sync + 'static) {
        self.lock().exec = Some(Arc::new(exec));
    }

    /// The next `times` requests whose method and path contain `part` fail with status 500 and this message.
    pub(crate) fn fail(&self, part: &str, times: usize, words: &str) {
        self.lock().failures.push((part.to_owned(), times, words.to_owned()));
    }

    /// Once, a request whose path contains `part` removes the images whose names begin with `start`, as another command would.
    pub(crate) fn lose(&self, part: &str, start: &str) {
        self.lock().loses = Some((part.to_owned(), start.to_owned()));
    }

    pub(crate) fn containers(&self) -> Vec<String> {
        self.lock().containers.keys().cloned().collect()
    }

    pub(crate) fn images_below(&self, path: &str) -> Vec<String> {
        self.lock().images.keys().filter(|it| it.starts_with(path)).cloned().collect()
    }

    pub(crate) fn networks(&self) -> Vec<String> {
        self.lock().networks.keys().cloned().collect()
    }

    /// All requests: `GET /images/x/json`, `EXEC container: command`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    /// The requests that change something.
    pub(crate) fn changes(&self) -> Vec<String> {
        self.requests().into_iter().filter(|it| it.starts_with("POST") || it.starts_with("DELETE") || it.starts_with("PUT")).collect()
    }

    pub(crate) fn builds(&self) -> Vec<Build> {
        self.lock().builds.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn refuse(status: u16, words: &str) -> Answer {
    Answer::json(status, &json!({ "message": words }))
}

fn answer(state: &Mutex<State>, request: &Request) -> Answer {
    // Ignores the API version in `/v1.44/containers/x/json`.
    let path =
        request.path.strip_prefix("/v").and_then(|it| it.split_once('/')).map_or(request.path.clone(), |(_, rest)| format!("/{rest}"));
    let mut state = state.lock().unwrap();
    let asked = format!("{} {path}", request.method);
    if !asked.contains("/exec") {
        state.requests.push(asked.clone());
    }
    if let Some(failure) = state.failures.iter_mut().find(|(part, times, _)| *times > 0 && asked.contains(part.as_str())) {
        failure.1 -= 1;
        return refuse(500, &failure.2.clone());
    }
    if let Some((_, start)) = state.loses.take_if(|(part, _)| asked.contains(part.as_str())) {
        state.images.retain(|name, _| !name.starts_with(&start));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), words.as_slice()) {
        (_, ["_ping"]) => Answer::text("OK"),
        ("GET", ["version"]) => Answer::json(200, &json!({ "ApiVersion": "1.44", "Version": "27.0" })),
        ("GET", ["info"]) => Answer::json(200, &json!({ "ServerVersion": "27.0" })),
        ("GET", ["volumes"]) => Answer::json(200, &json!({ "Volumes": state.volumes.values().collect::<Vec<_>>() })),
        ("GET", ["distribution", name @ .., "json"]) => match &state.registry {
            None => refuse(500, "no such host"),
            Some(pushed) if pushed.contains(&name.join("/")) => {
                let digest = format!("sha256:{:064x}", name.join("/").len());
                Answer::json(200, &json!({ "Descriptor": { "mediaType": "m", "digest": digest, "size": 1 }, "Platforms": [] }))
            }
            Some(_) => refuse(404, "manifest unknown: manifest unknown"),
        },
        ("POST", ["images", name @ .., "tag"]) => {
            let Some(image) = state.images.get(&name.join("/")).cloned() else { return refuse(404, "no such image") };
            let tagged = format!("{}:{}", request.query("repo").unwrap_or_default(), request.query("tag").unwrap_or_default());
            state.images.insert(tagged, image);
            Answer::Whole { status: 201, kind: "text/plain", body: Vec::new() }
        }
        ("POST", ["images", name @ .., "push"]) => {
            let pushed = format!("{}:{}", name.join("/"), request.query("tag").unwrap_or_default());
            if !state.images.contains_key(&pushed) {
                return refuse(404, "no such image");
            }
            match &mut state.registry {
                Some(all) => all.push(pushed),
                None => return Answer::steps(&[json!({ "errorDetail": { "message": "no such host" }, "error": "no such host" })]),
            }
            Answer::steps(&[json!({ "status": "Pushed" })])
        }
        ("GET", ["containers", "json"]) => state.list_containers(request),
        ("POST", ["containers", "create"]) => {
            let name = request.query("name").unwrap_or_default().to_owned();
            if let Some(made) = state.making.remove(&name) {
                state.containers.insert(name.clone(), made);
            }
            if state.containers.contains_key(&name) {
                return refuse(409, &format!("Conflict. The container name \"/{name}\" is already in use"));
            }
            state.containers.insert("new".to_owned(), json!({ "Id": "new", "Name": format!("/{name}"), "State": { "Status": "created" } }));
            Answer::json(201, &json!({ "Id": "new", "Warnings": [] }))
        }
        ("GET", ["containers", name, "json"]) => {
            state.containers.get(*name).map_or_else(|| refuse(404, "no such container"), |it| Answer::json(200, it))
        }
        ("HEAD", ["containers", name, "archive"]) if state.is_leaving(name) => refuse(500, ""),
        ("DELETE", ["containers", name]) if state.is_leaving(name) => {
            state.containers.remove(*name);
            refuse(409, &format!("removal of container {name} is already in progress"))
        }
        ("DELETE", ["containers", name]) => match state.containers.remove(*name) {
            Some(_) => Answer::Whole { status: 204, kind: "text/plain", body: Vec::new() },
            None => refuse(404, "no such container"),
        },
        ("HEAD", ["containers", name, "archive"]) => state.path(name, request.query("path").unwrap_or_default()),
        ("POST", ["containers", name, "stop"]) if state.containers.contains_key(*name) => {
            state.containers.get_mut(*name).unwrap()["State"] = json!({ "Running": false, "Status": "exited", "ExitCode": 137 });
            Answer::Whole { status: 204, kind: "text/plain", body: Vec::new() }
        }
        ("POST", ["containers", name, "start"]) if state.is_frozen(name) => {
            refuse(409, "cannot start a paused container, try unpause instead")
        }
        ("POST", ["containers", name, "pause"]) if state.containers.contains_key(*name) => {
            state.containers.get_mut(*name).unwrap()["State"] = json!({ "Running": true, "Paused": true, "Status": "paused", "Pid": 1 });
            Answer::Whole { status: 204, kind: "text/plain", body: Vec::new() }
        }
        ("POST", ["containers", name, "unpause"]) if state.is_frozen(name) => {
            state.containers.get_mut(*name).unwrap()["State"] = json!({ "Running": true, "Paused": false, "Status": "running", "Pid": 1 });
            Answer::Whole { status: 204, kind: "text/plain", body: Vec::new() }
        }
        ("GET", ["containers", name, "logs"]) => Answer::text(&format!("{name} starts\n")),
        ("GET", ["containers", name, "archive"]) => state.archive(name, request.query("path").unwrap_or_default()),
        ("POST", ["containers", name, "exec"]) => state.exec(name, &body),
        ("POST", ["exec", id, "start"]) => {
            let output = state.commands.get(*id).map(|it| it.0.clone()).unwrap_or_default();
            Answer::Takeover(Box::new(move |stream| speak(stream, &output)))
        }
        ("GET", ["exec", id, "json"]) => {
            Answer::json(200, &json!({ "ID": id, "ExitCode": state.commands.get(*id).map(|it| it.1), "Running": false }))
        }
        ("GET", ["images", "json"]) => state.list_images(request),
        ("GET", ["images", name @ .., "json"]) => {
            state.images.get(&name.join("/")).map_or_else(|| refuse(404, "no such image"), |it| Answer::json(200, it))
        }
        ("DELETE", ["images", name @ ..]) => match state.images.remove(&name.join("/")) {
            Some(_) => Answer::json(200, &json!([])),
            None => refuse(404, "no such image"),
        },
        ("POST", ["build"]) => {
            state.builds.push(Build { query: request.query.clone(), context: request.body.clone() });
            let labels: Value = serde_json::from_str(request.query("labels").unwrap_or("{}")).unwrap_or_default();
            let image = json!({ "Id": format!("sha256:{}", request.query("t").unwrap_or_default()), "Size": 1_000_000, "Config": { "Labels": labels } });
            state.images.insert(request.query("t").unwrap_or_default().to_owned(), image);
            Answer::steps(&[json!({ "id": "moby.image.id", "aux": { "ID": "sha256:00" } }), json!({ "stream": "Successfully tagged x\n" })])
        }
        ("GET", ["networks"]) => state.list_networks(request),
        ("POST", ["networks", "create"]) => {
            let name = body["Name"].as_str().unwrap_or_default().to_owned();
            state.networks.insert(name.clone(), json!({ "Name": name, "Labels": body["Labels"] }));
            Answer::json(201, &json!({ "Id": format!("id-{name}"), "Warning": "" }))
        }
        ("GET", ["networks", name]) => state.networks.get(*name).map_or_else(|| refuse(404, "no such network"), |it| Answer::json(200, it)),
        ("DELETE", ["networks", name]) => match state.networks.remove(*name) {
            Some(_) => Answer::Whole { status: 204, kind: "text/plain", body: Vec::new() },
            None => refuse(404, "no such network"),
        },
        _ => refuse(501, &format!("the double does not know {asked}")),
    }
}

/// Standard output in the engine's framing, after the response that upgrades the connection. Reads all input of the command first.
fn speak(stream: &mut dyn http::Stream, output: &str) {
    let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    let size = (output.len() as u32).to_be_bytes();
    let frame = [head.as_bytes(), &[1, 0, 0, 0], &size, output.as_bytes()].concat();
    // The client may have ended.
    stream.write_all(&frame).and_then(|()| std::io::copy(stream, &mut std::io::sink())).ok();
}
