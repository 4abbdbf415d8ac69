//! What happens at one address, and what must be the end of it. Pure, but for the dice.

use serde_json::{Value, json};

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// To be registered with this weight, or a heartbeat.
    Register(u8),
    /// To drain.
    Drain,
    /// To leave.
    Leave,
}

/// A request of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub replica: usize,
    pub incarnation: u64,
    pub seq: u64,
    pub what: What,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is heard for ever.
    Serves,
    /// It says goodbye.
    Leaves,
    /// It says nothing more.
    Silent,
}

/// All of one address.
#[derive(Debug, Clone)]
pub struct Story {
    pub service: String,
    pub at: String,
    /// In this order, before the end.
    pub early: Vec<Request>,
    /// After the end; nothing of them may count.
    pub late: Vec<Request>,
    /// The last tenant's incarnation, and what it says at last.
    pub newest: u64,
    pub weight: u8,
    pub end: End,
}

impl Story {
    pub fn new(wave: u32, nth: u32, random: &mut fastrand::Rng) -> Self {
        let end = match random.u8(0..10) {
            0 => End::Silent,
            1..=3 => End::Leaves,
            _ => End::Serves,
        };
        // Many that fall silent in one service would be held.
        let group = if end == End::Silent { format!("silent-{nth}") } else { format!("web-{}", nth % 10) };
        let tenants = random.u64(1..=3);
        let mut all = Vec::new();
        for incarnation in 1..=tenants {
            let newest = incarnation == tenants;
            for seq in 1..=random.u64(1..=4) {
                let what = match random.u8(0..10) {
                    0 if !newest => What::Drain,
                    1 | 2 if !newest => What::Leave,
                    _ => What::Register(random.u8(1..=100)),
                };
                let replica = random.usize(0..2);
                let request = Request { replica, incarnation: incarnation * 10, seq, what };
                // Some are said twice.
                all.extend(std::iter::repeat_n(request, 1 + usize::from(random.u8(0..5) == 0)));
            }
        }
        random.shuffle(&mut all);
        let late = all.split_off(all.len() - random.usize(0..=all.len() / 2));
        Self {
            service: format!("w{wave}-{group}"),
            at: format!("10.{}.{}.{}:80", wave % 256, nth / 250, nth % 250 + 1),
            early: all,
            late,
            newest: tenants * 10,
            weight: random.u8(1..=100),
            end,
        }
    }
}

/// Laid over a registration.
pub fn weight(weight: u8) -> Value {
    json!({"weight": weight})
}
