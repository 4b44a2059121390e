//! What the functions do, against what their roles in `template.yaml` allow: each one works with a
//! client of its own that writes down what it does to the table, and needs what it is given besides.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemInput;
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::SignedDuration;
use lotwire::engine::Pump;
use serde_json::{Value, json};

use crate::cloudformation::Stack;
use crate::deployed::Deployed;
use crate::in_trouble;

/// One thing done to the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deed {
    action: &'static str,
    index: Option<String>,
    /// The partition key, in the index if it is one.
    key: String,
}

/// What a role allows.
struct Grant {
    actions: Vec<String>,
    resources: Vec<Value>,
    condition: Value,
}

impl Grant {
    /// All grants of a role: its own and those of the policies it refers to.
    fn of(stack: &Stack, role: &str) -> Vec<Self> {
        let role = stack.typed(role, "AWS::IAM::Role");
        let own = many(&role["Policies"]).into_iter();
        let own = own.map(|policy| policy["PolicyDocument"].clone());
        let shared = many(&role["ManagedPolicyArns"]).into_iter();
        let shared = shared.map(|arn| {
            let name = arn["Ref"].as_str().unwrap_or_default();
            stack.typed(name, "AWS::IAM::ManagedPolicy")["PolicyDocument"].clone()
        });
        let documents = own.chain(shared);
        let statements = documents.flat_map(|document| many(&document["Statement"]));
        let allowing = statements.filter(|statement| statement["Effect"] == "Allow");
        let read = allowing.map(|statement| Self {
            actions: texts(&statement["Action"]),
            resources: many(&statement["Resource"]),
            condition: statement["Condition"].clone(),
        });
        read.collect()
    }

    /// Whether it is about the table, and not its stream.
    fn is_about_the_table(&self) -> bool {
        self.resources
            .iter()
            .any(|it| it.to_string().contains("${Table.Arn}"))
    }

    /// Patterns of leading keys; none allows any.
    fn keys(&self) -> Vec<String> {
        texts(&self.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
    }

    /// Whether it allows that items are deleted whose keys begin so. A batch of writes may delete, too.
    fn may_delete_from(&self, keys: &str) -> bool {
        let deleting = ["dynamodb:DeleteItem", "dynamodb:BatchWriteItem"];
        let may = |action: &String| action.contains('*') || deleting.contains(&action.as_str());
        let patterns = self.keys();
        let reached = |pattern: &String| {
            let prefix = pattern.trim_end_matches('*');
            keys.starts_with(prefix) || prefix.starts_with(keys)
        };
        self.actions.iter().any(may) && (patterns.is_empty() || patterns.iter().any(reached))
    }

    fn allows(&self, deed: &Deed) -> bool {
        let path = match &deed.index {
            None => String::new(),
            Some(index) => format!("/index/{index}"),
        };
        let resource = json!({ "Fn::Sub": format!("${{Table.Arn}}{path}") });
        self.actions.contains(&format!("dynamodb:{}", deed.action))
            && self.resources.contains(&resource)
            && (self.condition.is_null() || self.pattern(deed).is_some())
    }

    fn pattern(&self, deed: &Deed) -> Option<String> {
        let mut patterns = self.keys().into_iter();
        patterns.find(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => deed.key.starts_with(prefix),
            None => deed.key == *pattern,
        })
    }
}

/// The items of a list, or the one thing that stands in its place.
fn many(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = many(value).into_iter();
    items
        .map(|item| {
            item.as_str()
                .map_or_else(|| item.to_string(), str::to_owned)
        })
        .collect()
}

/// Whose secrets a function asks for, under the parameter `SecretsPath`.
fn secrets(function: &str, variables: &Value) -> Option<String> {
    match function {
        "Ingest" | "Api" | "Sync" | "Clock" => Some("connectors".to_owned()),
        "Evaluate" => None,
        _ => Some(format!("channels/{}", variables["CHANNEL"].as_str()?)),
    }
}

/// What Lambda does for a function in a network of one's own, with the function's role.
const IN_A_NETWORK: [&str; 6] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

