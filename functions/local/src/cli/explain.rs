//! `lotwire explain`: why there is an alert at a place, or none, and who was told.

use http::Method;
use serde_json::Value;

use super::client::Body;
use super::show::Show;
use super::status::{Words, array, text, time};
use super::{Failure, Server};

pub(super) async fn run(
    product: &str,
    location: &str,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    let query = [("product", product), ("location", location)];
    let answer = client
        .ask(Method::GET, "/api/v1/explain", &query, Body::None, &[])
        .await?;
    if server.json {
        show.json(&answer)?;
    } else {
        show.line(in_words(&answer).trim_end())?;
    }
    Ok(())
}

/// The answer of `GET /api/v1/explain` for people.
fn in_words(explained: &Value) -> String {
    let mut words = Words::default();
    let (product, location) = (text(&explained["product"]), text(&explained["location"]));
    words.line("stock", &stock(explained, product, location));
    let vehicle = &explained["vehicle"];
    for rival in array(&vehicle["rivals"]) {
        let [connector, location, state] =
            ["connector", "location", "state"].map(|key| text(&rival[key]));
        let state = state.replace('_', " ");
        let sentence = format!("{connector} says otherwise: {state} at {location}");
        words.line("", &sentence);
    }
    for other in array(&vehicle["unheeded"]) {
        let state = text(&other["state"]).replace('_', " ");
        let (connector, by) = (text(&other["connector"]), text(&vehicle["stated_by"]));
        let sentence = match state.as_str() {
            "sold" | "wholesale" => format!(
                "{connector} says that it is {state}, which is taken for what was before {by} \
                 had it again"
            ),
            _ => format!(
                "{connector} says that it is {state}, which does not count: {by} has it. To have \
                 {connector} say so, name it under `[ownership]`: state"
            ),
        };
        words.line("", &sentence);
    }
    let like: Vec<_> = array(&explained["like"]).iter().map(text).collect();
    if !like.is_empty() {
        words.line("", &format!("did you mean {}?", like.join(" or ")));
    }
    if let Some(before) = explained["renamed_from"].as_str() {
        words.line("", &format!("{before} has become {product}"));
    }
    for held in array(&explained["quarantine"]) {
        let [source, place, detail] = ["source", "where", "detail"].map(|key| text(&held[key]));
        let what = match held["perhaps"] == true {
            false => "in quarantine, not applied,",
            true => "it may be among the rows in quarantine, not applied,",
        };
        let sentence = format!("{what} from {source} ({place}): {detail}");
        words.line("", &sentence);
    }
    if !array(&explained["quarantine"]).is_empty() {
        words.line("", "what can be done about it: lotwire quarantine");
    }
    for source in array(&explained["sources_in_doubt"]) {
        let connector = text(&source["connector"]);
        let suspicions = array(&source["suspicions"]).iter().map(text);
        for problem in suspicions.chain(source["last_error"].as_str()) {
            let sentence = format!("it may be in what was not taken from {connector}: {problem}");
            words.line("", &sentence);
        }
    }
    for twice in array(&explained["counted_twice"]) {
        let [old, new, renamed_by, stated_by] =
            ["old", "new", "renamed_by", "stated_by"].map(|key| text(&twice[key]));
        let sentence = format!(
            "{renamed_by} has renamed {old} to {new}, and {stated_by} still states {old}: it counts \
             under both until {stated_by} states {new}"
        );
        words.line("", &sentence);
    }
    if explained["feed"]["stale_since"].is_string() && explained["feed"]["down"] == true {
        let since = time(&explained["feed"]["stale_since"]);
        words.line(
            "",
            &format!("its source sends nothing any more, as was told {since}: nobody is told what it said before"),
        );
    }
    if let Some(error) = explained["feed"]["last_error"].as_str() {
        words.line("", &format!("the last read of its source failed: {error}"));
    }
    if explained["feed"]["lacks_it"] == true {
        let until = match explained["feed"]["had_it_until"].is_string() {
            true => format!(" since {}", time(&explained["feed"]["had_it_until"])),
            false => String::new(),
        };
        words.line(
            "",
            &format!("the last file of its source says nothing of it{until}"),
        );
        if let Some(kept) = explained["feed"]["kept"].as_str() {
            words.line("", kept);
        }
    }
    for suspicion in array(&explained["feed"]["suspicions"]) {
        let suspicion = text(suspicion);
        words.line(
            "",
            &format!("the last file of its source is not believed: {suspicion}"),
        );
    }
    if vehicle.is_object() {
        // Alerts are about its model line.
        return words.text;
    }
    let kinds = array(&explained["kinds"]).iter().map(|kind| (kind, None));
    let sums = array(&explained["group_sums"]).iter();
    let sums = sums.map(|sum| (sum, sum["group"].as_str()));
    for (kind, group) in kinds.chain(sums) {
        let label = text(&kind["kind"]).replace('_', " ");
        let answer = text(&kind["answer"]);
        match group {
            None => words.line(&label, answer),
            Some(group) => words.line(&label, &format!("all of {group} together: {answer}")),
        }
        for member in array(&kind["members"]) {
            words.line("", &self::member(member));
        }
        if let Some(rule) = kind["rule"].as_str() {
            words.line("", &format!("rule {rule}: {}", text(&kind["why"])));
        }
        if let Some(routes) = kind["routes"].as_str() {
            words.line("", routes);
        }
        let watch = &kind["watch"];
        if !watch["alert"].is_null() && watch["people_told"] == false {
            words.line("", "no person was told so far");
        }
        for delivery in array(&watch["deliveries"]) {
            let (channel, state) = (text(&delivery["channel"]), text(&delivery["state"]));
            let state = state.replace('_', " ");
            // The outcome's own words begin with the state.
            let outcome = delivery["last_outcome"].as_str().unwrap_or_default();
            let detail = outcome.split_once(": ").map(|(_, detail)| detail);
            let detail = detail.map(|detail| format!(" ({detail})"));
            let detail = detail.unwrap_or_default();
            let next = delivery["next_try"]
                .as_str()
                .filter(|_| !outcome.is_empty());
            let next = next.map(|_| format!(", tried again {}", time(&delivery["next_try"])));
            let next = next.unwrap_or_default();
            let (revision, of) = (&delivery["revision"], time(&delivery["created_at"]));
            words.line(
                "",
                &format!("{channel}, revision {revision} of {of}: {state}{detail}{next}"),
            );
        }
    }
    words.text
}

