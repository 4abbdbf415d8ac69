//! Lists as JSON for programs, or as aligned text for the person on call, who has a terminal and nothing else.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::query::Query;

/// JSON, or text with `Accept: text/plain` or `?format=text`.
pub fn either(
    headers: &HeaderMap,
    query: &Query<'_>,
    list: &impl Serialize,
    text: impl FnOnce() -> String,
    etag: Option<HeaderValue>,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let plain = query.get("format") == Some("text") || accept.starts_with("text/plain");
    let (kind, body) = if plain {
        ("text/plain; charset=utf-8", text().into_bytes())
    } else {
        ("application/json", serde_json::to_vec(list).unwrap_or_default())
    };
    let kind = HeaderValue::from_static(kind);
    let vary = HeaderValue::from_static("accept");
    let mut response = ([(header::CONTENT_TYPE, kind), (header::VARY, vary)], body).into_response();
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Rows under their columns' names, each column as wide as its widest cell.
pub fn text<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    aligned(std::iter::once(columns.map(String::from)).chain(rows))
}

/// The same without names.
pub fn aligned<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_align() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long".to_owned(), "22".to_owned()]];
        assert_eq!(super::text(["NAME", "N"], rows.into_iter()), "NAME  N\na     1\nlong  22\n");
    }
}