/// What a function needs besides the table, as action and resource: by its environment, its log, its
/// event-source mappings and its secrets.
fn needed(stack: &Stack, name: &str) -> BTreeSet<(String, String)> {
    let function = stack.properties(name);
    let variables = &function["Environment"]["Variables"];
    let mut needed = BTreeSet::new();
    let mut need = |actions: &[&str], resource: &Value| {
        for action in actions {
            needed.insert(((*action).to_owned(), resource.to_string()));
        }
    };
    let arn = |reference: &Value| json!({ "Fn::GetAtt": [reference["Ref"], "Arn"] });
    let log = &function["LoggingConfig"]["LogGroup"];
    need(&["logs:CreateLogStream", "logs:PutLogEvents"], &arn(log));
    if function["Tracing"] == "Active" {
        need(
            &["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            &json!("*"),
        );
    }
    if !function["VpcConfig"].is_null() {
        need(&IN_A_NETWORK, &json!("*"));
    }
    for (variable, value) in variables.as_object().into_iter().flatten() {
        match variable.as_str() {
            "TOPIC_ARN" => need(&["sns:Publish"], value),
            "QUEUE_URL" | "SYNC_QUEUE_URL" => need(&["sqs:SendMessage"], &arn(value)),
            _ => {}
        }
    }
    for (_, mapping) in stack.of_type("AWS::Lambda::EventSourceMapping") {
        if mapping["FunctionName"]["Ref"] != name {
            continue;
        }
        let queue = &mapping["Queue"];
        if queue.is_null() {
            let read = ["DescribeStream", "GetRecords", "GetShardIterator"];
            let read = read.map(|action| format!("dynamodb:{action}"));
            need(&read.each_ref().map(String::as_str), &mapping["Stream"]);
            // A stream's name is no part of that question.
            need(&["dynamodb:ListStreams"], &json!("*"));
            need(
                &["sqs:SendMessage"],
                &mapping["DestinationConfig"]["OnFailure"]["Destination"],
            );
        } else {
            let read = [
                "ReceiveMessage",
                "DeleteMessage",
                "ChangeMessageVisibility",
                "GetQueueAttributes",
            ];
            let read = read.map(|action| format!("sqs:{action}"));
            need(&read.each_ref().map(String::as_str), queue);
        }
    }
    let place = |service: &str, resource: &str| {
        let prefix = format!(
            "arn:${{AWS::Partition}}:{service}:{}:",
            crate::cloudformation::REGION
        );
        json!({ "Fn::Sub": format!("{prefix}${{AWS::AccountId}}:{resource}") })
    };
    if let Some(whose) = secrets(name, variables) {
        need(
            &["ssm:GetParameter"],
            &place("ssm", &format!("parameter/lotwire/{whose}/*")),
        );
        let secret = place("secretsmanager", &format!("secret:lotwire/{whose}/*"));
        need(&["secretsmanager:GetSecretValue"], &secret);
    }
    if name == "Api" {
        for token in ["api-token", "api-token-previous"] {
            let parameter = place("ssm", &format!("parameter/lotwire/{token}"));
            need(&["ssm:GetParameter"], &parameter);
        }
    }
    needed
}

/// What is done to the table without changing it.
const READS: [&str; 3] = [
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
];

/// What is wrong with the roles, apart from what is done to the table.
pub(crate) fn faults(stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let assumed = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "lambda.amazonaws.com" },
            "Action": "sts:AssumeRole",
        }],
    });
    for (name, function) in stack.of_type("AWS::Lambda::Function") {
        let role = format!("{name}Role");
        let grants = Grant::of(stack, &role);
        let others = grants.iter().filter(|grant| !grant.is_about_the_table());
        let allowed: BTreeSet<_> = others
            .flat_map(|grant| {
                let of = |action: &String| {
                    let resources = grant.resources.iter();
                    resources
                        .map(|resource| (action.clone(), resource.to_string()))
                        .collect::<Vec<_>>()
                };
                grant.actions.iter().flat_map(of).collect::<Vec<_>>()
            })
            .collect();
        let needed = needed(stack, name);
        faults.extend(
            needed
                .difference(&allowed)
                .map(|it| format!("{role} does not allow {it:?}")),
        );
        faults.extend(
            allowed
                .difference(&needed)
                .map(|it| format!("{role} allows {it:?} for nothing")),
        );
        if function["Role"] != json!({ "Fn::GetAtt": [role, "Arn"] }) {
            faults.push(format!("{name} has not its own role"));
        }
        if stack.properties(&role)["AssumeRolePolicyDocument"] != assumed {
            faults.push(format!(
                "{role} is not one that Lambda, and nobody else, assumes"
            ));
        }
        // Lambda may do so, and the function's own code not.
        let by_lambda = json!({ "Null": { "lambda:SourceFunctionArn": "true" } });
        let network = |grant: &&Grant| grant.actions.iter().any(|it| it.starts_with("ec2:"));
        if grants
            .iter()
            .filter(network)
            .any(|grant| grant.condition != by_lambda)
        {
            faults.push(format!("{role} lets code change the network"));
        }
        for grant in grants.iter().filter(|grant| grant.is_about_the_table()) {
            let writes = grant
                .actions
                .iter()
                .any(|action| !READS.contains(&action.as_str()));
            let all = if writes {
                &["Api"][..]
            } else {
                &["Api", "Sync", "Evaluate", "Clock"]
            };
            if grant.may_delete_from("H#") {
                faults.push(format!("{role} may delete from the ledger"));
            }
            if grant.keys().is_empty() && !all.contains(&name) {
                faults.push(format!(
                    "{role} allows {:?} on the whole table",
                    grant.actions
                ));
            }
        }
        let reads_secrets = needed.iter().any(|(action, _)| action.starts_with("ssm:"));
        if reads_secrets == function["Layers"].is_null() {
            faults.push(format!("{name} and the layer that fetches secrets"));
        }
    }
    faults.extend(policy_faults(stack));
    let roles = stack.of_type("AWS::IAM::Role");
    let policies = roles.flat_map(|(_, role)| many(&role["Policies"]));
    let documents = policies.chain(
        stack
            .of_type("AWS::IAM::ManagedPolicy")
            .map(|(_, it)| it.clone()),
    );
    for policy in documents {
        let named = policy["PolicyName"].is_string() || policy["Description"].is_string();
        if !named || policy["PolicyDocument"]["Version"] != "2012-10-17" {
            faults.push(format!("a policy without a name or version: {policy}"));
        }
    }
    faults
}

