//! What the fuzzers do with their bytes, and what must hold of whatever comes of them.
//!
//! One function per family of readers. It takes any bytes, and panics where a reader breaks its
//! word: not only by panicking itself, but by reading its own output differently, by an error that
//! names no place, by a signature that should not have matched, by a result beyond its bounds.
//!
//! The same functions run in two places: under libFuzzer (`tests/fuzz/run.sh`), and over the kept
//! corpora in an ordinary test (`tests/corpus.rs`), so that what was found once stays found.

#[cfg(feature = "functions")]
mod api;
mod configuration;
mod environment;
mod feeds;
mod imports;
#[cfg(feature = "functions")]
mod ingest;
mod input;
mod messages;
mod records;
mod replies;
mod secrets;
mod sidecars;
mod signatures;
mod table;
mod templates;
mod values;
mod webhooks;

/// A fuzz target: takes any bytes, and panics only if something is wrong with us.
pub type Target = fn(&[u8]);

macro_rules! targets {
    (
        shared { $($(#[$doc:meta])* $name:ident,)+ }
        functions { $($(#[$of_function:meta])* $function:ident,)+ }
    ) => {
        $(
            $(#[$doc])*
            pub fn $name(bytes: &[u8]) {
                self::$name::run(bytes);
            }
        )+
        $(
            $(#[$of_function])*
            #[cfg(feature = "functions")]
            pub fn $function(bytes: &[u8]) {
                self::$function::run(bytes);
            }
        )+

        /// Every target, by the name of its corpus.
        pub const TARGETS: &[(&str, Target)] = &[
            $((stringify!($name), $name),)+
            $(#[cfg(feature = "functions")] (stringify!($function), $function),)+
        ];
    };
}

targets! {
    shared {
        /// `lotwire.toml`.
        configuration,
        /// The environment of each function.
        environment,
        /// Delimited files, plain and packed, under settings of their own.
        feeds,
        /// Tables of thresholds and stock.
        imports,
        /// Messages on queues.
        messages,
        /// Stream records, and rows as they are stored.
        records,
        /// What vendors answer.
        replies,
        /// What the extension answers that secrets are read through.
        secrets,
        /// Checksums and done markers beside a feed.
        sidecars,
        /// Signature headers of every scheme.
        signatures,
        /// Titles and texts that users write.
        templates,
        /// Numbers, money, distances, identifiers.
        values,
        /// Webhook bodies of every connector.
        webhooks,
    }
    functions {
        /// Requests to the HTTP API: paths, queries, cursors, bodies.
        api,
        /// Webhooks as the gateway hands them on.
        ingest,
    }
}
