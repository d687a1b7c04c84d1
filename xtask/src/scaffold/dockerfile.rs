//! Dockerfiles for each stack: in stages, without a network, as a user that is not root, and without a compiler in the result.

use crate::recognise::{Command, Framework, OF_CACHE, Recognised, ServiceKind, Stack};

const PYTHON: &str = include_str!("python.Dockerfile");
const NODE: &str = include_str!("node.Dockerfile");
const PAGES: &str = include_str!("pages.Dockerfile");
const PROGRAM: &str = include_str!("program.Dockerfile");

pub(super) fn text(found: &Recognised) -> String {
    let template = match (found.stack, found.framework) {
        (Stack::Python | Stack::Site | Stack::Dockerfile, _) => PYTHON,
        (Stack::Node, Framework::Site) => PAGES,
        (Stack::Node, _) => NODE,
        (Stack::Go | Stack::Rust, _) => PROGRAM,
    };
    let site = found.target.as_deref().unwrap_or(".");
    let start = match found.stack {
        Stack::Site => Some(server()),
        Stack::Node if found.framework == Framework::Site => Some(server()),
        _ => found.start.clone(),
    };
    let is_traced = found.framework == Framework::Next && found.target.as_deref() == Some("standalone");
    let mut out = String::new();
    for line in template.lines() {
        let line = line
            .replace("{name}", &found.name())
            .replace("{port}", &found.port.to_string())
            .replace("{cmd}", &start.as_ref().map_or("[]".to_owned(), cmd))
            .replace("{manager}", found.packages.as_ref().map_or("npm", |it| it.manager.as_str()))
            .replace("{site}", site)
            .replace("{result}", if is_traced { "/.next/standalone" } else { "" });
        match line.as_str() {
            "{build}" => {
                for step in steps(found) {
                    out.push_str(&step);
                    out.push('\n');
                }
            }
            "{folders}" => folders(found, &mut out),
            "{path}" => out.push_str(&path(found)),
            "{environment}" => environment(found, &mut out),
            "{bases}" => bases(found, &mut out),
            "{packages}" => packages(found, &mut out),
            "{install}" => install(found, &mut out),
            "{prune}" => prune(found, &mut out),
            _ => {
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    out
}

fn server() -> Command {
    // gunicorn listens on every address at PORT, where that is set.
    let words = ["python3", "-m", "gunicorn", "--worker-tmp-dir", "/tmp", "pocdeploy_site"];
    Command::Words(words.map(str::to_owned).to_vec())
}

/// In the form of CMD.
fn cmd(command: &Command) -> String {
    match command {
        Command::Words(words) => serde_json::Value::from(words.clone()).to_string().replace("\",\"", "\", \""),
        Command::Shell(line) => line.clone(),
    }
}

/// Steps of the build, with values in place of what only a deployment knows.
fn steps(found: &Recognised) -> Vec<String> {
    let line = |command: &Command| match command {
        Command::Words(words) => words.join(" "),
        Command::Shell(line) => line.clone(),
    };
    if found.stack != Stack::Python {
        return found.build.iter().map(|it| format!("RUN {}", line(it))).collect();
    }
    // Settings are loaded to collect files: they find what they ask for, and nothing answers there.
    let fixed = [
        ("DATABASE_URL", "postgresql://none:none@127.0.0.1/none"),
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", "5432"),
        ("PGDATABASE", "none"),
        ("PGUSER", "none"),
        ("PGPASSWORD", "none"),
        ("SECRET_KEY", "only-while-the-image-is-built"),
        ("ALLOWED_HOSTS", "localhost"),
    ];
    let has_cache = found.services.iter().any(|it| matches!(it.kind, ServiceKind::Cache(_)));
    let cache = OF_CACHE.iter().filter(|_| has_cache).map(|name| match *name {
        "REDIS_HOST" => (*name, "127.0.0.1"),
        "REDIS_PORT" => (*name, "6379"),
        _ => (*name, "redis://127.0.0.1:6379/0"),
    });
    let fixed: Vec<(&str, &str)> = fixed.into_iter().chain(cache).collect();
    let mut words: Vec<String> = fixed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for (name, value) in &found.env {
        let mut value = value.clone();
        for (known, fixed) in &fixed {
            value = value.replace(&format!("$({known})"), fixed);
        }
        words.push(format!("{name}='{}'", value.replace('\'', "'\\''")));
    }
    let before = words.join(" \\\n        ");
    found.build.iter().map(|it| format!("RUN {before} \\\n    {}", line(it))).collect()
}

/// Where Python finds modules besides the packages.
fn path(found: &Recognised) -> String {
    let mut out = "/srv/packages:/srv/app".to_owned();
    let start = found.start.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut words = start.split(' ');
    if words.any(|it| it == "--chdir" || it == "--app-dir")
        && let Some(folder) = words.next()
    {
        out.push_str(&format!(":/srv/app/{folder}"));
    }
    format!("ENV PYTHONPATH={out} \\\n    PATH=/srv/packages/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp\n")
}

fn environment(found: &Recognised, out: &mut String) {
    if found.stack == Stack::Site {
        let site = found.target.as_deref().filter(|it| *it != ".");
        out.push_str(&format!("ENV PORT=8080 SITE=/srv/app{}\n", site.map(|it| format!("/{it}")).unwrap_or_default()));
    }
}

/// Folders outside the application that steps filled, and empty ones that volumes are mounted at.
fn folders(found: &Recognised, out: &mut String) {
    let outside = found.changes.iter().any(|it| matches!(it, crate::recognise::Change::DjangoSettings(it) if it.static_root));
    if outside && found.files.is_collected {
        out.push_str("COPY --from=app /srv/static /srv/static\n");
    }
}

/// A line for a shell needs one; a program alone needs nothing but itself and the authorities of the world.
fn bases(found: &Recognised, out: &mut String) {
    let is_shell = |it: &Option<Command>| matches!(it, Some(Command::Shell(_)));
    if found.stack == Stack::Go && !is_shell(&found.start) && !is_shell(&found.migrate) && !is_shell(&found.release) {
        out.push_str("FROM scratch\nCOPY --from=app /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/\nCOPY --from=app /usr/share/zoneinfo /usr/share/zoneinfo\nENV PATH=/srv/app/bin HOME=/tmp\n");
    } else {
        out.push_str("FROM ${BASE_IMAGE}\nENV PATH=/srv/app/bin:$PATH HOME=/tmp\n");
    }
}

/// Where the package manager finds what the tool fetched. Each knows its own variables alone, and npm warns of others.
fn packages(found: &Recognised, out: &mut String) {
    out.push_str(match found.packages.as_ref().map_or("npm", |it| it.manager.as_str()) {
        "pnpm" => "ENV npm_config_store_dir=/opt/artifacts/store npm_config_manage_package_manager_versions=false\n",
        "yarn" => "ENV YARN_YARN_OFFLINE_MIRROR=/opt/artifacts/mirror\n",
        _ => "ENV npm_config_cache=/opt/artifacts/cache npm_config_userconfig=/opt/artifacts/npmrc npm_config_update_notifier=false\n",
    });
}

/// The dependencies of Node, from the cache that the tool filled beside the context. Files that may be absent are named by a pattern, since
/// a COPY of a missing file is an error.
fn install(found: &Recognised, out: &mut String) {
    let packages = found.packages.as_ref();
    let lock = packages.and_then(|it| it.lock.as_deref());
    let (files, run) = match packages.map_or("npm", |it| it.manager.as_str()) {
        "pnpm" => ("pnpm-lock.yaml pnpm-workspace.yam[l] .npmr[c]".to_owned(), "pnpm install --offline --frozen-lockfile"),
        "yarn" => ("yarn.lock .yarnr[c] .npmr[c]".to_owned(), "yarn install --offline --frozen-lockfile --non-interactive"),
        _ => match lock {
            Some(lock) => (format!("{lock} .npmr[c]"), "npm ci --offline --no-audit --no-fund"),
            None => (".npmr[c]".to_owned(), "cp /opt/artifacts/package-lock.json ./ && npm ci --offline --no-audit --no-fund"),
        },
    };
    // Who installs a published package never runs its script `prepare`.
    let is_npm = !["pnpm", "yarn"].contains(&packages.map_or("npm", |it| it.manager.as_str()));
    let run =
        if found.install.is_product && is_npm { format!("npm pkg delete scripts.prepare && {run} --omit=dev") } else { run.to_owned() };
    let files = if found.install.with_source { ".".to_owned() } else { format!("package.json {files}") };
    out.push_str(&format!("COPY {files} ./\nRUN {run}\n"));
}

/// What only development needs goes again, after the build.
fn prune(found: &Recognised, out: &mut String) {
    if !found.install.is_pruned {
        return;
    }
    let run = match found.packages.as_ref().map_or("npm", |it| it.manager.as_str()) {
        "pnpm" => "pnpm prune --prod --ignore-scripts",
        "yarn" => "yarn install --offline --frozen-lockfile --non-interactive --production --ignore-scripts",
        _ => "npm prune --offline --omit=dev --ignore-scripts --no-audit --no-fund",
    };
    out.push_str(&format!("RUN {run}\n"));
}
