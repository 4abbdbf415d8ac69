//! `GET /v1/snapshot`: all that is in service, for a sibling that starts while the store is away.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};

use super::{Shared, state};
use crate::{auth::Shown, error::ApiError, keepsake};

/// The handler.
pub async fn get(State(app): Shared, headers: HeaderMap) -> Result<Response, ApiError> {
    app.auth.snapshot(&Shown::by(&headers))?;
    let kept = app.registry.kept().await.ok_or(ApiError::NotReady)?;
    let state = state::of(&app, 0, false);
    let body = tokio::task::spawn_blocking(move || keepsake::encode(&kept)).await.map_err(|_| ApiError::NotReady)?;
    let kind = HeaderValue::from_static("application/x-ndjson");
    Ok(([(header::CONTENT_TYPE, kind), (state::NAME, state)], body).into_response())
}
