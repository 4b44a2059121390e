//! One file per subject.

mod alerts;
mod channels;
mod configuration;
mod connectors;
mod doctor;
mod evaluations;
mod explain;
mod health;
mod imports;
mod ledger;
mod movements;
mod page;
mod positions;
mod removed;
mod review;
mod status;
mod units;
mod unknown;

use shared::store::inbox::Resolution;

use crate::Context;
use crate::answer::Answer;
use crate::problem::Problem;
use crate::router::Endpoint;

/// Answers a request. `variable` is the part of the path that the route leaves open.
pub(crate) async fn answer(
    endpoint: Endpoint,
    variable: &str,
    context: &Context<'_>,
) -> Result<Answer, Problem> {
    match endpoint {
        Endpoint::Health => health::check(context).await,
        Endpoint::Status => status::show(context).await,
        Endpoint::Positions => positions::list(context).await,
        Endpoint::Unit => units::show(context, variable).await,
        Endpoint::Move => movements::carry_out(context).await,
        Endpoint::Alerts => alerts::list(context).await,
        Endpoint::Deliveries => alerts::deliveries(context).await,
        Endpoint::AlertPage => page::show(context, variable).await,
        Endpoint::Channels => channels::list(context).await,
        Endpoint::Resend => channels::resend(context, variable).await,
        Endpoint::Ledger => ledger::list(context).await,
        Endpoint::Quarantine => review::quarantine(context).await,
        Endpoint::Dismiss => review::dismiss(context, variable).await,
        Endpoint::Inbox => review::inbox(context).await,
        Endpoint::Approve => review::resolve(context, variable, Resolution::Approve).await,
        Endpoint::Reject => review::resolve(context, variable, Resolution::Reject).await,
        Endpoint::Sync => connectors::sync(context, variable).await,
        Endpoint::Explain => explain::show(context).await,
        Endpoint::Replay => connectors::replay(context).await,
        Endpoint::Import => imports::run(context).await,
        Endpoint::Thresholds => imports::thresholds(context).await,
        Endpoint::Doctor => doctor::examine(context).await,
        Endpoint::Evaluate => evaluations::start(context).await,
        Endpoint::ReadConfig => configuration::show(context).await,
        Endpoint::ApplyConfig => configuration::apply(context).await,
    }
}
