//! The metrics in the text format of Prometheus, version 0.0.4.

use std::{fmt, sync::Arc, time::Duration};

use chanwire_core::wire::{ErrorResponse, Timestamp};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet, prometheus_text},
    metrics::MetricType,
    registry::Registry,
};

use super::{
    HubReport,
    counts::{ConnectionCounts, Kind},
    process::{Files, Process, Sizes},
};
use crate::{
    config::Reloaded,
    store::{Operation, StoreStatus},
};

/// Everything that one scrape reports.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) hub: Option<HubReport>,
    pub(super) sizes: Option<Sizes>,
    pub(super) store: Arc<StoreStatus>,
    pub(super) connections: Arc<ConnectionCounts>,
    pub(super) reloaded: Reloaded,
    /// The end of the validity of the TLS certificate in force, and whether its files could be read the last time.
    pub(super) certificate: Option<(Timestamp, bool)>,
}

/// Returns the text of a scrape.
pub(super) fn encode(scrape: Scrape) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    // Writing to a string never fails.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

type Labels<'l> = Vec<(&'static str, &'l str)>;

/// Writes metric families.
struct Families<'e>(DescriptorEncoder<'e>);

impl Families<'_> {
    /// Writes a family of counters.
    fn counters<'l, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        values.into_iter().try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)
        })
    }

    /// Writes one counter.
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.counters(name, help, [(Vec::new(), value)])
    }

    /// Writes a family of gauges.
    fn gauges<'l, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.into_iter().try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    /// Writes one gauge.
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges(name, help, [(Vec::new(), value)])
    }

    /// Begins a family of histograms.
    fn histograms<'s>(&'s mut self, name: &'s str, help: &str) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Histogram)
    }
}

/// Writes one histogram. `scale` is the size of a bucket's unit in the metric's.
fn histogram(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    buckets: impl Iterator<Item = (Option<u64>, u64)>,
    scale: f64,
    sum: f64,
) -> fmt::Result {
    let buckets: Vec<(f64, u64)> =
        buckets.map(|(bound, count)| (bound.map_or(f64::INFINITY, |bound| bound as f64 / scale), count)).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    family.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

/// Returns a name as a label: in lower case, with underscores.
fn label(name: &str) -> String {
    name.chars()
        .filter(|letter| *letter != '\'')
        .map(|letter| if letter == ' ' { '_' } else { letter.to_ascii_lowercase() })
        .collect()
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.state(&mut families)?;
        self.connections(&mut families)?;
        if let Some(hub) = &self.hub {
            hub.encode(&mut families)?;
        }
        self.errors(&mut families)?;
        self.store(&mut families)?;
        let Some(Sizes { files, process }) = &self.sizes else { return Ok(()) };
        files.iter().try_for_each(|files| files.encode(&mut families))?;
        process.iter().try_for_each(|process| process.encode(&mut families))
    }
}

impl Scrape {
    fn state(&self, families: &mut Families<'_>) -> fmt::Result {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        families.gauges("chanwire_build_info", "The version that runs; always 1.", [(version, 1u64)])?;
        let up = u64::from(self.hub.is_some());
        families.gauge("chanwire_hub_up", "Whether the hub answers; its metrics are missing if not.", up)?;
        let up = u64::from(self.store.fault().is_none());
        families.gauge("chanwire_store_up", "Whether messages can be stored and read.", up)?;
        let Reloaded { is_successful, succeeded_at } = self.reloaded;
        let help = "Whether the last reload of the configuration succeeded; 1 from the start on.";
        families.gauge("chanwire_config_last_reload_successful", help, u64::from(is_successful))?;
        let help = "Time since 1970 of the last reload that succeeded, or of the start.";
        families.gauge("chanwire_config_last_reload_success_timestamp_seconds", help, succeeded_at.as_unix())?;
        let Some((not_after, is_read)) = self.certificate else { return Ok(()) };
        let help = "End of the validity of the TLS certificate in force, since 1970.";
        families.gauge("chanwire_tls_not_after_timestamp_seconds", help, not_after.as_unix())?;
        let help = "Whether the TLS certificate and its key could be read the last time.";
        families.gauge("chanwire_tls_last_reload_successful", help, u64::from(is_read))
    }

    fn connections(&self, families: &mut Families<'_>) -> fmt::Result {
        let kinds = Kind::ALL.map(|kind| (vec![("kind", kind.name())], self.connections.connections(kind)));
        let open = kinds.iter().map(|(labels, (open, _))| (labels.clone(), *open));
        let pending = [(vec![("kind", "pending")], self.connections.pending_now())];
        let help = "Open connections; pending: not known yet whether with TLS, or in its handshake.";
        families.gauges("chanwire_connections", help, open.chain(pending))?;
        let accepted = kinds.iter().map(|(labels, (_, accepted))| (labels.clone(), *accepted));
        families.counters("chanwire_connections_accepted", "Accepted connections.", accepted)?;
        let reasons = |refused| {
            let reasons = self.connections.ended().filter(move |(reason, _)| reason.is_refusal() == refused);
            reasons.map(|(reason, count)| (vec![("reason", reason.as_str())], count))
        };
        let help = "Connections that ended, by reason.";
        families.counters("chanwire_connections_ended", help, reasons(false))?;
        let help = "Connections that were refused, by reason.";
        families.counters("chanwire_connections_refused", help, reasons(true))?;
        let failures = self.connections.handshake_failures().map(|(reason, count)| (vec![("reason", reason)], count));
        families.counters("chanwire_tls_handshake_failures", "TLS handshakes that failed, by reason.", failures)?;
        let waits = self.connections.waits().map(|(scope, count, time)| (vec![("scope", scope)], count, time));
        let waiting = waits.iter().map(|(labels, count, _)| (labels.clone(), *count));
        families.gauges("chanwire_throttled_connections", "Connections whose requests wait for a rate.", waiting)?;
        let help = "Time for which connections have waited for a rate.";
        let times = waits.iter().map(|(labels, _, time)| (labels.clone(), time.as_secs_f64()));
        families.counters("chanwire_throttled_seconds", help, times)
    }

