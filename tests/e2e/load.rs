//! Requests to the page, single or as a constant load: limited in number and time, and only to this machine.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The page's text, or the error.
pub(crate) fn get(url: &str) -> Result<String, String> {
    ask(&agent(0), url)
}

/// Requests the page over new connections until it contains the text; returns the time since `began`.
pub(crate) fn wait_for(url: &str, text: &str, began: Instant, limit: Duration) -> Duration {
    loop {
        let last = get(url);
        if last.as_ref().is_ok_and(|it| it.contains(text)) {
            return began.elapsed();
        }
        assert!(began.elapsed() < limit, "{url} does not say {text:?}: {last:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn agent(kept: usize) -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).proxy(None);
    config.max_idle_connections(kept).max_idle_connections_per_host(kept).build().into()
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<String, String> {
    let mut answer = agent.get(url).call().map_err(|it| it.to_string())?;
    answer.body_mut().read_to_string().map_err(|it| it.to_string())
}

/// Clients of which one half keeps its connection, and the other opens a new one for each request.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    began: Instant,
    visitors: Vec<JoinHandle<(usize, Vec<String>)>>,
}

/// The results of the clients.
pub(crate) struct Report {
    pub(crate) requests: usize,
    pub(crate) time: Duration,
    pub(crate) failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.requests as f64 / self.time.as_secs_f64();
        write!(f, "{} requests, {rate:.0} a second, {} failed", self.requests, self.failures.len())
    }
}

/// Enough to notice an outage of a twentieth of a second.
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(20 * 60);

impl Load {
    /// Four clients that leave the application time.
    pub(crate) fn start(url: &str) -> Load {
        Load::with(url, 4, PAUSE)
    }

    /// As many requests as the application answers.
    pub(crate) fn full(url: &str) -> Load {
        Load::with(url, 16, Duration::ZERO)
    }

    fn with(url: &str, clients: usize, pause: Duration) -> Load {
        // Sent to 127.0.0.1, whatever the name resolves to.
        let url = url.replace("localhost", "127.0.0.1");
        let stop = Arc::new(AtomicBool::new(false));
        let one = |number| {
            let (url, stop) = (url.clone(), stop.clone());
            std::thread::spawn(move || visit(&url, number % 2, pause, &stop))
        };
        Load { began: Instant::now(), visitors: (0..clients).map(one).collect(), stop }
    }

    pub(crate) fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = Report { requests: 0, time: self.began.elapsed(), failures: Vec::new() };
        for visitor in self.visitors {
            let (requests, failures) = visitor.join().unwrap();
            report.requests += requests;
            report.failures.extend(failures);
        }
        report
    }
}

fn visit(url: &str, kept: usize, pause: Duration, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (began, agent) = (Instant::now(), agent(kept));
    let (mut requests, mut failures) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) && began.elapsed() < LIMIT {
        requests += 1;
        if let Err(error) = ask(&agent, url) {
            failures.push(format!(
                "{:.1} s, {}: {error}",
                began.elapsed().as_secs_f64(),
                if kept == 0 { "new connection" } else { "kept connection" }
            ));
        }
        std::thread::sleep(pause);
    }
    (requests, failures)
}
