//! The last runs as one HTML page, without external resources and without scripts. A pure function.

use std::time::Duration;

use crate::report::{
    Took,
    run::{Outcome, Run, Step, TaskState},
    timeline,
};

const STYLE: &str = include_str!("page.css");

/// The page's content.
pub struct Page<'a> {
    pub instance: &'a str,
    /// Names and versions of the installed programs.
    pub versions: &'a [(String, String)],
    /// The runs, newest first, each with its logs: name and last lines.
    pub runs: &'a [(Run, Vec<(String, String)>)],
}

/// The page.
pub fn page(page: &Page<'_>) -> String {
    let title = format!("pocdeploy: {}", escape(page.instance));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    let kept = match page.runs.len() {
        0 => "No run that had something to do is recorded yet.".to_owned(),
        1 => "The last run that had something to do.".to_owned(),
        count => format!("The last {count} runs that had something to do, the newest first."),
    };
    out.push_str(&format!("<p class=\"faint\">{kept}</p>\n"));
    for (index, (run, logs)) in page.runs.iter().enumerate() {
        out.push_str(&section(run, logs, index == 0));
    }
    out.push_str("<h2>Versions</h2>\n<table>\n");
    for (name, version) in page.versions {
        out.push_str(&format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(version)));
    }
    out.push_str("</table>\n</body>\n</html>\n");
    out
}

fn section(run: &Run, logs: &[(String, String)], open: bool) -> String {
    let (class, word) = match (&run.error, run.is_over) {
        (Some(_), _) => ("bad", "failed"),
        (None, true) => ("ok", "done"),
        (None, false) => ("bad", "cut off"),
    };
    let mut out = format!(
        "<details class=\"run\"{}>\n<summary>{} <span class=\"{class}\">{word}</span> in {} <span class=\"faint\">{}</span></summary>\n",
        if open { " open" } else { "" },
        escape(&run.command),
        Took(run.took()),
        escape(&run.time),
    );
    if let Some(message) = run.error.as_ref().and_then(|it| it["message"].as_str()) {
        out.push_str(&format!("<pre class=\"bad\">{}</pre>\n", escape(message)));
    }
    out.push_str(&shares(run));
    out.push_str(&chart(run));
    if !run.notes.is_empty() {
        out.push_str("<h2>Notes</h2>\n<table>\n");
        for (task, text) in &run.notes {
            out.push_str(&format!("<tr><td>{}</td><td>{}</td></tr>\n", task.name(), escape(text)));
        }
        out.push_str("</table>\n");
    }
    if !logs.is_empty() {
        out.push_str(&format!("<h2>Logs</h2>\n<p class=\"faint\">The last lines; whole in {}</p>\n", escape(&run.logs)));
    }
    for (name, text) in logs {
        out.push_str(&format!("<details><summary>{}</summary><pre>{}</pre></details>\n", escape(name), escape(text)));
    }
    out.push_str("</details>\n");
    out
}

