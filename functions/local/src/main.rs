//! `lotwire`: the stack in one process, and the command line.

use lotwire::stack::serve::{Options, Ready};
use std::io::Write as _;

#[tokio::main]
async fn main() {
    shared::telemetry::init_pretty();
    let options = Options {
        listen: "127.0.0.1:9400".parse().unwrap(),
        data: ".lotwire".into(),
        config: None,
        empty: false,
    };
    let ready = Ready::open(options).await.unwrap();
    ready
        .serve(async { tokio::signal::ctrl_c().await.unwrap() }, |text| {
            let _ = std::io::stdout().write_all(text.as_bytes());
        })
        .await
        .unwrap();
}
