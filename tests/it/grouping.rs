//! Alerts that a route gathers, through the whole stack: from webhooks to one message, on a virtual
//! clock.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::store::intents::{Intent, IntentState};

use crate::flow::{Running, SECRET};