/// Durations: how much time each task of the critical path added to the run.
fn shares(run: &Run) -> String {
    let total = run.took().as_secs_f64();
    let mut before = Duration::ZERO;
    let mut parts = Vec::new();
    for task in timeline::critical_path(run).into_iter().filter_map(|id| run.task(id)) {
        let ended = task.ended.unwrap_or(before);
        parts.push((task, before, ended));
        before = ended;
    }
    if total <= 0.0 || parts.len() < 2 {
        return String::new();
    }
    let mut out = String::from("<h2>Time by task</h2>\n<div class=\"shares\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">");
    for (task, from, to) in &parts {
        out.push_str(&bar(*from, *to, run.took(), &task.id.name()));
    }
    out.push_str("</svg></div>\n<table>\n");
    parts.sort_by_key(|(_, from, to)| std::cmp::Reverse(to.saturating_sub(*from)));
    for (task, from, to) in parts {
        let took = to.saturating_sub(from);
        let percent = took.as_secs_f64() / total * 100.0;
        if percent >= 0.5 {
            let row = format!("<td>{}</td><td class=\"time\">{}</td><td class=\"time\">{percent:.0} %</td>", task.id.name(), Took(took));
            out.push_str(&format!("<tr>{row}</tr>\n"));
        }
    }
    out.push_str("</table>\n");
    out
}

/// The timeline: the critical path first, then the other tasks, each in the order in which they started.
fn chart(run: &Run) -> String {
    let path = timeline::critical_path(run);
    let (critical, others): (Vec<&TaskState>, Vec<&TaskState>) = run.in_order().into_iter().partition(|it| path.contains(&it.id));
    let mut out = String::new();
    for (title, tasks, class) in [("Critical path", critical, "critical"), ("Beside it", others, "")] {
        if tasks.is_empty() {
            continue;
        }
        out.push_str(&format!("<h2>{title}</h2>\n"));
        for task in tasks {
            out.push_str(&row(run, task, class));
        }
    }
    out
}

fn row(run: &Run, task: &TaskState, class: &str) -> String {
    let outcome = task.outcome();
    let class = if outcome == Some(Outcome::Failed) { "failed" } else { class };
    let word = outcome.map_or("cut off", Outcome::name);
    let ended = task.ended.unwrap_or(run.took());
    let mut out = format!(
        "<div class=\"row {class}\"><span class=\"name\">{}</span><span>{word}</span><span class=\"time\">{}</span>{}\
         <span class=\"why\">{}</span></div>\n",
        task.id.name(),
        Took(ended.saturating_sub(task.began)),
        drawing(task.began, ended, run.took(), &task.id.name()),
        escape(&task.reason),
    );
    for Step { name, began, ended: step } in &task.steps {
        let ended = step.unwrap_or(ended);
        out.push_str(&format!(
            "<div class=\"row step {class}\"><span class=\"name\">{}</span><span class=\"time\">{}</span>{}</div>\n",
            escape(name),
            Took(ended.saturating_sub(*began)),
            drawing(*began, ended, run.took(), name),
        ));
    }
    for wait in task.waits.iter().filter(|it| it.last.waited > 0) {
        let name = format!("waited for {}", wait.last.what);
        out.push_str(&format!(
            "<div class=\"row step {class}\"><span class=\"name\">{}</span><span class=\"time\">{}</span>{}\
             <span class=\"why\">at most {} s; last seen: {}</span></div>\n",
            escape(&name),
            Took(wait.heard.saturating_sub(wait.began)),
            drawing(wait.began, wait.heard, run.took(), &name),
            wait.last.limit,
            escape(&wait.last.seen),
        ));
    }
    out
}

fn drawing(began: Duration, ended: Duration, total: Duration, title: &str) -> String {
    format!("<svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\">{}</svg>", bar(began, ended, total, title))
}

/// A bar in percent of the run, with a visible minimum width.
fn bar(began: Duration, ended: Duration, total: Duration, title: &str) -> String {
    let part = |at: Duration| at.as_secs_f64() / total.as_secs_f64().max(0.001) * 100.0;
    let width = (part(ended) - part(began)).max(0.4);
    let title = format!("{}: {}", escape(title), Took(ended.saturating_sub(began)));
    format!("<rect x=\"{:.2}\" y=\"0\" width=\"{width:.2}\" height=\"10\"><title>{title}</title></rect>", part(began).min(99.6))
}

/// Escapes text for HTML content and attributes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::story;

    struct Deaf;

    impl crate::report::hub::Listener for Deaf {
        fn told(&mut self, _at: Duration, _run: &Run, _told: &crate::report::Told) {}
    }

    fn made() -> String {
        let run = story::play(&story::failing(), &mut Deaf, |_| ());
        let logs = vec![("image.log".to_owned(), "<script>alert(1)</script>".to_owned())];
        page(&Page { instance: "polls", versions: &[("kind".to_owned(), "1 & 2".to_owned())], runs: &[(run, logs)] })
    }

    #[test]
    fn the_page_holds_all_and_fetches_nothing() {
        let page = made();
        for part in [
            "create <span class=\"bad\">failed</span> in 1 min 00 s",
            "patch 0002 changed",
            "Debian packages for python",
            "1 &amp; 2",
            "waited for the API server",
            "at most 240 s; last seen: connection refused",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        for outside in ["http://", "https://", "src=", "href=", "url(", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_critical_path_stands_before_what_ran_beside_it() {
        let page = made();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
        assert!(at("<h2>Critical path</h2>") < at(">cluster<") && at(">cluster<") < at("<h2>Beside it</h2>"));
        assert!(at("<h2>Beside it</h2>") < at(">base-image<"));
        assert!(page.contains("class=\"row failed\"><span class=\"name\">image<"), "{page}");
    }
}
