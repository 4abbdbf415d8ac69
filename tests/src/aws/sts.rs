//! A stand-in of STS: `GetCallerIdentity` in AWS's shape, with the signature checked. moto and ministack answer it for any
//! signature, so that no forgery would ever be seen with them.
//!
//! It knows the sessions that the test opens, takes its region from the signed host as a regional endpoint has one, and does
//! what makes the real one dangerous to trust: it answers whichever action is asked for, and in JSON to who accepts that. It can
//! be told to fail, and counts. (AWS documentation, "GetCallerIdentity" and "Common errors".)

mod fault;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
pub use fault::Fault;
use tokio::{net::TcpListener, task::JoinSet};

use super::sigv4::{self, Secret, Seen};
use crate::{canary, clock};

/// Whose roles it knows.
pub const ACCOUNT: &str = "123456789012";

/// A session's credentials.
#[derive(Debug, Clone)]
pub struct Session {
    /// `ASIA...`
    pub id: String,
    /// The secret key.
    pub secret: String,
    /// The session token; "" is a long-lived key of a user.
    pub token: String,
    /// Who it is.
    pub arn: String,
    /// What AWS says of the id: `AROA...:session`.
    pub user: String,
    /// From here on it is refused, seconds since 1970.
    pub expires: u64,
}

#[derive(Debug, Default)]
struct World {
    sessions: BTreeMap<String, Session>,
    fault: Option<Fault>,
    calls: usize,
    refused: Vec<String>,
}

/// A running one.
#[derive(Debug)]
pub struct Sts {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The same as `AWS_ENDPOINT_URL_STS` has it.
    pub endpoint: String,
    world: Arc<Mutex<World>>,
    _serving: JoinSet<()>,
}

impl Sts {
    /// Starts one that knows nobody.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let world = Arc::new(Mutex::new(World::default()));
        let app = Router::new().fallback(serve).with_state(world.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Self { addr, endpoint: format!("http://{addr}"), world, _serving: serving })
    }

    /// Somebody assumes a role; ECS names the session after the task.
    pub fn assume(&self, role: &str, session: &str) -> Session {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, Ordering::Relaxed);
        self.knows(Session {
            id: format!("ASIAEXAMPLE{nth:09}"),
            secret: format!("secret/of+{nth}"),
            token: format!("IQoJb3JpZ2luX2VjEXAMPLE//////////{nth}=="),
            arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"),
            user: format!("AROAEXAMPLE:{session}"),
            expires: clock::epoch_seconds() + 6 * 3600,
        })
    }

    /// It knows this session from now on, in the place of one with the same id.
    pub fn knows(&self, session: Session) -> Session {
        canary::plant(&session.secret);
        canary::plant(&session.token);
        self.world().sessions.insert(session.id.clone(), session.clone());
        session
    }

    /// From now on each call fails so, or none.
    pub fn fails(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    /// How many calls came.
    pub fn count(&self) -> usize {
        self.world().calls
    }

    /// Why it refused, in the order of the calls.
    pub fn refused(&self) -> Vec<String> {
        self.world().refused.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(
    State(world): State<Arc<Mutex<World>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let judged = {
        let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
        world.calls += 1;
        let judged = world.judge(&Seen { method: &method, uri: &uri, headers: &headers, body: &body });
        world.refused.extend(judged.as_ref().err().map(|code| (*code).to_owned()));
        judged.map(|session| (session, world.fault.clone()))
    };
    match judged {
        Ok((session, Some(fault))) => fault.answer(&session).await,
        Ok((session, None)) if headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json") => {
            fault::json(&session)
        }
        Ok((session, None)) => xml(StatusCode::OK, right(&session)),
        Err(code) => error(if code == "IncompleteSignature" { 400 } else { 403 }, code),
    }
}

impl World {
    fn judge(&self, seen: &Seen<'_>) -> Result<Session, &'static str> {
        let host = seen.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let region = host.strip_prefix("sts.").and_then(|rest| rest.strip_suffix(".amazonaws.com"));
        let region = region.filter(|region| !region.contains('.')).ok_or("SignatureDoesNotMatch")?;
        let lookup = |id: &str| {
            let session = self.sessions.get(id)?;
            let token = Some(session.token.clone()).filter(|token| !token.is_empty());
            Some(Secret { key: session.secret.clone(), token })
        };
        let now = clock::epoch_seconds();
        let id = sigv4::verify(seen, region, "sts", lookup, now)?;
        let session = self.sessions.get(&id).filter(|session| now < session.expires).ok_or("ExpiredToken")?;
        let form = str::from_utf8(seen.body).unwrap_or_default();
        let asked = form.split('&').chain(seen.uri.query().unwrap_or_default().split('&'));
        let is_it = asked.filter_map(|pair| pair.strip_prefix("Action=")).eq(["GetCallerIdentity"]);
        if is_it { Ok(session.clone()) } else { Err("InvalidAction") }
    }
}

fn result(session: &Session) -> String {
    let account = session.arn.split(':').nth(4).unwrap_or_default();
    let Session { arn, user, .. } = session;
    format!(
        "  <GetCallerIdentityResult>\n    <Arn>{arn}</Arn>\n    <UserId>{user}</UserId>\n    <Account>{account}</Account>\n  \
         </GetCallerIdentityResult>\n"
    )
}

fn response(results: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n{results}  <ResponseMetadata>\n    \
         <RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
    )
}

/// What it answers to whom it knows.
pub fn right(session: &Session) -> String {
    response(&result(session))
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn error(status: u16, code: &str) -> Response {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>Sender</Type>\n    \
         <Code>{code}</Code>\n    <Message>No.</Message>\n  </Error>\n  <RequestId>0123</RequestId>\n</ErrorResponse>\n"
    );
    xml(StatusCode::from_u16(status).unwrap_or_default(), body)
}