/// What is at one of the places that count in a sum.
fn member(member: &Value) -> String {
    let place = text(&member["location"]);
    let available = quantities(&member["stock"]);
    let by = member["stated_by"].as_str();
    match (available, by) {
        (None, _) => format!("{place}: nobody states its stock"),
        (Some(available), None) => format!("{place}: {available}"),
        (Some(available), Some(by)) => {
            let down = match member["feed_down"] == true {
                true => ", whose feed is down, so that nobody is told",
                false => "",
            };
            format!("{place}: {available}, stated by {by}{down}")
        }
    }
}

/// Where a vehicle stands.
fn in_place(vehicle: &Value) -> String {
    let state = match vehicle["state"].as_str() {
        Some(state) => state.replace('_', " "),
        None => "in a state that nobody has stated".to_owned(),
    };
    let place = vehicle["location"].as_str();
    let place = place
        .map(|place| format!(" at {place}"))
        .unwrap_or_default();
    let by = vehicle["stated_by"].as_str();
    let by = by.map(|by| format!(", stated by {by}")).unwrap_or_default();
    let counts_as = match vehicle["counts_as"].as_str() {
        Some(line) => format!("; alerts are about {line}: explain that"),
        None => "; it is counted nowhere, as its make and model are not known".to_owned(),
    };
    format!(
        "vehicle {}: {state}{place}{by}{counts_as}",
        text(&vehicle["vin"])
    )
}

/// What rules may compare: what is available, and where that is another number, what is there and what is on
/// its way.
fn quantities(stock: &Value) -> Option<String> {
    let available = stock["available"].as_i64()?;
    let mut words = format!("{available} available");
    if let Some(on_hand) = stock["on_hand"].as_i64().filter(|it| *it != available) {
        words.push_str(&format!(" of {on_hand} on hand"));
    }
    if let Some(incoming @ 1..) = stock["incoming"].as_i64() {
        words.push_str(&format!(", {incoming} on the way"));
    }
    Some(words)
}

