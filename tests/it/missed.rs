//! Whatever is taken from the template's mappings, roles and alarms is missed by one of the tests that
//! compare them with the code, the local stack or the documents: each entry is taken away in turn.

use serde_json::{Value, json};

use crate::cloudformation::{Stack, source};
use crate::documents::{self, small};
use crate::mappings::{self, Local, RESTORED, VAULT, restored_faults};
use crate::{roles, slo};

/// The steps from here to each entry, as a pointer has them.
fn steps(here: &Value) -> Vec<String> {
    let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
    match here {
        Value::Object(entries) => entries.keys().map(escaped).collect(),
        Value::Array(items) => (0..items.len()).map(|at| at.to_string()).collect(),
        _ => Vec::new(),
    }
}

/// Every entry below a place, however deep.
fn entries(source: &Value, place: &str, found: &mut Vec<String>) {
    for step in steps(source.pointer(place).unwrap_or(&Value::Null)) {
        let entry = format!("{place}/{step}");
        found.push(entry.clone());
        entries(source, &entry, found);
    }
}

/// It without one entry.
fn without(source: &Value, entry: &str) -> Value {
    let mut rest = source.clone();
    let (place, step) = entry.rsplit_once('/').unwrap();
    match rest.pointer_mut(place).unwrap() {
        Value::Object(entries) => drop(entries.remove(&step.replace("~1", "/").replace("~0", "~"))),
        Value::Array(items) => drop(items.remove(step.parse().unwrap())),
        _ => {}
    }
    rest
}

/// Where the template's mappings, roles and alarms stand below a place.
fn of_interest(source: &Value, place: &str, found: &mut Vec<(String, Looks)>) {
    let here = source.pointer(place).unwrap();
    match here["Type"].as_str() {
        Some("AWS::Serverless::Function") if here["Properties"]["Events"].is_object() => {
            found.push((format!("{place}/Properties/Events"), Looks::Mappings));
        }
        Some("AWS::IAM::Role" | "AWS::IAM::ManagedPolicy") => {
            found.push((place.to_owned(), Looks::Roles));
        }
        Some("AWS::CloudWatch::Alarm") => found.push((place.to_owned(), Looks::Alarms)),
        _ => {
            for step in steps(here) {
                of_interest(source, &format!("{place}/{step}"), found);
            }
        }
    }
}

/// Who should notice.
#[derive(Debug, Clone, Copy)]
enum Looks {
    Mappings,
    Roles,
    Alarms,
}

#[tokio::test(start_paused = true)]
async fn whatever_is_taken_from_mappings_roles_or_alarms_is_missed() {
    let mut local = Local::built().await;
    // One kind of channel stands for all of them: they are made by one loop.
    local
        .queues
        .retain(|queue| !queue.queue.starts_with("notify-") || queue.queue == "notify-slack");
    let done = Box::pin(roles::done("NotifyslackRole")).await;
    let whole = source();
    let after_a_restore = |part: &Value| {
        let mut whole = whole.clone();
        let resources = part["Resources"].as_object().unwrap().clone();
        whole["Resources"]
            .as_object_mut()
            .unwrap()
            .extend(resources);
        restored_faults(&Stack::of(&whole, &RESTORED))
    };
    let faults = |part: &Value, stack: &Stack, looks| {
        let mut faults = match looks {
            Looks::Mappings => mappings::faults(stack, &local),
            Looks::Roles => {
                let nothing_is_copied = Stack::of(part, &[("Channels", "slack")]);
                let backup = nothing_is_copied
                    .of_type("AWS::IAM::Role")
                    .filter(|(name, _)| *name == "BackupRole");
                let unused = backup.map(|(name, _)| format!("{name} is for nothing"));
                [
                    roles::faults(stack),
                    roles::table_faults(stack, &done),
                    unused.collect(),
                ]
                .concat()
            }
            Looks::Alarms => {
                let mut silent = slo::silent_faults(&Stack::of(part, &[("Channels", "slack")]));
                let with_copies = [("Channels", "slack"), ("BackupCopyVaultArn", VAULT)];
                let loud = slo::loud_faults(&Stack::of(part, &with_copies));
                silent.extend(loud);
                [
                    slo::faults(stack),
                    documents::faults(part, stack, false),
                    silent,
                ]
                .concat()
            }
        };
        if faults.is_empty() && matches!(looks, Looks::Mappings | Looks::Roles) {
            faults = after_a_restore(part);
        }
        faults
    };
    let (mut tried, mut unmissed) = (0, Vec::new());
    for step in steps(&whole["Resources"]) {
        let name = step.replace("~1", "/");
        // One resource, or one loop, at a time; what the others come to is known.
        let mut others = whole.clone();
        let body = others["Resources"].as_object_mut().unwrap().remove(&name);
        let others_stack = small(&others);
        others["Resources"] = json!({ name: body });
        let part = others;
        let mut places = Vec::new();
        of_interest(&part, "/Resources", &mut places);
        for (place, looks) in places {
            let mut cuts = Vec::new();
            entries(&part, &place, &mut cuts);
            for cut in cuts {
                let template = without(&part, &cut);
                let stack = others_stack.with(small(&template));
                tried += 1;
                if faults(&template, &stack, looks).is_empty() {
                    unmissed.push(cut);
                }
            }
            let stack = others_stack.with(small(&part));
            assert_eq!(
                faults(&part, &stack, looks),
                Vec::<String>::new(),
                "nothing is wrong with the whole"
            );
        }
    }
    assert!(tried > 500, "{tried}");
    assert!(
        unmissed.is_empty(),
        "of {tried} nobody missed:\n{unmissed:#?}"
    );
}
