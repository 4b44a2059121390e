//! What each function reads from its environment: once, at init, into types.
//!
//! Each `read` takes the environment as a closure, so that tests need not touch the process, and
//! names everything that is missing or unreadable at once. It never quotes a value.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::channels::ChannelKind;
use crate::http::Allowed;
use crate::secrets::SecretRef;

/// The process's own environment.
pub fn process(name: &str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    std::env::var(name).ok()
}

/// What is wrong with a function's environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment of `{function}` is incomplete: {}", .problems.join("; "))]
pub struct EnvironmentError {
    /// The function.
    pub function: &'static str,
    /// What is wrong with each variable, in the order in which they were asked for.
    pub problems: Vec<String>,
}

/// Reads variables, and remembers what was wrong with them.
struct Reader<E> {
    function: &'static str,
    environment: E,
    problems: Vec<String>,
}

impl<E: Fn(&str) -> Option<String>> Reader<E> {
    fn new(function: &'static str, environment: E) -> Self {
        Self {
            function,
            environment,
            problems: Vec::new(),
        }
    }

    /// A variable that must be set.
    fn required<T: Variable>(&mut self, name: &str) -> Option<T> {
        match self.optional(name) {
            Some(None) => {
                self.problems
                    .push(format!("{name} is not set ({})", T::MEANING));
                None
            }
            read => read.flatten(),
        }
    }

    /// A variable that has a default. An empty one counts as not set: templates set those.
    fn or<T: Variable>(&mut self, name: &str, default: T) -> Option<T> {
        self.optional(name).map(|read| read.unwrap_or(default))
    }

    /// A variable that may be left out; the outer `None` is one that cannot be read.
    fn optional<T: Variable>(&mut self, name: &str) -> Option<Option<T>> {
        let Some(text) = (self.environment)(name).filter(|text| !text.trim().is_empty()) else {
            return Some(None);
        };
        let read = T::parse(text.trim());
        if read.is_none() {
            self.problems.push(format!("{name} is not {}", T::MEANING));
        }
        read.map(Some)
    }

    /// What was read, unless anything was wrong.
    fn finish<T>(self, read: impl FnOnce() -> Option<T>) -> Result<T, EnvironmentError> {
        match read() {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => Err(EnvironmentError {
                function: self.function,
                problems: self.problems,
            }),
        }
    }
}

/// A type that a variable can be read into.
trait Variable: Sized {
    /// What it should hold.
    const MEANING: &'static str;
    fn parse(text: &str) -> Option<Self>;
}

/// The value, if it parses; why it does not is left out, because it would quote it.
fn parsed<T: FromStr<Err: Display>>(text: &str) -> Option<T> {
    text.parse().ok()
}

macro_rules! variables {
    ($($ty:ty, $meaning:literal, $parse:expr;)+) => { $(
        impl Variable for $ty {
            const MEANING: &'static str = $meaning;
            fn parse(text: &str) -> Option<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(text)
            }
        }
    )+ };
}
variables! {
    String, "text", |text| Some(text.to_owned());
    SecretString, "a secret", |text| Some(text.to_owned().into());
    Url, "an address such as https://sqs.eu-west-1.amazonaws.com/111122223333/name", |text| parsed::<Url>(text).filter(Url::has_host);
    Arn, "an ARN such as arn:aws:sns:eu-west-1:111122223333:name", parsed;
    ChannelKind, "a kind of channel such as slack", parsed;
    Vec<ChannelKind>, "a list of kinds of channel such as slack,twiliosms", |text| text.split(',').map(|name| ChannelKind::listed(name.trim())).collect();
    Intake, "open or closed", parsed;
    SecretRef, "a secret reference such as ssm:/lotwire/api-token", parsed;
    Millis, "a number of milliseconds from 1 to 900000", |text| parsed(text).filter(|ms| (1..=900_000).contains(ms)).map(Millis);
    Days, "a number of days from 1 to 3650", |text| parsed(text).filter(|days| (1..=3_650).contains(days)).map(Days);
    Vec<Allowed>, "a list of hosts, host:port, addresses or networks, with commas between", |text| text.split(',').map(|host| parsed(host.trim())).collect();
}

struct Millis(u64);
struct Days(u16);

/// Whether anything new is taken in: closed while a table is restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Intake {
    /// It is.
    #[default]
    Open,
    /// What it would change could be lost with the table that is left.
    Closed,
}

impl FromStr for Intake {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err("neither open nor closed"),
        }
    }
}

