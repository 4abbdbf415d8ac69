//! What goes wrong with ECS's API as a whole.

use std::time::Duration;

use serde_json::json;

/// What each call meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The account's limit is reached.
    Throttled,
    /// Something before ECS says so, without its words.
    TooMany,
    /// ECS is in trouble.
    Away,
    /// It answers 200 and something else.
    Garbage,
    /// The registry's role may not ask.
    Denied,
    /// Answers come after so long.
    Slow(Duration),
}

impl Fault {
    /// What is answered in ECS's place, if anything.
    pub(super) async fn answer(self) -> Option<(u16, String)> {
        let coded =
            |status, code: &str| Some((status, json!({"__type": code, "message": "said the stand-in"}).to_string()));
        match self {
            Self::Throttled => coded(400, "ThrottlingException"),
            Self::TooMany => Some((429, "<html>slow down</html>".to_owned())),
            Self::Away => coded(500, "ServerException"),
            Self::Garbage => Some((200, "<html>welcome</html>".to_owned())),
            Self::Denied => coded(400, "AccessDeniedException"),
            Self::Slow(span) => {
                tokio::time::sleep(span).await;
                None
            }
        }
    }
}
