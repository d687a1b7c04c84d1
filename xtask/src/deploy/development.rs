//! A Deployment for `dev`: one pod whose code is in a volume and can be replaced, and whose process a supervisor restarts.

use serde_json::{Value, json};

use crate::deploy::objects::sign;

/// The volume with the code.
const VOLUME: &str = "development";
/// Its mount path in the init container that fills it.
const FILL: &str = "/development";
/// A folder in the volume that belongs to the container's user; the volume itself belongs to root.
const INNER: &str = "code";
/// Tells the application that its code may change, so that it does not preload code for all processes.
pub const VARIABLE: &str = "POCDEPLOY_DEV";

/// Copies the image's code, without bytecode that is not checked against its source.
const COPY: &str = "import shutil, sys\n\
                    shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns('__pycache__'))";
/// PID 1 of the container.
const SUPERVISE: &str = include_str!("development/supervise.py");

/// What an image says of its container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The working directory, with the code.
    pub folder: String,
    pub entrypoint: Vec<String>,
    pub arguments: Vec<String>,
    /// The path of its Python, which copies files and runs the supervisor.
    pub python: String,
}

/// How a process takes changed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// gunicorn starts new workers on SIGHUP, and keeps its socket.
    Signal,
    /// The process watches its files.
    Itself,
    /// The supervisor ends the process and starts it again.
    Restart,
}

impl Reload {
    /// `command` has the words; a line for a shell may be one of them.
    pub fn of(command: &[String]) -> Reload {
        let words: Vec<&str> = command.iter().flat_map(|it| it.split_whitespace()).collect();
        let is_there = |name: &str| words.iter().any(|it| it.rsplit('/').next() == Some(name));
        let flask = is_there("flask") && is_there("--debug");
        let django = is_there("runserver") && !is_there("--noreload");
        if ["--reload", "--watch", "nodemon", "watch", "ts-node-dev", "watchmedo"].into_iter().any(is_there) || flask || django {
            return Reload::Itself;
        }
        // Preloaded code is loaded once, by the process that starts the workers.
        if is_there("gunicorn") && !is_there("--preload") { Reload::Signal } else { Reload::Restart }
    }

    /// The supervisor's word.
    fn word(self) -> &'static str {
        match self {
            Reload::Signal => "signal",
            Reload::Itself => "itself",
            Reload::Restart => "restart",
        }
    }
}

