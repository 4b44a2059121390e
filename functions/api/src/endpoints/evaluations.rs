//! Looking again at everything, for when something of the evaluator's was lost.

use http::StatusCode;
use serde_json::json;
use shared::store::jobs::Reexamination;

use crate::Context;
use crate::answer::Answer;
use crate::fields::Fields;
use crate::problem::Problem;

pub(super) async fn start(context: &Context<'_>) -> Result<Answer, Problem> {
    Fields::of_query(context.request).finish(|| Some(()))?;
    context.installation().await?;
    // Those who ask within a minute ask for the same.
    let minute = context.store.clock().now().as_second() / 60;
    let id = format!("asked-{minute}");
    let body = json!({ "evaluation": id });
    context.store.start_job(Reexamination::new(id)).await?;
    Ok(Answer::new(StatusCode::ACCEPTED, body))
}
