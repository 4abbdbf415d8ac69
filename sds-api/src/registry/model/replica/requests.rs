//! `registry`: the verbs, with a store call between the verdict and the answer.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use sds_types::Sequence;

use super::super::{
    net::Access,
    world::{Job, World},
};
use crate::{
    instance::{Content, Gone, Key, Origin, Override, Registration, Row, Status},
    registry::{
        fold::{Owing, Source},
        judge::{Said, Verdict},
    },
    store::{StoreError, Trouble, Write},
};

/// What a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 200, or 204.
    Done { vouched: bool },
    /// 202.
    Owed,
    /// 409.
    Superseded(Option<Sequence>),
    /// 404.
    Unknown,
    /// 503.
    Failed,
}

/// A PUT, or a drain.
#[derive(Debug, Clone)]
pub struct Put {
    pub key: Key,
    pub at: Sequence,
    pub status: Status,
    pub content: Arc<Content>,
}

type Then = Box<dyn FnOnce(&mut World, Answer)>;

/// An answer that is given once, in time or not at all.
#[derive(Clone)]
pub struct Reply(Rc<RefCell<Option<Then>>>);

const PATIENCE: u64 = 900;

impl Reply {
    fn send(self, world: &mut World, answer: Answer) {
        if let Some(then) = self.0.take() {
            then(world, answer);
        }
    }
}

impl World {
    fn reply(&mut self, r: usize, then: impl FnOnce(&mut Self, Answer) + 'static) -> Reply {
        let reply = Reply(Rc::new(RefCell::new(Some(Box::new(then) as Then))));
        let late = reply.clone();
        self.soon(r, PATIENCE, move |world| late.send(world, Answer::Failed));
        reply
    }

    /// `Registry::put`.
    pub fn put(&mut self, r: usize, put: Put, then: impl FnOnce(&mut Self, Answer) + 'static) {
        let reply = self.reply(r, then);
        if !self.can_judge(r) {
            return reply.send(self, Answer::Failed);
        }
        let now = self.moment(r);
        let verdict = self.mind(r).fold.native(&put.key, put.at, put.status, &put.content, now);
        self.touch(r);
        match verdict {
            Verdict::Write(_) | Verdict::Rewrite(_) => self.register(r, put, verdict, reply),
            Verdict::Heard | Verdict::Ignored => self.announced(r, &put.key, reply),
        }
    }

    fn register(&mut self, r: usize, put: Put, verdict: Verdict, reply: Reply) {
        let registration = registration(&put, Origin::Native);
        let (key, at, wall) = (put.key.clone(), put.at, self.wall(r).millis());
        let op = move |world: &mut Self| {
            let written = world.table.register(&key, at, &registration, wall);
            world.landed(&key, at, &written);
            written
        };
        self.call(r, Access::Write, op, move |world, written: Result<Write, StoreError>| match written {
            Ok(Write::Done(row)) => world.written(r, row, reply),
            Ok(Write::Refused { row: Some(row), .. })
                if row.at.incarnation == at.incarnation && row.registration().is_some() =>
            {
                if world.fold_row(r, row, Source::Read) {
                    world.announced(r, &put.key, reply);
                } else {
                    reply.send(world, Answer::Failed);
                }
            }
            Ok(Write::Refused { row, at }) => world.refused(r, row, at, reply),
            Err(error) => {
                if !world.unknown(r, &put.key, &error) || !world.can_judge(r) {
                    return reply.send(world, Answer::Failed);
                }
                let owing = world.mind(r).fold.owe_status(&put.key, at, put.status, &put.content);
                world.touch(r);
                let answer = match (owing, verdict) {
                    (Owing::Kept, _) => Answer::Owed,
                    (Owing::Superseded(at), _) => Answer::Superseded(Some(at)),
                    (Owing::Refused, Verdict::Rewrite(_)) => world.done(r),
                    (Owing::Refused, _) => Answer::Failed,
                };
                reply.send(world, answer);
            }
        });
    }

    /// `Registry::deregister`.
    pub fn deregister(&mut self, r: usize, key: Key, at: Sequence, then: impl FnOnce(&mut Self, Answer) + 'static) {
        let reply = self.reply(r, then);
        if !self.can_judge(r) {
            return reply.send(self, Answer::Failed);
        }
        let (here, wall) = (key.clone(), self.wall(r).millis());
        let op = move |world: &mut Self| world.table.deregister(&here, at, Gone::Deregistered, wall);
        self.call(r, Access::Write, op, move |world, written: Result<Write, StoreError>| match written {
            Ok(Write::Done(row)) => world.written(r, row, reply),
            Ok(Write::Refused { row, at }) => world.refused(r, row, at, reply),
            Err(error) => {
                if !world.unknown(r, &key, &error) || !world.can_judge(r) {
                    return reply.send(world, Answer::Failed);
                }
                let owing = world.mind(r).fold.owe_goodbye(&key, at, Gone::Deregistered);
                world.touch(r);
                let answer = match owing {
                    Owing::Kept => Answer::Owed,
                    Owing::Superseded(at) => Answer::Superseded(Some(at)),
                    Owing::Refused => Answer::Failed,
                };
                reply.send(world, answer);
            }
        });
    }

