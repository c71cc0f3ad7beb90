//! Both sources keep the contract of a source.

use kvlens_core::conformance::check_source;
use kvlens_core::{Kind, MetricDesc, SourceInfo, SystemClock, Unit};
use kvlens_vllm_ffi::prometheus::PrometheusSource;
use kvlens_vllm_ffi::{BlockFigures, FeedBuilder, Origin, RequestFigures, StepFigures};

#[test]
fn vllm_source() {
    let mut builder = FeedBuilder::new(SourceInfo::new("engine-0", "vllm"), SystemClock::new());
    let own = builder
        .declare(MetricDesc::new("my_own", Kind::Gauge, Unit::None, "Mine."))
        .unwrap();
    let (mut feed, source) = builder.build().unwrap();
    feed.set_gauge(own, 4.5).unwrap();
    for engine_index in [0, 1, u32::MAX] {
        feed.request(&RequestFigures {
            request_id: "a".into(),
            engine_index,
            ..RequestFigures::default()
        });
        feed.block(
            &BlockFigures {
                lifetime_s: 0.1,
                ..BlockFigures::default()
            },
            &[0.01, 0.02],
        );
        for _ in 0..100 {
            let step = StepFigures {
                origin: Origin::StatLogger,
                engine_index,
                requests_running: Some(3),
                generation_tokens: Some(3),
                kv_cache_usage: Some(0.5),
                kv_blocks_total: Some(8),
                step_time_s: Some(0.001),
                ..StepFigures::default()
            };
            feed.step(&step, &[0.2], &[0.01, 0.02, f64::NAN]);
        }
    }
    check_source(source, 3);
}

#[test]
fn prometheus_source() {
    let mut round = 0;
    let page = move || {
        round += 1;
        if round == 3 {
            return Err("unplugged".into());
        }
        Ok(format!(
            "vllm:num_requests_running{{engine=\"0\"}} 2\nvllm:prompt_tokens_total{{engine=\"0\"}} {round}\n\
             vllm:time_to_first_token_seconds_bucket{{le=\"0.1\"}} {round}\n\
             vllm:time_to_first_token_seconds_bucket{{le=\"+Inf\"}} {round}\n"
        ))
    };
    check_source(
        PrometheusSource::from_fn(SourceInfo::new("server", "vllm"), page),
        6,
    );
}
