//! What the functions do to the table, against what their roles in `template.yaml` allow: each one
//! works with a client of its own that looks every call up in its role.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use serde_json::{Value, json};

use crate::deployed::Deployed;

const TEMPLATE: &str = include_str!("../../template.yaml");

/// One thing done to the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deed {
    action: &'static str,
    index: Option<String>,
    /// The partition key, in the index if it is one.
    key: String,
}

/// What a role allows to be done to the table.
struct Grant {
    actions: Vec<String>,
    resources: String,
    /// Patterns of leading keys; empty allows any.
    keys: Vec<String>,
}

impl Grant {
    /// The grants of a role in the template that are about the table.
    fn of(role: &str) -> Vec<Self> {
        let head = TEMPLATE.lines().position(|line| {
            let line = line.trim();
            line == format!("{role}:") || line == format!("\"{role}\":")
        });
        let lines: Vec<_> = TEMPLATE.lines().skip(head.unwrap()).collect();
        let depth = indent(lines[0]);
        let body: Vec<_> = lines[1..]
            .iter()
            .take_while(|line| line.trim().is_empty() || indent(line) > depth)
            .copied()
            .collect();
        let text = body.join("\n");
        let statements = text.split("- Effect: Allow").skip(1);
        let about_table = statements.filter(|it| it.contains("dynamodb:"));
        about_table
            .filter(|statement| !statement.contains("Stream"))
            .map(|statement| Self {
                actions: words(line(statement, "Action: ")),
                resources: line(statement, "Resource: ").to_owned(),
                keys: statement
                    .split("dynamodb:LeadingKeys\": ")
                    .nth(1)
                    .map(|keys| words(keys.split(']').next().unwrap()))
                    .unwrap_or_default(),
            })
            .collect()
    }

    fn allows(&self, deed: &Deed) -> bool {
        let resource = match &deed.index {
            None => "${TableSuffix}\"".to_owned(),
            Some(index) => format!("${{TableSuffix}}/index/{index}\""),
        };
        self.actions.contains(&format!("dynamodb:{}", deed.action))
            && self.resources.contains(&resource)
            && (self.keys.is_empty() || self.pattern(deed).is_some())
    }

    fn pattern(&self, deed: &Deed) -> Option<&String> {
        self.keys
            .iter()
            .find(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => deed.key.starts_with(prefix),
                None => deed.key == **pattern,
            })
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn line<'a>(statement: &'a str, name: &str) -> &'a str {
    let found = statement.split(name).nth(1);
    let found = found.unwrap_or_else(|| panic!("no {name}in\n{statement}"));
    found.lines().next().unwrap()
}

/// The entries of a list in brackets, or the one thing that stands there.
fn words(list: &str) -> Vec<String> {
    let list = list.trim().trim_matches(['[', ']']);
    let words = list.split(", ").map(|word| word.trim_matches(['"', ' ']));
    words.map(str::to_owned).collect()
}

/// Writes down what a function does to the table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deeds(Arc<Mutex<BTreeSet<Deed>>>);

