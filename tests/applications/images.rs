//! Images of small applications, built without a network and run with a root that cannot be written, by a user that is not root.

use std::{fs, path::Path, sync::Arc, time::Duration};

use pocdeploy::{
    artifacts,
    graph::TaskId,
    interrupt::Interrupt,
    recognise::{self, Stack},
    report::Recorder,
    scaffold,
    tool::Tools,
};

use crate::{command, ran, write};

/// The socket of the user's engine, or of the tool's own.
fn engine() -> String {
    std::env::var("DOCKER_HOST").ok().unwrap_or_else(|| {
        let folders = fs::read_dir("/run").unwrap().flatten().map(|it| it.path());
        let mut sockets =
            folders.filter(|it| it.to_string_lossy().contains("/pocdeploy-")).map(|it| it.join("docker.sock")).filter(|it| it.exists());
        sockets.next().map_or_else(|| "unix:///var/run/docker.sock".to_owned(), |it| format!("unix://{}", it.display()))
    })
}

fn docker(words: &[&str]) -> String {
    ran(command("docker", words).env("DOCKER_HOST", engine()))
}

/// Recognises, writes, prepares, builds and runs; what the page answers. The container and the image are gone after it.
fn page(name: &str, files: &[(&str, &str)], path: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    write(&app, files);
    let found = recognise::recognise(&app, &recognise::Answers::default()).unwrap().unwrap();
    for file in scaffold::files(&app, Path::new(""), &found, &scaffold::Places::default()).unwrap() {
        write(&app, &[(&file.path, &file.text)]);
    }
    let patches = app.join("build/patches");
    for patch in fs::read_dir(&patches).into_iter().flatten().flatten() {
        ran(command("git", &["apply", patch.path().to_str().unwrap()]).current_dir(&app));
    }
    if artifacts::are_needed(found.stack) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tools = Tools::new(dir.path().join("logs"), Interrupt::listen(&runtime, None).unwrap(), Arc::new(Recorder::default()));
        artifacts::prepare(&tools, TaskId::Image, &found, &app, &dir.path().join(artifacts::FOLDER)).unwrap();
        fs::rename(dir.path().join(artifacts::FOLDER), app.join(artifacts::FOLDER)).unwrap();
    }
    if found.stack == Stack::Site {
        wheels(&app);
    }
    let base = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "localhost/pocdeploy/python"]);
    let base = base.lines().next().expect("the base image is not in the engine: cargo xtask image");
    let tag = format!("localhost/pocdeploy-test/{name}:1");
    docker(&["build", "--quiet", "--network", "none", "--build-arg", &format!("BASE_IMAGE={base}"), "--tag", &tag, app.to_str().unwrap()]);
    let port = 18080 + u16::try_from(name.len()).unwrap() * 7;
    let variable = format!("PORT={port}");
    let id = docker(&[
        "run",
        "--detach",
        "--rm",
        "--network",
        "host",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--cap-drop",
        "ALL",
        "--env",
        &variable,
        &tag,
    ]);
    let id = id.trim().to_owned();
    let answer = answer(port, path);
    let user = docker(&["inspect", "--format", "{{.Config.User}}", &tag]);
    let logs = ran(command("sh", &["-c", &format!("docker logs {id} 2>&1")]).env("DOCKER_HOST", engine()));
    docker(&["stop", "--time", "5", &id]);
    docker(&["rmi", "--force", &tag]);
    assert_eq!(user.trim(), "10001:10001");
    answer.unwrap_or_else(|| panic!("nothing answers: {logs}"))
}

