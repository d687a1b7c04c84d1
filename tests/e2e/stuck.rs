//! Migrations that never end by themselves: one that takes longer than its Job may, and one that waits for a table that a long transaction has
//! read. The caller's load shows that the old version serves throughout.

use std::{fs, time::Duration};

use crate::bench::Bench;

const FOLDER: &str = "third_party/django-polls/polls/migrations/0003_stuck.py";
const JOB: &str = "deploy/frontend/migration.yaml";
/// What another person's report may do for a minute.
const READER: &str = "BEGIN; SELECT count(*) AS reader FROM polls_question; SELECT pg_sleep(90); COMMIT";

fn migration(sql: &str) -> String {
    let of = "dependencies = [('polls', '0002_first_poll')]";
    format!(
        "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    {of}\n    operations = [migrations.RunSQL(\"{sql}\")]\n"
    )
}

pub(crate) fn migrations_leave_the_old_version_serving(bench: &Bench) {
    let (file, job) = (bench.path(FOLDER), bench.path(JOB));
    let original = fs::read_to_string(&job).unwrap();
    let short = original.replace("activeDeadlineSeconds: 420", "activeDeadlineSeconds: 15");
    assert_ne!(short, original);
    fs::write(&job, short).unwrap();
    fs::write(&file, migration("SELECT pg_sleep(40)")).unwrap();
    bench.run(&["update"]).ends_with(1).says("Job was active longer than specified deadline").says("is restored and serves as before");
    fs::write(&job, original).unwrap();

    fs::write(&file, migration("ALTER TABLE polls_question ADD COLUMN stuck integer")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let primary = bench.kubectl("-n polls get cluster polls-db -o jsonpath={.status.currentPrimary}");
            let exec = ["kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "-n", "polls", "exec", &primary, "-c", "postgres", "--"];
            // It ends when its session is ended.
            bench.engine().exec(&bench.node(), &[&exec[..], &["psql", "-d", "polls", "-c", READER]].concat()).unwrap();
        });
        let reads = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN%reader%' AND state = 'active'";
        while bench.sql(reads).trim() != "1" {
            std::thread::sleep(Duration::from_millis(200));
        }
        let failed = bench.run(&["update"]);
        assert_eq!(bench.sql(reads).trim(), "1", "the reader ended before the migration did");
        bench.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN%reader%'");
        failed.ends_with(1).says("lock timeout").says("is restored and serves as before");
    });
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'polls_question' AND column_name = 'stuck'";
    assert_eq!(bench.sql(columns).trim(), "0");
    fs::remove_file(file).unwrap();
}