    /// Writes the errors of the hub and of connections together.
    fn errors(&self, families: &mut Families<'_>) -> fmt::Result {
        let labels: Vec<String> = ErrorResponse::NAMES.iter().map(|name| label(name)).collect();
        let of_hub = |name| self.hub.as_ref().and_then(|hub| hub.counters.errors.get(name)).copied().unwrap_or(0);
        let errors = self.connections.errors().map(|(name, count)| count + of_hub(name));
        let errors = labels.iter().map(|name| vec![("error", name.as_str())]).zip(errors);
        // A counter without the hub's part would seem to start anew.
        let errors = errors.filter(|_| self.hub.is_some());
        families.counters("chanwire_errors", "Errors that were sent, by their name in the protocol.", errors)
    }

    fn store(&self, families: &mut Families<'_>) -> fmt::Result {
        let failures = Operation::ALL.map(|it| (vec![("operation", it.name())], self.store.failures(it)));
        families.counters("chanwire_store_failures", "Failures of the store's operations.", failures)?;
        let help = "Messages that were dropped because the store was full (--store-max).";
        families.counter("chanwire_messages_evicted", help, self.store.evicted())?;
        let commits = self.store.commits();
        let sum = commits.sum().as_secs_f64();
        let mut family =
            families.histograms("chanwire_commit_duration_seconds", "Durations of commits, until they are durable.")?;
        histogram(&mut family, &Vec::new(), commits.buckets(), 1_000_000.0, sum)
    }
}

impl HubReport {
    fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        let Self { counters, traffic } = self;
        let requests = counters
            .requests
            .iter()
            .map(|((command, status), count)| (command.to_string(), status.to_string(), *count));
        let requests: Vec<(String, String, u64)> = requests.collect();
        let requests = requests
            .iter()
            .map(|(command, status, count)| (vec![("command", command.as_str()), ("status", status.as_str())], *count));
        families.counters("chanwire_requests", "Requests that were answered.", requests)?;
        let results = counters.authentications.iter();
        let results = results.map(|(result, count)| (vec![("result", result.as_str())], *count));
        families.counters("chanwire_auth", "Attempts to authenticate, by their result.", results)?;
        families.counter("chanwire_messages_stored", "Messages that were stored.", counters.messages_stored)?;
        let help = "MESSAGEs that were sent again under their id, and not stored again.";
        families.counter("chanwire_messages_duplicate", help, counters.repeated_messages)?;
        let help = "Ids of messages that are remembered, so that none is stored twice.";
        families.gauge("chanwire_send_keys", help, counters.send_keys as u64)?;
        let help = "Such ids that were dropped early, because there were too many (--retry-max-keys).";
        families.counter("chanwire_send_keys_evicted", help, counters.evicted_send_keys)?;
        families.counter("chanwire_pushes", "Messages that were pushed, once for each connection.", counters.pushes)?;
        families.counter("chanwire_received_bytes", "Bytes that were received.", traffic.received_bytes)?;
        families.counter("chanwire_sent_bytes", "Bytes that were sent.", traffic.sent_bytes)?;
        let places = [("here", counters.channels_here), ("elsewhere", counters.channels_elsewhere)];
        let places = places.map(|(place, count)| (vec![("place", place)], count as u64));
        families.gauges("chanwire_channels", "Listed channels, by where they live.", places)?;
        families.gauge("chanwire_joins", "Channels that are joined, over all connections.", counters.joins as u64)?;
        let mut family = families.histograms("chanwire_commit_messages", "Messages of each commit.")?;
        let messages = &counters.commit_messages;
        histogram(&mut family, &Vec::new(), messages.buckets(), 1.0, messages.sum() as f64)?;
        let help = "Times from a request to the store's outcome, in steps of 1 ms.";
        let mut family = families.histograms("chanwire_request_duration_seconds", help)?;
        for (command, times) in &counters.request_milliseconds {
            let sum = Duration::from_millis(times.sum()).as_secs_f64();
            let command = command.to_string();
            histogram(&mut family, &vec![("command", command.as_str())], times.buckets(), 1000.0, sum)?;
        }
        Ok(())
    }
}

impl Files {
    fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        families.gauge("chanwire_database_bytes", "Size of the database.", self.database)?;
        families.gauge("chanwire_wal_bytes", "Size of the write-ahead log.", self.wal)?;
        families.gauge("chanwire_free_bytes", "Free bytes on the store's file system.", self.free)
    }
}

impl Process {
    fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        families.counter("process_cpu_seconds", "CPU time spent.", self.cpu_seconds)?;
        families.gauge("process_resident_memory_bytes", "Resident memory.", self.resident_bytes)?;
        families.gauge("process_virtual_memory_bytes", "Virtual memory.", self.virtual_bytes)?;
        families.gauge("process_open_fds", "Open file descriptors.", self.open_files)?;
        families.gauge("process_max_fds", "The most open file descriptors.", self.max_files)?;
        families.gauge("process_threads", "Threads.", self.threads)?;
        families.gauge("process_start_time_seconds", "Time of the start since 1970.", self.start_time)
    }
}
