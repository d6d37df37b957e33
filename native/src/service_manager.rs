//! The service manager, which is systemd: it is told the state of the server, and restarts one that hangs.
//!
//! Nothing is sent where no manager has set `NOTIFY_SOCKET`.

use std::{env, fmt, io, os::unix::net::UnixDatagram, path::Path, sync::Arc, time::Duration};

use sd_notify::NotifyState;
use tokio::{
    sync::{oneshot, watch},
    time::sleep,
};

use crate::{
    hub_task::{HubSender, Input},
    metrics::{ConnectionCounts, HubReport},
};

/// The variable that names the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The time between two reports without a watchdog.
const INTERVAL: Duration = Duration::from_secs(10);

/// Says that the listeners and the store are open.
pub(crate) fn ready() {
    send(&[NotifyState::Ready]);
}

/// Says that the server reloads its configuration. [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // systemd requires both in one message.
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell the service manager of the reload"),
    }
}

/// Says that the start goes on, and that the next report comes within this time.
pub(crate) fn migrating(step: impl fmt::Display, within: Duration) {
    let status = format!("migrating the database: {step}");
    let within = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Status(&status), NotifyState::ExtendTimeoutUsec(within)]);
}

/// Says that the server stops.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Reports counts, and that the hub answers, until `stop` is true. A hub that hangs is not reported, and the manager's
/// watchdog restarts the server. The store has no part in it: a slow disk is no reason for a restart.
pub(crate) async fn report(hub: HubSender, connections: Arc<ConnectionCounts>, stop: watch::Receiver<bool>) {
    if env::var_os(SOCKET).is_some() {
        report_to(send, sd_notify::watchdog_enabled(), hub, &connections, stop).await;
    }
}

async fn report_to(
    mut send: impl FnMut(&[NotifyState<'_>]),
    watchdog: Option<Duration>,
    hub: HubSender,
    connections: &ConnectionCounts,
    mut stop: watch::Receiver<bool>,
) {
    // Twice within the watchdog's time, as its manual advises.
    let interval = watchdog.map_or(INTERVAL, |watchdog| INTERVAL.min(watchdog / 2));
    let reports = async {
        loop {
            let (answer, answered) = oneshot::channel();
            // Without a hub there is no answer either.
            let _ = hub.send(Input::Report(answer));
            let Ok(report) = answered.await else { return };
            let status = status(&report, connections.open_now());
            let mut states = vec![NotifyState::Status(&status)];
            states.extend(watchdog.map(|_| NotifyState::Watchdog));
            send(&states);
            sleep(interval).await;
        }
    };
    tokio::select! {
        () = reports => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Returns the line that `systemctl status` shows.
fn status(report: &HubReport, connections: u64) -> String {
    let channels = report.counters.channels_here + report.counters.channels_elsewhere;
    let joins = report.counters.joins;
    format!("connections: {connections}, listed channels: {channels}, joins: {joins}")
}

fn send(states: &[NotifyState<'_>]) {
    if let Some(path) = env::var_os(SOCKET)
        && let Err(error) = send_to(Path::new(&path), states)
    {
        tracing::warn!(%error, "cannot reach the service manager at {SOCKET}");
    }
}

/// Sends one message, unless it would have to wait: a manager that reads nothing must not hold the server up. The
/// `notify` of `sd_notify` waits.
fn send_to(path: &Path, states: &[NotifyState<'_>]) -> io::Result<()> {
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    socket.send(message.as_bytes()).map(drop)
}

#[cfg(test)]
mod tests {
    use chanwire_core::{endpoint::Traffic, hub::Counters};
    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    #[test]
    fn a_manager_that_reads_nothing_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let full = (0..100_000).find_map(|_| send_to(&path, &[NotifyState::Watchdog]).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
        send_to(&path, &[NotifyState::Watchdog]).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_while_the_hub_answers_and_no_longer() {
        let (hub, mut inputs) = mpsc::unbounded_channel();
        let answering = async {
            for _ in 0..3 {
                let Some(Input::Report(answer)) = inputs.recv().await else { panic!("no report is asked for") };
                assert!(answer.send(HubReport { counters: Counters::default(), traffic: Traffic::default() }).is_ok());
            }
            // The hub hangs: it takes the question and does not answer.
            let _question = inputs.recv().await;
            std::future::pending::<()>().await;
        };
        let (_stop, stopping) = watch::channel(false);
        let mut sent = Vec::new();
        let counts = ConnectionCounts::default();
        let send = |states: &[NotifyState<'_>]| sent.push(states.iter().map(ToString::to_string).collect::<Vec<_>>());
        let reports = report_to(send, Some(Duration::from_secs(8)), hub, &counts, stopping);
        let began = tokio::time::Instant::now();
        assert!(timeout(Duration::from_secs(1000), async { tokio::join!(reports, answering) }).await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(1000));
        let report = ["STATUS=connections: 0, listed channels: 0, joins: 0", "WATCHDOG=1"];
        assert_eq!(sent, [report, report, report]);
    }
}
