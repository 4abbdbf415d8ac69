//! The gRPC check: one call of `grpc.health.v1.Health/Check`, and SERVING passes.
//! (Protocol: grpc/doc/health-checking.md and grpc/doc/PROTOCOL-HTTP2.md.)
//!
//! Two messages of one field each need no gRPC library (`grpc/wire` spells them), only HTTP/2, here hyper's own. An app
//! without a health service fails, and is told so: to pass it because it at least speaks gRPC would be a check that
//! nobody asked for.

use std::net::IpAddr;

use bytes::Bytes;
use h2::{RecvStream, client};
use http::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT},
    uri::Authority,
};

use super::{Probe, check::Grpc, connect, failure, tls};
use crate::web;

mod wire;

const CHECK: &str = "/grpc.health.v1.Health/Check";
/// A message is of 7 bytes; whatever else is said fits in here. Below HTTP/2's first window, so none is ever widened.
const LIMIT: usize = 16 * 1024;

/// One call of the app at `app`; the caller sets the deadline. Both results are one.
pub async fn probe(grpc: &Grpc, tls: Option<&tls::Client>, app: IpAddr) -> Result<Probe, Probe> {
    let request = request(grpc, app).map_err(|error| failure(&error))?;
    let stream = connect::open(grpc.target, app, tls).await?;
    let mut builder = client::Builder::new();
    builder.enable_push(false).max_header_list_size(LIMIT as u32);
    let (app, connection) = builder.handshake::<_, Bytes>(stream).await.map_err(|error| broken(&error))?;
    let exchange = async move {
        let called = async {
            let (response, mut body) = app.ready().await?.send_request(request, false)?;
            body.send_data(wire::request(&grpc.service), true)?;
            judge(grpc, response.await?).await
        };
        called.await.unwrap_or_else(|error: h2::Error| broken(&error))
    };
    Ok(connect::over(connection, exchange).await)
}

fn request(grpc: &Grpc, app: IpAddr) -> Result<Request<()>, http::Error> {
    let authority = match &grpc.host {
        Some(host) => host.clone(),
        None => grpc.target.authority(app).parse::<Authority>()?,
    };
    let scheme = if grpc.tls.is_some() { "https" } else { "http" };
    let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(CHECK).build()?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static(web::USER_AGENT));
    headers.extend(grpc.headers.clone());
    Ok(request)
}

async fn judge(grpc: &Grpc, response: Response<RecvStream>) -> Result<Probe, h2::Error> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Ok(Probe::Fail(format!("not gRPC: status {}", head.status)));
    }
    let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !kind.starts_with(b"application/grpc") {
        return Ok(Probe::Fail(format!("not gRPC: content-type '{}'", web::shown(&String::from_utf8_lossy(kind)))));
    }
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        message.extend_from_slice(&data?);
        if message.len() > LIMIT {
            return Ok(Probe::Fail(format!("the answer is longer than {LIMIT} bytes")));
        }
    }
    // An answer of trailers only has them in its head.
    let trailers = body.trailers().await?.unwrap_or(head.headers);
    Ok(status(&trailers, &grpc.service).map_or_else(Probe::Fail, |()| match wire::answer(&message) {
        Ok(1) => Probe::Pass,
        Ok(0) => Probe::Fail("the health service says UNKNOWN".into()),
        Ok(2) => Probe::Fail("the health service says NOT_SERVING".into()),
        Ok(3) => Probe::Fail("the health service says SERVICE_UNKNOWN".into()),
        Ok(other) => Probe::Fail(format!("the health service says {other}, which means nothing")),
        Err(reason) => Probe::Fail(format!("not a HealthCheckResponse: {reason}")),
    }))
}

/// Whether the call itself went well.
fn status(trailers: &HeaderMap, service: &str) -> Result<(), String> {
    let text = |name| trailers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let status = text("grpc-status").ok_or("the answer ends without a grpc-status")?;
    match status.as_str() {
        "0" => Ok(()),
        "12" => Err("this app has no health service (grpc.health.v1)".into()),
        "5" => Err(format!("the app does not know the service '{service}'")),
        _ => Err(web::shown(&format!("grpc-status {status}: {}", text("grpc-message").unwrap_or_default()))),
    }
}

fn broken(error: &h2::Error) -> Probe {
    match error.get_io() {
        Some(error) => failure(error),
        None => Probe::Fail(web::shown(&format!("HTTP/2: {error}"))),
    }
}
