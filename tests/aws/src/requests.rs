//! What the `api` function is asked.

use serde_json::{Value, json};

use crate::process::Process;

/// Says by the API that so many lie in the north.
pub async fn count(api: &Process, sku: &str, quantity: i64) {
    let body =
        json!({ "type": "count", "product": sku, "location": "north", "quantity": quantity });
    let answer = api
        .invoke(request("POST", "/api/v1/movements", "", &body.to_string()))
        .await;
    let answer = answer.returned();
    assert_eq!(answer["statusCode"], 201, "{answer}");
}

/// What lies where of a product.
pub async fn positions(api: &Process, sku: &str) -> Vec<Value> {
    let query = format!("product={sku}");
    let answer = api
        .invoke(request("GET", "/api/v1/positions", &query, ""))
        .await
        .returned();
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    body["items"].as_array().unwrap().clone()
}

/// A request as the HTTP API hands it over.
fn request(method: &str, path: &str, query: &str, body: &str) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "ANY /api/v1/{proxy+}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {
            "authorization": "Bearer correct horse",
            "content-type": "application/json",
            "idempotency-key": uuid::Uuid::new_v4().to_string(),
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.10", "userAgent": "test" },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "ANY /api/v1/{proxy+}",
            "stage": "$default",
            "time": "22/Nov/2026:09:30:00 +0000",
            "timeEpoch": 1_795_339_800_000_i64,
        },
        "body": body,
        "isBase64Encoded": false,
    })
}
