//! When to stop: a signal, or the time is over.

use crate::failure::Failure;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::watch;

/// Tells when the program is to end, and with which status.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<Option<u8>>);

impl Stop {
    /// Listens for SIGTERM and SIGINT (status 0) and for the end of `timeout` seconds (status 124; 0 is no limit).
    pub(crate) fn new(timeout: u64) -> Result<Self, Failure> {
        let (sender, receiver) = watch::channel(None);
        let mut terminate = signals().map_err(|error| Failure::sentence(format!("cannot hear signals: {error}")))?;
        tokio::spawn(async move {
            let over = async {
                match timeout {
                    0 => std::future::pending().await,
                    seconds => tokio::time::sleep(Duration::from_secs(seconds)).await,
                }
            };
            let status = tokio::select! {
                () = terminate.heard() => 0,
                () = over => TIMED_OUT,
            };
            sender.send_replace(Some(status));
            // Whatever may hang, such as a full pipe nobody reads, does not keep the program.
            tokio::time::sleep(HARD_STOP).await;
            std::process::exit(if status == 0 { HUNG } else { i32::from(status) });
        });
        Ok(Self(receiver))
    }

    /// Waits for it.
    pub(crate) async fn wait(&mut self) -> ExitCode {
        let status = self.0.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        ExitCode::from(status.unwrap_or(0))
    }
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

fn signals() -> std::io::Result<Signals> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
}

impl Signals {
    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

const TIMED_OUT: u8 = 124;
const HUNG: i32 = 3;
const HARD_STOP: Duration = Duration::from_secs(8);