/// The command of a container, as the kubelet composes it: `command` replaces the image's entrypoint and arguments, `args` the arguments.
pub fn command(container: &Value, own: &Own) -> Vec<String> {
    let words = |field: &str| -> Option<Vec<String>> {
        let items = container[field].as_array().filter(|it| !it.is_empty())?;
        Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    match (words("command"), words("args")) {
        (Some(command), args) => [command, args.unwrap_or_default()].concat(),
        (None, Some(args)) => [own.entrypoint.clone(), args].concat(),
        (None, None) => [own.entrypoint.clone(), own.arguments.clone()].concat(),
    }
}

/// The index of the first container of a Deployment that runs the image.
pub fn container_of(object: &Value, image: &str) -> Option<usize> {
    let containers = object.pointer("/spec/template/spec/containers")?.as_array().filter(|_| object["kind"] == "Deployment")?;
    containers.iter().position(|it| it["image"] == image)
}

/// Everything else of the Deployment stays. `at` is the index of the container.
pub fn deployment(mut object: Value, at: usize, own: &Own) -> Value {
    let folder = &own.folder;
    object["spec"]["replicas"] = json!(1);
    let pod = &mut object["spec"]["template"]["spec"];
    push(pod, "volumes", json!({ "name": VOLUME, "emptyDir": {} }));
    let main = &pod["containers"][at];
    let mut fill = json!({
        "name": VOLUME,
        "image": main["image"],
        "imagePullPolicy": main["imagePullPolicy"],
        "command": [own.python, "-c", COPY, folder, format!("{FILL}/{INNER}")],
        "volumeMounts": [{ "name": VOLUME, "mountPath": FILL }],
    });
    for field in ["securityContext", "resources"] {
        if !main[field].is_null() {
            fill[field] = main[field].clone();
        }
    }
    push(pod, "initContainers", fill);
    let main = &mut pod["containers"][at];
    let command = command(main, own);
    let reload = Reload::of(&command).word().to_owned();
    main["command"] = json!([[&own.python, "-c", SUPERVISE, &reload].map(str::to_owned).to_vec(), command].concat());
    if let Some(main) = main.as_object_mut() {
        main.remove("args");
        // A process that has ended waits for the next change; the kubelet would restart it later and later.
        main.remove("livenessProbe");
        main.remove("startupProbe");
    }
    push(main, "volumeMounts", json!({ "name": VOLUME, "mountPath": folder, "subPath": INNER }));
    push(main, "env", json!({ "name": VARIABLE, "value": "1" }));
    // Bytecode is compared with its source by the second, and a file can be saved twice within one.
    push(main, "env", json!({ "name": "PYTHONDONTWRITEBYTECODE", "value": "1" }));
    sign(&mut object);
    object
}

fn push(object: &mut Value, list: &str, item: Value) {
    match object[list].as_array_mut() {
        Some(items) => {
            items.retain(|it| it["name"] != item["name"] || list == "volumeMounts");
            items.push(item);
        }
        None => object[list] = json!([item]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::objects::inputs_of;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn one_pod_gets_its_code_in_a_folder_and_keeps_what_it_had() {
        let before = json!({ "metadata": { "annotations": { "dev.pocdeploy/inputs": "old" } }, "spec": { "replicas": 2, "template": { "spec": {
            "containers": [
                { "name": "proxy", "image": "p:1", "command": ["proxy"] },
                { "name": "web", "image": "i:1", "securityContext": { "readOnlyRootFilesystem": true }, "args": ["--port", "1"],
                  "env": [{ "name": "PYTHONDONTWRITEBYTECODE", "value": "" }], "livenessProbe": {}, "readinessProbe": {},
                  "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }] },
            ],
            "volumes": [{ "name": "tmp", "emptyDir": {} }],
        } } } });
        let own = Own {
            folder: "/srv/app".to_owned(),
            entrypoint: words("uvicorn main:app"),
            arguments: words("--port 2"),
            python: "/usr/bin/python3".to_owned(),
        };
        let after = deployment(before.clone(), 1, &own);
        let pod = &after["spec"]["template"]["spec"];
        assert_eq!(after["spec"]["replicas"], 1);
        assert_ne!(inputs_of(&after), Some("old"));
        assert_eq!(pod["volumes"].as_array().unwrap().len(), 2);
        assert_eq!(pod["containers"][0], before["spec"]["template"]["spec"]["containers"][0]);
        let main = &pod["containers"][1];
        assert_eq!(main["volumeMounts"][1], json!({ "name": "development", "mountPath": "/srv/app", "subPath": "code" }));
        assert_eq!(main["env"], json!([{ "name": "POCDEPLOY_DEV", "value": "1" }, { "name": "PYTHONDONTWRITEBYTECODE", "value": "1" }]));
        let command: Vec<&str> = main["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!((command[0], &command[3..]), ("/usr/bin/python3", &["restart", "uvicorn", "main:app", "--port", "1"][..]));
        assert!(main.get("args").is_none() && main.get("livenessProbe").is_none() && main.get("readinessProbe").is_some(), "{main}");
        assert_eq!(pod["initContainers"][0]["image"], "i:1");
        assert_eq!(pod["initContainers"][0]["securityContext"], json!({ "readOnlyRootFilesystem": true }));
    }

    #[test]
    fn a_command_is_composed_as_the_kubelet_does() {
        let own = Own { entrypoint: words("run"), arguments: words("a b"), ..Own::default() };
        for (container, expected) in [
            (json!({}), "run a b"),
            (json!({ "args": ["c"] }), "run c"),
            (json!({ "command": ["x"] }), "x"),
            (json!({ "command": ["x"], "args": ["c"] }), "x c"),
            (json!({ "command": [], "args": [] }), "run a b"),
        ] {
            assert_eq!(command(&container, &own), words(expected), "{container}");
        }
    }

    #[test]
    fn a_process_is_restarted_unless_it_reloads() {
        for (command, expected) in [
            ("python3 -m gunicorn site.wsgi", Reload::Signal),
            ("/srv/packages/bin/gunicorn app:app", Reload::Signal),
            ("/bin/sh -c exec gunicorn app:app --preload", Reload::Restart),
            ("python3 -m uvicorn main:app", Reload::Restart),
            ("python3 -m uvicorn main:app --reload", Reload::Itself),
            ("python3 manage.py runserver 0.0.0.0:80", Reload::Itself),
            ("python3 manage.py runserver --noreload", Reload::Restart),
            ("flask --app a run --debug", Reload::Itself),
            ("flask --app a run", Reload::Restart),
            ("node server.js", Reload::Restart),
            ("node --watch server.js", Reload::Itself),
            ("node_modules/.bin/nodemon server.js", Reload::Itself),
            ("celery -A app worker", Reload::Restart),
            ("bin/app", Reload::Restart),
        ] {
            assert_eq!(Reload::of(&words(command)), expected, "{command}");
        }
    }

    #[test]
    fn the_container_is_the_one_that_runs_the_image() {
        let of = |kind: &str| json!({ "kind": kind, "spec": { "template": { "spec": { "containers": [{ "image": "a" }, { "image": "b" }] } } } });
        assert_eq!([container_of(&of("Deployment"), "b"), container_of(&of("Deployment"), "c")], [Some(1), None]);
        assert_eq!(container_of(&of("Job"), "b"), None);
    }
}
