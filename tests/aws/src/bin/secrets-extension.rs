//! The stand-in for AWS's Parameters and Secrets extension, as `stack.py` starts it.

use aws_tests::{extension, told};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = told("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT");
    let port = port.parse().map_err(std::io::Error::other)?;
    extension::serve(port, told("AWS_ENDPOINT_URL")).await
}
