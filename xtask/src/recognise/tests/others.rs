//! Node.js, Go, Rust, pages, Dockerfiles, compose files and Procfiles.

use super::*;

const EXPRESS: &str = "const express = require('express');\nconst app = express();\n// process.env.OLD_NAME\napp.get('/healthz', ok);\nconst pool = new Pool({ host: process.env.DB_HOST, user: process.env.DB_USER, password: process.env.DB_PASSWORD, database: process.env.DB_NAME });\napp.listen(process.env.PORT || 4000);\n";

#[test]
fn express_is_started_without_npm_between() {
    let package = "{\"dependencies\": {\"express\": \"^5.1.0\", \"pg\": \"8\"}, \"scripts\": {\"start\": \"node server.js\", \"migrate\": \"node migrate.js\"}, \"engines\": {\"node\": \">=22\"}}";
    let lock = "{\"packages\": {\"node_modules/express\": {\"version\": \"5.1.2\"}}}";
    let found = app(&[
        ("package.json", package),
        ("package-lock.json", lock),
        ("server.js", EXPRESS),
        ("migrate.js", ""),
        ("node_modules/x/server.js", "process.env.SECRET_KEY"),
    ]);
    expect_test::expect![[r#"
        Express 5.1.2 on 4000
        start: node server.js
        migrate: node migrate.js
        health: /healthz
        env: DB_HOST=$(PGHOST) DB_NAME=$(PGDATABASE) DB_PASSWORD=$(PGPASSWORD) DB_USER=$(PGUSER) NODE_ENV=production NODE_EXTRA_CA_CERTS=$(PGSSLROOTCERT)"#]]
    .assert_eq(&told(&found));
    assert_eq!((found.language.as_deref(), found.secret_key), (Some(">=22"), None));
}

#[test]
fn the_lock_says_the_package_manager() {
    let manager = |files: &[(&str, &str)]| {
        let found = app(&[&[("server.js", "")], files].concat());
        (found.packages.clone().unwrap().manager, found.packages.unwrap().lock, found.assumed.iter().any(|it| it.contains("counts among")))
    };
    let plain = "{\"dependencies\": {\"express\": \"5\"}}";
    assert_eq!(manager(&[("package.json", plain), ("pnpm-lock.yaml", "")]), ("pnpm".to_owned(), Some("pnpm-lock.yaml".to_owned()), false));
    assert_eq!(manager(&[("package.json", plain), ("yarn.lock", "")]), ("yarn".to_owned(), Some("yarn.lock".to_owned()), false));
    assert_eq!(manager(&[("package.json", plain)]), ("npm".to_owned(), None, false));
    let stated = "{\"packageManager\": \"yarn@4.9.0\", \"dependencies\": {\"express\": \"5\"}}";
    assert_eq!(
        manager(&[("package.json", stated), ("pnpm-lock.yaml", ""), ("yarn.lock", "")]),
        ("yarn".to_owned(), Some("yarn.lock".to_owned()), true)
    );
    // The lock of the stated manager is not here, as in a published package: there is nothing for it to read.
    assert_eq!(manager(&[("package.json", stated)]), ("npm".to_owned(), None, false));
}

#[test]
fn next_nest_and_pages_have_their_own_starts() {
    let next = |config: &str| {
        app(&[
            (
                "package.json",
                "{\"dependencies\": {\"next\": \"16.0.0\"}, \"scripts\": {\"build\": \"next build\", \"start\": \"next start\"}}",
            ),
            ("next.config.mjs", config),
        ])
    };
    let found = next("export default { output: 'standalone' }");
    assert_eq!(
        (found.name().as_str(), found.start.unwrap().to_string().as_str(), found.target.as_deref()),
        ("Next.js 16.0.0", "node server.js", Some("standalone"))
    );
    assert!(next("// output: 'standalone'\nexport default {}").start.unwrap().to_string().ends_with("next start"));
    let nest = app(&[
        (
            "package.json",
            "{\"dependencies\": {\"@nestjs/core\": \"11.1.0\", \"express\": \"5\"}, \"scripts\": {\"build\": \"nest build\", \"start\": \"nest start\"}}",
        ),
        ("src/main.ts", ""),
    ]);
    assert_eq!((nest.framework, nest.start.unwrap().to_string().as_str()), (Framework::Nest, "node dist/main.js"));
    assert_eq!(nest.build, [Command::words(&["npm", "run", "build"])]);
    let vite =
        app(&[("package.json", "{\"devDependencies\": {\"vite\": \"7\"}, \"scripts\": {\"build\": \"vite build\"}}"), ("index.html", "")]);
    assert_eq!((vite.framework, vite.stack, vite.target.as_deref()), (Framework::Site, Stack::Node, Some("dist")));
}

#[test]
fn nodes_migrations_are_those_of_their_tool() {
    let migrate = |wants: &str, files: &[(&str, &str)]| {
        let package = format!("{{\"dependencies\": {{\"express\": \"5\", {wants}}}, \"scripts\": {{\"start\": \"node a.js\"}}}}");
        let found = app(&[&[("package.json", package.as_str()), ("a.js", "")], files].concat());
        found.migrate.map(|it| it.to_string()).unwrap_or_default()
    };
    let schema = "datasource db {\n  provider = \"postgresql\"\n  url = env(\"PRISMA_URL\")\n}\n";
    assert_eq!(
        migrate("\"prisma\": \"6\"", &[("prisma/schema.prisma", schema), ("prisma/migrations/1/migration.sql", "")]),
        "node node_modules/prisma/build/index.js migrate deploy"
    );
    assert_eq!(migrate("\"prisma\": \"6\"", &[("prisma/schema.prisma", schema)]), "node node_modules/prisma/build/index.js db push");
    assert_eq!(migrate("\"knex\": \"3\"", &[("knexfile.js", "")]), "node node_modules/knex/bin/cli.js migrate:latest");
    assert_eq!(migrate("\"sequelize-cli\": \"6\"", &[(".sequelizerc", "")]), "node node_modules/sequelize-cli/lib/sequelize db:migrate");
    assert_eq!(migrate("\"drizzle-kit\": \"0.31\"", &[("drizzle.config.ts", "")]), "node node_modules/drizzle-kit/bin.cjs migrate");
    assert_eq!(migrate("\"knex\": \"3\"", &[]), "");
    assert_eq!(migrate("\"pg\": \"8\"", &[]), "");
}

const SERVER: &str = "package main\n\nimport (\"net/http\"; \"os\")\n\nfunc main() {\n\tdsn := os.Getenv(\"DATABASE_URL\")\n\t_ = dsn\n\thttp.HandleFunc(\"GET /healthz\", ok)\n\thttp.ListenAndServe(\":9000\", nil)\n}\n";
const PLAIN: &str = "package main\n\nfunc main() {}\n";

#[test]
fn one_program_of_go_is_the_application_and_several_must_be_told_apart() {
    let module = ("go.mod", "module example.com/team/shop/v2\n\ngo 1.25.0\n");
    let found = app(&[module, ("main.go", SERVER), ("tools/gen.go", "//go:build ignore\n\npackage main\n\nfunc main() {}\n")]);
    expect_test::expect![[r#"
        Go on 9000
        start: /srv/app/bin/shop
        replicas: 1
        health: /healthz
        assumed: no command for migrations is known: one pod runs, since several that make their tables at their start would collide"#]]
    .assert_eq(&told(&found));
    assert_eq!(
        (found.target.as_deref(), found.language.as_deref(), &found.database),
        (Some("."), Some("1.25.0"), &Database::Url("DATABASE_URL".to_owned()))
    );
    let target = |files: &[(&str, &str)]| {
        let found = app(&[&[module], files].concat());
        (found.target, found.missing.len(), found.services.len())
    };
    assert_eq!(target(&[("cmd/a/main.go", PLAIN), ("cmd/b/main.go", SERVER)]), (Some("./cmd/b".to_owned()), 0, 0));
    assert_eq!(target(&[("cmd/shop/main.go", PLAIN), ("cmd/b/main.go", PLAIN)]), (Some("./cmd/shop".to_owned()), 0, 0));
    assert_eq!(target(&[("cmd/server/main.go", SERVER), ("cmd/worker/main.go", PLAIN)]), (Some("./cmd/server".to_owned()), 0, 1));
    assert_eq!(target(&[("cmd/a/main.go", PLAIN), ("cmd/b/main.go", PLAIN)]), (None, 1, 0));
}

#[test]
fn gos_own_command_for_migrations_runs_before_a_rollout() {
    let module = ("go.mod", "module example.com/shop\n\ngo 1.25.0\n");
    let migrate = |files: &[(&str, &str)]| app(&[&[module, ("main.go", SERVER)], files].concat()).migrate.map(|it| it.to_string());
    let flag = "package cli\n\nfunc Parse() {\n\tflag.BoolVar(&migrate, \"migrate\", false, \"run migrations\")\n}\n";
    assert_eq!(migrate(&[("internal/cli/cli.go", flag)]).as_deref(), Some("/srv/app/bin/shop -migrate"));
    let short = "package main\n\nvar migrate = flag.Bool(\"migrate\", false, \"\")\n";
    assert_eq!(migrate(&[("flags.go", short)]).as_deref(), Some("/srv/app/bin/shop -migrate"));
    let command = "package cmd\n\nvar c = &cobra.Command{\n\tUse: \"migrate\",\n}\n";
    assert_eq!(migrate(&[("cmd/root.go", command)]).as_deref(), Some("/srv/app/bin/shop migrate"));
    let up = ("cmd/up.go", "package cmd\n\nvar u = &cobra.Command{Use: \"up\"}\n");
    assert_eq!(migrate(&[("cmd/root.go", command), up]).as_deref(), Some("/srv/app/bin/shop migrate up"));
    // Another program's flag, a text elsewhere and a comment are nothing.
    let other = "package main\n\nfunc main() {\n\tflag.Bool(\"migrate\", false, \"\")\n}\n";
    assert_eq!(migrate(&[("cmd/tool/main.go", other)]), None);
    assert_eq!(migrate(&[("x.go", "package main\n\n// flag.Bool(\"migrate\")\nvar x = \"migrate\"\n")]), None);
}

#[test]
fn nodes_port_may_have_a_name_of_its_own() {
    let package = ("package.json", "{\"dependencies\": {\"express\": \"5\"}, \"scripts\": {\"start\": \"node server.js\"}}");
    let port = |text: &str| {
        let found = app(&[package, ("server.js", text)]);
        (found.port, found.env.get("APP_PORT").cloned())
    };
    let own = Some("$(PORT)".to_owned());
    assert_eq!(port("const port = Number(process.env.APP_PORT || 1337);\napp.listen(port);\n"), (1337, own.clone()));
    let more = "const a = process.env.APP_PORT || 1337, b = process.env.APP_ADMIN_PORT || 1338, c = process.env.SMTP_PORT || 25;\n";
    assert_eq!(port(more), (1337, own));
    // PORT itself goes before, and two of equal right are not chosen between.
    assert_eq!(port("const a = process.env.PORT || 80, b = process.env.APP_PORT || 81;\n"), (80, None));
    assert_eq!(port("const a = process.env.APP_PORT || 80, b = process.env.WEB_PORT || 81;\n"), (3000, None));
}

#[test]
fn a_start_file_that_nothing_makes_must_be_said() {
    let package = "{\"dependencies\": {\"express\": \"5\"}, \"scripts\": {\"start\": \"node docker/main\", \"build\": \"make\"}}";
    let found = app(&[("package.json", package), ("dist/bundle.js", "x")]);
    assert_eq!((found.start, found.build.len(), found.missing.len()), (None, 0, 1));
    assert!(found.missing[0].what.starts_with("package.json starts docker/main"), "{:?}", found.missing);
    // What the build makes does not exist before it.
    let found = app(&[("package.json", package), ("src/main.ts", "x")]);
    assert_eq!((found.start.unwrap().to_string(), found.missing.len()), ("node docker/main".to_owned(), 0));
    assert!(app(&[("package.json", package), ("docker/main.js", "x")]).start.is_some());
}

#[test]
fn rusts_program_is_found_in_the_workspace() {
    let main = "fn main() { let url = std::env::var(\"DATABASE_URL\"); let l = TcpListener::bind(\"0.0.0.0:3000\"); }\n";
    let found = app(&[("Cargo.toml", "[package]\nname = \"shop\"\nrust-version = \"1.85\"\n"), ("src/main.rs", main), ("src/lib.rs", "")]);
    assert_eq!((found.port, found.target.as_deref(), found.language.as_deref()), (3000, Some("shop/shop"), Some("1.85")));
    let found = app(&[
        ("Cargo.toml", "[workspace]\nmembers = [\"*\"]\n"),
        ("server/Cargo.toml", "[package]\nname = \"server\"\n"),
        ("server/src/main.rs", main),
        ("tool/Cargo.toml", "[package]\nname = \"tool\"\n"),
        ("tool/src/main.rs", ""),
    ]);
    assert_eq!(found.target.as_deref(), Some("server/server"));
    let found = app(&[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/bin/a.rs", ""), ("src/bin/b.rs", "")]);
    assert_eq!((found.target, found.missing.len()), (None, 1));
}

#[test]
fn a_rust_program_that_knows_no_tls_gets_an_address_without_it() {
    let main = |call: &str| format!("use postgres::NoTls;\nfn main() {{ let url = std::env::var(\"DATABASE_URL\"); {call}; }}\n");
    let look = |call: &str| app(&[("Cargo.toml", "[package]\nname = \"shop\"\n"), ("src/main.rs", &main(call))]);
    let found = look("Client::connect(&url, NoTls)");
    assert_eq!(
        found.env.get("DATABASE_URL").map(String::as_str),
        Some("postgresql://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)")
    );
    assert!(found.assumed.iter().any(|it| it.contains("src/main.rs:2 connects with NoTls")), "{:?}", found.assumed);
    assert!(found.without_tls);
    for call in ["connect(\n&url,\nNoTls,\n)", "connect(&url, tokio_postgres::NoTls)", "Manager::new(config(&url), NoTls)"] {
        assert!(!look(call).env.is_empty(), "{call}");
    }
    let encrypted = look("Client::connect(&url, MakeRustlsConnect::new(tls))");
    assert!(encrypted.env.is_empty() && !encrypted.without_tls);
}

#[test]
fn pages_alone_are_served_as_they_are() {
    assert_eq!(app(&[("index.html", "")]).target.as_deref(), Some("."));
    assert_eq!(app(&[("public/index.html", "")]).target.as_deref(), Some("public"));
    assert_eq!(look(&[("about.html", "")]), None);
}

#[test]
fn an_own_dockerfile_says_port_user_and_health() {
    let text = "FROM golang AS build\nEXPOSE 1\nUSER 0\nFROM scratch\nEXPOSE 8081/tcp 9090\nVOLUME [\"/data\"]\nUSER 65532:65532\nHEALTHCHECK --interval=5s CMD [\"/app\", \"-check\", \"http://localhost:8081/live\"]\nENTRYPOINT [\"/app\"]\n";
    let found = app(&[("Dockerfile", text)]);
    assert_eq!((found.stack, found.port, found.health.as_deref()), (Stack::Dockerfile, 8081, Some("/live")));
    assert_eq!((found.start, found.writable, found.assumed), (None, BTreeSet::from(["/data".to_owned()]), Vec::new()));
    let found = app(&[("Dockerfile", "FROM x\nUSER app\n")]);
    assert_eq!(found.assumed.len(), 3, "{:?}", found.assumed);
    // Beside a framework the file decides about the image, and the framework about migrations.
    let found = app(&[
        ("Dockerfile", "FROM x\nEXPOSE 80\n"),
        ("app.py", "import os\nfrom flask import Flask\napp = Flask('x')\nDB = os.environ['DATABASE_URL']\n"),
    ]);
    assert_eq!((found.stack, found.framework, found.port, found.extra.len()), (Stack::Dockerfile, Framework::Flask, 80, 0));
    assert_eq!(found.database, Database::Url("DATABASE_URL".to_owned()));
}

#[test]
fn a_procfile_says_start_release_and_processes() {
    let flask = ("app.py", "from flask import Flask\napp = Flask('x')\n");
    let found = app(&[
        flask,
        ("requirements.txt", "flask\ngunicorn\n"),
        ("Procfile", "web: gunicorn app:app --workers $N\nrelease: flask db upgrade\n# a comment: none\nurgent_worker: rq worker high\n"),
    ]);
    assert_eq!(found.start, Some(Command::Shell("gunicorn app:app --workers $N".to_owned())));
    assert_eq!(found.migrate, Some(Command::words(&["flask", "db", "upgrade"])));
    assert_eq!(
        found.services,
        [Service { name: "urgent-worker".to_owned(), kind: ServiceKind::Process(Command::words(&["rq", "worker", "high"])) }]
    );
    let found = app(&[flask, ("Procfile", "web: uvicorn app:app\nrelease: python load.py && flask db upgrade\n")]);
    assert_eq!(found.start.unwrap().to_string(), "uvicorn app:app --host 0.0.0.0 --port 8000");
}

#[test]
fn a_compose_file_gives_its_database_and_cache_to_the_cluster() {
    let compose = "services:\n  web:\n    build: .\n    command: python app.py runserver\n    ports: ['127.0.0.1:80:5000/tcp']\n    environment:\n      - DB_HOST=db\n      - DB_NAME=x\n      - DB_USER=x\n      - DB_PASSWORD=x\n      - REDIS_URL=redis://cache:6379\n      - LANG_OF_PAGES=de\n      - API=http://api:80\n      - FROM_SHELL=${X}\n    volumes: ['uploads:/srv/uploads', './:/code']\n    depends_on: [db, cache]\n  worker:\n    build: .\n    command: python work.py\n  api:\n    build: ./api\n  db:\n    image: postgres:17\n  cache:\n    image: docker.io/valkey/valkey:8\n  proxy:\n    image: nginx\n  search:\n    image: example/search\nvolumes:\n  uploads:\n";
    let found =
        app(&[("docker-compose.yml", compose), ("app.py", "from flask import Flask\napp = Flask('x')\n"), ("requirements.txt", "flask\n")]);
    assert_eq!((found.port, found.files.media.as_deref()), (5000, Some("/srv/uploads")));
    let env: Vec<String> = found.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        env,
        [
            "DB_HOST=$(PGHOST)",
            "DB_NAME=$(PGDATABASE)",
            "DB_PASSWORD=$(PGPASSWORD)",
            "DB_USER=$(PGUSER)",
            "LANG_OF_PAGES=de",
            "REDIS_URL=redis://cache:6379"
        ]
    );
    let names: Vec<&str> = found.services.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["cache", "worker"]);
    assert_eq!(
        found.missing.iter().map(|it| it.lines.as_str()).collect::<Vec<_>>(),
        ["[services.api]\npath = \"api\"\ndockerfile = \"api/Dockerfile\""]
    );
    assert!(found.assumed.iter().any(|it| it == "search (example/search) of docker-compose.yml is left out"), "{:?}", found.assumed);
    assert!(found.start.unwrap().to_string().contains("gunicorn"));
    // Line numbers are those of the services.
    assert!(found.signals.iter().any(|it| it.line == 22 && it.says == "db is PostgreSQL"), "{:?}", found.signals);
}

#[test]
fn caches_and_mail_of_a_compose_file_keep_their_names_and_addresses() {
    let compose = "services:\n  web:\n    build: .\n    environment:\n      QUEUE_URL: redis://redis_queue:6379/2\n      CACHE_URL: redis://redis-cache:6379\n      LOCKED: redis://:secret@redis-cache:6379\n      EMAIL_HOST: mailhog\n      SMTP_RELAY: smtp.example.com\n    volumes: ['uploads:/srv/uploads', 'index:/srv/index', './x:/x']\n  worker:\n    build: .\n    command: ./work\n    environment: {QUEUE_URL: 'redis://redis_queue:6379/2', MODE: worker}\n  redis-cache: {image: 'redis:7', volumes: ['/srv/host:/data']}\n  redis_queue: {image: 'redis:7', volumes: ['queue:/data']}\n  mailhog: {image: mailhog/mailhog}\n";
    let found = app(&[("compose.yaml", compose), ("Dockerfile", "FROM x\nUSER 1\nEXPOSE 80\nCMD x\n")]);
    let services: Vec<(&str, &ServiceKind)> = found.services.iter().map(|it| (it.name.as_str(), &it.kind)).collect();
    let of_web = ["CACHE_URL".to_owned()].into();
    assert!(services.contains(&("redis-cache", &ServiceKind::Cache(of_web))), "{services:?}");
    assert!(services.iter().any(|(name, kind)| *name == "redis-queue" && matches!(kind, ServiceKind::Cache(_))), "{services:?}");
    assert!(services.contains(&("mailhog", &ServiceKind::Mail)), "{services:?}");
    let env: Vec<String> = found.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    // Kubernetes knows no underscore in a name, and this cache has no password.
    assert_eq!(env, ["CACHE_URL=redis://redis-cache:6379", "EMAIL_HOST=mailhog", "SMTP_RELAY=smtp.example.com"]);
    assert_eq!(found.files.kept.iter().collect::<Vec<_>>(), ["redis-queue"]);
    assert_eq!(found.files.volumes.get("index").map(String::as_str), Some("/srv/index"));
    assert!(found.assumed.iter().any(|it| it.starts_with("worker has other values of MODE in compose.yaml")), "{:?}", found.assumed);
}

#[test]
fn what_a_compose_file_says_is_not_missing() {
    let source = "import os\nfrom flask import Flask\napp = Flask('x')\nnames = [os.environ['TITLE'], os.environ['SMTP_HOST'], os.environ['TOKEN_OF_OTHERS']]\n";
    let compose = "services:\n  web: {build: ., environment: {TITLE: book, SMTP_HOST: mail}}\n  mail: {image: axllent/mailpit}\n";
    let found = app(&[("app.py", source), ("compose.yaml", compose), ("requirements.txt", "flask\ngunicorn\n")]);
    assert_eq!((found.env["TITLE"].as_str(), found.env["SMTP_HOST"].as_str()), ("book", "mail"));
    assert_eq!(found.missing.iter().map(|it| it.lines.as_str()).collect::<Vec<_>>(), ["[frontend.env]\nTOKEN_OF_OTHERS = \"…\""]);
}

#[test]
fn a_database_that_is_not_postgresql_is_told() {
    let found = app(&[
        ("compose.yaml", "services:\n  app: {build: .}\n  db: {image: 'mysql:9'}\n"),
        ("Dockerfile", "FROM x\nUSER 1\nEXPOSE 80\nCMD x\n"),
    ]);
    assert_eq!(found.missing[0].what, "compose.yaml:3: db is mysql:9, and this tool brings PostgreSQL");
}

#[test]
fn an_example_of_the_environment_is_a_hint() {
    let site = ("Dockerfile", "FROM x\nUSER 1\nEXPOSE 80\nCMD x\n");
    let found = app(&[site, (".env.example", "# DB=1\nexport APP_DATABASE_URL=x\nSESSION_SECRET=\n")]);
    assert_eq!((&found.database, found.secret_key.as_deref()), (&Database::Url("APP_DATABASE_URL".to_owned()), Some("SESSION_SECRET")));
    assert_eq!(found.env["APP_DATABASE_URL"], "$(DATABASE_URL)");
    let found = app(&[site, (".devcontainer/devcontainer.json", "{\"forwardPorts\": [3000]}")]);
    assert_eq!(found.port, 80);
    assert!(found.signals.iter().any(|it| it.says == "forwards 3000"));
}

#[test]
fn a_published_package_with_a_table_of_options_is_understood() {
    let package = "{\"dependencies\": {\"express\": \"5\", \"pg-promise\": \"12\"}, \
        \"scripts\": {\"build\": \"babel src/ -d lib/\", \"start\": \"node bin/server\"}}";
    let options = "module.exports = {\n  databaseURI: { env: 'SHOP_DATABASE_URI', help: 'where' },\n  \
        port: { env: 'PORT', help: 'the port', action: parse('port'), default: 1337 },\n  \
        limits: { env: 'SHOP_LIMITS_REDIS_URL' } };\n";
    let found =
        |more: &[(&str, &str)]| app(&[&[("package.json", package), ("bin/server", ""), ("lib/options.js", options)], more].concat());
    expect_test::expect![[r#"
        Express 5 on 1337
        start: node bin/server
        replicas: 1
        env: NODE_ENV=production NODE_EXTRA_CA_CERTS=$(PGSSLROOTCERT) SHOP_DATABASE_URI=$(DATABASE_URL)
        assumed: no lock file: the newest versions that package.json allows are locked when the image is built; src/ is not here, so the package is the built application: its build script does not run; no command for migrations is known: one pod runs, since several that make their tables at their start would collide"#]]
    .assert_eq(&told(&found(&[])));
    // With its source the build runs.
    assert_eq!(found(&[("src/options.js", "")]).build.len(), 1);
}

#[test]
fn an_address_of_a_compose_files_postgresql_may_have_any_name() {
    let compose = "services:\n  web:\n    build: .\n    ports: ['8888:8888']\n    environment:\n      SHOP_STORAGE_URL: postgresql://a:b@db/c\n      \
        SHOP_QUEUE: postgresql+asyncpg://a:b@db:5432/c\n      SHOP_OTHER: https://example.com\n  db: {image: postgres}\n";
    let found = app(&[("app.py", "application = make()\n"), ("requirements.txt", "gunicorn\nx\n"), ("compose.yaml", compose)]);
    assert_eq!(found.env["SHOP_STORAGE_URL"], "$(DATABASE_URL)");
    assert_eq!(found.env["SHOP_QUEUE"], "postgresql+asyncpg://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)?ssl=require");
    assert_eq!(found.env["SHOP_OTHER"], "https://example.com");
    // gunicorn is told where it listens, and that is not where the container of the file would.
    assert_eq!((found.port, found.start.unwrap().to_string().contains(":8000")), (8000, true));
}

#[test]
fn gos_program_of_several_commands_is_started_with_the_one_that_serves() {
    let found = app(&[
        ("go.mod", "module example.com/shop\n\ngo 1.25\n"),
        ("main.go", "package main\n\nfunc main() { cmd.Execute() }\n"),
        ("cmd/serve.go", "package cmd\n\nvar c = &cobra.Command{\n\tUse: \"serve\",\n}\n"),
        ("cmd/migrate.go", "package cmd\n\nvar m = &cobra.Command{Use: \"migrate\"}\n"),
        ("tools/gen/main.go", "package main\n\nfunc main() {}\n\nvar c = &cobra.Command{Use: \"server\"}\n"),
    ]);
    let command = |it: Option<Command>| it.unwrap().to_string();
    assert_eq!(
        (command(found.start), command(found.migrate)),
        ("/srv/app/bin/shop serve".to_owned(), "/srv/app/bin/shop migrate".to_owned())
    );
}

#[test]
fn extensions_are_found_in_migrations_code_and_compose_files() {
    let base = [
        ("go.mod", "module m\ngo 1.24\n"),
        (
            "main.go",
            "package main\n// CREATE EXTENSION hll\nfunc main() { _ = os.Getenv(\"DATABASE_URL\"); http.ListenAndServe(\":8080\", nil) }\n",
        ),
        ("migrations/1.sql", "CREATE EXTENSION IF NOT EXISTS pg_trgm;\nCREATE EXTENSION plpgsql;\n"),
        ("tests/1.sql", "CREATE EXTENSION citext;\n"),
        (
            "compose.yaml",
            "services:\n  web:\n    build: .\n    environment: {DATABASE_URL: 'postgres://db/x'}\n  db: {image: 'pgvector/pgvector:pg17'}\n",
        ),
    ];
    let found = app(&base);
    assert_eq!(found.extensions.iter().map(String::as_str).collect::<Vec<_>>(), ["pg_trgm", "vector"]);
    assert_eq!(found.missing, []);
    let with_other = app(&[&base[..], &[("migrations/2.sql", "\n CREATE EXTENSION \"timescaledb\" CASCADE;\n")]].concat());
    let missing: Vec<_> = with_other.missing.iter().map(|it| it.what.as_str()).collect();
    assert!(missing.len() == 1 && missing[0].starts_with("migrations/2.sql:2 creates PostgreSQL's extension `timescaledb`"), "{missing:?}");
    let without_database = app(&[base[0], ("main.go", "package main\nfunc main() { http.ListenAndServe(\":8080\", nil) }\n"), base[2]]);
    assert!(without_database.extensions.is_empty());
}
