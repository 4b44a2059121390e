//! The deployed stack: its addresses, and what vendors, people and schedules send to it.

use std::collections::HashMap;
use std::fs;

use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::chance::Chance;
use shared::clock::Clock;
use shared::store::Store;

use crate::{aws, told};

/// What `stack.py` writes down.
#[derive(Deserialize)]
struct Description {
    token: String,
    outputs: HashMap<String, String>,
    resources: HashMap<String, String>,
}

/// The stack, as its users and its neighbours in AWS reach it.
pub struct Stack {
    /// Its table.
    pub store: Store,
    description: Description,
    endpoint: String,
    /// The host by which the engine knows the HTTP API.
    host: HeaderValue,
    client: reqwest::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Stack {
    /// The one that was deployed for this run.
    pub async fn deployed() -> Self {
        let description = fs::read_to_string(told("STACK")).unwrap();
        let description: Description = serde_json::from_str(&description).unwrap();
        // The engine's name for it resolves nowhere: it is told in the header, as a gateway's own would be.
        let (_, host) = description.outputs["Url"].split_once("://").unwrap();
        let host = HeaderValue::from_str(host).unwrap();
        let aws = aws();
        let store = Store::new(
            aws_sdk_dynamodb::Client::new(&aws),
            description.outputs["TableName"].as_str(),
            Clock::system(),
            Chance::from_system(),
        );
        Self {
            store,
            description,
            endpoint: told("AWS_ENDPOINT_URL"),
            host,
            client: reqwest::Client::builder().build().unwrap(),
            sqs: aws_sdk_sqs::Client::new(&aws),
        }
    }

    /// The name or address of a resource, by its logical id.
    pub fn resource(&self, logical: &str) -> &str {
        &self.description.resources[logical]
    }

    /// Sends a request to the HTTP API, from outside.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        headers.insert(http::header::HOST, self.host.clone());
        let sent = self
            .client
            .request(method, format!("{}{path}", self.endpoint))
            .headers(headers)
            .body(body);
        let reply = sent.send().await.unwrap();
        let status = reply.status();
        let body = reply.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Asks the API as somebody who may.
    pub async fn api(&self, method: Method, path: &str, body: String) -> (StatusCode, Value) {
        let bearer = format!("Bearer {}", self.description.token);
        let headers = HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            HeaderValue::from_str(&bearer).unwrap(),
        )]);
        self.send(method, &format!("/api/v1/{path}"), headers, body)
            .await
    }

    /// What a list of the API holds.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.api(Method::GET, path, String::new()).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body["items"].as_array().unwrap().clone()
    }

    /// Keeps a secret as a parameter under the stack's own path, and gives the reference to it.
    pub async fn keep_secret(&self, name: &str, value: &str) -> String {
        let name = format!("/lotwire-dev/{name}");
        let kept = self
            .client
            .post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "AmazonSSM.PutParameter")
            .body(
                json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true })
                    .to_string(),
            );
        let reply = kept.send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::OK);
        format!("ssm:{name}")
    }

    /// Invokes a function as a schedule does: without waiting for it.
    pub async fn set_off(&self, function: &str, event: &Value) {
        let name = self.resource(function);
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let invoked = self
            .client
            .post(url)
            .header("x-amz-invocation-type", "Event")
            .body(event.to_string());
        let reply = invoked.send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::ACCEPTED);
    }

    /// Puts messages on a queue in one batch.
    pub async fn queue(&self, queue: &str, bodies: &[String]) {
        let entries = bodies.iter().enumerate().map(|(index, body)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .build()
                .unwrap()
        });
        let send = self
            .sqs
            .send_message_batch()
            .queue_url(self.resource(queue));
        let sent = send.set_entries(Some(entries.collect())).send().await;
        assert!(sent.unwrap().failed.is_empty());
    }

    /// What stands in a queue, taken out.
    pub async fn take(&self, queue: &str) -> Vec<String> {
        let queue = self.resource(queue);
        let receive = self.sqs.receive_message().queue_url(queue);
        let received = receive.max_number_of_messages(10).send().await.unwrap();
        let mut bodies = Vec::new();
        for message in received.messages.unwrap_or_default() {
            let delete = self.sqs.delete_message().queue_url(queue);
            let handle = message.receipt_handle.unwrap();
            delete.receipt_handle(handle).send().await.unwrap();
            bodies.push(message.body.unwrap());
        }
        bodies
    }

    /// How many messages a queue has, visible or not.
    pub async fn depth(&self, queue: &str) -> usize {
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let asked = self
            .sqs
            .get_queue_attributes()
            .queue_url(self.resource(queue))
            .set_attribute_names(Some(counts.to_vec()));
        let attributes = asked.send().await.unwrap().attributes.unwrap();
        let count = |name| attributes.get(name).map_or(0, |text| text.parse().unwrap());
        counts.iter().map(count).sum()
    }

    /// Has a queue bring a message that failed back after this many seconds, rather than after the
    /// minutes that the template gives it.
    pub async fn come_back_after(&self, queue: &str, seconds: u32) {
        self.sqs
            .set_queue_attributes()
            .queue_url(self.resource(queue))
            .attributes(QueueAttributeName::VisibilityTimeout, seconds.to_string())
            .send()
            .await
            .unwrap();
    }
}
