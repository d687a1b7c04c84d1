//! A user with a browser: headless Chromium with chromedriver.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, wd::Capabilities};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

/// The page before and after the vote.
pub(crate) struct Votes {
    pub(crate) all_before: i64,
    pub(crate) all_after: i64,
}

/// Opens the first poll, votes, and reads the results.
pub(crate) fn vote(url: &str, pictures: &Path) -> Votes {
    vote_at_home(url, pictures, None)
}

/// The same with the certificates that a user with this home folder trusts.
pub(crate) fn vote_at_home(url: &str, pictures: &Path, home: Option<&Path>) -> Votes {
    vote_with(url, pictures, home, None)
}

/// The same where a rule of Chromium's, `MAP NAME ADDRESS`, takes the place of DNS.
pub(crate) fn vote_behind(url: &str, pictures: &Path, home: &Path, rule: &str) -> Votes {
    vote_with(url, pictures, Some(home), Some(rule))
}

fn vote_with(url: &str, pictures: &Path, home: Option<&Path>, rule: Option<&str>) -> Votes {
    with_browser(home, rule, async |client| {
        client.goto(url).await.unwrap();
        picture(client, &pictures.join("index.png")).await;
        let all_before = total(client, url).await;
        client.goto(url).await.unwrap();
        client.find(Locator::Css(".questions a")).await.unwrap().click().await.unwrap();
        let choice = client.wait().for_element(Locator::Css("input[name=choice]")).await.unwrap();
        let id = choice.attr("value").await.unwrap().unwrap();
        choice.click().await.unwrap();
        picture(client, &pictures.join("poll.png")).await;
        client.find(Locator::Css("button[type=submit]")).await.unwrap().click().await.unwrap();
        let result = format!("[data-choice-id='{id}']");
        client.wait().for_element(Locator::Css(&result)).await.unwrap();
        picture(client, &pictures.join("results.png")).await;
        let all_after = shown_total(client).await;
        let mine: i64 = client.find(Locator::Css(&result)).await.unwrap().attr("data-votes").await.unwrap().unwrap().parse().unwrap();
        assert!(mine >= 1, "the vote is not counted for the choice");
        Votes { all_before, all_after }
    })
}

/// Whether the browser shows a warning of the certificate in place of the page. The driver calls both a success.
pub(crate) fn warns_of_authority(url: &str, home: &Path) -> bool {
    with_browser(Some(home), None, async |client| {
        client.goto(url).await.unwrap();
        client.source().await.unwrap().contains("ERR_CERT_AUTHORITY_INVALID")
    })
}

/// The votes of the first poll on its results page.
pub(crate) fn count(url: &str) -> i64 {
    with_browser(None, None, async |client| total(client, url).await)
}

async fn total(client: &Client, url: &str) -> i64 {
    client.goto(url).await.unwrap();
    client.find(Locator::Css(".questions a")).await.unwrap().click().await.unwrap();
    client.wait().for_element(Locator::Css("a[href$='/results/']")).await.unwrap().click().await.unwrap();
    client.wait().for_element(Locator::Css(".results")).await.unwrap();
    shown_total(client).await
}

async fn shown_total(client: &Client) -> i64 {
    client.find(Locator::Css(".results")).await.unwrap().attr("data-total").await.unwrap().unwrap().parse().unwrap()
}

async fn picture(client: &Client, path: &Path) {
    fs::write(path, client.screenshot().await.unwrap()).unwrap();
}

fn with_browser<T>(home: Option<&Path>, rule: Option<&str>, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let driver = Driver::start(home);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = driver.connect(rule).await;
        let result = work(&client).await;
        client.close().await.unwrap();
        result
    })
}

/// A chromedriver on its own port; dropping the value stops it.
struct Driver {
    child: Child,
    port: u16,
    profile: tempfile::TempDir,
}

impl Driver {
    fn start(home: Option<&Path>) -> Driver {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(home) = home {
            command.env("HOME", home);
        }
        let child = command.spawn().unwrap();
        Driver { child, port, profile: tempfile::tempdir().unwrap() }
    }

    async fn connect(&self, rule: Option<&str>) -> Client {
        // There may be no internet, so background requests of Chromium are disabled.
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--no-proxy-server".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--window-size=1000,760".to_owned(),
            format!("--user-data-dir={}", self.profile.path().display()),
        ];
        arguments.extend(rule.map(|it| format!("--host-resolver-rules={it}")));
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": arguments }));
        capabilities.insert("acceptInsecureCerts".to_owned(), json!(false));
        let began = Instant::now();
        loop {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            match builder.connect(&format!("http://127.0.0.1:{}", self.port)).await {
                Ok(client) => return client,
                Err(error) => assert!(began.elapsed() < Duration::from_secs(60), "no browser: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
