//! Messages on queues: the events that carry them, and their bodies.
//!
//! A body that names nothing we know goes back to its queue, and at last to where people look.

use std::sync::{Arc, OnceLock};

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use jiff::SignedDuration;
use notify::Notifier;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::bus::IntentRef;
use shared::delivery::Deliverer;
use shared::delivery::outgoing::Wire;
use shared::installation::Installations;
use shared::metrics::Metrics;
use shared::run_queue::Job;

use crate::table::{self, Nobody};

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<SqsEvent>(bytes) {
        let asked = event.records.len();
        assert_eq!(handed_back(event), asked, "a message got lost");
    }
    let Ok(body) = std::str::from_utf8(bytes) else {
        return;
    };
    same_when_read_again::<IntentRef>(body);
    same_when_read_again::<Job>(body);
    let mut message = SqsMessage::default();
    message.message_id = Some("1".to_owned());
    message.body = Some(body.to_owned());
    let mut event = SqsEvent::default();
    event.records = vec![message];
    assert_eq!(handed_back(event), 1, "a message got lost");
}

fn same_when_read_again<T>(text: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(read) = serde_json::from_str::<T>(text) else {
        return;
    };
    let written = serde_json::to_string(&read).expect("a message serializes");
    assert_eq!(serde_json::from_str::<T>(&written).ok(), Some(read));
}

/// How many messages of an event a notifier gives back. It knows no intent, so: all of them.
fn handed_back(event: SqsEvent) -> usize {
    static NOTIFIER: OnceLock<Notifier> = OnceLock::new();
    let notifier = NOTIFIER.get_or_init(notifier);
    let deadline = table::now() + SignedDuration::from_mins(15);
    let response = table::wait(notifier.handle(event, deadline));
    response.batch_item_failures.len()
}

fn notifier() -> Notifier {
    let store = table::store();
    let clock = store.clock().clone();
    let deliverer = Deliverer::new(
        store.clone(),
        Installations::new(store),
        Arc::new(table::secrets(|_| None)),
        Arc::new(Wire(Arc::new(Nobody))),
        Metrics::to(std::io::sink(), clock.clone()),
        std::time::Duration::from_secs(8),
    );
    let queue = "https://sqs.eu-west-1.amazonaws.com/111122223333/notify";
    Notifier::new(
        deliverer,
        clock,
        table::sqs(),
        queue.parse().expect("an address"),
    )
}
