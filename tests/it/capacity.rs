//! What each kind of change costs in DynamoDB capacity, as the engine counts it by AWS's rules.
