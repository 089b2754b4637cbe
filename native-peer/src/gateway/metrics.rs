//! Figures, as Prometheus reads them.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One figure.
#[derive(Debug, Default)]
pub(super) struct Figure(AtomicU64);

/// All figures of a gateway.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) sockets: Figure,
    pub(super) connections: Figure,
    pub(super) connections_total: Figure,
    pub(super) replicating: Figure,
    pub(super) refused: Figure,
    pub(super) faults: Figure,
    pub(super) streams: Figure,
    pub(super) streams_total: Figure,
    pub(super) streams_failed: Figure,
    pub(super) servers: Figure,
    pub(super) queries_total: Figure,
    pub(super) limited: Figure,
    pub(super) signatures_total: Figure,
    pub(super) bytes_from_browsers: Figure,
    pub(super) bytes_to_browsers: Figure,
    pub(super) buffered_from_browsers: Figure,
    pub(super) buffered_to_browsers: Figure,
    pub(super) stalled: Figure,
}

/// Counts one until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Metrics>, fn(&Metrics) -> &Figure, u64);

impl Figure {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counted {
    pub(super) fn new(metrics: &Arc<Metrics>, figure: fn(&Metrics) -> &Figure, count: usize) -> Self {
        figure(metrics).add(count);
        Self(Arc::clone(metrics), figure, u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).0.fetch_sub(self.2, Ordering::Relaxed);
    }
}

impl Metrics {
    /// The text form (version 0.0.4).
    pub(super) fn text(&self) -> String {
        let gauges = [
            ("sockets", "TCP connections now", &self.sockets),
            ("connections", "dht-relay connections now", &self.connections),
            ("replicating", "connections that replicate with the gateway's own store now", &self.replicating),
            ("streams", "streams between browsers and peers now", &self.streams),
            ("servers", "keys of browsers that are listened for now", &self.servers),
            ("buffered_from_browsers_bytes", "bytes that wait for far peers", &self.buffered_from_browsers),
            ("buffered_to_browsers_bytes", "bytes that wait for browsers", &self.buffered_to_browsers),
        ];
        let counters = [
            ("connections_total", "dht-relay connections", &self.connections_total),
            ("refused_total", "connections not let in", &self.refused),
            ("faults_total", "connections ended for breaking a rule", &self.faults),
            ("streams_total", "streams begun", &self.streams_total),
            ("streams_failed_total", "streams to peers that could not be made", &self.streams_failed),
            ("queries_total", "lookups and announcements", &self.queries_total),
            ("limited_total", "requests above a limit", &self.limited),
            ("signatures_total", "signatures asked of browsers", &self.signatures_total),
            ("from_browsers_bytes_total", "bytes from browsers", &self.bytes_from_browsers),
            ("to_browsers_bytes_total", "bytes to browsers", &self.bytes_to_browsers),
            ("stalled_total", "browsers and peers given up because they took no byte", &self.stalled),
        ];
        let mut text = String::new();
        for (kind, figures) in [("gauge", &gauges[..]), ("counter", &counters[..])] {
            for (name, help, figure) in figures {
                let name = format!("corestore_gateway_{name}");
                // Writing to a string cannot fail.
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {}", figure.get());
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_goes_and_the_text_has_three_lines_for_each() {
        let metrics = Arc::new(Metrics::default());
        let counted = Counted::new(&metrics, |metrics| &metrics.streams, 3);
        metrics.queries_total.add(2);
        assert!(metrics.text().contains("\ncorestore_gateway_streams 3\n"));
        drop(counted);
        let text = metrics.text();
        assert!(text.contains("\ncorestore_gateway_streams 0\n") && text.contains("queries_total 2\n"));
        assert_eq!(text.lines().count() % 3, 0);
    }
}
