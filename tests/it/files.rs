//! From a file to an alert.

use jiff::SignedDuration;
use shared::clock::Clock;
use shared::domain::AlertKind;
use shared::domain::alert::AlertState;
use shared::store::movements::{Act, Movement};

use crate::flow::Running;

fn config(drop: &std::path::Path) -> String {
    format!(
        r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.milano]
name = "Milano"
kind = "warehouse"
[connectors.generic]
kind = "generic"
[connectors.generic.webhook]
secret = "env:GENERIC"
[connectors.erp]
kind = "files"
url = {drop:?}
stable_for = "0s"
locations = {{ milano = "milano" }}
[channels.room]
kind = "slack"
url = "env:NOT_SET"
[[routes]]
name = "all"
channels = ["room"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 5
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_says_two_again_after_a_receipt_is_two_in_the_ledger_and_an_alert() {
    let drop = tempfile::tempdir().unwrap();
    let running = Running::with(&config(drop.path())).await;
    let store = &running.stack.store;
    let (product, location) = ("OIL".parse().unwrap(), "milano".parse().unwrap());
    let erp = "erp".parse().unwrap();
    let read = async || {
        let text = "sku,location,on_hand\nOIL,milano,2\nGAS,milano,50\n";
        std::fs::write(drop.path().join("stock.csv"), text).unwrap();
        running.stack.sync.start(&erp).await.unwrap();
        running.settle().await;
    };
    read().await;
    let open = running.alerts(AlertState::Open).await;
    assert_eq!((open.len(), open[0].kind), (1, AlertKind::LowStock));

    let receipt = Movement {
        key: "receipt".parse().unwrap(),
        product: "OIL".parse().unwrap(),
        location: "milano".parse().unwrap(),
        act: Act::Receipt { quantity: 10 },
        at: Some(Clock::system().now() - SignedDuration::from_millis(5)),
        reason: None,
        actor: None,
    };
    let installation = running.stack.installations.current().await.unwrap();
    let authority = installation.authority();
    store.carry_out(&receipt, &authority).await.unwrap();
    running.settle().await;
    let stock = || async {
        let position = store.position(&product, &location).await.unwrap();
        position.unwrap().stock(&authority.quantities).unwrap()
    };
    assert_eq!(stock().await.on_hand, 12);
    assert_eq!(running.alerts(AlertState::Open).await.len(), 0);

    read().await;
    assert_eq!(stock().await.on_hand, 2);
    let of = shared::store::keys::position_history(&product, &location);
    let rows = store.history(&of, None, 10).await.unwrap().items;
    let last = rows.last().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&last.before["on_hand"], &last.after["on_hand"]),
        (&12.into(), &2.into())
    );
    assert_eq!(last.source, erp);
    let open = running.alerts(AlertState::Open).await;
    assert_eq!((open.len(), open[0].kind), (1, AlertKind::LowStock));
    assert_eq!(open[0].message.before.unwrap().on_hand, 12);
}
