//! Who of the living replicas asks about a task: the one whose name and the task's hash highest together (rendezvous). All
//! who see the same replicas come to the same answer without a word, and when one of them goes only its own tasks move.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::replica::ReplicaId;

/// Whether `own` asks about `name`, and none of the others.
pub fn is_mine(own: &ReplicaId, others: &[ReplicaId], name: &str) -> bool {
    let mine = (weight(own, name), own.as_str());
    others.iter().all(|other| (weight(other, name), other.as_str()) < mine)
}

fn weight(replica: &ReplicaId, name: &str) -> u64 {
    let mut hash = SipHasher24::new();
    hash.write(replica.as_str().as_bytes());
    hash.write(&[0]);
    hash.write(name.as_bytes());
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_is_one_replicas_and_only_the_leavers_move() {
        let replicas: Vec<_> = (0..3).map(|_| ReplicaId::random()).collect();
        let owners = |alive: &[ReplicaId], name: &str| -> Vec<ReplicaId> {
            let others = |own: &ReplicaId| alive.iter().filter(|id| *id != own).cloned().collect::<Vec<_>>();
            alive.iter().filter(|own| is_mine(own, &others(own), name)).cloned().collect()
        };
        let mut shares = [0; 3];
        for task in (0..3000).map(|n| format!("task/{n}")) {
            let before = owners(&replicas, &task);
            assert_eq!(before.len(), 1, "{task}");
            let at = replicas.iter().position(|id| *id == before[0]).unwrap();
            shares[at] += 1;
            let after = owners(&replicas[..2], &task);
            assert!(after == before || at == 2, "{task} moved");
        }
        assert!(shares.iter().all(|share| (850..1150).contains(share)), "{shares:?}");
    }
}
