//! The protocol's rules for endpoints as one table of little scripts. `table.rs` beside it plays them on a `Subscription`; the
//! end-to-end tests play the same ones on a registry, over gRPC, in all four services.
//!
//! A step is what happens, and the names that are sent because of it; none means silence. A client says
//!
//! - `ask`, without a nonce; `ack` and `nack`, to the latest response; `old`, to the one before; `odd`, to one that never was;
//! - `back`, the first request of a new stream, which says what its client still holds (in state of the world: the version).
//!
//! and then the names that it wants; in delta those that come, and with a minus those that go. The world `change`s a
//! service and lets it `leave`; `gone` is the stream.

/// What happens, and what is sent because of it.
pub type Step = (&'static str, &'static str);

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// What it says.
    pub rule: &'static str,
    /// Sections of "xDS REST and gRPC protocol", and tests of go-control-plane that check the same.
    pub source: &'static str,
    /// In state of the world; empty if it has no such rule.
    pub sotw: &'static [Step],
    /// In delta.
    pub delta: &'static [Step],
}

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        rule: "what is asked for is answered, also what nobody serves",
        source: "How the client specifies what resources to return; TestResponseHandlers, TestDeltaResponseHandlers, \
                 TestLinearInitialResources, TestLinearDeltaExistingResources",
        sotw: &[("change a", ""), ("ask a none", "a none"), ("ack a none", "")],
        delta: &[("change a", ""), ("ask a none", "a none"), ("ack", "")],
    },
    Rule {
        rule: "what is not there when it is asked for is sent when it comes",
        source: "Knowing When a Requested Resource Does Not Exist; TestLinearBasic, TestLinearSotwWatches",
        sotw: &[("ask a b", "a b"), ("ack a b", ""), ("change b", "b")],
        delta: &[("ask a b", "a b"), ("ack", ""), ("change b", "b")],
    },
    Rule {
        rule: "a change is sent once and alone, and only to who wants it",
        source: "When to send an update, Grouping Resources into Responses; TestLinearWatchTwo, TestLinearSotwNonWildcard, \
                 TestLinearDeltaResourceUpdate, TestSnapshotCacheDeltaWatch",
        sotw: &[("ask a b", "a b"), ("ack a b", ""), ("change b", "b"), ("ack a b", ""), ("change c", "")],
        delta: &[("ask a b", "a b"), ("ack", ""), ("change b", "b"), ("ack", ""), ("change c", "")],
    },
    Rule {
        rule: "several changes are all sent",
        source: "When to send an update; TestLinearSetResources, TestLinearDeltaMultiResourceUpdates",
        sotw: &[("ask a b c", "a b c"), ("ack a b c", ""), ("change a b", "a b"), ("ack a b c", "")],
        delta: &[("ask a b c", "a b c"), ("ack", ""), ("change a b", "a b"), ("ack", "")],
    },
    Rule {
        rule: "a change waits for no answer to the response before it",
        source: "Basic Protocol Overview",
        sotw: &[("ask a b", "a b"), ("change a", "a"), ("change b", "b"), ("ack a b", "")],
        delta: &[("ask a b", "a b"), ("change a", "a"), ("change b", "b"), ("ack", "")],
    },
    Rule {
        rule: "a request for a response that is not the latest is ignored; in delta only as an answer, its names count",
        source: "Resource updates, Incremental xDS; TestStaleNonce",
        sotw: &[("ask a", "a"), ("ack a", ""), ("change a", "a"), ("old a b", ""), ("odd a b", ""), ("ack a b", "b")],
        delta: &[("ask a", "a"), ("change a", "a"), ("old b", "b"), ("odd c -a", "c"), ("change a", ""), ("odd", "")],
    },
    Rule {
        rule: "what was refused is not sent again before it changes",
        source: "NACK, When to send an update",
        sotw: &[("ask a b", "a b"), ("ack a b", ""), ("nack a b", ""), ("nack a b", ""), ("change a", "a")],
        delta: &[("ask a b", "a b"), ("nack", ""), ("nack", ""), ("change a", "a")],
    },
    Rule {
        rule: "after a refusal a later version may be accepted",
        source: "NACK",
        sotw: &[("ask a", "a"), ("nack a", ""), ("change a", "a"), ("ack a", ""), ("change a", "a")],
        delta: &[("ask a", "a"), ("nack", ""), ("change a", "a"), ("ack", ""), ("change a", "a")],
    },
    Rule {
        rule: "a refusal may ask for more, and gets only that",
        source: "NACK",
        sotw: &[("ask a", "a"), ("nack a b", "b"), ("ack a b", "")],
        delta: &[("ask a", "a"), ("nack b", "b"), ("ack", "")],
    },
    Rule {
        rule: "a new name is sent without the others",
        source: "How the client specifies what resources to return, Resource updates; TestLinearSotwNonWildcard",
        sotw: &[("ask a", "a"), ("ack a", ""), ("ack a b", "b"), ("ack a b", "")],
        delta: &[("ask a", "a"), ("ack", ""), ("ask b", "b"), ("ack", "")],
    },
    Rule {
        rule: "a name that went is not sent any more, and the others are",
        source: "Unsubscribing From Resources; TestLinearSotwWatches, TestSotwSubscriptions, TestDeltaSubscriptions",
        sotw: &[("ask a b", "a b"), ("ack b", ""), ("change a", ""), ("change b", "b")],
        delta: &[("ask a b", "a b"), ("ack -a", ""), ("change a", ""), ("change b", "b")],
    },
    Rule {
        rule: "a name that comes back is sent, also unchanged",
        source: "How the client specifies what resources to return; TestLinearSotwNonWildcard",
        sotw: &[("ask a b", "a b"), ("ack b", ""), ("ack a b", "a"), ("change a", "a")],
        delta: &[("ask a b", "a b"), ("ack -a", ""), ("ask a", "a"), ("change a", "a")],
    },
    Rule {
        rule: "who names nothing any more wants nothing, and can name again",
        source: "How the client specifies what resources to return, Unsubscribing From Resources; TestSotwSubscriptions, \
                 TestDeltaSubscriptions",
        sotw: &[("ask a", "a"), ("ack", ""), ("change a", ""), ("ack b", "b"), ("change a", "")],
        delta: &[("ask a", "a"), ("ack -a", ""), ("change a", ""), ("ask b", "b"), ("change a", "")],
    },
    Rule {
        rule: "who asks again for what it has gets it again",
        source: "Subscribing to Resources, Resource warming",
        // An Envoy that took a cluster away and added it in one breath says the same names a second time.
        sotw: &[("ask a b", "a b"), ("ack a b", ""), ("ack a b", "a b"), ("ack a b", ""), ("change a", "a")],
        delta: &[("ask a b", "a b"), ("ack", ""), ("ask a", "a"), ("ack", ""), ("ack b -b", "b")],
    },
    Rule {
        rule: "who lets go what it does not have is heard and not answered",
        source: "Unsubscribing from Resources; TestDeltaSubscriptions",
        sotw: &[],
        delta: &[("ask a", "a"), ("ack -b -none", ""), ("ask -b", ""), ("change b", ""), ("change a", "a")],
    },
    Rule {
        rule: "a request replaces those before it",
        source: "When to send an update; TestOpaqueRequestsChannelMuxing",
        sotw: &[("ask a", "a"), ("ask b", "b"), ("change a", ""), ("change b", "b")],
        delta: &[("ask a", "a"), ("ask b -a", "b"), ("change a", ""), ("change b", "b")],
    },
    Rule {
        rule: "one request may name several, and the same one twice; a response has each once",
        source: "Requesting Multiple Resources on a Single Stream, Duplicate Resource Names",
        sotw: &[("ask a a b a", "a b"), ("ack b a b", ""), ("change b", "b")],
        delta: &[("ask a a b a", "a b"), ("ack", ""), ("change b", "b")],
    },
    Rule {
        rule: "a new stream is answered in full, in delta but for what its client holds in the current version",
        source: "ACK/NACK and resource type instance version, Incremental xDS; TestLinearVersionPrefix, \
                 TestLinearSotwNonWildcard, TestLinearDeltaInitialResourcesVersionSet",
        sotw: &[("ask a b", "a b"), ("ack a b", ""), ("gone", ""), ("back a b", "a b"), ("ack a b", "")],
        delta: &[("ask a b c", "a b c"), ("ack", ""), ("gone", ""), ("change b", ""), ("back a b c d", "b d")],
    },
    Rule {
        rule: "a request without a nonce is of a client that begins anew: it is answered in full",
        source: "Basic Protocol Overview, Subscribing to Resources",
        sotw: &[("ask a b", "a b"), ("ack a b", ""), ("ask a b", "a b"), ("ack a b", ""), ("change a", "a")],
        delta: &[("ask a b", "a b"), ("ack", ""), ("ask a b", "a b"), ("ack", ""), ("change a", "a")],
    },
    Rule {
        rule: "who holds all that it wants is told nothing before something changes",
        source: "Incremental xDS; TestLinearDeltaInitialResourcesVersionSet, TestLinearDeltaResourceUpdate",
        sotw: &[],
        delta: &[("ask a none", "a none"), ("gone", ""), ("back a none", ""), ("change none", "none"), ("ack", "")],
    },
    Rule {
        rule: "what is held and not named is not wanted",
        source: "Incremental xDS",
        sotw: &[],
        delta: &[("ask a b", "a b"), ("gone", ""), ("back a", ""), ("change b", ""), ("change a", "a")],
    },
    Rule {
        rule: "a service that everybody has left is sent with no endpoints, and again when somebody comes",
        source: "Deleting Resources; TestLinearDeletion, TestLinearDeltaResourceDelete, TestDeltaRemoveResources",
        sotw: &[("change a", ""), ("ask a b", "a b"), ("ack a b", ""), ("leave a", "a"), ("change a", "a")],
        delta: &[("change a", ""), ("ask a b", "a b"), ("ack", ""), ("leave a", "a"), ("change a", "a")],
    },
    Rule {
        rule: "of endpoints all cannot be asked for: no name is no wish, and a star is a name",
        source: "How the client specifies what resources to return; TestDeltaResponseHandlersWildcard, \
                 TestDeltaWildcardSubscriptions, TestLinearDeltaWildcard",
        sotw: &[("change a", ""), ("ask", ""), ("ask *", "*"), ("ack *", ""), ("change a", "")],
        delta: &[("change a", ""), ("ask", ""), ("ask *", "*"), ("ack", ""), ("change a", ""), ("ack -*", "")],
    },
];
