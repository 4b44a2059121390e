//! `lotwire doctor`: is what is stored what the ledger says?

use http::Method;
use serde_json::{Value, json};

use super::client::Body;
use super::printed::quoted;
use super::show::Show;
use super::{Failure, Server};

const COUNTS: [&str; 4] = ["positions", "units", "products", "ledger_rows"];

pub(super) async fn run(
    from: Option<String>,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    let (mut counts, mut findings) = ([0_u64; 4], Vec::new());
    let mut cursor = from;
    loop {
        let mut query = vec![("limit", "200")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let answer = client
            .ask(Method::GET, "/api/v1/doctor", &query, Body::None, &[])
            .await?;
        for (sum, name) in counts.iter_mut().zip(COUNTS) {
            *sum += answer["examined"][name].as_u64().unwrap_or_default();
        }
        let found = answer["items"].as_array().cloned().unwrap_or_default();
        if !server.json {
            for finding in &found {
                show.line(&in_words(finding))?;
            }
        }
        findings.extend(found);
        cursor = answer["next"].as_str().map(str::to_owned);
        let Some(place) = &cursor else {
            break;
        };
        let [positions, units, products, rows] = counts;
        show.progress(&format!(
            "{positions} positions, {units} vehicles, {products} products, {rows} ledger rows examined; \
             `lotwire doctor --from {}` goes on from here",
            quoted(place)
        ));
    }
    let [positions, units, products, rows] = counts;
    if server.json {
        let examined: Value = COUNTS
            .into_iter()
            .zip(counts)
            .map(|(name, n)| (name.to_owned(), json!(n)))
            .collect();
        show.json(&json!({ "examined": examined, "findings": findings }))?;
    } else {
        show.line(&format!(
            "{positions} positions, {units} vehicles, {products} products, {rows} ledger rows: {}",
            match findings.len() {
                0 => "all is as the ledger says".to_owned(),
                1 => "1 inconsistency".to_owned(),
                count => format!("{count} inconsistencies"),
            }
        ))?;
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Found)
    }
}

fn in_words(finding: &Value) -> String {
    format!(
        "{}\n  expected {}\n  found    {}",
        finding["detail"].as_str().unwrap_or_default(),
        finding["expected"],
        finding["found"]
    )
}
