//! Posts notices of drift, as JSON, to an address of the operator.
//!
//! A task sends them one after another from a bounded queue: nothing that answers frames waits for it. What cannot be sent is tried again
//! after pauses that double, unless the answer says that it never will be taken. Certificates are checked against the system's
//! authorities (`SSL_CERT_FILE` names others). The address may hold a secret: log lines and errors name its host alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode, Url, header::CONTENT_TYPE, redirect::Policy};
use tokio::{sync::mpsc, task::JoinHandle};

use super::report::Notice;
use crate::{
    Error, Reason, Result,
    serve::{retry::doubling, tls},
};

/// Notices that may wait.
const QUEUE: usize = 64;
/// Attempts to send a notice, and the pauses between them: about two minutes in all.
const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Longest time to connect, and for one attempt.
const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(10);

/// What can become of a notice.
pub(super) const OUTCOMES: [&str; 3] = ["sent", "failed", "dropped"];

/// The way to the task that sends notices.
#[derive(Clone, Debug)]
pub struct Webhook {
    queue: mpsc::Sender<Notice>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// Why a notice was not taken.
enum Failure {
    /// Another attempt may succeed.
    Passing(String),
    /// No other attempt will.
    Final(String),
}

impl Webhook {
    /// To this address. The task must be run for notices to be sent; it ends with the last clone of the webhook.
    ///
    /// # Errors
    /// As [`check_address`]; a client that cannot be made.
    pub fn to(address: &str) -> Result<(Self, JoinHandle<()>)> {
        let url = check_address(address)?;
        tls::use_one_provider();
        let client = Client::builder()
            .user_agent(concat!("uflow/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ATTEMPT)
            .redirect(Policy::none())
            .build();
        let client = client
            .map_err(|error| Error::internal(Reason::because("a client for the webhook cannot be made", error)))?;
        let (queue, inbox) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(send_all(client, url, inbox, Arc::clone(&counts)));
        Ok((Self { queue, counts }, task))
    }

    /// Queues a notice. If too many wait, it is dropped, counted and logged.
    pub(super) fn tell(&self, notice: Notice) {
        if let Err(error) = self.queue.try_send(notice) {
            self.counts.dropped.fetch_add(1, Relaxed);
            let notice = error.into_inner();
            tracing::error!(
                model = notice.model,
                kind = notice.alarm.kind.name(),
                "a notice of drift was not sent: {QUEUE} notices wait for the webhook already"
            );
        }
    }

    /// Notices by outcome, in the order of [`OUTCOMES`].
    pub(super) fn counts(&self) -> [u64; OUTCOMES.len()] {
        let Counts { sent, failed, dropped } = &*self.counts;
        [sent, failed, dropped].map(|count| count.load(Relaxed))
    }
}

/// Checks the address of a webhook.
///
/// # Errors
/// [`Error::Parameter`] for one that is no address of HTTP. The message does not repeat it, as it may hold a secret.
pub fn check_address(address: &str) -> Result<Url> {
    let wrong = |reason: &str| {
        let reason = format!("{reason}; give an address such as https://HOST/PATH");
        Error::parameter("drift_webhook", reason)
    };
    let url = Url::parse(address).map_err(|error| wrong(&format!("it is not an address: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!("its scheme is `{}`, not http or https", url.scheme())));
    }
    Ok(url)
}

async fn send_all(client: Client, url: Url, mut inbox: mpsc::Receiver<Notice>, counts: Arc<Counts>) {
    let host = url.host_str().unwrap_or_default().to_owned();
    while let Some(notice) = inbox.recv().await {
        let counter = match send(&client, &url, &notice, &host).await {
            Ok(()) => &counts.sent,
            Err(reason) => {
                tracing::error!(
                    host,
                    model = notice.model,
                    kind = notice.alarm.kind.name(),
                    reason,
                    "a notice of drift was not sent"
                );
                &counts.failed
            }
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Sends a notice, with several attempts.
async fn send(client: &Client, url: &Url, notice: &Notice, host: &str) -> Result<(), String> {
    let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    let mut failures = 0;
    loop {
        let reason = match attempt(client, url, body.clone()).await {
            Ok(()) => return Ok(()),
            Err(Failure::Final(reason)) => return Err(reason),
            Err(Failure::Passing(reason)) => reason,
        };
        failures += 1;
        if failures == ATTEMPTS {
            return Err(format!("{reason}, after {ATTEMPTS} attempts"));
        }
        let pause = doubling(FIRST_PAUSE, LONGEST_PAUSE, failures);
        tracing::warn!(
            host,
            reason,
            seconds = pause.as_secs(),
            "the webhook did not take a notice of drift; it is tried again"
        );
        tokio::time::sleep(pause).await;
    }
}

async fn attempt(client: &Client, url: &Url, body: Vec<u8>) -> Result<(), Failure> {
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
    // Without the address, which may hold a secret.
    let text = |error: reqwest::Error| Reason::of(error.without_url()).to_string();
    let status = request.send().await.map_err(|error| Failure::Passing(text(error)))?.status();
    let reason = format!("it answered {status}");
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Passing(reason)),
        status if status.is_server_error() => Err(Failure::Passing(reason)),
        _ => Err(Failure::Final(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_not_repeated() {
        assert!(check_address("https://hooks.example/secret").is_ok());
        assert!(check_address("http://10.0.0.7:9000/").is_ok());
        for wrong in ["hooks.example/secret", "ftp://hooks.example/secret", "https://", ""] {
            let error = check_address(wrong).unwrap_err().to_string();
            assert!(error.starts_with("drift_webhook: ") && !error.contains("secret"), "{error}");
        }
    }
}
