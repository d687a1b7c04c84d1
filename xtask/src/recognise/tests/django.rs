//! Django projects.

use super::*;

const MANAGE: &str = "import os\nimport sys\n\ndef main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n    \
    from django.core.management import execute_from_command_line\n    execute_from_command_line(sys.argv)\n";
const WSGI: &str = "import os\nfrom django.core.wsgi import get_wsgi_application\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\napplication = get_wsgi_application()\n";
/// As `django-admin startproject` writes them, shortened.
const SETTINGS: &str = "from pathlib import Path\nBASE_DIR = Path(__file__).resolve().parent.parent\nSECRET_KEY = 'django-insecure-x'\nDEBUG = True\n\
    ALLOWED_HOSTS = []\nINSTALLED_APPS = ['django.contrib.admin', 'django.contrib.staticfiles']\n\
    MIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\nROOT_URLCONF = 'mysite.urls'\nWSGI_APPLICATION = 'mysite.wsgi.application'\n\
    DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}}\nSTATIC_URL = 'static/'\n";

fn project<'a>(settings: &'a str, more: &[(&'a str, &'a str)]) -> Recognised {
    let files = [("manage.py", MANAGE), ("mysite/__init__.py", ""), ("mysite/wsgi.py", WSGI), ("mysite/settings.py", settings)];
    app(&[&files[..], more].concat())
}

/// The patch's settings, where there is one.
fn change(found: &Recognised) -> Option<&DjangoSettings> {
    found.changes.iter().find_map(|it| if let Change::DjangoSettings(it) = it { Some(it) } else { None })
}

