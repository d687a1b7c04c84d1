//! What the engine in memory has, and its answers about containers, their files and images.

use serde_json::{Value, json};

use super::{State, refuse};
use crate::http::{Answer, Request};

impl State {
    pub(super) fn is_leaving(&self, container: &str) -> bool {
        self.containers.get(container).is_some_and(|it| it["State"]["Status"] == "removing")
    }

    pub(super) fn is_frozen(&self, container: &str) -> bool {
        self.containers.get(container).is_some_and(|it| it["State"]["Paused"] == true)
    }

    pub(super) fn list_containers(&self, request: &Request) -> Answer {
        let filters: Value = serde_json::from_str(request.query("filters").unwrap_or("{}")).unwrap_or_default();
        let network = wanted(&filters, "network");
        let is_listed = |it: &&Value| network.as_deref().is_none_or(|name| it["NetworkSettings"]["Networks"].get(name).is_some());
        let found: Vec<Value> = self.containers.values().filter(is_listed).map(|it| json!({ "Names": [it["Name"]] })).collect();
        Answer::json(200, &Value::Array(found))
    }

    pub(super) fn list_images(&self, request: &Request) -> Answer {
        let filters: Value = serde_json::from_str(request.query("filters").unwrap_or("{}")).unwrap_or_default();
        let is_listed = |name: &&String| match wanted(&filters, "label") {
            Some(label) => !self.images[*name]["Config"]["Labels"][label].is_null(),
            None => {
                let pattern = wanted(&filters, "reference").unwrap_or_default();
                // Of the patterns that engines know, the one of a whole folder.
                let path = pattern.strip_suffix('*').unwrap_or_else(|| panic!("the double does not know {pattern:?}"));
                name.strip_prefix(path).is_some_and(|it| !it.contains('/'))
            }
        };
        let summary = |name: &String| json!({ "Id": name, "ParentId": "", "RepoTags": [name], "RepoDigests": [], "Created": 0, "Size": 1, "SharedSize": -1, "Labels": {}, "Containers": -1 });
        Answer::json(200, &Value::Array(self.images.keys().filter(is_listed).map(summary).collect()))
    }

    pub(super) fn list_networks(&self, request: &Request) -> Answer {
        let filters: Value = serde_json::from_str(request.query("filters").unwrap_or("{}")).unwrap_or_default();
        let label = wanted(&filters, "label").unwrap_or_default();
        let (name, value) = label.split_once('=').map_or((label.as_str(), None), |(name, value)| (name, Some(value)));
        let is_listed = |it: &&Value| it["Labels"].get(name).is_some_and(|label| value.is_none_or(|value| label == value));
        Answer::json(200, &Value::Array(self.networks.values().filter(is_listed).cloned().collect()))
    }

    pub(super) fn path(&self, container: &str, path: &str) -> Answer {
        if self.paths.iter().any(|(name, it)| name == container && it == path) {
            // {"name":"x","size":0,"mode":420,"mtime":"2026-01-01T00:00:00Z","linkTarget":""}
            let head = "HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: eyJuYW1lIjoieCIsInNpemUiOjAsIm1vZGUiOjQyMCwibXRpbWUiOiIyMDI2LTAxLTAxVDAwOjAwOjAwWiIsImxpbmtUYXJnZXQiOiIifQ==\r\nContent-Length: 0\r\n\r\n";
            return Answer::Takeover(Box::new(move |stream| stream.write_all(head.as_bytes()).unwrap()));
        }
        refuse(404, "no such path")
    }

    pub(super) fn archive(&self, container: &str, path: &str) -> Answer {
        let folder = path.rsplit_once('/').map_or("", |it| it.0).to_owned() + "/";
        let mut archive = tar::Builder::new(Vec::new());
        let found = self.files.iter().filter(|(name, file, _)| name == container && file.starts_with(path));
        let mut count = 0;
        for (_, file, content) in found {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, file.trim_start_matches(&folder), content.as_bytes()).unwrap();
            count += 1;
        }
        if count == 0 {
            return refuse(404, "no such path");
        }
        Answer::Whole { status: 200, kind: "application/x-tar", body: archive.into_inner().unwrap() }
    }

    pub(super) fn exec(&mut self, container: &str, body: &Value) -> Answer {
        let command: Vec<&str> = body["Cmd"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let command = command.join(" ");
        self.requests.push(format!("EXEC {container}: {command}"));
        if let Some(path) = command.strip_prefix("touch ") {
            self.paths.push((container.to_owned(), path.to_owned()));
        }
        let result = self.exec.as_ref().map_or_else(|| (String::new(), 0), |exec| exec(container, &command));
        let id = format!("exec-{}", self.commands.len());
        self.commands.insert(id.clone(), result);
        Answer::json(201, &json!({ "Id": id }))
    }
}

/// The single value of a filter, which clients send as a list or a map.
fn wanted(filters: &Value, name: &str) -> Option<String> {
    match &filters[name] {
        Value::Array(list) => list.first()?.as_str().map(str::to_owned),
        Value::Object(map) => map.keys().next().cloned(),
        _ => None,
    }
}
