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
    let mut body = json!({ "alert": alert });
    let (mut deliveries, mut perhaps_twice) = (0, 0);
    let (mut waiting, mut never_told) = (false, false);
    let not_live = loop {
        let answer = client
            .ask(Method::POST, &path, &[], Body::Json(&body), &[])
            .await?;
        deliveries += answer["deliveries"].as_u64().unwrap_or_default();
        perhaps_twice += answer["perhaps_twice"].as_u64().unwrap_or_default();
        waiting |= answer["waiting"] == true;
        never_told |= answer["never_told"] == true;
        if answer["next"].is_null() {
            break answer["not_live"].clone();
        }
        body["cursor"] = answer["next"].clone();
        show.progress(&format!("{deliveries} messages are sent again"));
    };
    if server.json {
        show.json(&json!({
            "deliveries": deliveries,
            "never_told": never_told,
            "not_live": not_live,
            "perhaps_twice": perhaps_twice,
            "waiting": waiting,
        }))?;
        return Ok(());
    }
    let messages = match deliveries {
        1 => "1 message".to_owned(),
        more => format!("{more} messages"),
    };
    let be = if deliveries == 1 { "is" } else { "are" };
    let never_told = alert.filter(|_| never_told);
    show.line(&match (deliveries, not_live.as_str()) {
        (0, _) if let Some(alert) = never_told => format!(
            "Nothing is sent: {channel} was never told of alert {alert}, and no route has it told now."
        ),
        (0, None) => format!("Nothing that is still true is missing on {channel}."),
        (0, Some(problem)) => format!(
            "Nothing is sent again: {channel} is not live: {problem}. What is still true by then is \
             sent when it is."
        ),
        (_, None) if waiting => format!(
            "{messages} {be} sent again on {channel}. It has failed lately: one message tries it within \
             a minute, and the others follow within three minutes once it answers."
        ),
        (_, None) => format!("{messages} {be} sent again on {channel}, within a minute."),
        (_, Some(problem)) => format!(
            "{messages} will leave when {channel} is live. It is not: {problem}."
        ),
    })?;
    match (perhaps_twice, deliveries) {
        (0, _) => {}
        (1, 1) => show.line("It may have arrived before.")?,
        (all, _) if all == deliveries => show.line("They may have arrived before.")?,
        (some, _) => show.line(&format!("{some} of them may have arrived before."))?,
    }
    Ok(())
}
