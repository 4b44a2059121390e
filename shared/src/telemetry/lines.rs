//! A log line: one JSON object, with the event's fields and those of the spans around it on top, where
//! CloudWatch Logs Insights finds them by their own names.

use std::io::Write;

use serde_json::Value;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use crate::clock::Clock;

/// Writes events as JSON, a whole line at a time.
#[derive(Debug)]
pub struct JsonLines<F> {
    writer: F,
    clock: Clock,
}

/// What a span has said so far.
struct Said(Fields);

impl<F> JsonLines<F> {
    /// Lines into what this makes, for each line anew.
    pub fn new(writer: F, clock: Clock) -> Self {
        Self { writer, clock }
    }
}

impl<S, F, W> Layer<S> for JsonLines<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    F: Fn() -> W + 'static,
    W: Write,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut said = Fields::default();
            attributes.record(&mut said);
            span.extensions_mut().insert(Said(said));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(Said(said)) = span.extensions_mut().get_mut()
        {
            values.record(said);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        let around = context.event_scope(event).map(|scope| scope.from_root());
        for span in around.into_iter().flatten() {
            if let Some(Said(said)) = span.extensions().get() {
                line.0.extend(said.0.clone());
            }
            line.0.insert("span".to_owned(), span.name().into());
        }
        event.record(&mut line);
        let metadata = event.metadata();
        for (name, value) in [
            ("timestamp", format!("{:.3}", self.clock.now())),
            ("level", metadata.level().to_string()),
            ("target", metadata.target().to_owned()),
        ] {
            line.0.insert(name.to_owned(), value.into());
        }
        let line = format!("{}\n", Value::Object(line.0));
        // A log that cannot be written has nowhere to say so.
        let _unwritten = (self.writer)().write_all(line.as_bytes());
    }
}
