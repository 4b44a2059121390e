//! Who may know of whom: the domain knows nobody, and only the store knows DynamoDB.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(directory: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let name = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .display()
                .to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

fn nobody_says(files: &[(String, String)], words: &[&str]) {
    let said: Vec<_> = files
        .iter()
        .flat_map(|(name, text)| {
            text.lines().enumerate().flat_map(move |(line, text)| {
                let code = text.split("//").next().unwrap_or_default();
                words
                    .iter()
                    .filter(|word| code.contains(**word))
                    .map(|word| format!("{name}:{}: {word}", line + 1))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn the_domain_knows_no_io_and_no_clock() {
    let files = sources(&root().join("shared/src/domain"));
    assert!(files.len() > 15);
    nobody_says(
        &files,
        &[
            "aws_sdk",
            "reqwest",
            "tokio",
            "std::env",
            "::now()",
            "std::fs",
            "async ",
            "crate::store",
            "crate::http",
            "crate::channels",
            "crate::connectors",
        ],
    );
}

#[test]
fn only_the_store_knows_dynamodb() {
    let shared = sources(&root().join("shared/src"));
    let others: Vec<_> = shared
        .into_iter()
        // The settings that all clients share carry credentials, a type of the SDK's.
        .filter(|(name, _)| !name.contains("src/store/") && !name.ends_with("src/aws.rs"))
        .collect();
    nobody_says(&others, &["aws_sdk_dynamodb"]);
}

#[test]
fn channels_and_connectors_do_no_io() {
    for room in ["shared/src/channels", "shared/src/connectors"] {
        let files: Vec<_> = sources(&root().join(room))
            .into_iter()
            .filter(|(name, _)| {
                !name.contains("conformance") && !name.contains("bench") && !name.contains("tests")
            })
            .collect();
        nobody_says(
            &files,
            &["reqwest", "tokio::", "aws_sdk", "std::fs", ".await"],
        );
    }
}

#[test]
fn shared_does_not_ask_whether_it_runs_locally() {
    nobody_says(
        &sources(&root().join("shared/src")),
        &["is_local", "\"local\""],
    );
}
