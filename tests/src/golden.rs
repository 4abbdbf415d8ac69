//! Transcripts: requests and answers as they stand on the wire, in a file that reads as a manual of the dialect.
//!
//! ```text
//! == what is shown
//! POST /v1/registration/web
//! content-type: text/plain
//!
//! body
//! -- 202
//! content-type: application/json
//!
//! body
//! ```
//!
//! A whole file is one story on one server. Headers that an answer lists are compared, others may be there. Hosts' times
//! move, so in an answer with hosts they stand as `0` and `""`; each such answer is judged by [`crate::v1`] besides.
//! In a multipart body lines end as the wire has it.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{http::Answer, raw, v1};

/// Plays a transcript against a server; the error names the first exchange that went otherwise.
pub async fn play(addr: SocketAddr, transcript: &str) -> anyhow::Result<()> {
    let mut cases = transcript.split("\n== ");
    cases.next();
    for case in cases {
        let title = case.lines().next().unwrap_or_default();
        exchange(addr, case).await.with_context(|| format!("== {title}"))?;
    }
    Ok(())
}

async fn exchange(addr: SocketAddr, case: &str) -> anyhow::Result<()> {
    let (_, case) = case.split_once('\n').context("a title alone")?;
    let (request, expected) = case.split_once("\n-- ").context("no answer")?;
    let (head, body) = halves(request);
    let mut lines = head.lines();
    let first = lines.next().context("no request")?;
    let headers: String = lines.map(|line| format!("{line}\r\n")).collect();
    let body = if body.starts_with("--") { body.replace('\n', "\r\n") + "\r\n" } else { body.to_owned() };
    let length = body.len();
    let head =
        format!("{first} HTTP/1.1\r\nhost: sds\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n");
    let answer = raw::exchange(addr, format!("{head}{body}").as_bytes()).await?;
    compare(first, &answer, expected)
}

fn compare(request: &str, answer: &Answer, expected: &str) -> anyhow::Result<()> {
    let (head, body) = halves(expected);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(answer.status.to_string() == status, "expected {status}, got {}: {}", answer.status, answer.text());
    for line in lines {
        let (name, value) = line.split_once(": ").context("not a header")?;
        ensure!(answer.header(name) == value, "expected '{line}', got '{}'", answer.header(name));
    }
    if request.starts_with("GET /v1/registration/") && answer.status == 200 {
        let (told, expected) =
            (timeless(answer.json()?), serde_json::from_str::<Value>(body).context(body.to_owned())?);
        if request.starts_with("GET /v1/registration/repo/") {
            v1::of_repo(&answer.body)?;
        } else {
            v1::check(&answer.body)?;
        }
        ensure!(told == expected, "expected {expected},\ngot      {told}");
        return Ok(());
    }
    let text = answer.text();
    match body.strip_suffix("...") {
        Some(start) => ensure!(text.starts_with(start), "expected '{start}..', got '{text}'"),
        None => ensure!(text == body, "expected '{body}', got '{text}'"),
    }
    Ok(())
}

/// Head and body; the last line's end belongs to neither.
fn halves(text: &str) -> (&str, &str) {
    let text = text.trim_end_matches('\n');
    text.split_once("\n\n").unwrap_or((text, ""))
}

fn timeless(mut body: Value) -> Value {
    for host in body["hosts"].as_array_mut().into_iter().flatten() {
        (host["last_check_in"], host["expire_time"]) = ("".into(), 0.into());
    }
    body
}
