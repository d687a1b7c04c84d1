//! Real applications across upstream's releases: a queue of patches follows two updates, on a kind cluster, with the data still there.

use std::{fs, path::Path, time::Instant};

use crate::{
    command,
    deployed::{Instance, asked, installed},
    ran,
};

/// Text of a file of the source, and what a patch writes in its place.
type Edit = (&'static str, &'static str, &'static str);

struct Updated {
    /// The package, as a source archive of PyPI, and its first version.
    name: &'static str,
    version: &'static str,
    /// The SHA-256 of this archive.
    hash: &'static str,
    /// What is done in the repository of the patches before the first commit: words of a program.
    before: &'static [&'static str],
    /// Lines for the requirements that `init` writes: each replaces the line that begins with the first, or is added.
    requirements: &'static [(&'static str, &'static str)],
    /// Patches by subject.
    patches: &'static [(&'static str, &'static [Edit])],
    updates: &'static [Update],
    /// curl's words that make the data; the first is the path.
    requests: &'static [&'static [&'static str]],
    /// curl's words for a page that shows the data, and the text in it.
    page: (&'static [&'static str], &'static str),
    sql: &'static str,
    row: &'static str,
}

/// The next version.
struct Update {
    version: &'static str,
    /// What the dry run says of it.
    says: &'static [&'static str],
    /// The file that conflicts, and what a user writes instead of a text on upstream's side.
    conflict: Option<(&'static str, &'static str, &'static str)>,
}

const UPDATED: &[Updated] = &[
    // 1.7.0 allows Django 4.2 itself, and has its templates in other folders.
    Updated {
        name: "ara",
        version: "1.6.1",
        hash: "90812ee38308b87db357d34f9fd9dd422c87edb3cdc0248a83f65b1bf0691b6d",
        before: &[],
        requirements: &[
            // The extra "server" of setup.cfg, and what this version needs of its own age.
            ("Django", "Django>=3.2,<4.3"),
            ("djangorestframework", "djangorestframework>=3.9.1"),
            ("django-cors-headers", "django-cors-headers"),
            ("django-filter", "django-filter"),
            ("django-health-check", "django-health-check<4"),
            ("dynaconf", "dynaconf[yaml]>=3.0.0,!=3.1.3,<4.0.0"),
            ("tzlocal", "tzlocal>=4.0"),
            ("whitenoise", "whitenoise"),
            ("pygments", "pygments"),
            ("ruamel", "ruamel.yaml<0.18"),
        ],
        patches: &[
            (
                "Allow Django 4.2",
                &[
                    ("setup.cfg", "Django>=3.2,<3.3", "Django>=3.2,<4.3"),
                    ("ara.egg-info/requires.txt", "Django<3.3,>=3.2", "Django<4.3,>=3.2"),
                ],
            ),
            (
                "Answer at /livez",
                &[
                    (
                        "ara/server/urls.py",
                        "from django.urls import include, path\n",
                        "from django.http import HttpResponse\nfrom django.urls import include, path\n",
                    ),
                    (
                        "ara/server/urls.py",
                        "    path(\"healthcheck/\", include(\"health_check.urls\")),\n",
                        "    path(\"healthcheck/\", include(\"health_check.urls\")),\n    path(\"livez\", lambda request: HttpResponse(\"alive\")),\n",
                    ),
                ],
            ),
            ("Say what is known of a host", &[("ara/ui/templates/partials/host_facts.html", "Host facts: {{", "What we know of {{")]),
        ],
        updates: &[
            Update {
                version: "1.7.0",
                says: &[
                    "changed: django <3.3,>=3.2 -> <4.3,>=3.2\n",
                    "upstream   0003-Allow-Django-4.2.patch: the new source has it, so it goes\n",
                    "conflicts  0005-Say-what-is-known-of-a-host.patch\n           ara/ui/templates/partials/tables/host_facts.html: both change the same lines (1 place)\n",
                ],
                conflict: Some(("ara/ui/templates/partials/tables/host_facts.html", "Host facts: {{", "What we know of {{")),
            },
            Update { version: "1.7.3", says: &["changed: django <4.3,>=3.2 -> <5.3,>=4.2\n"], conflict: None },
        ],
        requests: &[
            &[
                "/api/v1/playbooks",
                "--header",
                "Content-Type: application/json",
                "--data",
                "{\"name\": \"seen\", \"status\": \"completed\", \"ansible_version\": \"2.20\", \"path\": \"/a.yml\", \"started\": \"2026-11-01T10:00:00Z\"}",
            ],
            &[
                "/api/v1/hosts",
                "--header",
                "Content-Type: application/json",
                "--data",
                "{\"name\": \"web-1\", \"playbook\": 1, \"facts\": {\"os\": \"Debian\"}}",
            ],
        ],
        page: (&["/hosts/1.html"], "What we know of web-1"),
        sql: "select name from playbooks",
        row: "seen",
    },
    // 7.2.1 has a new migration.
    Updated {
        name: "ihatemoney",
        version: "7.0.1",
        hash: "e4380373bd58749ec8029ff462f546d5b19c3617329c5c16a330f5c4a902bbc8",
        before: &["python3", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "vendor", "debts==0.5"],
        requirements: &[("debts", "./vendor/debts-0.5-py3-none-any.whl")],
        patches: &[
            (
                "Read the secret key from the environment",
                &[(
                    "ihatemoney/default_settings.py",
                    "SECRET_KEY = \"tralala\"",
                    "SECRET_KEY = os.environ.get(\"SECRET_KEY\", \"tralala\")",
                )],
            ),
            (
                "Answer at /livez",
                &[(
                    "ihatemoney/run.py",
                    "\n    return app\n",
                    "\n    @app.route(\"/livez\")\n    def livez():\n        return \"alive\"\n\n    return app\n",
                )],
            ),
        ],
        updates: &[
            Update { version: "7.1.1", says: &["third_party/ihatemoney: sdist:ihatemoney 7.1.1\n"], conflict: None },
            Update {
                version: "7.2.1",
                says: &["migrations:\n  new: ihatemoney/migrations/versions/c941aaca38c2_remove_ip_recording.py\n"],
                conflict: None,
            },
        ],
        requests: &[&["/api/projects", "--data", "name=a+row&id=seen&password=seen&contact_email=a%40example.com"]],
        page: (&["/api/projects/seen", "--user", "seen:seen"], "a row"),
        sql: "select name from project",
        row: "a row",
    },
];

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn real_applications_follow_upstream_with_their_patches_and_their_data() {
    let dir = tempfile::tempdir().unwrap();
    let program = installed(dir.path());
    let only = std::env::var("UPDATED").ok();
    for it in UPDATED.iter().filter(|it| only.as_deref().is_none_or(|name| it.name == name)) {
        let began = Instant::now();
        let folder = dir.path().canonicalize().unwrap().join(it.name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("Pocdeploy.toml"), format!("[frontend]\npath = \"third_party/{}\"\n", it.name)).unwrap();
        let instance = Instance { program: &program, folder: folder.clone() };
        instance.run(&["upstream", "update", it.version, "--from", &format!("sdist:{}", it.name)]);
        let written = fs::read_to_string(folder.join("third_party/UPSTREAM.md")).unwrap();
        assert!(written.contains(&format!("sha256:{}", it.hash)), "{written}");
        instance.run(&["init", "--yes"]);
        write_patches(it, &instance, &folder);
        let url = instance.run(&["create", "--yes"]);
        let url = url.trim().split('/').take(3).collect::<Vec<_>>().join("/");
        it.requests.iter().for_each(|it| drop(asked(&url, it)));
        let check = |version: &str| {
            let page = asked(&url, it.page.0);
            assert!(page.contains(it.page.1), "{} {version}: {page}", it.name);
            assert_eq!(asked(&url, &["/livez"]), "alive", "{} {version}", it.name);
            let rows = instance.run(&["psql", "--", "--tuples-only", "--no-align", "--command", it.sql]);
            assert!(rows.lines().any(|line| line == it.row), "{} {version}: {rows}", it.name);
        };
        check(it.version);
        for update in it.updates {
            follow(update, &instance, &folder);
            instance.run(&["update"]);
            check(update.version);
        }
        eprintln!("{}: {} and {} updates in {} s", it.name, it.version, it.updates.len(), began.elapsed().as_secs());
    }
}

/// The requirements become a part of the patch that `init` wrote, and each further patch is a commit.
fn write_patches(it: &Updated, instance: &Instance<'_>, folder: &Path) {
    let work = folder.join("target/pocdeploy/edit/frontend");
    instance.run(&["patch", "edit", "requirements"]);
    if let Some((program, words)) = it.before.split_first() {
        ran(command(program, words).current_dir(&work));
    }
    let file = work.join("requirements.txt");
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (name, line) in it.requirements {
        lines.retain(|it| !it.starts_with(name));
        lines.push((*line).to_owned());
    }
    fs::write(file, lines.join("\n") + "\n").unwrap();
    instance.run(&["patch", "refresh"]);
    instance.run(&["patch", "edit"]);
    for (subject, edits) in it.patches {
        for (file, old, new) in *edits {
            replace(&work.join(file), old, new);
        }
        let who = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"];
        ran(command("git", &[&who[..], &["commit", "--quiet", "--all", "--message", subject]].concat()).current_dir(&work));
    }
    instance.run(&["patch", "refresh"]);
    let ran = instance.run(&["patch", "refresh"]);
    assert!(ran.starts_with("unchanged "), "{ran}");
}

fn replace(file: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(text.contains(old), "{} has no {old:?}", file.display());
    fs::write(file, text.replacen(old, new, 1)).unwrap();
}

/// Takes the version, and resolves the conflict as a user would: upstream's side, with the change in it.
fn follow(update: &Update, instance: &Instance<'_>, folder: &Path) {
    let before = ran(command("find", &["third_party", "build", "-type", "f", "-exec", "sha256sum", "{}", "+"]).current_dir(folder));
    let said = instance.run(&["upstream", "update", update.version, "--dry-run"]);
    for text in update.says {
        assert!(said.contains(text), "no {text:?} in\n{said}");
    }
    let after = ran(command("find", &["third_party", "build", "-type", "f", "-exec", "sha256sum", "{}", "+"]).current_dir(folder));
    assert_eq!(before, after);
    let out = instance.command(&["upstream", "update", update.version]).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    let Some((file, old, new)) = update.conflict else {
        assert!(out.status.success(), "{said}");
        return;
    };
    assert!(said.contains("error[E0221]"), "{said}");
    let file = folder.join("target/pocdeploy/edit/frontend").join(file);
    let mut side = "both";
    let mut text = String::new();
    for line in fs::read_to_string(&file).unwrap().split_inclusive('\n') {
        match line.split(' ').next().unwrap_or_default().trim_end() {
            "<<<<<<<" => side = "upstream",
            "|||||||" | "=======" if side != "both" => side = "ours",
            ">>>>>>>" => side = "both",
            _ if side != "ours" => text.push_str(line),
            _ => {}
        }
    }
    fs::write(&file, text).unwrap();
    replace(&file, old, new);
    instance.run(&["upstream", "update", "--continue"]);
}
