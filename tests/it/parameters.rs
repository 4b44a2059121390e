//! What the template's parameters set: each reaches what it is named for, and nothing else.

use serde_json::json;

use crate::cloudformation::{Stack, source};

#[test]
fn each_function_has_the_memory_that_is_given_for_it() {
    let given = [
        ("Memory", "300"),
        ("EvaluateMemory", "600"),
        ("SyncMemory", "900"),
    ];
    let stack = Stack::of(&source(), &given);
    let mut functions = 0;
    for (name, function) in stack.of_type("AWS::Lambda::Function") {
        let expected = match name {
            "Evaluate" => "600",
            "Sync" => "900",
            _ => "300",
        };
        assert_eq!(function["MemorySize"], expected, "{name}");
        functions += 1;
    }
    assert!(functions > 5, "{functions}");
}

#[test]
fn functions_are_traced_unless_that_is_switched_off() {
    let traced = |given: &[(&str, &str)], expected: &str| {
        let stack = Stack::of(&source(), given);
        for (name, function) in stack.of_type("AWS::Lambda::Function") {
            assert_eq!(function["Tracing"], expected, "{name}");
        }
    };
    traced(&[], "Active");
    traced(&[("Tracing", "PassThrough")], "PassThrough");
}

#[test]
fn as_many_sources_are_read_at_once_as_is_given() {
    let concurrency = |stack: &Stack| {
        stack.properties("SyncRuns")["ScalingConfig"]["MaximumConcurrency"].to_string()
    };
    let given = Stack::of(&source(), &[("SyncConcurrency", "37")]);
    assert_eq!(concurrency(&given), "\"37\"");
    assert_ne!(concurrency(&given), concurrency(&Stack::usual()));
    let others = |stack: &Stack| {
        let mappings = stack.of_type("AWS::Lambda::EventSourceMapping");
        let others = mappings.filter(|(name, _)| *name != "SyncRuns");
        let others = others.map(|(name, it)| (name.to_owned(), it["ScalingConfig"].clone()));
        others.collect::<Vec<_>>()
    };
    assert_eq!(others(&given), others(&Stack::usual()));
}

#[test]
fn a_name_of_ones_own_leads_to_the_gateway_where_it_has_a_certificate() {
    const CERTIFICATE: &str = "arn:aws:acm:eu-south-1:111122223333:certificate/x";
    let given = [
        ("DomainName", "stock.example.com"),
        ("CertificateArn", CERTIFICATE),
    ];
    let stack = Stack::of(&source(), &given);
    let name = stack.typed("Domain", "AWS::ApiGatewayV2::DomainName");
    let configuration = json!([{
        "CertificateArn": CERTIFICATE,
        "EndpointType": "REGIONAL",
        "SecurityPolicy": "TLS_1_2",
    }]);
    assert_eq!(name["DomainName"], "stock.example.com");
    assert_eq!(name["DomainNameConfigurations"], configuration);
    let mapping = stack.typed("DomainMapping", "AWS::ApiGatewayV2::ApiMapping");
    let leads = json!({
        "ApiId": { "Ref": "HttpApi" },
        "DomainName": { "Ref": "Domain" },
        "Stage": { "Ref": "HttpApiStage" },
    });
    assert_eq!(*mapping, leads);
    for (kind, id) in [
        ("AWS::ApiGatewayV2::Api", "HttpApi"),
        ("AWS::ApiGatewayV2::Stage", "HttpApiStage"),
    ] {
        assert!(stack.typed(id, kind).is_object(), "{id}");
    }
    for few in [&[][..], &given[..1], &given[1..]] {
        let stack = Stack::of(&source(), few);
        for kind in ["DomainName", "ApiMapping"] {
            let kind = format!("AWS::ApiGatewayV2::{kind}");
            assert_eq!(stack.of_type(&kind).count(), 0, "{few:?}");
        }
    }
}
