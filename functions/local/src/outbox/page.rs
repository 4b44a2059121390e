//! The outbox as a page for people and as JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use shared::render::words::html_escaped;

use super::{Outbox, OutboxEntry, Whose};

/// How many entries the page shows; the JSON has all of them.
const SHOWN: usize = 200;

/// Nothing on the page may come from, or go, anywhere else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes(outbox: Outbox) -> axum::Router {
    let script = include_str!("page.js");
    let style = include_str!("page.css");
    axum::Router::new()
        .route("/outbox", get(show))
        .route("/outbox.json", get(list))
        .route(
            "/outbox.js",
            get(move || async move { text("text/javascript; charset=utf-8", script) }),
        )
        .route(
            "/outbox.css",
            get(move || async move { text("text/css; charset=utf-8", style) }),
        )
        .with_state(outbox)
}

async fn list(State(outbox): State<Outbox>) -> Response {
    match serde_json::to_string(&outbox.entries()) {
        Ok(entries) => text("application/json", entries),
        Err(error) => {
            tracing::error!(%error, "the outbox cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn show(State(outbox): State<Outbox>) -> Response {
    text("text/html; charset=utf-8", page(&outbox.entries()))
}

fn text(content_type: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

fn page(entries: &[OutboxEntry]) -> String {
    let mut list = String::new();
    for entry in entries.iter().take(SHOWN) {
        list.push_str(&article(entry));
    }
    if list.is_empty() {
        list.push_str(
            "<p class=empty>Nothing yet. The first alert will show here as the exact request \
             its channel receives.</p>",
        );
    }
    let not_live = match not_live(entries) {
        none if none.is_empty() => String::new(),
        names => format!("<p class=held><b>Not live</b>, so nothing is sent there: {names}.</p>"),
    };
    let count = match entries.len() {
        1 => "1 request".to_owned(),
        more => format!("{more} requests"),
    };
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width, initial-scale=1\">\n\
         <title>Outbox · Lotwire</title>\n<link rel=stylesheet href=/outbox.css>\n\
         <script src=/outbox.js defer></script>\n\
         <header><h1>Outbox</h1><p><span id=count>{count}</span>, newest first. Where a \
         channel's credentials are not set, nothing leaves: its entry is marked \
         <b>not sent: env:A is not set</b>. Secrets show as <code>****</code>. \
         <a href=/outbox.json>JSON</a></p></header>\n\
         <main id=entries aria-live=polite>\n{not_live}{list}</main>\n</html>\n"
    )
}

/// The channels and systems whose last request could not be sent, and why.
fn not_live(entries: &[OutboxEntry]) -> String {
    let mut seen = BTreeMap::new();
    for entry in entries {
        let last = seen.entry(entry.whose.name());
        last.or_insert(entry.missing.as_deref());
    }
    let held: Vec<_> = seen
        .into_iter()
        .filter_map(|(name, missing)| Some((name, missing?)))
        .map(|(name, missing)| format!("{} ({})", html_escaped(name), html_escaped(missing)))
        .collect();
    held.join(", ")
}

fn article(entry: &OutboxEntry) -> String {
    let party = match &entry.whose {
        Whose::Channel(_) => "channel",
        Whose::System(_) => "system",
    };
    let (fate, words) = match (entry.sent, entry.status) {
        (false, _) if entry.missing.is_some() => {
            let missing = entry.missing.as_deref().unwrap_or_default();
            ("held", format!("not sent: {missing}"))
        }
        (false, Some(_)) => ("held", "not sent".to_owned()),
        (false, None) => ("failed", "not reached".to_owned()),
        (true, None) => ("failed", "sent, no answer".to_owned()),
        (true, Some(status)) => match status {
            200..=299 => ("sent", format!("sent, {status}")),
            _ => ("failed", format!("sent, {status}")),
        },
    };
    let request = &entry.request;
    let headers = request.headers.iter().fold(String::new(), |mut all, pair| {
        let (name, value) = (html_escaped(&pair.0), html_escaped(&pair.1));
        // Writing to a string cannot fail.
        write!(all, "<tr><th scope=row>{name}<td>{value}").unwrap_or_default();
        all
    });
    format!(
        "<article class={fate}><h2><span class=who>{who}</span> <span class=kind>{party} · {kind}</span> \
         <span class=fate>{words}</span> <time datetime=\"{at}\">{at}</time></h2>\
         <p class=line><b>{method}</b> {url}</p>\
         <details><summary>{count} headers</summary><table>{headers}</table></details>\
         <pre>{body}</pre></article>\n",
        words = html_escaped(&words),
        who = html_escaped(entry.whose.name()),
        kind = html_escaped(&entry.kind),
        at = entry.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        method = html_escaped(&request.method),
        url = html_escaped(&request.url),
        count = request.headers.len(),
        body = html_escaped(&readable(request)),
    )
}

/// The body laid out for reading: JSON indented, a form one field a line, anything else as it is.
fn readable(request: &shared::http::MaskedRequest) -> String {
    let form = request.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type")
            && value.starts_with("application/x-www-form-urlencoded")
    });
    if form {
        let fields = url::form_urlencoded::parse(request.body.as_bytes());
        let lines: Vec<_> = fields
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        return lines.join("\n");
    }
    serde_json::from_str::<serde_json::Value>(&request.body)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| request.body.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::http::MaskedRequest;

    fn request(content_type: &str, body: &str) -> MaskedRequest {
        MaskedRequest {
            method: "POST".into(),
            url: "https://vendor.example.com/?a=1&b=2".into(),
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
        }
    }

    fn entry(request: MaskedRequest) -> OutboxEntry {
        OutboxEntry {
            whose: Whose::Channel("ops".parse().unwrap()),
            kind: "slack".into(),
            request,
            at: "2026-01-15T09:30:00Z".parse().unwrap(),
            sent: false,
            missing: Some("env:TOKEN is not set".into()),
            status: Some(200),
        }
    }

    #[test]
    fn what_a_message_says_is_never_markup() {
        let evil = "</pre><script>alert(\"1\")</script><img src=x onerror='alert(2)'>";
        let page = page(&[entry(request("text/plain", evil))]);
        assert!(!page.contains("alert(\"1\")") && !page.contains("<img"));
        assert!(page.contains("&lt;/pre&gt;&lt;script&gt;alert(&quot;1&quot;)"));
        assert!(page.contains("so nothing is sent there: ops (env:TOKEN is not set)."));
        // The page's own script element, and no other.
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("?a=1&amp;b=2"));
    }

    #[test]
    fn bodies_are_laid_out_for_reading() {
        let json = request("application/json", r#"{"text":"2 left","n":[1]}"#);
        let laid_out = readable(&json);
        assert!(laid_out.contains("{\n  ") && laid_out.contains("\"text\": \"2 left\""));
        let form = request(
            "application/x-www-form-urlencoded",
            "To=%2B39+333&Body=2+left",
        );
        assert_eq!(readable(&form), "To = +39 333\nBody = 2 left");
        assert_eq!(readable(&request("text/plain", "{no json")), "{no json");
    }

    #[test]
    fn the_fate_of_a_request_is_in_words() {
        let fate = |sent, status| {
            article(&OutboxEntry {
                sent,
                status,
                missing: (!sent && status.is_some()).then(|| "env:A is not set".into()),
                ..entry(request("text/plain", ""))
            })
        };
        assert!(fate(false, Some(200)).contains(">not sent: env:A is not set<"));
        assert!(fate(false, None).contains(">not reached<"));
        assert!(fate(true, Some(429)).contains(">sent, 429<"));
        assert!(fate(true, None).contains(">sent, no answer<"));
    }

    #[test]
    fn an_empty_outbox_says_so() {
        assert!(page(&[]).contains("Nothing yet."));
    }
}
