//! `lotwire evaluate`: have everything looked at again.

use http::Method;

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

pub(super) async fn run(server: &Server, show: &mut Show<'_>) -> Result<(), Failure> {
    let client = server.client()?;
    let answer = client
        .ask(Method::POST, "/api/v1/evaluations", &[], Body::None, &[])
        .await?;
    if server.json {
        show.json(&answer)?;
    } else {
        let id = answer["evaluation"].as_str().unwrap_or_default();
        show.line(&format!(
            "every position, vehicle and source is being evaluated; in the logs as {id}"
        ))?;
    }
    Ok(())
}