/// Managed policies that are named and not there, or there for nobody; and the role of the backup.
fn policy_faults(stack: &Stack) -> Vec<String> {
    let mut faults = Vec::new();
    let mut named = BTreeSet::new();
    for (role, properties) in stack.of_type("AWS::IAM::Role") {
        for arn in many(&properties["ManagedPolicyArns"]) {
            let policy = arn["Ref"].as_str().unwrap_or_default().to_owned();
            let of_aws = arn.to_string().contains(":aws:policy/");
            if !of_aws && stack.typed(&policy, "AWS::IAM::ManagedPolicy").is_null() {
                faults.push(format!("{role} has {arn}, which is not there"));
            }
            named.insert(policy);
        }
    }
    let there = stack.of_type("AWS::IAM::ManagedPolicy");
    let unused = there.filter(|(policy, _)| !named.contains(*policy));
    faults.extend(unused.map(|(policy, _)| format!("no role has {policy}")));
    let copying = stack.resources.contains_key("BackupSelection");
    let role = json!({
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "backup.amazonaws.com" },
                "Action": "sts:AssumeRole",
            }],
        },
        "ManagedPolicyArns": [{
            "Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
        }],
    });
    let expected = if copying { &role } else { &Value::Null };
    if stack.typed("BackupRole", "AWS::IAM::Role") != expected {
        faults.push("the backup's role is another".to_owned());
    }
    faults
}

