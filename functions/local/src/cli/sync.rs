//! `lotwire sync`: read a source now instead of at the next quarter of an hour.

use http::Method;

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

pub(super) async fn run(
    connector: &str,
    accept_columns: bool,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    let path = format!("/api/v1/sync/{connector}");
    let query: &[_] = match accept_columns {
        true => &[("accept_columns", "true")],
        false => &[],
    };
    let answer = client
        .ask(Method::POST, &path, query, Body::None, &[])
        .await?;
    if server.json {
        show.json(&answer)?;
    } else {
        let run = answer["run"].as_str().unwrap_or_default();
        show.line(&format!(
            "{connector} is being read (run {run}); `lotwire status` says what came of it"
        ))?;
    }
    Ok(())
}
