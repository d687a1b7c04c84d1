//! Flask, FastAPI and what else Python serves.

use super::*;

#[test]
fn flask_is_served_from_its_object_or_its_factory() {
    let start = |files: &[(&str, &str)]| app(files).start.unwrap().to_string().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(start(&[("app.py", "import flask\nfrom flask import Flask\napp = Flask(__name__)\n")]), "app:app");
    assert_eq!(
        start(&[(
            "web/__init__.py",
            "from flask import Flask\n\ndef create_app(config=None):\n    app = Flask(__name__)\n    return app\n"
        )]),
        "web:create_app()"
    );
    // The factory needs an argument: only the module that calls it can be served.
    let factory = "from flask import Flask\n\ndef create_app(config):\n    return Flask(__name__)\n\ndef make_app():\n    app = Flask(__name__)\n    return app\n";
    assert_eq!(start(&[("web/__init__.py", factory)]), "web:make_app()");
    assert_eq!(start(&[("web/__init__.py", factory), ("wsgi.py", "from web import make_app\napp = make_app()\n")]), "wsgi:app");
    assert_eq!(
        start(&[
            ("one.py", "from flask import Flask\none = Flask('x')\n"),
            ("two/main.py", "from flask import Flask\napplication = Flask('x')\n"),
            (".flaskenv", "FLASK_APP=two/main.py\n")
        ]),
        "two.main:application"
    );
    // Tests make applications too.
    assert_eq!(look(&[("requirements.txt", "flask\n"), ("tests/app.py", "from flask import Flask\napp = Flask('x')\n")]), None);
}

