//! Calls of AWS itself, as spans: how long the table, the topic and the queues took, retries included.
//!
//! The spans are for traces alone. Below `info`, they cost nothing where nobody traces.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use tracing::Span;
use tracing::field::Empty;

/// The header in which AWS says how it calls a request.
const REQUEST_ID: &str = "x-amzn-requestid";

/// Has each call of an SDK client take part in traces.
#[derive(Debug)]
pub struct TracedCalls;

/// The span of the call that a configuration is of. It ends with the call, also with one that is given up.
#[derive(Debug)]
struct Call(Span);

impl Storable for Call {
    type Storer = StoreReplace<Self>;
}

impl Intercept for TracedCalls {
    fn name(&self) -> &'static str {
        "TracedCalls"
    }

    /// The first hook that knows the operation.
    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(operation) = call.load::<Metadata>() {
            let span = tracing::debug_span!(
                "aws call",
                service = operation.service(),
                operation = operation.name(),
                status = Empty,
                retries = Empty,
                request_id = Empty,
            );
            call.interceptor_state().store_put(Call(span));
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Call(span)) = call.load::<Call>() else {
            return Ok(());
        };
        if let Some(answer) = context.response() {
            span.record("status", answer.status().as_u16());
            span.record("request_id", answer.headers().get(REQUEST_ID));
        }
        if let Some(attempts) = call.load::<RequestAttempts>() {
            span.record("retries", attempts.attempts().saturating_sub(1));
        }
        Ok(())
    }
}