/// What the functions' roles do not allow to be done to the table though it is done, and what they
/// allow though nobody does it.
pub(crate) fn table_faults(stack: &Stack, done: &[(&str, Deeds)]) -> Vec<String> {
    done.iter()
        .flat_map(|(role, deeds)| deeds.faults(stack, role))
        .collect()
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

    fn faults(&self, stack: &Stack, role: &str) -> Vec<String> {
        let mut grants = Grant::of(stack, role);
        grants.retain(Grant::is_about_the_table);
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
            let keys = grant.keys().into_iter().filter(|key| !used.contains(key));
            faults.extend(keys.map(|key| format!("{role} allows {key} for nothing")));
            let actions = grant.actions.iter().filter(|action| {
                let name = action.trim_start_matches("dynamodb:");
                !done().any(|deed| deed.action == name)
            });
            faults.extend(actions.map(|action| format!("{role} allows {action} for nothing")));
            for resource in &grant.resources {
                let index = |deed: &&Deed| match &deed.index {
                    None => !resource.to_string().contains("/index/"),
                    Some(index) => resource
                        .to_string()
                        .ends_with(&format!("/index/{index}\"}}")),
                };
                if !done().any(|deed| index(&deed)) {
                    faults.push(format!("{role} allows {resource} for nothing"));
                }
            }
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
        } else if let Some(batch) = input.downcast_ref::<BatchGetItemInput>() {
            let asked = batch.request_items().into_iter().flatten();
            for key in asked.flat_map(|(_, keys)| keys.keys()) {
                self.add("BatchGetItem", None, key.get("pk"));
            }
        } else if let Some(batch) = input.downcast_ref::<BatchWriteItemInput>() {
            let written = batch.request_items().into_iter().flatten();
            for put in written
                .flat_map(|(_, all)| all)
                .filter_map(|one| one.put_request())
            {
                self.add("BatchWriteItem", None, put.item().get("pk"));
            }
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
kind = "rooftop"
[locations.south]
name = "South"
kind = "rooftop"
[connectors.till]
kind = "generic"
stale_after = "10m"
[connectors.till.webhook]
secret = "env:TILL"
[connectors.shop]
kind = "shopify"
shop = "example"
locations = { "1" = "north" }
webhook = { secret = "env:SHOP" }
[connectors.erp]
kind = "files"
url = "FOLDER"
glob = "*.csv"
stable_for = "1s"
locations = { north = "north", south = "south" }
stale_after = "16m"
grace = 1
max_removals = { count = 1, percent = 10 }
[connectors.depot]
kind = "files"
url = "FOLDER/depot"
glob = "*.csv"
stable_for = "1s"
locations = { north = "north", south = "south" }
[channels.out]
kind = "webhook"
url = "https://people.example.com/"
secret = "env:OUT"
[channels.digest]
kind = "sendgrid"
api_key = "env:OUT"
from = "stock@example.com"
to = ["people@example.com"]
base_url = "https://people.example.com/digest"
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
    std::fs::create_dir_all(site.drop_folder().join("depot")).unwrap();
    DOCUMENT.replace("FOLDER", &site.drop_folder().display().to_string())
}

/// A file with a vehicle that is somebody else's, too, a row that is of no use, unlike any file's before,
/// and these.
fn file(site: &Deployed, name: &str, rows: std::ops::Range<usize>) {
    let rows: String = rows.map(|n| format!("SKU-{n},,south,{n},\n")).collect();
    let text = format!(
        "sku,vin,location,on_hand,state\n,SCBCG2ZG0RC012345,north,,in_stock\nBAD,,south,{name},\n{rows}"
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

/// While a file is read, things are sold that it may cover, and another source's file states an item of
/// its own; one webhook is left to the clock.
async fn changed_meanwhile(site: &Deployed, carried: &Pump) {
    let store = &site.api.store;
    let written_at = store.clock().now() + SignedDuration::from_mins(1);
    let erp = "erp".parse().unwrap();
    store.begin_snapshot(&erp, written_at).await.unwrap();
    let sold = |sku: &str| json!({ "sku": sku, "location": "south", "quantity": 1 });
    site.hook("stock.sold", sold("SKU-5")).await;
    site.hook_cut_short("stock.sold", sold("SKU-6")).await;
    site.tick_after(3).await;

    let file = site.drop_folder().join("depot/1.csv");
    let mut file = std::fs::File::create_new(file).unwrap();
    file.write_all(b"sku,location,on_hand\nSKU-7,south,70\n")
        .unwrap();
    file.set_modified(written_at.into()).unwrap();
    for _ in 0..2 {
        site.read_everything().await;
        carried.idle().await;
    }
}

/// An item that is renamed.
fn pin(sku: &str) -> Value {
    json!({ "sku": sku, "title": "Pin", "external": { "item": "8" } })
}

/// What comes from the shop: an order, and a level that waits for its product.
fn shop_news(n: i64) -> Vec<(&'static str, Value)> {
    let at = "2026-01-15T09:00:00Z";
    let line = json!({ "id": n, "sku": "OIL-1", "quantity": 1 });
    let level = json!({
        "inventory_item_id": n, "location_id": 1, "available": 7, "updated_at": at,
    });
    let variant = json!({ "id": n, "sku": format!("SHOP-{n}"), "inventory_item_id": n });
    vec![
        (
            "orders/create",
            json!({ "id": n, "created_at": at, "location_id": 1, "line_items": [line] }),
        ),
        ("inventory_levels/update", level),
        (
            "products/create",
            json!({ "id": n, "title": "Oil", "updated_at": at, "variants": [variant] }),
        ),
    ]
}

/// What people have applied again, and what they leave as it is.
async fn left_to_people(site: &Deployed) {
    let [_, (topic, level), (learnt, product)] = &shop_news(3)[..] else {
        panic!("an order, a level and its product");
    };
    site.shop(topic, level).await;
    site.shop_cut_short(learnt, product).await;
    let again = json!({ "connector": "shop", "from": (site.api.store.clock().now() - SignedDuration::from_mins(1)).to_string() });
    site.ask("POST", "/api/v1/replays", Some(&again.to_string()))
        .await;
    let held = site.ask("GET", "/api/v1/quarantine", None).await;
    let id = held["items"][0]["id"].as_str().unwrap();
    let reason = json!({ "reason": "a place that we closed" }).to_string();
    site.ask(
        "POST",
        &format!("/api/v1/quarantine/{id}/dismiss"),
        Some(&reason),
    )
    .await;
}

/// A connector is removed while a file of another is read that states the same, and with it the word that
/// kept a vehicle from being counted: it did not say where that is.
async fn without_the_depot(site: &Deployed, document: &str) {
    let carried = site.stream_and_runs();
    let file = site.drop_folder().join("depot/2.csv");
    let vin = "SCBCG2ZG0RC012346";
    let rows = format!("SKU-7,,south,71,,\n,{vin},,,Bentley,Bentayga\n");
    let text = format!("sku,vin,location,on_hand,make,model\n{rows}");
    std::fs::write(file, text).unwrap();
    let whereabouts = json!({ "vin": vin, "location": "south" });
    site.hook("unit.updated", whereabouts).await;
    for _ in 0..2 {
        site.read_everything().await;
        carried.idle().await;
    }
    let store = &site.api.store;
    let written_at = store.clock().now() + SignedDuration::from_mins(1);
    let erp = "erp".parse().unwrap();
    store.begin_snapshot(&erp, written_at).await.unwrap();
    // A channel that refuses what it is sent is taken out, too.
    in_trouble::begins(&site.notify.store, "wall", ("out", "webhook")).await;
    let begins = document.find("[connectors.depot]").unwrap();
    let ends = document.find("[channels.out]").unwrap();
    let without = document.replace(&document[begins..ends], "");
    site.ask("PUT", "/api/v1/config", Some(&without)).await;
    carried.idle().await;
    // And the other, of which removals wait for approval and a row is in quarantine.
    let begins = document.find("[connectors.erp]").unwrap();
    let without = document.replace(&document[begins..ends], "");
    site.ask("PUT", "/api/v1/config", Some(&without)).await;
    carried.idle().await;
    carried.stop().await;
}

/// What everybody does to the table in some eventful hours, by role, of which the notifier's is this.
pub(crate) async fn done(notifier: &'static str) -> Vec<(&'static str, Deeds)> {
    let site = Deployed::new();
    let first = document(&site);
    site.ask("PUT", "/api/v1/config", Some(&first)).await;

    // Nobody notifies yet, so intents fall due; nothing was read yet, so the source is stale.
    let carried = site.stream_and_runs();
    for (kind, data) in news(1) {
        site.hook(kind, data).await;
    }
    let again = json!({ "sku": "OIL-1", "location": "north", "quantity": 1 });
    site.hook_repeated("stock.sold", again).await;
    for (topic, body) in shop_news(1) {
        site.shop(topic, &body).await;
    }
    // What waits there is applied again: by its own function, which is called once more.
    for (topic, body) in shop_news(1) {
        site.shop(topic, &body).await;
    }
    site.hook("product.described", pin("PIN")).await;
    carried.idle().await;
    site.tick_after(3).await;
    site.hook("product.described", pin("PIN-2")).await;
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
        if name == "1.csv" {
            changed_meanwhile(&site, &carried).await;
            // A vehicle is brought elsewhere, and the file goes on listing it where it was.
            let (kind, vehicle) = news(1).remove(5);
            site.hook(kind, vehicle).await;
            carried.idle().await;
        }
    }
    // Until people are reminded of what is still open.
    site.tick_after(20).await;
    notifying.idle().await;
    site.tick_after(20).await;
    carried.stop().await;
    notifying.idle().await;
    notifying.stop().await;

    // What a webhook's own function left undone, the clock does.
    for (kind, data) in news(2) {
        site.hook_cut_short(kind, data).await;
    }
    for (topic, body) in shop_news(2) {
        site.shop_cut_short(topic, &body).await;
        site.tick_after(3).await;
    }
    site.tick_after(3).await;
    // And at midnight a season begins.
    site.tick_after(60 * 15).await;
    // A destination wants to be left alone, and takes nothing for half an hour.
    in_trouble::left_alone(&site.notify.store, "out").await;
    site.tick_after(35).await;

    // What people do.
    for (method, target) in [
        ("GET", "/api/v1/status"),
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
    // One that somebody has made before the last.
    let before = site.api.store.clock().now() - SignedDuration::from_mins(5);
    let count = json!({
        "type": "count", "product": "NEW", "location": "north", "quantity": 6, "at": before.to_string(),
    });
    site.ask("POST", "/api/v1/movements", Some(&count.to_string()))
        .await;
    for rule in [
        "NEW,,north,3",
        ",oil,north,3",
        "NEW,,north,none",
        ",oil,north,none",
    ] {
        let rows = format!("product,category,location,threshold\n{rule}\n");
        site.ask("POST", "/api/v1/imports", Some(&rows)).await;
        site.hook(
            "stock.level",
            json!({ "sku": "OIL-1", "location": "north", "on_hand": 5 }),
        )
        .await;
    }
    left_to_people(&site).await;
    without_the_depot(&site, &first).await;

    [
        ("IngestRole", &site.ingest),
        ("ApiRole", &site.api),
        ("SyncRole", &site.sync),
        ("EvaluateRole", &site.evaluate),
        ("ClockRole", &site.clock),
        (notifier, &site.notify),
    ]
    .map(|(role, access)| (role, access.deeds.clone()))
    .into()
}

#[tokio::test(start_paused = true)]
async fn each_function_may_do_to_the_table_what_it_does_and_nothing_else() {
    let faults = table_faults(&Stack::usual(), &Box::pin(done("NotifywebhookRole")).await);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_function_may_use_what_it_is_given_and_nothing_else() {
    let faults = faults(&Stack::usual());
    assert!(faults.is_empty(), "{faults:#?}");
}