    /// `Registry::set_override`.
    pub fn set_override(&mut self, r: usize, key: Key, new: Option<Override>) {
        let reply = self.reply(r, |_, _| {});
        if !self.can_judge(r) {
            return;
        }
        let here = key.clone();
        let op = move |world: &mut Self| world.table.set_override(&here, new);
        self.call(r, Access::Write, op, move |world, written: Result<Write, StoreError>| match written {
            Ok(Write::Done(row)) => {
                if world.fold_row(r, row, Source::Read) {
                    world.announce(r, key, None);
                }
            }
            Ok(Write::Refused { row, .. }) => {
                if let Some(row) = row {
                    world.fold_row(r, row, Source::Read);
                }
                reply.send(world, Answer::Unknown);
            }
            Err(error) => drop(world.unknown(r, &key, &error)),
        });
    }

    /// `Registry::legacy_put`.
    pub fn legacy_put(
        &mut self,
        r: usize,
        key: Key,
        content: Arc<Content>,
        then: impl FnOnce(&mut Self, Answer) + 'static,
    ) {
        let reply = self.reply(r, then);
        self.legacy_register(r, key, content, 4, reply);
    }

    fn legacy_register(&mut self, r: usize, key: Key, content: Arc<Content>, tries: u32, reply: Reply) {
        if tries == 0 || !self.can_judge(r) {
            return reply.send(self, Answer::Failed);
        }
        let now = self.moment(r);
        let said = Said { origin: Origin::Cookpad, content: (*content).clone(), unsaid: None };
        let judged = self.mind(r).fold.legacy(&key, &said, now);
        self.touch(r);
        let Ok(judged) = judged else { return reply.send(self, Answer::Failed) };
        let at = match judged.verdict {
            Verdict::Write(at) | Verdict::Rewrite(at) => at,
            Verdict::Heard => return self.announced(r, &key, reply),
            Verdict::Ignored => {
                let answer = self.done(r);
                return reply.send(self, answer);
            }
        };
        let put = Put { key: key.clone(), at, status: Status::Healthy, content: content.clone() };
        let registration = registration(&put, Origin::Cookpad);
        let wall = self.wall(r).millis();
        let here = key.clone();
        let op = move |world: &mut Self| {
            let written = world.table.register(&here, at, &registration, wall);
            world.landed(&here, at, &written);
            written
        };
        self.call(r, Access::Write, op, move |world, written: Result<Write, StoreError>| match written {
            Ok(Write::Done(row)) => world.written(r, row, reply),
            Ok(Write::Refused { row: Some(row), .. }) => {
                if world.fold_row(r, row, Source::Read) {
                    world.legacy_register(r, key, content, tries - 1, reply);
                }
            }
            Ok(Write::Refused { row: None, .. }) => reply.send(world, Answer::Superseded(None)),
            Err(error) => {
                world.unknown(r, &key, &error);
                reply.send(world, Answer::Failed);
            }
        });
    }

    fn written(&mut self, r: usize, row: Row, reply: Reply) {
        let key = row.key.clone();
        if !self.fold_row(r, row, Source::Written) {
            return reply.send(self, Answer::Failed);
        }
        let told = self.done_when_told(r, reply);
        self.announce(r, key, Some(told));
    }

    fn announced(&mut self, r: usize, key: &Key, reply: Reply) {
        let told = self.done_when_told(r, reply);
        self.when_told(r, key, told);
    }

    fn done_when_told(&mut self, r: usize, reply: Reply) -> Job {
        Box::new(move |world| {
            let answer = world.done(r);
            reply.send(world, answer);
        })
    }

    fn done(&mut self, r: usize) -> Answer {
        Answer::Done { vouched: self.mind(r).pulse.vouches }
    }

    fn refused(&mut self, r: usize, row: Option<Row>, at: Option<Sequence>, reply: Reply) {
        let folded = row.is_none_or(|row| self.fold_row(r, row, Source::Read));
        reply.send(self, if folded { Answer::Superseded(at) } else { Answer::Failed });
    }

    /// `Registry::unknown`; whether the loop took it.
    fn unknown(&mut self, r: usize, key: &Key, error: &StoreError) -> bool {
        if error.kind != Trouble::Away {
            return true;
        }
        self.announce(r, key.clone(), None);
        self.mind(r).doubts.add(key.clone());
        let ready = self.can_judge(r);
        if ready {
            self.mind(r).fold.doubt(key);
            self.touch(r);
        }
        ready
    }

    /// `Registry::fold`; whether the loop took it.
    fn fold_row(&mut self, r: usize, row: Row, source: Source) -> bool {
        let ready = self.can_judge(r);
        if ready {
            self.take_row(r, row, source);
            self.touch(r);
        }
        ready
    }
}

fn registration(put: &Put, origin: Origin) -> Registration {
    Registration { status: put.status, content: put.content.clone(), origin, lost: false, expire_time: 0 }
}
