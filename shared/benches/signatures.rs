//! Who sent a webhook: the check of its signature, by size of its body, good and bad.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use shared::signature::{HmacSha256, LiveSecrets, ReplayWindow, standard};

const SHOPIFY: HmacSha256 = HmacSha256::base64("x-shopify-hmac-sha256");

fn headers<const N: usize>(named: [(&'static str, String); N]) -> HeaderMap {
    let header = |(name, value): (_, String)| {
        let value = HeaderValue::from_str(&value).expect("a header's value");
        (HeaderName::from_static(name), value)
    };
    named.into_iter().map(header).collect()
}

fn signatures(c: &mut Criterion) {
    let secret = SecretString::from("whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
    let keys = standard::secrets(std::slice::from_ref(&secret)).expect("a key");
    let plain = LiveSecrets::new(&[secret]).expect("a key");
    let window = ReplayWindow::of(SignedDuration::from_mins(5));
    let now = Timestamp::from_second(1_768_469_400).expect("an instant");
    let mut group = c.benchmark_group("signatures");
    for size in [1_usize << 10, 64 << 10] {
        let body = vec![b'x'; size];
        group.throughput(Throughput::Bytes(size as u64));
        let signed = headers([
            (standard::ID, "msg_1".to_owned()),
            (standard::TIMESTAMP, now.as_second().to_string()),
            (
                standard::SIGNATURE,
                standard::sign("msg_1", now, &body, &keys),
            ),
        ]);
        group.bench_function(format!("standard webhooks, {size} bytes"), |bencher| {
            bencher.iter(|| {
                standard::verify(black_box(&signed), &body, &keys, window, now).expect("signed")
            });
        });
        let signed = headers([("x-shopify-hmac-sha256", SHOPIFY.sign(&[&body], &plain))]);
        group.bench_function(format!("shopify, {size} bytes"), |bencher| {
            bencher.iter(|| {
                SHOPIFY
                    .verify(black_box(&signed), &[&body], &plain)
                    .expect("signed")
            });
        });
        let forged = headers([("x-shopify-hmac-sha256", SHOPIFY.sign(&[b"other"], &plain))]);
        group.bench_function(format!("forged, {size} bytes"), |bencher| {
            bencher.iter(|| {
                SHOPIFY
                    .verify(black_box(&forged), &[&body], &plain)
                    .expect_err("forged")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, signatures);
criterion_main!(benches);
