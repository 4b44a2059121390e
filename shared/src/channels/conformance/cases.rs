//! What the conformance tests need to know of each channel: how it is set up, and the few things in
//! which vendors differ. A new channel adds its arm here and is then held to the same rules.

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::spec;
use crate::channels::{Channel, ChannelKind, ChannelSettings};
use crate::http::{Reply, Request};
use crate::secrets::SecretRef;

/// One way of setting up one kind of channel.
pub(super) struct Case {
    pub(super) kind: ChannelKind,
    pub(super) name: &'static str,
    /// In TOML; `{base}` stands for the vendor's address.
    settings: &'static str,
    /// The vendor's own address, for the golden requests.
    pub(super) home: &'static str,
    /// Whether the vendor gives an id for what it took.
    pub(super) receipted: bool,
    /// Replies that look like something else than they are, and the outcome's name.
    pub(super) disguised: Vec<(Reply, &'static str)>,
    /// What the vendor's description and limits have against a request.
    pub(super) faults: fn(&Request) -> Vec<String>,
    /// Where the idempotency key stands, if the vendor has a place for it.
    pub(super) key: Option<fn(&Request) -> String>,
}

impl Case {
    pub(super) fn table(&self, base: &str) -> toml::Table {
        self.settings.replace("{base}", base).parse().unwrap()
    }

    pub(super) fn settings(&self, base: &str) -> ChannelSettings {
        self.kind.settings(self.table(base)).unwrap()
    }

    pub(super) fn channel(&self, base: &str) -> Box<dyn Channel> {
        let secret = |reference: &SecretRef| secret(reference, base);
        self.settings(base).build(secret).unwrap()
    }
}

/// A dummy value for each reference that a case names.
pub(super) fn secret(reference: &SecretRef, base: &str) -> SecretString {
    SecretString::from(match reference.to_string().as_str() {
        "env:SLACK_URL" => format!("{base}/services/T00000000/B00000000/hunter2hunter2hunter2"),
        "env:NEW_SECRET" => "whsec_AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=".into(),
        "env:OLD_SECRET" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into(),
        other => format!("hunter2-{other}"),
    })
}

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply::new(http::StatusCode::from_u16(status).unwrap(), body.into())
}

/// A form or JSON body as JSON.
pub(super) fn body(request: &Request) -> Value {
    match request.headers[CONTENT_TYPE].to_str().unwrap() {
        "application/x-www-form-urlencoded" => {
            let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(&request.body).collect();
            json!(pairs)
        }
        _ => serde_json::from_slice(&request.body).unwrap(),
    }
}

/// Every way of setting up this kind of channel.
pub(super) fn cases(kind: ChannelKind) -> Vec<Case> {
    match kind {
        ChannelKind::Slack => slack(),
        ChannelKind::TwilioSms => twilio_sms(),
        ChannelKind::SendGrid => sendgrid(),
        ChannelKind::Webhook => webhook(),
    }
}

fn slack() -> Vec<Case> {
    let api_error = |name: &str| reply(200, json!({"ok": false, "error": name}).to_string());
    let api = vec![
        (api_error("channel_not_found"), "rejected"),
        (api_error("invalid_blocks"), "rejected"),
        (api_error("a_name_of_the_future"), "rejected"),
        (api_error("invalid_auth"), "denied"),
        (api_error("missing_scope"), "denied"),
        (api_error("ratelimited"), "retry"),
        (api_error("rate_limited"), "retry"),
        (api_error("team_added_to_org"), "retry"),
        (api_error("fatal_error"), "unknown"),
        (reply(200, "<html>please log in</html>"), "unknown"),
        (reply(200, "{\"ok\":true}"), "unknown"),
        (reply(200, ""), "unknown"),
    ];
    let webhook = vec![
        (reply(400, "invalid_token"), "denied"),
        (reply(403, "invalid_token"), "denied"),
        (reply(403, "action_prohibited"), "denied"),
        (reply(404, "no_service"), "rejected"),
        (reply(410, "channel_is_archived"), "rejected"),
        (reply(400, "invalid_payload"), "rejected"),
        (reply(200, "<html>please log in</html>"), "unknown"),
        (reply(500, "rollup_error"), "unknown"),
    ];
    vec![
        Case {
            kind: ChannelKind::Slack,
            name: "slack_api",
            settings: "token = 'env:SLACK_TOKEN'\nchannel = 'C0123456789'\nbase_url = '{base}'",
            home: "https://slack.com/api",
            receipted: true,
            disguised: api,
            faults: |request| slack_faults(request, "ChatPostMessageArguments"),
            key: None,
        },
        Case {
            kind: ChannelKind::Slack,
            name: "slack_webhook",
            settings: "url = 'env:SLACK_URL'",
            home: "https://hooks.slack.com",
            receipted: false,
            disguised: webhook,
            faults: |request| slack_faults(request, "IncomingWebhookSend"),
            key: None,
        },
    ]
}

