//! A worker, its clock and its queue beside a web server, and mail: the example in `examples/django`, as `init` writes its deployment.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    bench::{Bench, Ran, command},
    dev::Dev,
    services::copy,
};

/// Longer than a worker takes to start.
const LIMIT: Duration = Duration::from_secs(120);
/// Sends a mail to the mail catcher that the variables name, and prints what its page says of it.
const MAIL: &str = "import json, os, smtplib, urllib.request as web\n\
    with smtplib.SMTP(os.environ['SMTP_HOST'], int(os.environ['SMTP_PORT'])) as it:\n    it.sendmail('a@example.com', 'b@example.com', 'Subject: counted\\n\\nseven')\n\
    print(json.load(web.urlopen('http://mail:8025/api/v1/messages'))['messages'][0]['Subject'])\n\
    print(web.urlopen('http://mail:8025/dist/app.js').status)";

struct Words<'a> {
    bench: &'a Bench,
    program: PathBuf,
    root: PathBuf,
}

impl Words<'_> {
    fn run(&self, arguments: &[&str]) -> Ran {
        self.bench.ran(&mut command(&self.program, &self.root, arguments))
    }

    /// Asks for the page until it holds the text; its absence is told with the logs of those that write it.
    fn until(&self, url: &str, text: &str) {
        let began = Instant::now();
        while !body(url).contains(text) {
            if began.elapsed() > LIMIT {
                let logs = ["worker", "beat", "cache"].map(|it| self.run(&["logs", it]).stdout).join("\n");
                panic!("no {text:?} in\n{}\n{logs}", body(url));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

pub(crate) fn a_worker_answers_through_queue_and_database(bench: &Bench) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/django");
    let words = Words { bench, program: bench.path("installed/bin/pocdeploy"), root: bench.path("words") };
    let file = words.root.join("Pocdeploy.toml");
    bench.step("init writes worker, clock and cache of the example", || {
        let root = bench.path("installed");
        // Completions go to a home folder of the test.
        bench.ran(bench.command(&["install", "--root", root.to_str().unwrap()]).env("HOME", bench.path("home"))).ends_with(0);
        copy(&example, &words.root);
        words.run(&["init"]).ends_with(0);
        let text = fs::read_to_string(&file).unwrap();
        for part in ["[services.worker]", "[services.beat]", "[services.cache]\nkind = \"valkey\"", "[frontend.volumes.media]"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        fs::write(&file, format!("name = \"{}\"\n{text}[services.mail]\nkind = \"mailpit\"\n", bench.instance)).unwrap();
    });
    let url = bench.step("create brings up all of them, and validate finds them healthy", || {
        let created = words.run(&["create", "--yes"]);
        created.ends_with(0).says("image/cache").says("load/mail");
        words.run(&["validate"]).ends_with(0);
        created.stdout.trim_end().to_owned()
    });
    bench.step("the cache was started before the migration", || {
        let made = |what: &str| bench.kubectl(&format!("-n words get {what} -o jsonpath={{.items[0].metadata.creationTimestamp}}"));
        let [cache, migration] = [made("deployments -l app.kubernetes.io/name=cache"), made("jobs")];
        assert!(cache.contains('T') && cache <= migration, "{cache} {migration}");
    });
    bench.step("the page shows the row that the worker wrote", || {
        upload(&url, "one two three four five six seven");
        words.until(&url, "<td>7</td><td>worker-");
        let row = "select words, counted_by like 'worker-%' from words_text";
        assert_eq!(words.run(&["psql", "--", "-tAc", row]).stdout.trim(), "7|t");
        words.until(&url, "The scheduler ticked ");
    });
    bench.step("mail is caught, and shown by a page whose script is there", || {
        let said = words.run(&["shell", "app", "--", "python3", "-c", MAIL]);
        assert_eq!(said.ends_with(0).stdout.trim(), "counted\n200");
    });
    bench.step("the commands know the services", || {
        let status = words.run(&["status"]).stdout;
        for service in ["worker", "beat", "cache", "mail"] {
            assert!(status.contains(&format!("{service}: 1 of 1 pods ready")), "{status}");
        }
        assert_eq!(words.run(&["shell", "cache", "--", "valkey-cli", "ping"]).stdout.trim(), "PONG");
        assert!(words.run(&["logs", "cache"]).ends_with(0).stdout.contains("Ready to accept connections"));
    });
    bench.step("dev brings changed code to the worker, and the image that follows has it", || {
        let tasks = words.root.join("words/tasks.py");
        let text = fs::read_to_string(&tasks).unwrap();
        let dev = Dev::start(command(&words.program, &words.root, &["dev"]), bench.path("words-dev.log"));
        for line in ["frontend: gunicorn loads changed code in place", "worker: changed code is copied, and its command started again"] {
            assert!(dev.said().contains(line), "{}", dev.said());
        }
        fs::write(&tasks, text.replace("words=len(", "words=100 + len(")).unwrap();
        // What is uploaded before the worker has the code is counted by the old one.
        let began = Instant::now();
        while !body(&url).contains("<td>102</td><td>worker-") {
            assert!(began.elapsed() < LIMIT, "{}\n{}", body(&url), dev.said());
            upload(&url, "two words");
            std::thread::sleep(Duration::from_secs(1));
        }
        dev.interrupt().ends_with(0);
        let code = words.run(&["shell", "worker", "--", "cat", "words/tasks.py"]);
        assert!(code.ends_with(0).stdout.contains("100 + len("), "{}", code.stdout);
    });
    bench.step("an upload stays when its pod is replaced, and mail that is asked for no more goes", || {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("[services.mail]\nkind = \"mailpit\"\n", "");
        fs::write(&file, text.replace("[frontend.env]\n", "[frontend.env]\nANOTHER = \"value\"\n")).unwrap();
        words.run(&["update"]).ends_with(0);
        let names = bench.kubectl("-n words get deployments -o name");
        assert_eq!(names.trim(), "deployment.apps/beat\ndeployment.apps/cache\ndeployment.apps/frontend\ndeployment.apps/worker");
        assert_eq!(body(&format!("{url}texts/1")), "one two three four five six seven");
    });
    bench.step("a rollback brings it back", || {
        words.run(&["rollback"]).ends_with(0);
        assert!(bench.kubectl("-n words get deployments -o name").contains("deployment.apps/mail"));
    });
    bench.step("delete takes it away", || words.run(&["delete", "--yes"]).ends_with(0).code);
}

fn body(url: &str) -> String {
    ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap()
}

/// Fills the page's form, as a browser would.
pub(crate) fn upload(url: &str, text: &str) {
    let mut page = ureq::get(url).call().unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let html = page.body_mut().read_to_string().unwrap();
    let token = html.split("name=\"csrfmiddlewaretoken\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let part = |head: &str, content: &str| format!("--part\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n");
    let form =
        [part("name=\"csrfmiddlewaretoken\"", &token), part("name=\"file\"; filename=\"seven.txt\"", text), "--part--\r\n".to_owned()];
    let request = ureq::post(url).header("Cookie", &cookie).header("Content-Type", "multipart/form-data; boundary=part");
    assert_eq!(request.send(form.concat()).unwrap().status(), 200);
}
