//! The HTTP check: one request, and an answer with an expected status passes; a redirect is an answer like any other.
//!
//! The body is read too, up to a limit: an app that says 200 and then hangs or resets is not well. One that goes on
//! beyond the limit has shown enough. HTTP/1.1, which every app speaks that speaks HTTP.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http1,
    header::{CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT},
};

use super::{Probe, check::Http, connect, failure, tls};
use crate::web;

/// From here on hyper reads no more of a head; what it has read by then is at most twice as long.
const HEAD_LIMIT: usize = web::BODY_LIMIT / 2;

/// One request to the app at `app`; the caller sets the deadline. Both results are one.
pub async fn probe(http: &Http, tls: Option<&tls::Client>, app: IpAddr) -> Result<Probe, Probe> {
    let host = http.host.as_ref().map_or_else(|| http.target.authority(app), ToString::to_string);
    let host = HeaderValue::from_maybe_shared(Bytes::from(host)).map_err(|error| failure(&error))?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = http.method.clone();
    *request.uri_mut() = http.path.clone().into();
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(web::USER_AGENT));
    if http.method == Method::POST {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers.extend(http.headers.clone());

    let stream = connect::open(http.target, app, tls).await?;
    let handshake = http1::Builder::new().max_buf_size(HEAD_LIMIT).handshake(connect::hyper(stream)).await;
    let (mut app, connection) = handshake.map_err(|error| failure(&error))?;
    let exchange = async move {
        match app.send_request(request).await {
            Ok(response) => judge(http, response).await,
            Err(error) => failure(&error),
        }
    };
    Ok(connect::over(connection, exchange).await)
}

async fn judge(http: &Http, response: Response<Incoming>) -> Probe {
    let (head, mut body) = response.into_parts();
    if !http.expect.iter().any(|statuses| statuses.contains(head.status)) {
        return Probe::Fail(format!("status {}", head.status));
    }
    let (mut text, mut length) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return Probe::Fail(format!("the answer broke off: {}", web::cause(&error))),
        };
        length += data.len();
        if http.body.is_some() {
            text.extend_from_slice(&data);
        }
        if length > web::BODY_LIMIT {
            text.truncate(web::BODY_LIMIT);
            break;
        }
    }
    match &http.body {
        Some(wanted) if !text.windows(wanted.len()).any(|window| window == wanted.as_bytes()) => {
            Probe::Fail(format!("the answer's first 64 KB do not contain '{}'", web::shown(wanted)))
        }
        _ => Probe::Pass,
    }
}
