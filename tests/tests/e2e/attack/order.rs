//! Who comes too late: a heartbeat after its deregister, an old incarnation's register, drain and goodbye.

use anyhow::Context;
use e2e::api::{Api, registration};
use serde_json::json;

use super::{AT, Attack, SERVICE, Says, instance};

/// Of an owner in its fifth life.
const OWNED: &str = "10.0.0.5:80";
/// Of one who has said goodbye.
const GONE: &str = "10.0.0.6:80";
/// Draining.
const LEAVING: &str = "10.0.0.7:80";

/// Fills the registry with what is not to be lost.
pub async fn prepare(api: &Api) -> anyhow::Result<()> {
    let place =
        json!({"locality": {"region": "r", "zone": "a"}, "weight": 7, "revision": "r1", "tags": {"shard": "x"}});
    for (service, at, order, more) in [
        (SERVICE, AT, (1, 1), json!({})),
        (SERVICE, "[2001:db8::1]:80", (1, 1), place.clone()),
        (SERVICE, OWNED, (5, 5), place),
        (SERVICE, GONE, (5, 1), json!({})),
        (SERVICE, LEAVING, (5, 1), json!({})),
        ("other", AT, (1, 1), json!({"health": "unhealthy"})),
        ("other", "10.0.1.1:81", (1, 1), json!({})),
    ] {
        api.put(service, at, order, more).await?.expect(200).context(at)?;
    }
    api.delete(SERVICE, GONE, (5, 2)).await?.expect(204)?;
    api.drain(SERVICE, LEAVING, (5, 2)).await?.expect(200)?;
    let legacy = json!({"ip": "10.0.2.1", "port": 80, "revision": "r1", "tags": {"az": "b"}});
    api.json(reqwest::Method::POST, "/v1/registration/other", &legacy).await?.expect(202).map(drop)
}

pub fn rows() -> Vec<Attack> {
    let body = |order| registration(order, json!({"weight": 9})).to_string();
    let late = |method: &str, path: String, order| {
        Attack::new(method, &path, body(order), 409, Says::Native("Superseded", ""))
    };
    let goodbye = |at: &str, (incarnation, seq): (u64, u64), status, says| {
        let path = format!("{}?incarnation={incarnation}&seq={seq}", instance(at));
        Attack::new("DELETE", &path, "", status, says)
    };
    vec![
        // An old incarnation, however far its sequence.
        late("PUT", instance(OWNED), (4, 9)),
        late("POST", format!("{}/drain", instance(OWNED)), (4, 9)),
        goodbye(OWNED, (4, 9), 409, Says::Native("Superseded", "")),
        // After the goodbye.
        late("PUT", instance(GONE), (5, 3)),
        late("PUT", instance(GONE), (5, 1)),
        late("PUT", instance(GONE), (4, 9)),
        late("POST", format!("{}/drain", instance(GONE)), (5, 3)),
        goodbye(GONE, (4, 9), 409, Says::Native("Superseded", "")),
        // A repeat of the same life that comes late is no error, and nothing new.
        Attack::new("PUT", &instance(OWNED), body((5, 4)), 200, Says::Ignored("")),
        Attack::new("PUT", &instance(OWNED), body((5, 5)), 200, Says::Ignored("")),
        Attack::new("PUT", &instance(LEAVING), body((5, 1)), 200, Says::Ignored("")),
        Attack::new("PUT", &instance(LEAVING), body((5, 9)), 200, Says::Ignored("")),
        // What cookpad's clients may not do to a sidecar's instance is answered as done.
        Attack::new("DELETE", &format!("/v1/registration/{SERVICE}/{OWNED}"), "", 202, Says::Ignored("")),
    ]
}