/// How much there is, and who says so.
fn stock(explained: &Value, product: &str, location: &str) -> String {
    if explained["known"] == false {
        return format!(
            "nothing is known of {product}: no source has named it, and nobody has counted it"
        );
    }
    let vehicle = &explained["vehicle"];
    if vehicle.is_object() {
        return in_place(vehicle);
    }
    let by = explained["stated_by"].as_str();
    let Some(quantities) = quantities(&explained["stock"]) else {
        return format!("{product} at {location}: nobody states its stock");
    };
    let counted = &explained["counted"];
    let who = match (counted["at"].as_str(), by, counted["stated"].as_i64()) {
        (None, None, _) => String::new(),
        (None, Some(by), _) => format!(", stated by {by}"),
        (Some(at), Some(by), Some(stated)) => format!(
            ", by a count of {} on {at}; {by} stated {stated} before that",
            counted["on_hand"]
        ),
        (Some(at), ..) => format!(", by a count of {} on {at}", counted["on_hand"]),
    };
    let beside = explained["stated_beside"].as_object().into_iter().flatten();
    let beside: String = beside
        .map(|(fact, by)| format!("; {} says what is {fact}", text(by)))
        .collect();
    format!("{product} at {location}: {quantities}{who}{beside}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_count_a_rename_and_an_unknown_sku_are_said() {
        let counted = json!({
            "product": "OIL-2", "renamed_from": "OIL", "known": true, "location": "north",
            "stock": {"available": 7}, "stated_by": "shop", "stated_beside": {"reserved": "erp"},
            "counted": {"on_hand": 9, "at": "2026-11-29T08:00:00Z", "stated": 4},
            "counted_twice": [
                {"old": "OIL", "new": "OIL-2", "renamed_by": "shop", "stated_by": "erp"},
            ],
        });
        assert_eq!(
            in_words(&counted),
            "stock         OIL-2 at north: 7 available, by a count of 9 on 2026-11-29T08:00:00Z; \
             shop stated 4 before that; erp says what is reserved\n\
             \u{20}             OIL has become OIL-2\n\
             \u{20}             shop has renamed OIL to OIL-2, and erp still states OIL: it counts under both \
             until erp states OIL-2\n"
        );
        let unknown = json!({
            "product": "OIL-X", "known": false, "like": ["OIL-2"], "location": "north",
            "kinds": [{"kind": "low_stock", "answer": "No alert."}],
        });
        assert_eq!(
            in_words(&unknown),
            "stock         nothing is known of OIL-X: no source has named it, and nobody has counted it\n\
             \u{20}             did you mean OIL-2?\n\
             low stock     No alert.\n"
        );
    }

    #[test]
    fn what_was_sent_of_it_and_not_taken_is_said() {
        let unknown = json!({
            "product": "OIL-X", "known": false, "location": "north",
            "quarantine": [{
                "source": "erp", "where": "stock.csv:7", "detail": "No location is given for OIL-X.",
            }],
            "sources_in_doubt": [{
                "connector": "depot", "suspicions": ["b.csv: no rows. Nothing of it was applied."],
                "last_error": null,
            }],
        });
        assert_eq!(
            in_words(&unknown),
            "stock         nothing is known of OIL-X: no source has named it, and nobody has counted it\n\
             \u{20}             in quarantine, not applied, from erp (stock.csv:7): No location is given for \
             OIL-X.\n\
             \u{20}             what can be done about it: lotwire quarantine\n\
             \u{20}             it may be in what was not taken from depot: b.csv: no rows. Nothing of it \
             was applied.\n"
        );
        let vehicle = json!({
            "product": "SCBCG2ZG0RC012345", "known": true, "location": "north",
            "vehicle": {
                "vin": "SCBCG2ZG0RC012345", "state": "in_stock", "location": "london",
                "stated_by": "dms", "counts_as": "line:bentley/bentayga",
            },
            "kinds": [{"kind": "low_stock", "answer": "No alert: no rule applies."}],
        });
        assert_eq!(
            in_words(&vehicle),
            "stock         vehicle SCBCG2ZG0RC012345: in stock at london, stated by dms; alerts are about \
             line:bentley/bentayga: explain that\n"
        );
        let unread = json!({
            "product": "SCBCG2ZG0RC012345", "known": true, "location": "north",
            "vehicle": {
                "vin": "SCBCG2ZG0RC012345", "state": null, "location": "london",
                "stated_by": null, "counts_as": "line:bentley/bentayga",
            },
            "quarantine": [{
                "source": "dms", "where": "cars.csv:7",
                "detail": "The status \"Recon - Shop\" is not known; map it under `statuses`.",
            }],
        });
        assert_eq!(
            in_words(&unread),
            "stock         vehicle SCBCG2ZG0RC012345: in a state that nobody has stated at london; alerts are \
             about line:bentley/bentayga: explain that\n\
             \u{20}             in quarantine, not applied, from dms (cars.csv:7): The status \"Recon - Shop\" \
             is not known; map it under `statuses`.\n\
             \u{20}             what can be done about it: lotwire quarantine\n"
        );
    }

    #[test]
    fn an_alert_that_reached_nobody_says_so() {
        let explained = json!({
            "product": "OIL", "location": "north", "stock": {"available": 2}, "stated_by": "shop",
            "feed": {"suspicions": ["3 of 9 rows are left"]},
            "kinds": [{
                "kind": "low_stock", "rule": "oil", "why": "3 or fewer (lotwire.toml:4)",
                "answer": "Alert a1 is open since noon.", "routes": "Route `all` sends it to ops.",
                "watch": {"alert": "a1", "people_told": false, "deliveries": [
                    {"channel": "ops", "revision": 1, "created_at": "2026-11-29T08:00:00Z", "state": "not_sent", "last_outcome": "not_sent: env:URL is not set"},
                    {"channel": "out", "revision": 2, "created_at": "2026-11-29T08:20:00Z", "state": "pending", "last_outcome": "retry",
                     "next_try": "2026-11-29T08:30:00.123Z"},
                ]},
            }],
            "group_sums": [{
                "kind": "low_stock", "group": "warehouses", "rule": null,
                "answer": "No alert: the rule does not fire.", "watch": null,
                "members": [
                    {"location": "north", "stock": {"available": 2}, "stated_by": "shop"},
                    {"location": "south", "stock": {"available": 7}, "stated_by": "erp", "feed_down": true},
                    {"location": "west", "stock": null, "stated_by": null},
                ],
            }],
        });
        assert_eq!(
            in_words(&explained),
            "stock         OIL at north: 2 available, stated by shop\n\
             \u{20}             the last file of its source is not believed: 3 of 9 rows are left\n\
             low stock     Alert a1 is open since noon.\n\
             \u{20}             rule oil: 3 or fewer (lotwire.toml:4)\n\
             \u{20}             Route `all` sends it to ops.\n\
             \u{20}             no person was told so far\n\
             \u{20}             ops, revision 1 of 2026-11-29 08:00:00Z: not sent (env:URL is not set)\n\
             \u{20}             out, revision 2 of 2026-11-29 08:20:00Z: pending, tried again 2026-11-29 08:30:00Z\n\
             low stock     all of warehouses together: No alert: the rule does not fire.\n\
             \u{20}             north: 2 available, stated by shop\n\
             \u{20}             south: 7 available, stated by erp, whose feed is down, so that nobody is told\n\
             \u{20}             west: nobody states its stock\n"
        );
    }

    #[test]
    fn who_says_otherwise_of_a_vehicle_is_said() {
        let vehicle = json!({
            "vin": "SCBCG2ZG0RC012345", "state": "in_stock", "location": "london",
            "stated_by": "dms", "counts_as": "line:bentley/continental-gt",
            "rivals": [{"connector": "lot", "location": "milano", "state": "in_stock"}],
            "unheeded": [{"connector": "market", "state": "reserved"}],
        });
        let explained = json!({
            "product": "SCBCG2ZG0RC012345", "known": true, "location": "london", "vehicle": vehicle,
        });
        assert_eq!(
            in_words(&explained),
            "stock         vehicle SCBCG2ZG0RC012345: in stock at london, stated by dms; alerts are about \
             line:bentley/continental-gt: explain that\n\
             \u{20}             lot says otherwise: in stock at milano\n\
             \u{20}             market says that it is reserved, which does not count: dms has it. To have \
             market say so, name it under `[ownership]`: state\n"
        );
    }
}