impl Deeds {
    /// A client that writes down what it is used for.
    pub(crate) fn noted_by(&self, client: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
        let config = client.config().to_builder().interceptor(self.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// What this role does not allow though it is done, and what it allows though nobody does it.
    fn faults(&self, role: &str) -> Vec<String> {
        let grants = Grant::of(role);
        let deeds = self.0.lock().unwrap();
        let mut faults = Vec::new();
        for deed in deeds.iter() {
            if !grants.iter().any(|grant| grant.allows(deed)) {
                faults.push(format!("{role} does not allow {deed:?}"));
            }
        }
        for grant in &grants {
            let done = || deeds.iter().filter(|deed| grant.allows(deed));
            let used: BTreeSet<_> = done().filter_map(|deed| grant.pattern(deed)).collect();
            let keys = grant.keys.iter().filter(|key| !used.contains(key));
            faults.extend(keys.map(|key| format!("{role} allows {key} for nothing")));
            let actions = grant.actions.iter().filter(|action| {
                let name = action.trim_start_matches("dynamodb:");
                !done().any(|deed| deed.action == name)
            });
            faults.extend(actions.map(|action| format!("{role} allows {action} for nothing")));
        }
        faults
    }

    fn add(&self, action: &'static str, index: Option<&str>, key: Option<&AttributeValue>) {
        let deed = Deed {
            action,
            index: index.map(str::to_owned),
            key: key.and_then(|key| key.as_s().ok()).unwrap().clone(),
        };
        self.0.lock().unwrap().insert(deed);
    }

    fn add_part(&self, part: &TransactWriteItem) {
        if let Some(put) = part.put() {
            self.add("PutItem", None, put.item().get("pk"));
        } else if let Some(delete) = part.delete() {
            self.add("DeleteItem", None, delete.key().get("pk"));
        } else if let Some(check) = part.condition_check() {
            self.add("ConditionCheckItem", None, check.key().get("pk"));
        } else {
            panic!("no role allows {part:?}");
        }
    }
}

impl Intercept for Deeds {
    fn name(&self) -> &'static str {
        "deeds"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_dynamodb::error::BoxError> {
        let input = context.input();
        if let Some(get) = input.downcast_ref::<GetItemInput>() {
            self.add("GetItem", None, get.key().and_then(|key| key.get("pk")));
        } else if let Some(put) = input.downcast_ref::<PutItemInput>() {
            self.add("PutItem", None, put.item().and_then(|item| item.get("pk")));
        } else if let Some(delete) = input.downcast_ref::<DeleteItemInput>() {
            self.add(
                "DeleteItem",
                None,
                delete.key().and_then(|key| key.get("pk")),
            );
        } else if let Some(query) = input.downcast_ref::<QueryInput>() {
            let partition = query.key_condition_expression().unwrap();
            let name = partition.split(" = ").nth(1).unwrap().split(' ').next();
            let values = query.expression_attribute_values();
            let key = values.and_then(|values| values.get(name.unwrap()));
            self.add("Query", query.index_name(), key);
        } else if let Some(transaction) = input.downcast_ref::<TransactWriteItemsInput>() {
            for part in transaction.transact_items() {
                self.add_part(part);
            }
        } else {
            panic!("no role allows {input:?}");
        }
        Ok(())
    }
}

const DOCUMENT: &str = r#"
[account]
name = "Test"
zone = "Europe/Rome"
currency = "EUR"
[locations.north]
name = "North"
kind = "warehouse"
[locations.south]
name = "South"
kind = "rooftop"
[connectors.till]
kind = "generic"
[connectors.till.webhook]
secret = "env:TILL"
[connectors.erp]
kind = "files"
url = "FOLDER"
glob = "*.csv"
stable_for = "1s"
locations = { north = "north", south = "south" }
stale_after = "16m"
grace = 1
max_removals = { count = 1, percent = 10 }
[channels.out]
kind = "webhook"
url = "https://people.example.com/"
secret = "env:OUT"
[channels.digest]
kind = "webhook"
url = "https://people.example.com/digest"
secret = "env:OUT"
[[routes]]
name = "all"
channels = ["out"]
[[routes]]
name = "gathered"
channels = ["digest"]
group_by = ["kind"]
group_wait = "30s"
group_interval = "1m"
repeat_interval = "30m"
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
[[rules]]
name = "gone"
kind = "out_of_stock"
[[rules]]
name = "summer"
kind = "low_stock"
category = "oil"
threshold = 9
seasons = [{ from = 2026-01-16, until = 2026-02-01, units = 12 }]
"#;

fn document(site: &Deployed) -> String {
    DOCUMENT.replace("FOLDER", &site.drop_folder().display().to_string())
}

/// A file with a vehicle that is somebody else's, too, a row that is of no use, and these.
fn file(site: &Deployed, name: &str, rows: std::ops::Range<usize>) {
    let rows: String = rows.map(|n| format!("SKU-{n},,south,{n},\n")).collect();
    let text = format!(
        "sku,vin,location,on_hand,state\n,SCBCG2ZG0RC012345,north,,in_stock\nBAD,,south,many,\n{rows}"
    );
    std::fs::write(site.drop_folder().join(name), text).unwrap();
}

/// Everything that can come in by a webhook.
fn news(n: i64) -> Vec<(&'static str, Value)> {
    let sku = format!("OIL-{n}");
    vec![
        (
            "product.described",
            json!({ "sku": sku, "title": "Oil", "category": "oil", "external": { "item": "7" } }),
        ),
        (
            "stock.level",
            json!({ "sku": sku, "location": "north", "on_hand": 10 }),
        ),
        (
            "stock.level",
            json!({ "sku": sku, "location": "north", "on_hand": 2 }),
        ),
        (
            "stock.sold",
            json!({ "sku": sku, "location": "north", "quantity": 1 }),
        ),
        (
            "stock.level",
            json!({ "sku": sku, "location": "mars", "on_hand": 1 }),
        ),
        (
            "unit.updated",
            json!({
                "vin": "SCBCG2ZG0RC012345", "state": "in_stock", "location": "south",
                "make": "Bentley", "model": format!("Continental {n}"),
            }),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_function_may_do_what_it_does_and_nothing_else() {
    let site = Deployed::new();
    let first = document(&site);
    site.ask("PUT", "/api/v1/config", Some(&first)).await;

    // Nobody notifies yet, so intents fall due; nothing was read yet, so the source is stale.
    let carried = site.stream_and_runs();
    for (kind, data) in news(1) {
        site.hook(kind, data).await;
    }
    carried.idle().await;
    site.tick_after(3).await;
    site.tick_after(20).await;
    carried.idle().await;
    let notifying = site.notifier();
    notifying.idle().await;

    // The source is read: whole, then with more missing than it may take away.
    for (name, rows) in [("1.csv", 0..40), ("2.csv", 0..39), ("3.csv", 0..30)] {
        file(&site, name, rows);
        for _ in 0..2 {
            site.read_everything().await;
            carried.idle().await;
        }
    }
    carried.stop().await;
    notifying.idle().await;
    notifying.stop().await;

    // What a webhook's own function left undone, the clock does.
    for (kind, data) in news(2) {
        site.hook_cut_short(kind, data).await;
    }
    site.tick_after(3).await;
    // And at midnight a season begins.
    site.tick_after(60 * 15).await;

    // What people do.
    for (method, target) in [
        ("GET", "/api/v1/positions?product=SKU-1"),
        ("GET", "/api/v1/alerts"),
        ("GET", "/api/v1/doctor"),
        ("POST", "/api/v1/sync/erp"),
    ] {
        site.ask(method, target, None).await;
    }
    // A count that confirms what a source states, and one of what nobody does.
    let known = site
        .ask("GET", "/api/v1/positions?product=OIL-2", None)
        .await;
    let known = &known["items"][0]["on_hand"];
    for (product, quantity) in [("OIL-2", known), ("NEW", &json!(4))] {
        let count = json!({
            "type": "count", "product": product, "location": "north", "quantity": quantity,
        });
        site.ask("POST", "/api/v1/movements", Some(&count.to_string()))
            .await;
    }
    for rule in ["NEW,north,3", "NEW,north,none"] {
        let rows = format!("product,location,threshold\n{rule}\n");
        site.ask("POST", "/api/v1/imports", Some(&rows)).await;
    }

    let roles = [
        ("IngestRole", &site.ingest),
        ("ApiRole", &site.api),
        ("SyncRole", &site.sync),
        ("EvaluateRole", &site.evaluate),
        ("ClockRole", &site.clock),
        ("Notify${Channel}Role", &site.notify),
    ];
    let faults = roles
        .iter()
        .flat_map(|(role, access)| access.deeds.faults(role));
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
