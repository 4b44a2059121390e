//! The one stack of a run, with its configuration, its vendor and its file server.

use aws_tests::bench::SIGNING;
use aws_tests::stack::Stack;
use aws_tests::vendor::Vendor;
use http::{Method, StatusCode};
use shared::testing::servers::Sshd;
use std::sync::OnceLock;
use tokio::runtime::Runtime;

/// The client secret of the shop.
pub(crate) const SHOPIFY_SECRET: &str = "the shop's client secret";
/// Where the webhook channel tells the vendor, and where the Slack channel does.
pub(crate) const ERP: &str = "/erp";
pub(crate) const SLACK: &str = "/services/T000/B000/hook";

/// What all tests of this suite share. Each keeps to products and alerts of its own.
pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) vendor: Vendor,
    pub(crate) files: Sshd,
    /// The vendor serves on it for as long as there are tests.
    runtime: Runtime,
}

impl World {
    /// Runs a test over the world.
    pub(crate) fn run(test: impl AsyncFnOnce(&'static World)) {
        static WORLD: OnceLock<World> = OnceLock::new();
        let world = WORLD.get_or_init(World::begin);
        world.runtime.block_on(test(world));
    }

    fn begin() -> World {
        let runtime = Runtime::new().unwrap();
        let (stack, vendor, files) = runtime.block_on(async {
            let stack = Stack::deployed().await;
            let vendor = Vendor::start().await;
            let files = Sshd::start();
            configure(&stack, &vendor, &files).await;
            (stack, vendor, files)
        });
        World {
            stack,
            vendor,
            files,
            runtime,
        }
    }
}

/// Applies the configuration as people do: through the API.
async fn configure(stack: &Stack, vendor: &Vendor, files: &Sshd) {
    let mut config = include_str!("../../deployed.toml")
        .replace("{vendor}", &vendor.url(""))
        .replace("{sftp}", &files.url())
        .replace("{host_key}", &files.host_key);
    for (place, name, value) in [
        (
            "{shopify_secret}",
            "connectors/shopify/webhook",
            SHOPIFY_SECRET,
        ),
        (
            "{sftp_key}",
            "connectors/stock-files/key",
            &files.private_key,
        ),
        ("{erp_secret}", "channels/webhook/erp", SIGNING),
        (
            "{slack_url}",
            "channels/slack/stock-room",
            &vendor.url(SLACK),
        ),
    ] {
        config = config.replace(place, &stack.keep_secret(name, value).await);
    }
    let (status, answer) = stack.api(Method::PUT, "config", config).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}
