//! Criterion over the rows of `kvlens_bench::snapshot`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kvlens_bench::{Values, pin, snapshot};

fn snapshot(criterion: &mut Criterion) {
    pin(0);
    let values = Values::latencies(42);
    let mut group = criterion.benchmark_group("snapshot");
    for row in snapshot::rows() {
        group.throughput(Throughput::Elements(row.per_run as u64));
        let mut operation = (row.make)();
        group.bench_function(&row.name, |bencher| {
            bencher.iter_custom(|times| {
                let took = (0..times).map(|_| operation(&values)).sum();
                if let Some(upkeep) = &row.upkeep {
                    upkeep();
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, snapshot);
criterion_main!(benches);