fn slack_faults(request: &Request, schema: &str) -> Vec<String> {
    let description = fixture(include_str!(
        "../../../../tests/fixtures/slack/request.json"
    ));
    let body = body(request);
    let mut found = spec::faults(&description, schema, &body);
    let mut total = 0;
    let mut text = |at: &str, text: &Value, most: usize| {
        let text = text["text"].as_str().unwrap();
        total += text.encode_utf16().count();
        if !(1..=most).contains(&text.encode_utf16().count()) {
            found.push(format!("{at}: size"));
        }
        // Only the three escapes may stand where Slack reads control characters.
        let plain = text
            .replace("&amp;", "")
            .replace("&lt;", "")
            .replace("&gt;", "");
        if plain.contains(['&', '<', '>']) {
            found.push(format!("{at}: not escaped"));
        }
    };
    let blocks = body["blocks"].as_array().unwrap();
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => text("header", &block["text"], 150),
            "section" => {
                if block.get("text").is_some() {
                    text("section", &block["text"], 3000);
                }
                let fields = block["fields"].as_array().cloned().unwrap_or_default();
                assert!(fields.len() <= 10, "fields");
                fields.iter().for_each(|field| text("field", field, 2000));
            }
            "context" => block["elements"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|e| text("context", e, 2000)),
            "actions" => {
                let button = &block["elements"][0];
                text("button", &button["text"], 75);
                assert!(button["url"].as_str().unwrap().len() <= 3000);
            }
            other => panic!("block {other}"),
        }
    }
    if blocks.len() > 50 || total > 10_000 {
        found.push(format!("{} blocks, {total} characters", blocks.len()));
    }
    found
}

fn twilio_sms() -> Vec<Case> {
    let error = |status: u16, code: u32| {
        reply(
            status,
            json!({"code": code, "status": status, "message": "to +393331234567"}).to_string(),
        )
    };
    let disguised = || {
        vec![
            (error(400, 21211), "rejected"),
            (error(400, 21610), "rejected"),
            (error(400, 21611), "retry"),
            (error(429, 20429), "retry"),
            (error(401, 20003), "denied"),
            (
                reply(201, json!({"sid": "SM1", "status": "failed"}).to_string()),
                "rejected",
            ),
            (reply(200, "<html>please log in</html>"), "unknown"),
        ]
    };
    let faults = |request: &Request| {
        let description = fixture(include_str!(
            "../../../../tests/fixtures/twilio-sms/request.json"
        ));
        let body = body(request);
        let mut found = spec::faults(&description, "CreateMessageRequest", &body);
        let text = body["Body"].as_str().unwrap();
        let parts = crate::render::gsm7::segments(text);
        if parts > 2 || text.chars().count() > 1600 {
            found.push(format!("{parts} parts"));
        }
        found
    };
    vec![
        Case {
            kind: ChannelKind::TwilioSms,
            name: "twilio_sms_token",
            settings: "account_sid = 'AC00000000000000000000000000000001'\nauth_token = 'env:TWILIO_TOKEN'\nto = '+393331234567'\nfrom = '+15005550006'\nstatus_callback = 'https://stock.example.com/hooks/twilio'\nbase_url = '{base}'",
            home: "https://api.twilio.com",
            receipted: true,
            disguised: disguised(),
            faults,
            key: None,
        },
        Case {
            kind: ChannelKind::TwilioSms,
            name: "twilio_sms_key",
            settings: "account_sid = 'AC00000000000000000000000000000001'\napi_key_sid = 'SK00000000000000000000000000000002'\napi_key_secret = 'env:TWILIO_KEY'\nto = '+393331234567'\nmessaging_service_sid = 'MG00000000000000000000000000000003'\nbase_url = '{base}'",
            home: "https://api.twilio.com",
            receipted: true,
            disguised: disguised(),
            faults,
            key: None,
        },
    ]
}

