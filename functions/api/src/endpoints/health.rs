//! Is it up, and with which configuration?

use http::StatusCode;
use serde_json::json;

use crate::Context;
use crate::answer::Answer;
use crate::problem::Problem;

pub(super) async fn check(context: &Context<'_>) -> Result<Answer, Problem> {
    // Reads the table, so that "ready" means what a caller hopes it means.
    let head = context.store.config_head().await?;
    Ok(match head {
        Some(head) => Answer::ok(json!({
            "status": "ready",
            "configuration": head.data.version,
        })),
        None => Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({ "status": "not_configured", "configuration": null }),
        ),
    })
}