impl Millis {
    fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// The name of a resource in AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arn(Box<str>);

impl Arn {
    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Arn {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", partition, service, _, _, resource]
                if ![partition, service, resource].contains(&"") =>
            {
                Ok(Self(text.into()))
            }
            _ => Err("not an ARN"),
        }
    }
}

/// What every function finds in Lambda's environment: where it runs, and as whom.
#[derive(Debug, Clone)]
pub struct AwsEnv {
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`: always there in Lambda, not always elsewhere.
    pub session_token: Option<SecretString>,
    /// `AWS_ENDPOINT_URL`: set where something stands in for AWS.
    pub endpoint: Option<Url>,
}

impl AwsEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("any function", environment);
        let region = env.required("AWS_REGION");
        let id = env.required("AWS_ACCESS_KEY_ID");
        let secret = env.required("AWS_SECRET_ACCESS_KEY");
        let token = env.optional("AWS_SESSION_TOKEN");
        let endpoint = env.optional("AWS_ENDPOINT_URL");
        env.finish(|| {
            Some(Self {
                region: region?,
                access_key_id: id?,
                secret_access_key: secret?,
                session_token: token?,
                endpoint: endpoint?,
            })
        })
    }
}

/// What `ingest` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestEnv {
    /// `STACK_NAME`: the stack that the function is of.
    pub stack: String,
    /// `TABLE_NAME`: the table.
    pub table: String,
    /// `RAW_RETENTION_DAYS`: for how long a raw payload is kept; 30 unless set.
    pub raw_retention_days: u16,
}

impl IngestEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("ingest", environment);
        let stack = env.required("STACK_NAME");
        let table = env.required("TABLE_NAME");
        let days = env.or("RAW_RETENTION_DAYS", Days(30));
        env.finish(|| {
            Some(Self {
                stack: stack?,
                table: table?,
                raw_retention_days: days?.0,
            })
        })
    }
}

/// What `sync` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncEnv {
    /// `STACK_NAME`: the stack that the function is of.
    pub stack: String,
    /// `TABLE_NAME`: the table.
    pub table: String,
    /// `SYNC_QUEUE_URL`: the queue of jobs, one per connector.
    pub jobs: Url,
    /// `RAW_RETENTION_DAYS`: for how long a raw payload is kept; 30 unless set.
    pub raw_retention_days: u16,
    /// `ALLOWED_HOSTS`: where files may be fetched although it is not public; nothing unless set.
    pub allowed_hosts: Vec<Allowed>,
}

impl SyncEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("sync", environment);
        let stack = env.required("STACK_NAME");
        let table = env.required("TABLE_NAME");
        let jobs = env.required("SYNC_QUEUE_URL");
        let days = env.or("RAW_RETENTION_DAYS", Days(30));
        let allowed = env.or("ALLOWED_HOSTS", Vec::new());
        env.finish(|| {
            Some(Self {
                stack: stack?,
                table: table?,
                jobs: jobs?,
                raw_retention_days: days?.0,
                allowed_hosts: allowed?,
            })
        })
    }
}

/// What `evaluate` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluateEnv {
    /// `STACK_NAME`: the stack that the function is of.
    pub stack: String,
    /// `TABLE_NAME`: the table.
    pub table: String,
    /// `TOPIC_ARN`: the topic that delivery intents are announced on.
    pub topic: Arn,
}

impl EvaluateEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("evaluate", environment);
        let stack = env.required("STACK_NAME");
        let (table, topic) = (env.required("TABLE_NAME"), env.required("TOPIC_ARN"));
        env.finish(|| {
            Some(Self {
                stack: stack?,
                table: table?,
                topic: topic?,
            })
        })
    }
}

/// What `notify` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyEnv {
    /// `STACK_NAME`: the stack that the function is of.
    pub stack: String,
    /// `TABLE_NAME`: the table.
    pub table: String,
    /// `CHANNEL`: the kind of channel that this copy of the function serves.
    pub channel: ChannelKind,
    /// `QUEUE_URL`: the channel's queue, where an intent waits for its next attempt.
    pub queue: Url,
    /// `SEND_TIMEOUT_MS`: how long a vendor may take to answer; 8 s unless set.
    pub send_timeout: Duration,
    /// `ALLOWED_HOSTS`: what may be called although it is not public; nothing unless set.
    pub allowed_hosts: Vec<Allowed>,
}

impl NotifyEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("notify", environment);
        let stack = env.required("STACK_NAME");
        let (table, channel) = (env.required("TABLE_NAME"), env.required("CHANNEL"));
        let queue = env.required("QUEUE_URL");
        let timeout = env.or("SEND_TIMEOUT_MS", Millis(8_000));
        let allowed = env.or("ALLOWED_HOSTS", Vec::new());
        env.finish(|| {
            Some(Self {
                stack: stack?,
                table: table?,
                channel: channel?,
                queue: queue?,
                send_timeout: timeout?.duration(),
                allowed_hosts: allowed?,
            })
        })
    }
}

/// What `clock` needs.
#[derive(Clone, PartialEq, Eq)]
pub struct ClockEnv {
    /// `STACK_NAME`: the stack that the function is of.
    pub stack: String,
    /// `TABLE_NAME`: the table.
    pub table: String,
    /// `TOPIC_ARN`: the topic that overdue delivery intents are announced on again.
    pub topic: Arn,
    /// `HEARTBEAT_URL`: what is called each minute while all is well, so that its silence is noticed.
    pub heartbeat: Option<Url>,
}

/// Whether there is a monitor, and no more: its address is a key to it.
impl fmt::Debug for ClockEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockEnv")
            .field("stack", &self.stack)
            .field("table", &self.table)
            .field("topic", &self.topic)
            .field("heartbeat", &self.heartbeat.is_some())
            .finish()
    }
}

impl ClockEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("clock", environment);
        let stack = env.required("STACK_NAME");
        let (table, topic) = (env.required("TABLE_NAME"), env.required("TOPIC_ARN"));
        let heartbeat = env.optional("HEARTBEAT_URL");
        env.finish(|| {
            Some(Self {
                stack: stack?,
                table: table?,
                topic: topic?,
                heartbeat: heartbeat?,
            })
        })
    }
}

/// What `api` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiEnv {
    /// `STACK_NAME`: the stack that the function is of.
    pub stack: String,
    /// `TABLE_NAME`: the table.
    pub table: String,
    /// `API_TOKEN`: a reference to the token that callers present.
    pub token: SecretRef,
    /// `API_TOKEN_PREVIOUS`: the one before it, while callers still change over.
    pub previous_token: Option<SecretRef>,
    /// `SYNC_QUEUE_URL`: the queue of jobs, for "read this connector now".
    pub jobs: Url,
    /// `CHANNELS`: the kinds of channel that have a queue and a notifier; unset, nobody knows.
    pub channels: Option<Vec<ChannelKind>>,
    /// `INTAKE`: `closed` while nothing may be changed; `open` unless set.
    pub intake: Intake,
}

impl ApiEnv {
    /// Reads it.
    pub fn read(environment: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let mut env = Reader::new("api", environment);
        let stack = env.required("STACK_NAME");
        let (table, token) = (env.required("TABLE_NAME"), env.required("API_TOKEN"));
        let previous_token = env.optional("API_TOKEN_PREVIOUS");
        let jobs = env.required("SYNC_QUEUE_URL");
        let channels = env.optional("CHANNELS");
        let intake = env.or("INTAKE", Intake::Open);
        env.finish(|| {
            Some(Self {
                stack: stack?,
                table: table?,
                token: token?,
                previous_token: previous_token?,
                jobs: jobs?,
                channels: channels?,
                intake: intake?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: (&str, &str) = ("STACK_NAME", "lotwire-dev");
    const TABLE: (&str, &str) = ("TABLE_NAME", "lotwire");
    const TOPIC: (&str, &str) = ("TOPIC_ARN", "arn:aws:sns:eu-west-1:111122223333:alerts");
    const QUEUE: (&str, &str) = (
        "QUEUE_URL",
        "https://sqs.eu-west-1.amazonaws.com/111122223333/buyers",
    );

    fn environment<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn a_complete_environment_is_read() {
        let set = [
            STACK,
            TABLE,
            QUEUE,
            ("CHANNEL", "twilio_sms"),
            ("SEND_TIMEOUT_MS", "2500"),
            ("ALLOWED_HOSTS", "10.20.0.0/16, hooks.internal:8443"),
        ];
        assert_eq!(
            NotifyEnv::read(environment(&set)).unwrap(),
            NotifyEnv {
                stack: "lotwire-dev".into(),
                table: "lotwire".into(),
                channel: ChannelKind::TwilioSms,
                queue: QUEUE.1.parse().unwrap(),
                send_timeout: Duration::from_millis(2_500),
                allowed_hosts: ["10.20.0.0/16", "hooks.internal:8443"]
                    .map(|host| host.parse().unwrap())
                    .to_vec(),
            }
        );
        let clock =
            ClockEnv::read(environment(&[STACK, TABLE, TOPIC, ("HEARTBEAT_URL", "")])).unwrap();
        assert_eq!((clock.topic.as_str(), clock.heartbeat), (TOPIC.1, None));
        assert_eq!(
            IngestEnv::read(environment(&[STACK, TABLE]))
                .unwrap()
                .raw_retention_days,
            30
        );
    }

    #[test]
    fn kinds_are_read_as_the_template_lists_them() {
        let api = |listed| {
            let jobs = ("SYNC_QUEUE_URL", QUEUE.1);
            let token = ("API_TOKEN", "ssm:/lotwire/api-token");
            let set = [STACK, TABLE, jobs, token, ("CHANNELS", listed)];
            ApiEnv::read(environment(&set)).map(|env| env.channels)
        };
        let kinds = [ChannelKind::Slack, ChannelKind::TwilioSms];
        for listed in ["slack,twiliosms", "slack, twilio_sms"] {
            assert_eq!(api(listed).unwrap().unwrap(), kinds);
        }
        assert_eq!(api("").unwrap(), None);
        assert!(api("slack,pigeon").is_err());
    }

    #[test]
    fn everything_missing_is_named_at_once() {
        let nothing = environment(&[]);
        assert_eq!(
            NotifyEnv::read(&nothing).unwrap_err().to_string(),
            "the environment of `notify` is incomplete: STACK_NAME is not set (text); \
             TABLE_NAME is not set (text); CHANNEL is not set (a kind of channel such as slack); QUEUE_URL is not set (an address such as \
             https://sqs.eu-west-1.amazonaws.com/111122223333/name)"
        );
        let named = |error: EnvironmentError| -> Vec<String> {
            let names = error
                .problems
                .iter()
                .filter_map(|problem| problem.split(' ').next());
            names.map(str::to_owned).collect()
        };
        assert_eq!(
            named(IngestEnv::read(&nothing).unwrap_err()),
            ["STACK_NAME", "TABLE_NAME"]
        );
        assert_eq!(
            named(SyncEnv::read(&nothing).unwrap_err()),
            ["STACK_NAME", "TABLE_NAME", "SYNC_QUEUE_URL"]
        );
        assert_eq!(
            named(EvaluateEnv::read(&nothing).unwrap_err()),
            ["STACK_NAME", "TABLE_NAME", "TOPIC_ARN"]
        );
        assert_eq!(
            named(ClockEnv::read(&nothing).unwrap_err()),
            ["STACK_NAME", "TABLE_NAME", "TOPIC_ARN"]
        );
        assert_eq!(
            named(ApiEnv::read(&nothing).unwrap_err()),
            ["STACK_NAME", "TABLE_NAME", "API_TOKEN", "SYNC_QUEUE_URL"]
        );
    }

    #[test]
    fn an_unreadable_variable_is_named_and_never_quoted() {
        let set = [
            STACK,
            TABLE,
            ("QUEUE_URL", "hunter2 is no address"),
            ("CHANNEL", "hunter2"),
            ("SEND_TIMEOUT_MS", "hunter2"),
            ("ALLOWED_HOSTS", "hooks.internal,hunter2 is no host"),
        ];
        let error = NotifyEnv::read(environment(&set)).unwrap_err();
        assert_eq!(
            error.problems,
            [
                "CHANNEL is not a kind of channel such as slack",
                "QUEUE_URL is not an address such as https://sqs.eu-west-1.amazonaws.com/111122223333/name",
                "SEND_TIMEOUT_MS is not a number of milliseconds from 1 to 900000",
                "ALLOWED_HOSTS is not a list of hosts, host:port, addresses or networks, with commas between",
            ]
        );
        assert!(!format!("{error:?}{error}").contains("hunter2"));

        let set = [
            STACK,
            TABLE,
            ("SYNC_QUEUE_URL", QUEUE.1),
            ("API_TOKEN", "hunter2"),
        ];
        let error = ApiEnv::read(environment(&set)).unwrap_err();
        assert_eq!(
            error.problems,
            ["API_TOKEN is not a secret reference such as ssm:/lotwire/api-token"]
        );
    }

    #[test]
    fn a_bound_is_kept() {
        for (value, fits) in [
            ("0", false),
            ("1", true),
            ("3650", true),
            ("3651", false),
            ("-1", false),
        ] {
            let read = IngestEnv::read(environment(&[STACK, TABLE, ("RAW_RETENTION_DAYS", value)]));
            assert_eq!(read.is_ok(), fits, "{value}");
        }
        for arn in [
            "",
            "arn:aws:sns",
            "sns:eu-west-1",
            "arn::sns:r:a:x",
            "arn:aws:sns:r:a:",
        ] {
            assert!(arn.parse::<Arn>().is_err(), "{arn}");
        }
    }
}
