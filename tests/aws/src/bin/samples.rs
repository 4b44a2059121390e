//! What the samples in `events/` are invoked against, and their signatures. `events/README.md` says how.
//!
//! | arguments | does |
//! |---|---|
//! | | serves the embedded engine on 127.0.0.1:9401 until it is ended |
//! | `xml` | the same, with the configuration for the sample in XML |
//! | `sign FILE` | prints a sample of the connector `generic`, signed as of now |

use aws_tests::samples::{self, Samples};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sign", file] => {
            let mut event = serde_json::from_str(&std::fs::read_to_string(file)?)?;
            samples::sign_anew(&mut event, &uuid::Uuid::new_v4().to_string());
            say(&format!("{event:#}"))
        }
        [] | ["xml"] => {
            let listener = tokio::net::TcpListener::bind(samples::ADDRESS).await?;
            let _serving = Samples::serve(listener, !arguments.is_empty()).await;
            say(&format!(
                "DynamoDB, SNS and SQS at http://{}",
                samples::ADDRESS
            ))?;
            std::future::pending().await
        }
        _ => Err(std::io::Error::other("samples [xml | sign FILE]")),
    }
}

fn say(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}")
}
