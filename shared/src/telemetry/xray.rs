//! Traces without a collector: a span, when it ends, as one datagram to the X-Ray daemon that Lambda
//! runs beside a traced function (F86). Nothing is added to the deployment, nothing waits for an answer,
//! and where there is no daemon there are no traces.
//!
//! The span in which `lambda_runtime` runs an invocation carries Lambda's trace header; the spans of
//! [`SPANS`] inside it become subsegments of the function's own segment. The format is X-Ray's
//! [segment document](https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::fields::Fields;
use crate::clock::Clock;
use crate::digest::sha256_hex;

/// The variable in which Lambda says where the daemon listens.
pub const DAEMON_ADDRESS: &str = "AWS_XRAY_DAEMON_ADDRESS";
/// The spans that are traced. A span that is not on this list costs a trace nothing.
pub const SPANS: [&str; 10] = [
    "webhook",
    "webhook again",
    "call",
    "run",
    "record",
    "message",
    "delivery",
    VENDOR,
    AWS,
    "tick",
];
/// What traces can be searched by.
pub const ANNOTATIONS: [&str; 6] = [
    "correlation",
    "connector",
    "channel",
    "outcome",
    "alert",
    "upstream_trace",
];
/// The span of a request that leaves.
const VENDOR: &str = "vendor request";
/// The span of a call of AWS itself.
const AWS: &str = "aws call";
/// The field with Lambda's trace header, as `lambda_runtime` names it.
const HEADER: &str = "xrayTraceId";
/// The field with the trace header that a queue's message came with.
const UPSTREAM: &str = "upstream";
/// X-Ray takes longer values, but nothing of ours is.
const LONGEST: usize = 250;

/// Whether a span takes part in traces.
pub fn is_traced(metadata: &Metadata<'_>) -> bool {
    let of_an_invocation = || metadata.fields().field(HEADER).is_some();
    // Events are heard for their level alone: an error makes its span a fault.
    metadata.is_event() && *metadata.level() == Level::ERROR
        || metadata.is_span() && (SPANS.contains(&metadata.name()) || of_an_invocation())
}

/// Reads a daemon's address: `127.0.0.1:2000`, or `tcp:127.0.0.1:2000 udp:127.0.0.1:2001`.
pub fn daemon_address(text: &str) -> Option<SocketAddr> {
    let datagrams = text
        .split_whitespace()
        .find_map(|part| part.strip_prefix("udp:"));
    datagrams.unwrap_or(text.trim()).parse().ok()
}

/// Where a span stands: Lambda's trace header, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The trace.
    pub trace: String,
    /// The segment that a subsegment belongs to.
    pub parent: String,
}

impl Place {
    /// Reads `Root=…;Parent=…;Sampled=1`. What is not sampled, or cannot be read, has no place.
    pub fn of(header: &str) -> Option<Self> {
        let part = |name: &str| {
            let parts = header.split(';').map(str::trim);
            parts
                .filter_map(|part| part.split_once('='))
                .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        };
        let hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let (trace, parent) = (part("Root")?, part("Parent")?);
        let (time, unique) = trace.strip_prefix("1-")?.split_once('-')?;
        let well_formed = hex(time, 8) && hex(unique, 24) && hex(parent, 16);
        (well_formed && part("Sampled") == Some("1")).then(|| Self {
            trace: trace.to_owned(),
            parent: parent.to_owned(),
        })
    }
}

/// Sends spans to a daemon.
#[derive(Debug)]
pub struct Traces {
    socket: UdpSocket,
    clock: Clock,
    made: AtomicU64,
}

/// A span that becomes a subsegment.
struct Subsegment {
    place: Place,
    id: String,
    began: Timestamp,
    fields: Fields,
    failed: bool,
}

/// The segment that Lambda keeps for the function.
struct Function(Place);

impl Traces {
    /// Traces to the daemon at this address. Sending never waits.
    pub fn to(daemon: SocketAddr, clock: Clock) -> io::Result<Self> {
        let here = match daemon {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(here)?;
        socket.connect(daemon)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            clock,
            made: AtomicU64::new(0),
        })
    }

    /// The place of a span's children: within the nearest span that is traced.
    fn place<S: for<'l> LookupSpan<'l>>(span: &SpanRef<'_, S>) -> Option<(Place, bool)> {
        span.scope().skip(1).find_map(|around| {
            let known = around.extensions();
            if let Some(subsegment) = known.get::<Subsegment>() {
                let place = Place {
                    parent: subsegment.id.clone(),
                    ..subsegment.place.clone()
                };
                return Some((place, false));
            }
            known
                .get::<Function>()
                .map(|segment| (segment.0.clone(), true))
        })
    }

    /// Unique within the function's segment, and that is unique among all.
    fn new_id(&self, place: &Place) -> String {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}{number}", place.trace, place.parent);
        sha256_hex(name.as_bytes())[..16].to_owned()
    }

    fn send(&self, document: &Value) {
        let datagram = format!("{{\"format\":\"json\",\"version\":1}}\n{document}");
        // A trace that is lost is a trace less; no work waits or fails for it.
        let _lost = self.socket.send(datagram.as_bytes());
    }
}

