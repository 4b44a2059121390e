//! Webhooks as the gateway hands them on, up to their answer.
//!
//! The head is a connector's name and the sender's headers; the body is signed here. Who cannot sign
//! is refused, and what is signed is taken or refused with a reason, never with a fault of ours.

use std::sync::{Arc, OnceLock};

use ::ingest::Ingest;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::event::apigw::ApiGatewayV2httpResponse;
use http::{HeaderMap, HeaderValue, Method};
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::Value;
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::signature::standard;

use crate::input::{first_line, headers, split};
use crate::{api, table};

const SECRET: &str = "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";

pub(crate) fn run(bytes: &[u8]) {
    let (head, body) = split(bytes);
    let (connector, lines) = first_line(head);
    let offered = headers(lines);
    let forged = answer(connector, &offered, body);
    api::check(&forged);
    assert!(forged.status_code >= 400, "a forged delivery is taken");

    let genuine = signed(offered, body);
    let taken = answer(connector, &genuine, body);
    api::check(&taken);
    if taken.status_code < 400 {
        let counted = text(&taken);
        let again = answer(connector, &genuine, body);
        assert_eq!(text(&again), counted, "taken otherwise the second time");
        let said: Value = serde_json::from_str(counted).expect("checked");
        // The table knows nothing, so nothing is known to it.
        assert_eq!(
            (&said["known"], &said["duplicate"]),
            (&0.into(), &false.into())
        );
        assert!(said["applied"].is_u64() && said["quarantined"].is_u64());
    }
}

fn text(answer: &ApiGatewayV2httpResponse) -> &str {
    match &answer.body {
        Some(Body::Text(text)) => text,
        _ => "",
    }
}

/// With the sender's own signature in place of whatever stood there.
fn signed(mut headers: HeaderMap, body: &[u8]) -> HeaderMap {
    let keys = standard::secrets(&[SecretString::from(SECRET)]).expect("a key");
    let at = table::now();
    let signature = standard::sign("msg_1", at, body, &keys);
    for (name, value) in [
        (standard::ID, "msg_1"),
        (standard::TIMESTAMP, &at.as_second().to_string()),
        (standard::SIGNATURE, &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
    }
    headers
}

fn answer(connector: &str, headers: &HeaderMap, body: &[u8]) -> ApiGatewayV2httpResponse {
    static INGEST: OnceLock<Ingest> = OnceLock::new();
    let ingest = INGEST.get_or_init(|| {
        let store = table::store();
        let clock = store.clock().clone();
        let secret = |name: &str| (name == "LOTWIRE_ERP_SECRET").then(|| SECRET.to_owned());
        Ingest::new(
            store.clone(),
            Installations::new(store),
            Arc::new(table::secrets(secret)),
            Metrics::to(std::io::sink(), clock),
        )
    });
    let mut request = api::request(&Method::POST, "/webhooks/erp", headers.clone(), body);
    let name = ("connector".to_owned(), connector.to_owned());
    request.path_parameters.extend([name]);
    let deadline = table::now() + SignedDuration::from_secs(30);
    table::wait(ingest.handle(request, deadline))
}