#[test]
fn a_fresh_project_needs_a_patch_for_everything_that_a_deployment_sets() {
    let found = project(SETTINGS, &[("requirements.txt", "Django==6.1\n")]);
    expect_test::expect![[r#"
        Django 6.1 on 8000
        start: python3 -m gunicorn --bind 0.0.0.0:8000 --worker-tmp-dir /tmp --access-logfile=- mysite.wsgi:application
        migrate: python3 manage.py migrate --noinput
        build: python3 manage.py collectstatic --noinput --verbosity 0
        env: DJANGO_SETTINGS_MODULE=mysite.pocdeploy_settings
        extra: gunicorn psycopg[binary] whitenoise
        changes: DjangoSettings Requirements
        assumed: the deployment needs gunicorn, psycopg[binary], whitenoise, which nothing names: a patch adds them to requirements.txt"#]]
    .assert_eq(&told(&found));
    let change = change(&found).unwrap();
    assert_eq!((change.base.as_str(), change.file.as_str()), ("mysite.settings", "mysite/pocdeploy_settings.py"));
    assert!(change.database && change.hosts && change.secret_key && change.debug && change.whitenoise && change.static_root);
    assert_eq!(
        found.summary(),
        "Django 6.1: manage.py, mysite/wsgi.py, mysite/settings.py; gunicorn serves mysite.wsgi:application; static files by WhiteNoise, which a patch adds; port 8000; probes by TCP; `python3 manage.py migrate --noinput` before a rollout; dependencies from requirements.txt"
    );
}

#[test]
fn a_project_that_reads_everything_from_the_environment_needs_no_patch() {
    let settings = "import os\nimport dj_database_url\nSECRET_KEY = os.environ['DJANGO_KEY']\nDEBUG = os.environ.get('DEBUG') == '1'\n\
        ALLOWED_HOSTS = os.environ.get('HOSTS', '').split(' ')\nINSTALLED_APPS = ['django.contrib.staticfiles']\n\
        MIDDLEWARE = ['django.middleware.security.SecurityMiddleware', 'whitenoise.middleware.WhiteNoiseMiddleware']\nROOT_URLCONF = 'mysite.urls'\n\
        WSGI_APPLICATION = 'mysite.wsgi.application'\nDATABASES = {'default': dj_database_url.config(conn_max_age=600)}\n\
        STATIC_ROOT = os.path.join('x', 'static-root')\n";
    let lock = "version = 1\n[[package]]\nname = \"django\"\nversion = \"5.2.8\"\n[[package]]\nname = \"psycopg\"\nversion = \"3.3\"\n[[package]]\nname = \"gunicorn\"\nversion = \"23.0\"\n";
    let found = project(
        settings,
        &[("pyproject.toml", "[project]\nname = \"x\"\nrequires-python = \">=3.12\"\ndependencies = [\"django\"]\n"), ("uv.lock", lock)],
    );
    assert_eq!(found.changes, []);
    assert_eq!(found.extra, BTreeSet::new());
    assert_eq!(found.database, Database::Url("DATABASE_URL".to_owned()));
    assert_eq!(found.language.as_deref(), Some(">=3.12"));
    assert_eq!(found.packages.as_ref().unwrap().lock.as_deref(), Some("uv.lock"));
    let env: Vec<String> = found.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(env, ["DEBUG=False", "DJANGO_KEY=$(SECRET_KEY)", "DJANGO_SETTINGS_MODULE=mysite.settings", "HOSTS=$(ALLOWED_HOSTS)"]);
    assert!(found.assumed.iter().any(|it| it.starts_with("HOSTS is split at \" \"")), "{:?}", found.assumed);
}

#[test]
fn the_database_is_read_in_every_style() {
    for (databases, expected, needs_patch) in [
        ("{'default': env.db()}", Database::Url("DATABASE_URL".to_owned()), false),
        ("{'default': env.db('MAIN_DB')}", Database::Url("MAIN_DB".to_owned()), false),
        ("{'default': dj_database_url.config(env='DB_DSN')}", Database::Url("DB_DSN".to_owned()), false),
        ("{'default': dj_database_url.parse(os.environ['X_DATABASE_URL'])}", Database::Url("X_DATABASE_URL".to_owned()), false),
        (
            "{'default': {'ENGINE': 'django.db.backends.postgresql', 'HOST': config('A'), 'NAME': os.environ['B'], 'USER': os.getenv('C'), 'PASSWORD': env('D')}}",
            Database::Variables(BTreeMap::from([
                ("A".to_owned(), Part::Host),
                ("B".to_owned(), Part::Name),
                ("C".to_owned(), Part::User),
                ("D".to_owned(), Part::Password),
            ])),
            false,
        ),
        (
            "{'default': {'ENGINE': 'django.db.backends.postgresql', 'HOST': 'db', 'NAME': os.environ['B']}}",
            Database::Fixed { file: "mysite/settings.py".to_owned(), line: 3, what: "partly in the source".to_owned() },
            true,
        ),
        (
            "{'default': {'ENGINE': 'django.db.backends.mysql', 'HOST': os.environ['H']}}",
            Database::Fixed { file: "mysite/settings.py".to_owned(), line: 3, what: "mysql".to_owned() },
            true,
        ),
    ] {
        let settings = format!("import os, dj_database_url\nROOT_URLCONF = 'mysite.urls'\nDATABASES = {databases}\n");
        let found = project(&settings, &[]);
        assert_eq!(found.database, expected, "{databases}");
        assert_eq!(change(&found).is_some_and(|it| it.database), needs_patch, "{databases}");
    }
}

#[test]
fn a_database_that_is_set_below_a_condition_counts() {
    let settings = "import os, dj_database_url\nROOT_URLCONF = 'mysite.urls'\nDATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\n\
        if 'DATABASE_URL' in os.environ:\n    DATABASES['default'] = dj_database_url.config()\n";
    assert_eq!(project(settings, &[]).database, Database::Url("DATABASE_URL".to_owned()));
}

#[test]
fn of_several_settings_those_of_the_deployment_are_taken() {
    let base = "ROOT_URLCONF = 'mysite.urls'\nSECRET_KEY = 'x'\nINSTALLED_APPS = []\n";
    let files = |wsgi: &str| {
        let wsgi = WSGI.replace("mysite.settings", wsgi);
        app(&[
            ("manage.py", &MANAGE.replace("mysite.settings", "mysite.settings.dev")),
            ("mysite/wsgi.py", &wsgi),
            ("mysite/settings/__init__.py", ""),
            ("mysite/settings/base.py", base),
            ("mysite/settings/dev.py", "from .base import *\nDEBUG = True\n"),
            ("mysite/settings/production.py", "from .base import *\nimport os\nSECRET_KEY = os.environ['KEY']\nDEBUG = False\n"),
        ])
    };
    // wsgi.py says it.
    let found = files("mysite.settings.production");
    assert_eq!(found.secret_key.as_deref(), Some("KEY"));
    assert_eq!(change(&found).unwrap().base, "mysite.settings.production");
    assert!(found.assumed[0].contains("manage.py says mysite.settings.dev"), "{:?}", found.assumed);
    // Both say the one for development, and a better one lies beside.
    let found = files("mysite.settings.dev");
    assert_eq!(change(&found).unwrap().module, "mysite.settings.pocdeploy_settings");
    assert!(found.assumed[0].contains("mysite.settings.production, which lie beside"), "{:?}", found.assumed);
}

#[test]
fn a_project_below_a_folder_is_served_from_there() {
    let found = app(&[
        ("requirements.txt", "django\ngunicorn\npsycopg\nwhitenoise\n"),
        ("backend/manage.py", MANAGE),
        ("backend/mysite/wsgi.py", WSGI),
        ("backend/mysite/settings.py", SETTINGS),
    ]);
    assert_eq!(found.migrate.unwrap().to_string(), "python3 backend/manage.py migrate --noinput");
    assert!(found.start.unwrap().to_string().ends_with("--chdir backend mysite.wsgi:application"));
    assert_eq!(found.extra, BTreeSet::new());
}

#[test]
fn asgi_is_served_where_the_application_asks_for_it() {
    let with = |settings: &str, requirements: &str| {
        let asgi = WSGI.replace("wsgi", "asgi");
        project(&format!("{SETTINGS}{settings}"), &[("mysite/asgi.py", &asgi), ("requirements.txt", requirements)])
            .start
            .unwrap()
            .to_string()
    };
    assert!(with("", "django\n").contains("gunicorn"));
    assert!(with("", "django\nuvicorn\n").contains("uvicorn --host 0.0.0.0 --port 8000 mysite.asgi:application"));
    assert!(with("ASGI_APPLICATION = 'mysite.asgi.application'\n", "django\n").contains("uvicorn"));
    assert!(with("", "django\nuvicorn\ngunicorn\n").contains("gunicorn"));
}

#[test]
fn uploads_users_tasks_and_a_health_path_are_seen() {
    let settings = format!(
        "{SETTINGS}import os\nMEDIA_ROOT = BASE_DIR / 'media'\nAUTH_USER_MODEL = 'people.User'\nCELERY_BROKER_URL = os.environ.get('CELERY_BROKER_URL')\nCELERY_BEAT_SCHEDULE = {{}}\n"
    );
    let found = project(
        &settings,
        &[
            ("requirements.txt", "django\ncelery\nredis\n"),
            ("people/models.py", ""),
            (
                "mysite/urls.py",
                "from django.urls import include, path\nurlpatterns = [path('', include('polls.urls')), path('health/', views.health)]\n",
            ),
            (
                "mysite/celery.py",
                "import os\nfrom celery import Celery\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\napp = Celery('mysite')\n",
            ),
        ],
    );
    assert_eq!(found.files.media.as_deref(), Some("/srv/app/media"));
    assert_eq!(found.health.as_deref(), Some("/health/"));
    let names: Vec<&str> = found.services.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["worker", "beat", "cache"]);
    assert_eq!(
        found.services[0].kind,
        ServiceKind::Process(Command::words(&["python3", "-m", "celery", "-A", "mysite", "worker", "--loglevel", "INFO"]))
    );
    // Every pod is given it.
    assert_eq!(found.env.get("CELERY_BROKER_URL"), None);
    assert!(found.missing.iter().any(|it| it.what.contains("no migrations")), "{:?}", found.missing);
}

#[test]
fn debug_mode_is_switched_off_in_the_variables_own_words() {
    for (debug, off) in [
        ("bool(os.environ.get('DEBUG', True))", ""),
        ("int(os.environ.get('DEBUG', 1))", "0"),
        ("env.bool('DEBUG', default=True)", "False"),
        ("config('DEBUG', cast=bool)", "False"),
    ] {
        let settings = format!("import os\nROOT_URLCONF = 'mysite.urls'\nDEBUG = {debug}\n");
        assert_eq!(project(&settings, &[]).env["DEBUG"], off, "{debug}");
    }
    assert!(!project("ROOT_URLCONF = 'x'\nDEBUG = False\n", &[]).env.contains_key("DEBUG"));
}

#[test]
fn the_page_to_look_at_is_the_admins_where_the_urls_have_no_root() {
    let page = |urls: &str| {
        let urls = format!("from django.contrib import admin\nfrom django.urls import include, path\nurlpatterns = [{urls}]\n");
        project(SETTINGS, &[("mysite/urls.py", &urls)]).page
    };
    assert_eq!(page("path('admin/', admin.site.urls)"), Some("/admin/login/".to_owned()));
    assert_eq!(page("path('manage/', admin.site.urls), path('polls/', include('polls.urls'))"), Some("/manage/login/".to_owned()));
    assert_eq!(page("path('admin/', admin.site.urls), path('', include('polls.urls'))"), None);
    assert_eq!(page("path('admin/', admin.site.urls), *more()"), None);
    assert_eq!(page("path('polls/', include('polls.urls'))"), None);
}

#[test]
fn variables_of_settings_that_the_deployment_does_not_read_are_not_asked_for() {
    let manage = "import os\nimport django\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings.production')\n";
    let base = "import os\nINSTALLED_APPS = []\nROOT_URLCONF = 'shop.urls'\nKEY = os.environ['NEEDED']\n";
    let found = app(&[
        ("requirements.txt", "django==6.1\n"),
        ("manage.py", manage),
        ("shop/settings/__init__.py", ""),
        ("shop/settings/base.py", base),
        ("shop/settings/production.py", "from .base import *\n"),
        ("shop/settings/aws.py", "import os\nfrom .base import *\nBUCKET = os.environ['AWS_BUCKET']\n"),
    ]);
    let missing: Vec<&str> = found.missing.iter().map(|it| it.lines.as_str()).collect();
    assert_eq!(missing, ["[frontend.env]\nNEEDED = \"…\""]);
}