/// The first answer within 20 s.
fn answer(port: u16, path: &str) -> Option<String> {
    for _ in 0..80 {
        let out = command("curl", &["--silent", "--fail", &format!("http://127.0.0.1:{port}{path}")]).output().unwrap();
        if out.status.success() {
            return Some(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    None
}

/// What the task of requirements would lay beside the application.
fn wheels(app: &Path) {
    let folder = app.join("wheels");
    let file = app.join("requirements.txt");
    ran(&mut command(
        "python3",
        &[
            "-m",
            "pip",
            "download",
            "--quiet",
            "--only-binary",
            ":all:",
            "--dest",
            folder.to_str().unwrap(),
            "--requirement",
            file.to_str().unwrap(),
            "pip",
        ],
    ));
    fs::copy(file, folder.join("requirements.txt")).unwrap();
}

#[test]
fn node_without_a_lock_is_installed_from_the_cache_and_serves() {
    let server = "const express = require('express');\nconst app = express();\napp.get('/', (_, answer) => answer.send('node ' + process.getuid()));\napp.listen(process.env.PORT || 3000);\n";
    let package = "{\"name\": \"small\", \"version\": \"1.0.0\", \"dependencies\": {\"express\": \"5.1.0\"}, \"scripts\": {\"start\": \"node server.js\"}}";
    assert_eq!(page("node", &[("package.json", package), ("server.js", server)], "/"), "node 10001");
}

/// A server that says which of its packages are there: `ms` is needed, `isarray` only while it is developed.
fn locked(name: &str, manager: &str, lock: &str, text: &str) {
    let server = "const ms = require('ms');\nlet developed = 'no';\ntry { developed = require.resolve('isarray'); } catch {}\n\
        const built = require('fs').readFileSync('built.txt', 'utf8');\n\
        require('http').createServer((_, answer) => answer.end(`${ms(60000)} ${built} ${developed}`)).listen(process.env.PORT || 3000);\n";
    let build = "node -e \\\"require('fs').writeFileSync('built.txt', String(typeof require('isarray')))\\\"";
    let package = format!(
        "{{\"name\": \"small\", \"version\": \"1.0.0\", \"dependencies\": {{\"ms\": \"2.1.3\"}}, \"devDependencies\": {{\"isarray\": \"2.0.5\"}}, \
         \"scripts\": {{\"start\": \"{manager} run serve\", \"serve\": \"node server.js\", \"build\": \"{build}\"}}}}"
    );
    assert_eq!(page(name, &[("package.json", &package), ("server.js", server), (lock, text)], "/"), "1m function no");
}

#[test]
fn what_npm_locked_is_built_with_all_and_runs_without_what_only_development_needs() {
    locked("locked-npm", "npm", "package-lock.json", include_str!("locks/package-lock.json"));
}

#[test]
fn what_pnpm_locked_is_built_with_all_and_runs_without_what_only_development_needs() {
    locked("locked-by-pnpm", "pnpm", "pnpm-lock.yaml", include_str!("locks/pnpm-lock.yaml"));
}

#[test]
fn what_yarn_locked_is_built_with_all_and_runs_without_what_only_development_needs() {
    // Yarn writes the registry's address into its lock: here the one that npm has on this machine.
    let registry = ran(&mut command("npm", &["config", "get", "registry"]));
    let lock = include_str!("locks/yarn.lock").replace("{registry}", registry.trim());
    locked("locked-by-yarn-1", "yarn", "yarn.lock", &lock);
}

#[test]
fn go_serves_from_an_empty_image_with_the_files_of_its_source() {
    let main = "package main\n\nimport (\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {\n\thttp.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) {\n\t\ttext, _ := os.ReadFile(\"pages/index.txt\")\n\t\tw.Write(text)\n\t})\n\thttp.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil)\n}\n";
    let files = [("go.mod", "module example.com/small\n\ngo 1.24\n"), ("cmd/server/main.go", main), ("pages/index.txt", "from go")];
    assert_eq!(page("golang", &files, "/"), "from go");
}

#[test]
fn rust_serves_with_its_c_library_in_it() {
    let main = "use std::io::{Read, Write};\nfn main() {\n    let port = std::env::var(\"PORT\").unwrap();\n    let listener = std::net::TcpListener::bind(format!(\"0.0.0.0:{port}\")).unwrap();\n    for stream in listener.incoming() {\n        let mut stream = stream.unwrap();\n        stream.read(&mut [0; 1024]).unwrap();\n        stream.write_all(b\"HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nfrom rust\").unwrap();\n    }\n}\n";
    let files = [("Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"), ("src/main.rs", main)];
    assert_eq!(page("rustlang", &files, "/"), "from rust");
}

#[test]
fn pages_are_served_as_they_are_and_what_is_not_there_is_not_found() {
    assert_eq!(page("pages-only", &[("index.html", "<h1>a page</h1>")], "/"), "<h1>a page</h1>");
}
