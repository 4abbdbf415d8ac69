//! Which requests meet a fault, and what is counted of them all.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::wire::Message;

/// What becomes of a request instead of being passed on and answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with these bytes and does not arrive.
    Answer(Vec<u8>),
    /// It does not arrive and is never answered.
    Lost,
    /// It arrives and is never answered.
    Unanswered,
    /// It arrives; of its answer only so many bytes come back, then the connection ends.
    Truncated(usize),
    /// It arrives after this time, also if its client has given up by then.
    Late(Duration),
    /// It arrives at once and is answered, and arrives again after this time.
    Twice(Duration),
    /// It arrives once [`release`](super::Gate::release) is called, also if its client has given up by then.
    Held,
}

impl Fault {
    /// An error as DynamoDB spells it, by its type, as in `com.amazonaws.dynamodb.v20120810#InternalServerError`.
    pub fn error(status: u16, kind: &str) -> Self {
        let body = format!(r#"{{"__type":"{kind}","message":"made by the gate","Message":"made by the gate"}}"#);
        let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\n");
        Self::Answer(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }

    /// DynamoDB fails.
    pub fn broken() -> Self {
        Self::error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError")
    }

    /// DynamoDB throttles.
    pub fn throttled() -> Self {
        Self::error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
    }

    /// The role may not do this.
    pub fn denied() -> Self {
        Self::error(400, "com.amazon.coral.service#AccessDeniedException")
    }

    /// There is no such table.
    pub fn no_table() -> Self {
        Self::error(400, "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException")
    }

    /// A page of somebody else's.
    pub fn garbage() -> Self {
        let body = "<html>\0\u{fffd}{\"Items\":[{";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n";
        Self::Answer(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }
}

type Matcher = Box<dyn FnMut(&Message) -> bool + Send>;

struct Rule {
    applies: Matcher,
    fault: Fault,
    once: bool,
}

/// The rules in their order and the counts.
#[derive(Default)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    requests: BTreeMap<String, u64>,
    struck: u64,
}

impl Rules {
    pub fn add(&mut self, applies: impl FnMut(&Message) -> bool + Send + 'static, fault: Fault, once: bool) {
        self.rules.push(Rule { applies: Box::new(applies), fault, once });
    }

    pub fn clear(&mut self) {
        self.rules.clear();
    }

    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.requests.clone()
    }

    pub fn struck(&self) -> u64 {
        self.struck
    }

    /// Counts a request and tells what becomes of it by the first rule that applies.
    pub fn judge(&mut self, request: &Message) -> Option<Fault> {
        *self.requests.entry(request.operation().to_owned()).or_default() += 1;
        let nth = self.rules.iter_mut().position(|rule| (rule.applies)(request))?;
        self.struck += 1;
        let once = self.rules[nth].once;
        Some(if once { self.rules.remove(nth).fault } else { self.rules[nth].fault.clone() })
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("requests", &self.requests).field("struck", &self.struck).finish_non_exhaustive()
    }
}
