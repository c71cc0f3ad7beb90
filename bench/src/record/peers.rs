//! Rows of other libraries.

use crate::values::COUNT;
use crate::{Op, Row};
use std::sync::Arc;
use std::time::Instant;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = hdr();
    rows.extend(metrics_crate());
    rows.extend(prometheus_crates().into_iter().map(Row::shared));
    rows.extend(opentelemetry_crate().into_iter().map(Row::shared));
    rows
}

fn hdr() -> Vec<Row> {
    use hdrhistogram::Histogram;
    use hdrhistogram::sync::Recorder;
    let make = || Histogram::<u64>::new_with_bounds(1, 1 << 44, 2).expect("in range");
    let mut rows = vec![];
    row!(
        rows,
        "hdrhistogram 2 digits (one thread only)",
        Histogram<u64>,
        make(),
        |s, ns, _f| {
            let _ = s.record(ns);
        }
    );
    let sync = Arc::new(make().into_sync());
    let mut shared = vec![];
    row!(
        shared,
        "hdrhistogram sync recorder, 2 digits",
        Recorder<u64>,
        sync.recorder(),
        |s, ns, _f| {
            let _ = s.record(ns);
        }
    );
    rows.extend(shared.into_iter().map(Row::shared));
    rows
}

fn metrics_crate() -> Vec<Row> {
    use metrics_exporter_prometheus::PrometheusBuilder;
    let recorder = PrometheusBuilder::new().build_recorder();
    let upkeep = recorder.handle();
    let (counter, gauge, histogram) = metrics::with_local_recorder(&recorder, || {
        (
            metrics::counter!("c"),
            metrics::gauge!("g"),
            metrics::histogram!("h"),
        )
    });
    let mut rows = vec![];
    row!(
        rows,
        "metrics + prometheus exporter: counter",
        metrics::Counter,
        counter.clone(),
        |s, ns, _f| s.increment(ns)
    );
    row!(
        rows,
        "metrics + prometheus exporter: gauge",
        metrics::Gauge,
        gauge.clone(),
        |s, _n, f| s.set(f)
    );
    row!(
        rows,
        "metrics + prometheus exporter: histogram",
        metrics::Histogram,
        histogram.clone(),
        |s, _n, f| s.record(f)
    );
    let with_upkeep = |row: Row| {
        let upkeep = upkeep.clone();
        row.shared().with_upkeep(move || upkeep.run_upkeep())
    };
    rows.into_iter().map(with_upkeep).collect()
}

fn prometheus_crates() -> Vec<Row> {
    use prometheus_client::metrics as client;
    type ClientCounter = client::counter::Counter;
    let counter = prometheus::IntCounter::new("c", "c").expect("valid");
    let gauge = prometheus::Gauge::new("g", "g").expect("valid");
    let histogram =
        prometheus::Histogram::with_opts(prometheus::HistogramOpts::new("h", "h")).expect("valid");
    let client_counter = ClientCounter::default();
    let client_histogram = client::histogram::Histogram::new(prometheus::DEFAULT_BUCKETS.iter().copied());
    let mut rows = vec![];
    row!(
        rows,
        "prometheus: int counter",
        prometheus::IntCounter,
        counter.clone(),
        |s, ns, _f| s.inc_by(ns)
    );
    row!(
        rows,
        "prometheus: gauge",
        prometheus::Gauge,
        gauge.clone(),
        |s, _n, f| s.set(f)
    );
    row!(
        rows,
        "prometheus: histogram, 11 buckets",
        prometheus::Histogram,
        histogram.clone(),
        |s, _n, f| s.observe(f)
    );
    row!(
        rows,
        "prometheus-client: counter",
        ClientCounter,
        client_counter.clone(),
        |s, ns, _f| s.inc_by(ns)
    );
    row!(
        rows,
        "prometheus-client: histogram, 11 buckets",
        client::histogram::Histogram,
        client_histogram.clone(),
        |s, _n, f| s.observe(f)
    );
    rows
}

fn opentelemetry_crate() -> Vec<Row> {
    use opentelemetry::metrics::{Counter, Histogram, MeterProvider};
    use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
    let provider = SdkMeterProvider::builder()
        .with_reader(ManualReader::builder().build())
        .build();
    let meter = provider.meter("bench");
    let (counter, histogram) = (meter.u64_counter("c").build(), meter.f64_histogram("h").build());
    // The instruments work only while the provider lives: the rows keep it.
    let alive = provider.clone();
    let mut rows = vec![];
    row!(
        rows,
        "opentelemetry_sdk: counter",
        (Counter<u64>, SdkMeterProvider),
        (counter.clone(), provider.clone()),
        |s, ns, _f| s.0.add(ns, &[])
    );
    row!(
        rows,
        "opentelemetry_sdk: histogram",
        (Histogram<f64>, SdkMeterProvider),
        (histogram.clone(), alive.clone()),
        |s, _n, f| s.0.record(f, &[])
    );
    rows
}
