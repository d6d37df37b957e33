//! Each piece of work by itself, as criterion measures it. `targets` compares the pieces.
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a run that goes wrong must stop")]

mod workload;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use workload::{Drip, Service, Shape};

fn payloads(criterion: &mut Criterion) {
    for shape in Shape::ALL.map(|make| make()) {
        let mut group = criterion.benchmark_group(shape.name);
        group.throughput(Throughput::Bytes(shape.payloads.len() as u64));
        group.bench_function("frame ends", |bencher| bencher.iter(|| workload::ends(&shape)));
        group.bench_function("frame ends, serde_json", |bencher| bencher.iter(|| workload::serde_ends(&shape)));
        group.bench_function("decode", |bencher| bencher.iter(|| workload::decode(&shape)));
        group.bench_function("decode, serde_json", |bencher| bencher.iter(|| workload::serde_decode(&shape)));
        group.finish();
    }
}

fn service(criterion: &mut Criterion) {
    let requests = Shape::ALL[0]();
    let (mut alone, mut whole) = (Service::new(), Service::new());
    let mut group = criterion.benchmark_group("requests");
    group.throughput(Throughput::Elements(requests.frames as u64));
    group.bench_function("server", |bencher| bencher.iter(|| alone.answer(&requests.stream)));
    group.bench_function("server and hub", |bencher| bencher.iter(|| whole.serve(&requests.stream)));
    group.finish();
}

fn drip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a frame at a time");
    for size in Drip::SIZES {
        let drip = Drip::new(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{size} bytes, whole"), |bencher| bencher.iter(|| drip.feed(size, 1)));
        group.bench_function(format!("{size} bytes, one by one"), |bencher| bencher.iter(|| drip.feed(1, 1)));
    }
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = payloads, service, drip
}
criterion_main!(all);
