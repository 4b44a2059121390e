//! Is it up, and with which configuration?

use http::StatusCode;
use serde_json::json;

use crate::Context;
use crate::answer::Answer;
use crate::problem::Problem;

pub(super) async fn check(context: &Context<'_>) -> Result<Answer, Problem> {
    // Reads the table, so that "ready" means what a caller hopes it means.
    let head = context.store.config_head().await?;
    let version = head.as_ref().map(|head| head.data.version);
    if context.ports.liveness.has_room() == Some(false) {
        let body = json!({ "status": "storage_full", "configuration": version });
        return Ok(Answer::new(StatusCode::SERVICE_UNAVAILABLE, body));
    }
    Ok(match version {
        Some(version) => Answer::ok(json!({
            "status": "ready",
            "configuration": version,
        })),
        None => Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "status": "not_configured", "configuration": null }),
        ),
    })
}
