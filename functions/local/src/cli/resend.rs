//! `lotwire resend`: send again on a channel what did not arrive and is still true.

use http::Method;
use serde_json::json;

use super::client::Body;
use super::show::Show;
use super::{Failure, Server};

pub(super) async fn run(
    channel: &str,
    alert: Option<&str>,
    server: &Server,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let client = server.client()?;
    let path = format!("/api/v1/channels/{channel}/resend");
    let body = json!({ "alert": alert });
    let mut deliveries = 0;
    loop {
        let answer = client
            .ask(Method::POST, &path, &[], Body::Json(&body), &[])
            .await?;
        let more = answer["deliveries"].as_u64().unwrap_or_default();
        deliveries += more;
        // One that got nowhere would get nowhere again.
        if answer["complete"] == true || more == 0 {
            break;
        }
        show.progress(&format!("{deliveries} messages are sent again"));
    }
    if server.json {
        show.json(&json!({ "deliveries": deliveries }))?;
    } else {
        show.line(&match deliveries {
            0 => format!("Nothing that is still true is missing on {channel}."),
            1 => format!("1 message is sent again on {channel}, within a minute."),
            more => format!("{more} messages are sent again on {channel}, within a minute."),
        })?;
    }
    Ok(())
}
