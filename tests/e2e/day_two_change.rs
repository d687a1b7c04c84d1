//! Changes on a real cluster: updates under load, failing changes that leave the old version serving, rollback, `dev`, and a snapshot that
//! is restored into a new instance.

use std::{
    fs,
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use crate::{
    bench::{Bench, Ran},
    dev::Dev,
    dumps,
    load::{self as web, Load},
    services, stuck,
};

/// As many updates in a row as on a busy day.
const UPDATES: usize = 10;
const VIEWS: &str = "third_party/django-polls/polls/views.py";
const INDEX: &str = "@require_safe\ndef index(request):\n";

fn updates_fail_no_request(bench: &Bench, url: &str, views: &Source, load: Load) {
    let mut times = Vec::new();
    for number in 0..UPDATES {
        let mark = format!("update-{number}");
        let began = Instant::now();
        views.answer(&mark);
        let update = bench.start(&["update"]);
        times.push(web::wait_for(url, &mark, began, Duration::from_secs(120)));
        ended(update).ends_with(0);
    }
    let report = load.stop();
    eprintln!("   {report}");
    eprintln!("   saved .py to new answer by rollout: {}", median(&mut times));
    assert!(report.requests > 200, "{report}");
    assert_eq!(report.failures, Vec::<String>::new());
}

#[test]
#[ignore = "long: `cargo xtask test --full` runs it"]
fn updates_fail_no_request_while_the_application_answers_as_many_as_it_can() {
    let bench = Bench::new("limit");
    let created = bench.run(&["create", "--yes"]);
    created.ends_with(0);
    let (url, views) = (created.stdout.trim_end(), Source::new(&bench, VIEWS));
    updates_fail_no_request(&bench, url, &views, Load::full(url));
}

#[test]
fn changes_reach_a_running_instance_and_broken_ones_do_not() {
    let bench = Bench::new("change");
    let url = bench.step("create", || {
        let created = bench.run(&["create", "--yes"]);
        created.ends_with(0);
        created.stdout.trim_end().to_owned()
    });
    let views = Source::new(&bench, VIEWS);

    bench.step("ten updates in a row under load: the new answer each time, and no failed request", || {
        updates_fail_no_request(&bench, &url, &views, Load::start(&url));
    });

    bench.step("a migration that fails, a site that does not start and one that is never ready leave the old version serving", || {
        let load = Load::start(&url);
        let migration = Source::new(&bench, "third_party/django-polls/polls/migrations/0003_broken.py");
        migration.write(MIGRATION);
        let failed = bench.run(&["update"]);
        failed.ends_with(1).says("no_such_column").says("is restored and serves as before");
        migration.remove();

        stuck::migrations_leave_the_old_version_serving(&bench);

        views.write("raise RuntimeError('broken on purpose')\n");
        let failed = bench.run(&["update"]);
        failed.ends_with(1).says("broken on purpose").says("is restored and serves as before");

        views.restore();
        let deployment = Source::new(&bench, "deploy/frontend/deployment.yaml");
        let never = deployment
            .original
            .replace("path: /readyz", "path: /no-such-page")
            .replace("progressDeadlineSeconds: 180", "progressDeadlineSeconds: 20");
        assert_ne!(never, deployment.original);
        deployment.write(&never);
        let failed = bench.run(&["update"]);
        assert_ne!(failed.code, 0);
        failed.says("is restored and serves as before").says("no-such-page");
        deployment.restore();
        let report = load.stop();
        assert_eq!(report.failures, Vec::<String>::new(), "{report}");
        assert!(web::get(&url).unwrap().contains(&format!("update-{}", UPDATES - 1)));
    });

    bench.step("rollback puts the version before back, and the history tells it all", || {
        bench.run(&["rollback"]).ends_with(0).says("the database does not change");
        web::wait_for(&url, &format!("update-{}", UPDATES - 2), Instant::now(), Duration::from_secs(20));
        let history = bench.run(&["history", "--output", "json"]);
        let history: serde_json::Value = serde_json::from_str(&history.stdout).unwrap();
        let states: Vec<&str> =
            history["revisions"].as_array().unwrap().iter().rev().take(7).map(|it| it["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["serving", "failed", "failed", "failed", "failed", "failed", "replaced"]);
        // The page of this test never has the configured text.
        let seen = bench.run(&["validate"]);
        let failed: Vec<&str> = seen.stdout.lines().filter(|it| it.starts_with('✗')).collect();
        assert!(
            seen.stdout.contains("a rollback to revision") && failed.iter().all(|it| it.contains("without the text")),
            "{}",
            seen.stdout
        );
        bench.run(&["rollback", "999"]).ends_with(1).says("there is no revision 999");
    });

    bench.step("in development a save is there at once, and a syntax error changes nothing", || {
        let mut dev = Dev::spawn(bench.command(&["dev"]), bench.path("dev.log"));
        dev.wait_until_it_says("rolling out pods");
        views.answer("saved before it watches");
        dev.wait_until_it_says("watching ");
        web::wait_for(&url, "saved before it watches", Instant::now(), Duration::from_secs(60));
        let mut times = Vec::new();
        for number in 0..UPDATES {
            let mark = format!("sync-{number}");
            let began = Instant::now();
            views.answer(&mark);
            times.push(web::wait_for(&url, &mark, began, Duration::from_secs(60)));
        }
        eprintln!("   saved .py to new answer in development: {}", median(&mut times));
        views.write("def broken(:\n");
        dev.wait_until_it_says("runs the code from before: polls/views.py:1");
        assert!(web::get(&url).unwrap().contains(&format!("sync-{}", UPDATES - 1)));
        views.answer("repaired");
        web::wait_for(&url, "repaired", Instant::now(), Duration::from_secs(60));
        dev.interrupt().ends_with(0);
        assert!(web::get(&url).unwrap().contains("repaired"), "the image has not what the pod had");
        let replicas =
            bench.kubectl("-n polls get deployment polls-frontend -o jsonpath={.spec.replicas}{.spec.template.spec.initContainers}");
        assert_eq!(replicas, "2", "the deployment is not as update makes it");
        views.restore();
        bench.run(&["update"]).ends_with(0);
    });

    services::come_and_go(&bench);

    bench.step("a snapshot holds the votes, and only whole files are taken", || {
        bench.sql("UPDATE polls_choice SET votes = 7");
        let taken = bench.run(&["db", "snapshot"]);
        taken.ends_with(0);
        let path = PathBuf::from(taken.stdout.trim_end());
        let cut = path.with_extension("cut");
        let bytes = fs::read(&path).unwrap();
        fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        bench.run(&["db", "restore", "--yes", cut.to_str().unwrap()]).ends_with(2).says("is truncated");
        assert_eq!(bench.votes_by_sql(), 21);
        bench.sql("UPDATE polls_choice SET votes = 0");
        bench.run(&["db", "restore", "--yes", path.to_str().unwrap()]).ends_with(0).says("and the page answers");
        assert_eq!(bench.votes_by_sql(), 21);
    });

    let snapshot = bench
        .step("of every kind of object a restore brings back all, and one that fails leaves all as it was", || dumps::round_trip(&bench));

    bench.step("delete leaves the snapshot, and create --restore starts from it", || {
        bench.run(&["delete", "--yes"]).ends_with(0);
        let created = bench.run(&["create", "--yes", "--restore", snapshot.to_str().unwrap()]);
        // A new cluster has the application's own user only.
        created.ends_with(0).says("created the roles that the snapshot needs");
        assert_eq!(bench.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'odd'").trim(), "dump \"odd");
        assert_eq!(bench.votes_by_sql(), 21);
        web::get(created.stdout.trim_end()).unwrap();
        bench.run(&["create", "--yes", "--restore", snapshot.to_str().unwrap()]).ends_with(2).says("exists already");
        bench.run(&["delete", "--yes"]).ends_with(0);
        assert_eq!(bench.traces(), Vec::<String>::new());
    });
}

const MIGRATION: &str = "\
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [('polls', '0002_first_poll')]
    operations = [migrations.RunSQL('SELECT no_such_column FROM polls_choice')]
";

/// A file of the copy, and its original content.
struct Source {
    path: PathBuf,
    original: String,
}

impl Source {
    fn new(bench: &Bench, path: &str) -> Source {
        let path = bench.path(path);
        Source { original: fs::read_to_string(&path).unwrap_or_default(), path }
    }

    /// Makes the first page contain a mark.
    fn answer(&self, mark: &str) {
        let page = format!(
            "{INDEX}    from django.http import HttpResponse\n    if Question.objects.count():\n        return HttpResponse(\"{mark}\")\n"
        );
        let changed = self.original.replace(INDEX, &page);
        assert_ne!(changed, self.original);
        self.write(&changed);
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    fn restore(&self) {
        self.write(&self.original);
    }

    fn remove(&self) {
        fs::remove_file(&self.path).unwrap();
    }
}

fn ended(child: Child) -> Ran {
    let ran = Ran::from(child.wait_with_output().unwrap());
    if ran.code != 0 {
        eprintln!("{}", ran.stderr);
    }
    ran
}

fn median(times: &mut [Duration]) -> String {
    times.sort();
    let seconds: Vec<String> = times.iter().map(|it| format!("{:.2}", it.as_secs_f64())).collect();
    format!("median {} s of {}", seconds[times.len() / 2], seconds.join(" "))
}
