//! From a message to words: the user's templates, the facts that stand beside them, and the room a
//! channel has.
//!
//! | file | job |
//! |---|---|
//! | [`templates`] | titles and texts, the defaults and the user's own |
//! | `digest` | several alerts in one message |
//! | [`mod@facts`] | the message contract as labelled values, for channels that show a table |
//! | [`mod@fit`] | cutting to a channel's limits without losing count |
//! | [`gsm7`] | what a text message really costs |
//! | [`words`] | what may stand in a message at all |
//! | `samples` | messages to try a template on |

mod digest;
pub mod facts;
pub mod fit;
pub mod gsm7;
pub(crate) mod samples;
pub mod templates;
pub mod words;

pub use facts::{Fact, facts};
pub use fit::{Limits, Measure, fit};
pub use templates::{Rendered, TemplateError, TemplateTexts, Templates, VARIABLES};