fn sendgrid() -> Vec<Case> {
    let disguised = || {
        let errors = json!({"errors": [{"field": "personalizations.0.to", "message": "bad"}]});
        vec![
            (reply(200, ""), "rejected"),
            (reply(200, "<html>please log in</html>"), "unknown"),
            (reply(204, ""), "unknown"),
            (reply(400, errors.to_string()), "rejected"),
            (reply(413, ""), "rejected"),
            (reply(401, "{\"errors\":null}"), "denied"),
        ]
    };
    let faults = |request: &Request| {
        let description = fixture(include_str!(
            "../../../../tests/fixtures/sendgrid/request.json"
        ));
        let mut found = spec::faults(&description, "MailSend", &body(request));
        if request.body.len() > 1024 * 1024 {
            found.push(format!("{} bytes", request.body.len()));
        }
        found
    };
    let key: fn(&Request) -> String = |request| {
        let body = body(request);
        body["personalizations"][0]["custom_args"]["lotwire_key"]
            .as_str()
            .unwrap()
            .into()
    };
    vec![
        Case {
            kind: ChannelKind::SendGrid,
            name: "sendgrid_template",
            settings: "api_key = 'env:SENDGRID_KEY'\nfrom = 'alerts@example.com'\nfrom_name = 'Stock alerts'\nto = ['parts@example.com', 'sales@example.com']\ntemplate_id = 'd-0123456789abcdef0123456789abcdef'\nbase_url = '{base}'",
            home: "https://api.eu.sendgrid.com",
            receipted: true,
            disguised: disguised(),
            faults,
            key: Some(key),
        },
        Case {
            kind: ChannelKind::SendGrid,
            name: "sendgrid_content",
            settings: "api_key = 'env:SENDGRID_KEY'\nfrom = 'alerts@example.com'\nto = ['parts@example.com']\nreply_to = 'desk@example.com'\nbase_url = '{base}'",
            home: "https://api.sendgrid.com",
            receipted: true,
            disguised: disguised(),
            faults,
            key: Some(key),
        },
    ]
}

fn webhook() -> Vec<Case> {
    vec![Case {
        kind: ChannelKind::Webhook,
        name: "webhook",
        settings: "url = '{base}/stock-events'\nsecret = 'env:NEW_SECRET'\nprevious_secret = 'env:OLD_SECRET'",
        home: "https://customer.example.net",
        receipted: false,
        disguised: vec![
            (reply(410, ""), "rejected"),
            (reply(302, ""), "retry"),
            (reply(404, ""), "retry"),
            (reply(400, ""), "retry"),
            (reply(200, "anything"), "delivered"),
        ],
        faults: |request| {
            let description = fixture(include_str!(
                "../../../../tests/fixtures/standard-webhooks/request.json"
            ));
            let mut found = spec::faults(&description, "Event", &body(request));
            if request.body.len() >= 20 * 1024 {
                found.push(format!("{} bytes", request.body.len()));
            }
            if request.headers["webhook-id"]
                .to_str()
                .unwrap()
                .contains('.')
            {
                found.push("a full stop in the id".into());
            }
            found
        },
        key: Some(|request| request.headers["webhook-id"].to_str().unwrap().into()),
    }]
}