#[test]
fn flask_with_sqlalchemy_and_migrations_is_ready_for_a_database() {
    let found = app(&[
        ("requirements.txt", "flask==3.1.1\nflask-sqlalchemy\nflask-migrate\npsycopg[binary]\ngunicorn\n"),
        (
            "web/__init__.py",
            "import os\nfrom flask import Flask\n\ndef create_app():\n    app = Flask(__name__)\n    app.config['SQLALCHEMY_DATABASE_URI'] = os.environ['SQLALCHEMY_DATABASE_URI']\n    app.config.from_mapping(SECRET_KEY=os.environ['WEB_SECRET'])\n    return app\n\ndef routes(app):\n    @app.route('/healthz')\n    def health():\n        return 'ok'\n",
        ),
        ("migrations/env.py", "from flask import current_app\n"),
    ]);
    expect_test::expect![[r#"
        Flask 3.1.1 on 8000
        start: python3 -m gunicorn --bind 0.0.0.0:8000 --worker-tmp-dir /tmp --access-logfile=- web:create_app()
        migrate: python3 -m flask --app web:create_app() db upgrade
        health: /healthz
        env: SQLALCHEMY_DATABASE_URI=postgresql+psycopg://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE) WEB_SECRET=$(SECRET_KEY)"#]]
    .assert_eq(&told(&found));
}

#[test]
fn flask_migrates_folder_is_said_where_it_is_not_the_usual_one() {
    let migrate = |folder: &str, call: &str| {
        let text = format!("from flask import Flask\nfrom flask_migrate import Migrate\napp = Flask('x')\nmigrate = {call}\n");
        let files = [("requirements.txt", "flask\nflask-migrate\n"), ("web/__init__.py", text.as_str()), (folder, "")];
        app(&files).migrate.unwrap().to_string().replace("python3 -m flask --app web:app db upgrade", "")
    };
    assert_eq!(migrate("migrations/env.py", "Migrate(app, db)"), "");
    assert_eq!(migrate("web/migrations/env.py", "Migrate(app, db)"), " --directory web/migrations");
    assert_eq!(migrate("web/migrations/env.py", "Migrate(app, db, directory='web/migrations')"), "");
    assert_eq!(migrate("tests/migrations/env.py", "Migrate(app, db)"), "");
}

#[test]
fn a_constant_address_becomes_a_variables_by_a_patch() {
    let text = "from flask import Flask\nfrom flask_sqlalchemy import SQLAlchemy\napp = Flask(__name__)\napp.config['SQLALCHEMY_DATABASE_URI'] = 'sqlite:///x.db'\n";
    let found = app(&[("requirements.txt", "flask\nflask-sqlalchemy\n"), ("app.py", text)]);
    let change = Change::FromVariable {
        file: "app.py".to_owned(),
        span: (4, 40, 4, 56),
        variable: "DATABASE_URL".to_owned(),
        is_imported: false,
        import_after: 0,
    };
    let added = Change::Requirements { file: "requirements.txt".to_owned(), text: "gunicorn\npsycopg[binary]\n".to_owned() };
    assert_eq!(found.changes, [change, added]);
    assert_eq!(found.env["DATABASE_URL"], "postgresql+psycopg://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)");
    assert!(found.extra.contains("psycopg[binary]"));
}

#[test]
fn sqlite_that_the_code_opens_itself_is_told_and_not_guessed_away() {
    let found = app(&[(
        "app.py",
        "import sqlite3\nfrom flask import Flask\napp = Flask(__name__)\n\ndef db():\n    return sqlite3.connect('x.db')\n",
    )]);
    assert_eq!(found.missing.len(), 1);
    // Where imports name the requirements, a file of imports brings the server.
    let Change::Requirements { file, text } = &found.changes[0] else { panic!("{:?}", found.changes) };
    assert!(file == "pocdeploy_imports.py" && text.ends_with("import gunicorn  # noqa: F401\n"), "{text}");
    assert!(found.missing[0].what.starts_with("app.py:1 opens SQLite by itself"), "{:?}", found.missing);
    assert_eq!(found.changes.len(), 1);
}

#[test]
fn flasks_prefixed_variables_are_set() {
    let text = "from flask import Flask\nfrom flask_sqlalchemy import SQLAlchemy\n\ndef create_app():\n    app = Flask(__name__)\n    app.config.from_prefixed_env('WEB')\n    return app\n";
    let found = app(&[("requirements.txt", "flask\nflask-sqlalchemy\npsycopg2-binary\n"), ("web.py", text)]);
    assert_eq!(found.env["WEB_SQLALCHEMY_DATABASE_URI"], "postgresql+psycopg2://$(PGUSER):$(PGPASSWORD)@$(PGHOST):$(PGPORT)/$(PGDATABASE)");
    assert_eq!(found.env["WEB_SECRET_KEY"], "$(SECRET_KEY)");
}

#[test]
fn fastapi_with_settings_of_pydantic_and_alembic() {
    let found = app(&[
        (
            "pyproject.toml",
            "[project]\nname = \"x\"\ndependencies = [\"fastapi==0.121.0\", \"uvicorn\", \"sqlalchemy\", \"alembic\", \"asyncpg\", \"pydantic-settings\"]\n",
        ),
        ("app/main.py", "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/health')\ndef health():\n    return {}\n"),
        (
            "app/config.py",
            "from pydantic_settings import BaseSettings, SettingsConfigDict\n\nclass Settings(BaseSettings):\n    model_config = SettingsConfigDict(env_prefix='APP_')\n    postgres_server: str\n    postgres_user: str\n    postgres_password: str\n    postgres_db: str = 'x'\n    secret_key: str\n    mail_from: str\n",
        ),
        ("app/db.py", "from sqlalchemy.ext.asyncio import create_async_engine\nengine = create_async_engine(url)\n"),
        ("alembic.ini", "[alembic]\nscript_location = migrations\nsqlalchemy.url = driver://user:pass@localhost/dbname\n"),
        (
            "migrations/env.py",
            "from alembic import context\nfrom app.config import settings\nconfig = context.config\nconfig.set_main_option('sqlalchemy.url', settings.url)\n",
        ),
    ]);
    expect_test::expect![[r#"
        FastAPI 0.121.0 on 8000
        start: python3 -m uvicorn --host 0.0.0.0 --port 8000 app.main:app
        migrate: python3 -m alembic upgrade head
        health: /health
        env: APP_POSTGRES_DB=$(PGDATABASE) APP_POSTGRES_PASSWORD=$(PGPASSWORD) APP_POSTGRES_SERVER=$(PGHOST) APP_POSTGRES_USER=$(PGUSER) APP_SECRET_KEY=$(SECRET_KEY)
        missing: app/config.py:10 needs the variable APP_MAIL_FROM, and nothing says its value"#]]
    .assert_eq(&told(&found));
}

#[test]
fn alembic_with_an_address_of_its_own_gets_a_patch() {
    let env = "\"\"\"Migrations.\"\"\"\nfrom alembic import context\n\nconfig = context.config\n";
    let files = |url: &'static str| {
        app(&[
            ("requirements.txt", "fastapi\nsqlalchemy\nalembic\npsycopg2-binary\nuvicorn\n"),
            (
                "main.py",
                "import os\nfrom fastapi import FastAPI\nfrom sqlalchemy import create_engine\napp = FastAPI()\nDATABASE_URL = os.environ['DATABASE_URL']\n",
            ),
            ("alembic.ini", url),
            ("alembic/env.py", env),
        ])
    };
    let found = files("[alembic]\nscript_location = %(here)s/alembic\nsqlalchemy.url = sqlite:///./x.db\n");
    let change = Change::Alembic {
        file: "alembic/env.py".to_owned(),
        after: 4,
        variable: "DATABASE_URL".to_owned(),
        is_imported: false,
        import_after: 1,
    };
    assert_eq!(found.changes, [change]);
    assert_eq!(files("[alembic]\nscript_location = alembic\n").changes, []);
}

#[test]
fn starlette_and_plain_interfaces_are_served() {
    let starlette = "from starlette.applications import Starlette\nfrom starlette.routing import Route\nroutes = [Route('/', home), Route('/ping', ping)]\napp = Starlette(routes=routes)\n";
    let found = app(&[("requirements.txt", "starlette\n"), ("src/site/main.py", starlette), ("src/site/__init__.py", "")]);
    assert_eq!(found.start.as_ref().unwrap().to_string(), "python3 -m uvicorn --host 0.0.0.0 --port 8000 --app-dir src site.main:app");
    assert_eq!((found.framework, found.health.as_deref()), (Framework::Starlette, Some("/ping")));
    assert_eq!(found.extra, BTreeSet::from(["uvicorn".to_owned()]));
    let asgi = app(&[("app.py", "async def app(scope, receive, send):\n    pass\n")]);
    assert_eq!((asgi.framework, asgi.start.unwrap().to_string().ends_with("app:app")), (Framework::Asgi, true));
    let wsgi = app(&[("wsgi.py", "def application(environ, start_response):\n    return []\n")]);
    assert_eq!((wsgi.framework, wsgi.start.unwrap().to_string().ends_with("wsgi:application")), (Framework::Wsgi, true));
}

#[test]
fn a_factory_of_fastapi_is_called_by_uvicorn() {
    let found = app(&[("api.py", "from fastapi import FastAPI\n\ndef create_app():\n    app = FastAPI()\n    return app\n")]);
    assert!(found.start.unwrap().to_string().ends_with("--factory api:create_app"));
}

#[test]
fn a_small_server_of_a_command_is_not_the_application() {
    let start = |files: &[(&str, &str)]| app(files).start.unwrap().to_string().rsplit(' ').next().unwrap().to_owned();
    let small = ("shop/cli/_login.py", "from fastapi import FastAPI\nlogin_api = FastAPI()\n");
    let factory = (
        "shop/server/api/server.py",
        "from fastapi import FastAPI\n\ndef create_app(settings=None):\n    app = FastAPI()\n    return app\n",
    );
    assert_eq!(start(&[small, factory]), "shop.server.api.server:create_app");
    let helper = ("shop/server/api/a.py", "from fastapi import FastAPI\n\ndef create_api_app():\n    api = FastAPI()\n    return api\n");
    assert_eq!(start(&[small, helper, factory]), "shop.server.api.server:create_app");
    // Alone it is all that there is.
    assert_eq!(start(&[small]), "shop.cli._login:login_api");
    assert_eq!(start(&[("shop/_app.py", "from fastapi import FastAPI\napp = FastAPI()\n"), factory]), "shop._app:app");
}

#[test]
fn names_of_distributions_are_pips() {
    let found = app(&[
        ("requirements.txt", "-r base/one.txt\nGunicorn==23.0\n"),
        ("base/one.txt", "Flask[async] == 3.1.1 ; python_version > '3'\n--hash=x\n"),
        ("app.py", "from flask import Flask\napp = Flask('x')\n"),
    ]);
    assert_eq!((found.version.as_deref(), found.extra.len()), (Some("3.1.1"), 0));
}

#[test]
fn what_a_lock_names_is_kept_to_the_lock_where_something_is_added() {
    let text = |files: &[(&str, &str)]| {
        let found = app(&[&[("app.py", "from flask import Flask\napp = Flask('x')\n")], files].concat());
        let change = found.changes.into_iter().next();
        if let Some(Change::Requirements { file, text }) = change { format!("{file}: {text}") } else { String::new() }
    };
    let project = "[project]\nname = \"x\"\ndependencies = [\"Flask[async]>=3\", \"tzdata; sys_platform == 'win32'\", \"rich>1\"]\n";
    let lock = "[[package]]\nname = \"flask\"\nversion = \"3.1.2\"\n[[package]]\nname = \"tzdata\"\nversion = \"2026.1\"\n";
    assert_eq!(
        text(&[("pyproject.toml", project), ("uv.lock", lock)]),
        "requirements.txt: Flask[async]==3.1.2\ntzdata==2026.1 ; sys_platform == 'win32'\nrich>1\ngunicorn\n"
    );
    let poetry = "[tool.poetry.dependencies]\npython = \"^3.12\"\nflask = {version = \"^3\", extras = [\"async\"]}\n";
    assert_eq!(text(&[("pyproject.toml", poetry), ("poetry.lock", lock)]), "requirements.txt: flask[async]==3.1.2\ngunicorn\n");
    // What has its server needs nothing.
    assert_eq!(text(&[("requirements.txt", "flask\ngunicorn\n")]), "");
}

#[test]
fn what_setup_py_names_becomes_a_requirements_txt() {
    let text = |setup: (&str, &str)| {
        let source = "import psycopg2\nfrom flask import Flask\n\ndef create_app():\n    return Flask('x')\n";
        let reader = "import os\n\ndef get_config(key, default=None):\n    if key in os.environ:\n        return os.environ[key]\n    \
            return default\n\nurl = get_config('DATABASE_URL', default=None)\n";
        let found = app(&[setup, ("web/__init__.py", source), ("web/config.py", reader)]);
        assert_eq!(found.database, Database::Url("DATABASE_URL".to_owned()));
        let Some(Change::Requirements { file, text }) = found.changes.into_iter().next() else { panic!("no change") };
        format!("{file} {}: {text}", found.packages.unwrap().lock.unwrap_or_default())
    };
    // The extra for PostgreSQL is needed, and only a wheel can be installed.
    let setup = "from setuptools import setup\n\nsetup(name='web', install_requires=['Flask>=2', 'rich'], extras_require={'PG': ['psycopg2>=2.9']})\n";
    assert_eq!(text(("setup.py", setup)), "requirements.txt setup.py: Flask>=2\nrich\npsycopg2-binary>=2.9\ngunicorn\n");
    // Without an extra the driver is the one that the code imports.
    let cfg = "[options]\ninstall_requires =\n    # why\n    Flask>=2\n\n    gunicorn\npackages = find:\n";
    assert_eq!(text(("setup.cfg", cfg)), "requirements.txt setup.cfg: Flask>=2\ngunicorn\npsycopg2-binary\n");
    // A list that setup.py computes is not known.
    let text = text(("setup.py", "from setuptools import setup\nsetup(install_requires=read())\n"));
    assert!(text.starts_with("pocdeploy_imports.py : "), "{text}");
}

#[test]
fn extras_that_a_deployment_needs_are_installed() {
    let project = "[project]\nname = 'x'\ndependencies = ['flask', 'gunicorn']\n[project.optional-dependencies]\n\
        docs = ['sphinx']\npostgresql = ['psycopg2', 'zope.sqlalchemy']\n";
    let files = |project: &str| app(&[("app.py", "from flask import Flask\napp = Flask('x')\n"), ("pyproject.toml", project)]);
    assert_eq!(files(project).groups, ["postgresql"]);
    let server = "[project]\nname = 'x'\ndependencies = []\n[project.optional-dependencies]\nserver = ['flask', 'gunicorn']\n";
    assert_eq!(files(server).groups, ["server"]);
    // A requirements.txt that is written beside has its list.
    let found = files(&project.replace(", 'gunicorn'", ""));
    assert!(found.groups.is_empty());
    let Some(Change::Requirements { text, .. }) = found.changes.into_iter().next() else { panic!("no change") };
    assert_eq!(text, "flask\npsycopg2-binary\nzope.sqlalchemy\ngunicorn\n");
}

#[test]
fn an_application_that_asks_for_its_own_version_gets_metadata() {
    let metadata = |call: &str, more: &[(&str, &str)]| {
        let source = format!("from importlib.metadata import version\nfrom flask import Flask\napp = Flask('x')\nv = version({call})\n");
        let project = "[project]\nname = \"my-shop\"\ndynamic = [\"version\"]\ndependencies = [\"flask\", \"gunicorn\"]\n\
            [project.entry-points.\"paste.app_factory\"]\nmain = \"shop:main\"\n";
        let found = app(&[&[("shop/__init__.py", source.as_str()), ("pyproject.toml", project)], more].concat());
        let told = |it: &Change| match it {
            Change::Metadata { file, text } => format!("{file} {}", text.lines().last().unwrap()),
            other => panic!("{other:?}"),
        };
        found.changes.iter().map(told).collect::<Vec<_>>().join("; ")
    };
    let built = ("PKG-INFO", "Metadata-Version: 2.1\nName: my-shop\nVersion: 3.1\n");
    assert_eq!(
        metadata("__package__", &[built]),
        "my_shop-3.1.dist-info/METADATA Version: 3.1; my_shop-3.1.dist-info/entry_points.txt main = shop:main"
    );
    assert!(metadata("'My_Shop'", &[]).starts_with("my_shop-0.dist-info/METADATA Version: 0; "));
    // Another package's version is that package's.
    assert_eq!(metadata("'flask'", &[built]), "");
    assert_eq!(metadata("__package__", &[("my_shop.egg-info/PKG-INFO", "Name: my-shop\n")]), "");
}
