//! What an HTTP answer means for the lifecycle, also one that is not the registry's: a load balancer's page, a
//! redirect to a login, a proxy's refusal.
//!
//! Three questions: does the registry have it (2xx and its JSON), can another try have another result (then it
//! failed, else it was refused), and may it have been stored all the same (any 5xx, anything cut off).

use std::time::Duration;

use reqwest::{Response, StatusCode, header};
use sds_types::ErrorBody;
use tokio::time::Instant;

use crate::{
    lifecycle::{Answer, Call},
    web,
};

/// Reads the answer to `call` until `deadline`.
pub async fn read(call: Call, response: Response, deadline: Instant) -> Answer {
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    match tokio::time::timeout_at(deadline, web::body(response, web::BODY_LIMIT)).await {
        Ok(Ok(body)) => judge(call, status, &body, retry_after),
        Ok(Err(error)) => Answer::Failed { reason: error.to_string(), doubt: true, retry_after },
        Err(_) => late(),
    }
}

/// No answer in time: it may have been stored.
pub fn late() -> Answer {
    Answer::Failed { reason: "no answer in time".into(), doubt: true, retry_after: None }
}

fn judge(call: Call, status: StatusCode, body: &[u8], retry_after: Option<Duration>) -> Answer {
    let error = serde_json::from_slice::<ErrorBody>(body).ok();
    let current = error.as_ref().and_then(|error| error.current);
    let reason = || match &error {
        Some(error) => format!("{status}: {}", web::shown(&error.reason)),
        None => format!("{status}, which is not an answer of the registry: is the URL right?"),
    };
    match status.as_u16() {
        // Anything may answer 200 with a page; only the registry answers with a JSON object, or nothing at all.
        200..=299 if body.trim_ascii().is_empty() || body.trim_ascii_start().starts_with(b"{") => {
            Answer::Done(serde_json::from_slice(body).ok())
        }
        404 if matches!(call, Call::Deregister(_)) && error.is_some() => Answer::Done(None),
        409 if let Some(current) = current => Answer::Superseded(current),
        // Nobody was let in, so nothing was stored.
        503 if error.as_ref().is_some_and(|error| error.id == "IdentityUnavailable") => {
            Answer::Failed { reason: reason(), doubt: false, retry_after }
        }
        500..=599 => Answer::Failed { reason: reason(), doubt: true, retry_after },
        // Credentials can be renewed, and the others ask for patience.
        401 | 408 | 409 | 425 | 429 => Answer::Failed { reason: reason(), doubt: false, retry_after },
        _ => Answer::Refused(reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Why;

    #[test]
    fn statuses_and_bodies() {
        let told = r#"{"lease_ms":30000,"heartbeat_ms":10000,"version":"v","vouched":true}"#;
        let superseded = r#"{"id":"Superseded","reason":"r","current":{"incarnation":5,"seq":2}}"#;
        let refusal = "{\"id\":\"InvalidWeight\",\"reason\":\"weight is\\n0\"}";
        let register = Call::Register(sds_types::Health::Healthy);
        let cases = [
            (register, 200, told, "Done(Some("),
            (register, 200, r#"{"lease_ms":1,"new":2}"#, "Done(None)"),
            (register, 202, r#"{"persisted":false}"#, "Done(None)"),
            (Call::Deregister(Why::Goodbye), 204, "", "Done(None)"),
            (register, 200, "<html>Welcome", "Refused(\"200 OK, which is not"),
            (register, 409, superseded, "Superseded(Sequence { incarnation: 5, seq: 2 })"),
            (register, 409, "<html>", "Failed { reason: \"409 Conflict, which"),
            (register, 400, refusal, "Refused(\"400 Bad Request: weight is 0\")"),
            (register, 400, "[]", "Refused("),
            (register, 403, "", "Refused("),
            (register, 404, refusal, "Refused("),
            (Call::Deregister(Why::Goodbye), 404, refusal, "Done(None)"),
            (Call::Deregister(Why::Goodbye), 404, "<html>", "Refused("),
            (register, 302, "", "Refused("),
            (register, 413, "", "Refused("),
        ];
        for (call, status, body, expected) in cases {
            let answer = judge(call, StatusCode::from_u16(status).unwrap(), body.as_bytes(), None);
            let text = format!("{answer:?}");
            assert!(text.starts_with(expected), "{status} {body}: {text}");
        }
        let away = r#"{"id":"IdentityUnavailable","reason":"STS does not answer"}"#;
        let answer = judge(register, StatusCode::SERVICE_UNAVAILABLE, away.as_bytes(), None);
        assert!(matches!(answer, Answer::Failed { doubt: false, .. }), "{answer:?}");
        for (status, stored) in [(500, true), (503, true), (504, true), (429, false), (401, false), (408, false)] {
            let answer = judge(register, StatusCode::from_u16(status).unwrap(), b"", Some(Duration::MAX));
            let Answer::Failed { doubt, retry_after, .. } = answer else { panic!("{status}: {answer:?}") };
            assert_eq!((doubt, retry_after), (stored, Some(Duration::MAX)), "{status}");
        }
    }
}
