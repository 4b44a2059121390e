//! A message in words: the defaults, and a user's own template.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use shared::domain::AlertKind;
use shared::domain::id::ChannelName;
use shared::domain::message::Message;
use shared::render::{TemplateTexts, Templates};

fn message() -> Message {
    let stock = |on_hand: i64| {
        json!({ "on_hand": on_hand, "reserved": 1, "available": on_hand - 1, "incoming": 12,
            "backordered": 0 })
    };
    serde_json::from_value(json!({
        "alert": "0199b6a1", "revision": 1, "change": "opened", "kind": "low_stock",
        "severity": "warning",
        "subject": { "on": "position", "product": "OIL-5W40-1L", "location": "north" },
        "at": "2026-01-15T09:30:00Z", "product": "Engine oil 5W-40 1 l", "location": "North",
        "zone": "Europe/Rome", "before": stock(9), "after": stock(3), "threshold": 3,
        "rule": "oil", "why": "The rule oil fires at 3 or fewer available.",
        "days_of_supply": 2, "link": "https://stock.example/api/v1/positions?product=OIL-5W40-1L",
    }))
    .expect("a message as it is stored")
}

fn render(c: &mut Criterion) {
    let (message, channel): (_, ChannelName) = (message(), "buyers".parse().expect("a name"));
    let defaults = Templates::new();
    let mut own = Templates::new();
    let texts = TemplateTexts {
        title: Some("{{ product }}: {{ available }} left".to_owned()),
        text: Some(
            "{% if available == 0 %}Nothing{% else %}{{ available }}{% endif %} of {{ product }} \
             at {{ location }}, {{ threshold }} asked for by {{ rule }}."
                .to_owned(),
        ),
        ..TemplateTexts::default()
    };
    own.set(AlertKind::LowStock, Some(&channel), texts)
        .expect("a template that renders");
    let mut group = c.benchmark_group("render");
    group.throughput(Throughput::Elements(1));
    for (name, templates) in [("defaults", &defaults), ("own", &own)] {
        let rendered = templates.render(&message, &channel);
        assert!(rendered.fallback.is_none(), "{rendered:?}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| templates.render(black_box(&message), &channel));
        });
    }
    group.finish();
}

criterion_group!(benches, render);
criterion_main!(benches);
