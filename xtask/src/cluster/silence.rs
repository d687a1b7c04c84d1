//! Whether an API server that has not answered a call for a while still answers anything.
//!
//! A call may take a minute, and the client repeats one that the server has no time for. Meanwhile `/version`, which needs neither storage nor
//! webhooks, is asked with a client that repeats nothing.

use std::time::Duration;

use kube::{Client, Config};
use tokio::time::{sleep, timeout};

use crate::{
    cluster::{explain, http_get},
    errors::{Code, Problem},
};

/// A server that is not overloaded answers within this time.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A server that was asked so many times in a row without an answer is away.
const QUESTIONS: u32 = 3;

/// The answer of something that is no API server.
pub(super) const NO_API: &str = "the answer is not that of an API server; a proxy or another program may use its address";

/// Completes when the server has answered nothing for some time.
pub(super) async fn lasts(config: &Config) -> Problem {
    let mut unanswered = 0;
    sleep(ANSWER_LIMIT).await;
    loop {
        let (answer, ()) = tokio::join!(ask(config), sleep(ANSWER_LIMIT));
        match answer {
            Ok(()) => unanswered = 0,
            Err(_) if unanswered + 1 < QUESTIONS => unanswered += 1,
            Err(why) => return Problem::new(format!("the API server does not answer: {why}")).code(Code::Api),
        }
    }
}

/// Asks once. Any answer counts, except that the server has no time.
pub(super) async fn ask(config: &Config) -> Result<(), String> {
    let mut hasty = config.clone();
    hasty.default_retry = false;
    let client = Client::try_from(hasty).map_err(|error| error.to_string())?;
    let request = http_get("/version").map_err(|error| error.to_string())?;
    match timeout(ANSWER_LIMIT, client.request_text(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if ![429, 503, 504].contains(&status.code) => Ok(()),
        Ok(Err(error)) => Err(explain(&error).to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    }
}