impl Subsegment {
    /// The document; of a span that is not over where there is no end.
    fn document(&self, name: &str, end: Option<Timestamp>) -> Value {
        let seconds = |at: Timestamp| at.as_duration().as_secs_f64();
        let mut document = json!({
            "type": "subsegment",
            "name": name,
            "id": self.id,
            "trace_id": self.place.trace,
            "parent_id": self.place.parent,
            "start_time": seconds(self.began),
        });
        match end {
            Some(end) => document["end_time"] = json!(seconds(end.max(self.began))),
            None => document["in_progress"] = json!(true),
        }
        let annotations: Map<String, Value> = ANNOTATIONS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.annotation(name)?.into())))
            .collect();
        if !annotations.is_empty() {
            document["annotations"] = annotations.into();
        }
        if self.failed {
            document["fault"] = json!(true);
        }
        match name {
            VENDOR => self.describe_request(&mut document),
            AWS => self.describe_call(&mut document),
            _ => {}
        }
        document
    }

    fn annotation(&self, name: &str) -> Option<String> {
        let text = match name {
            "upstream_trace" => Place::of(&self.fields.text(UPSTREAM)?)?.trace,
            name => self.fields.text(name)?,
        };
        Some(text.chars().take(LONGEST).collect())
    }

    /// A request that leaves is shown as a call of another service, by its host.
    fn describe_request(&self, document: &mut Value) {
        if let Some(host) = self.fields.text("host") {
            document["name"] = json!(host.chars().take(LONGEST).collect::<String>());
        }
        document["namespace"] = json!("remote");
        if let Some(method) = self.fields.text("method") {
            document["http"]["request"]["method"] = json!(method);
        }
        self.describe_answer(document);
    }

    /// A call of AWS is shown as one of the service that was called.
    fn describe_call(&self, document: &mut Value) {
        if let Some(service) = self.fields.text("service") {
            document["name"] = json!(service);
        }
        document["namespace"] = json!("aws");
        for name in ["operation", "request_id", "retries"] {
            if let Some(said) = self.fields.0.get(name) {
                document["aws"][name] = said.clone();
            }
        }
        self.describe_answer(document);
    }

    fn describe_answer(&self, document: &mut Value) {
        let Some(status) = self.fields.0.get("status").and_then(Value::as_u64) else {
            return;
        };
        document["http"]["response"]["status"] = json!(status);
        match status {
            429 => {
                document["throttle"] = json!(true);
                document["error"] = json!(true);
            }
            400..=499 => document["error"] = json!(true),
            500..=599 => document["fault"] = json!(true),
            _ => {}
        }
    }
}

impl<S> Layer<S> for Traces
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(place) = fields.text(HEADER).as_deref().and_then(Place::of) {
            span.extensions_mut().insert(Function(place));
            return;
        }
        if !SPANS.contains(&span.name()) {
            return;
        }
        let Some((place, outermost)) = Self::place(&span) else {
            return;
        };
        let subsegment = Subsegment {
            id: self.new_id(&place),
            place,
            began: self.clock.now(),
            fields,
            failed: false,
        };
        if outermost {
            // So that a function that is stopped in the middle of its work shows what it was at.
            self.send(&subsegment.document(span.name(), None));
        }
        span.extensions_mut().insert(subsegment);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(subsegment) = span.extensions_mut().get_mut::<Subsegment>()
        {
            values.record(&mut subsegment.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR
            && let Some(span) = context.event_span(event)
            && let Some(subsegment) = span.extensions_mut().get_mut::<Subsegment>()
        {
            subsegment.failed = true;
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if let Some(span) = context.span(&id)
            && let Some(subsegment) = span.extensions().get::<Subsegment>()
        {
            let now = self.clock.now();
            self.send(&subsegment.document(span.name(), Some(now)));
        }
    }
}

#[cfg(test)]
mod tests;
