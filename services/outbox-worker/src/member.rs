//! Who could relay a shard, and whose turn it is. Workers see each other by advisory locks on their sessions, so a
//! worker is present exactly as long as its connection is: no heartbeat is written, and no clock is compared.

use tokio_postgres::Client;

use crate::{
    lease::LOCK_CLASS,
    session::{PATIENCE, SessionError, within},
};

/// The class of the locks that show presence at shard 0; of the next shard it is one more. The object is the member.
const PRESENCE_CLASS: i32 = 0x0B10;

/// A worker process, by a number drawn at random when it starts.
pub type Member = i32;

/// Draws the number of a member.
pub fn draw() -> Member {
    let drawn = uuid::Uuid::new_v4().as_u128();
    // Any 31 bits of it: the lock's argument is a positive int.
    Member::try_from(drawn & 0x7fff_ffff).unwrap_or_default()
}

/// Shows that `member` could relay the shard, for as long as the session lasts.
pub async fn appear(client: &Client, member: Member, shard: i16) -> Result<(), SessionError> {
    let class = PRESENCE_CLASS + i32::from(shard);
    let lock = "select pg_advisory_lock_shared($1, $2)";
    within(PATIENCE, client.execute(lock, &[&class, &member])).await?;
    Ok(())
}

/// What can be seen of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Who is present.
    pub members: Vec<Member>,
    /// Whether one of them has the lease.
    pub held: bool,
    /// How many shards the database has.
    pub shards: i16,
}

/// Looks at a shard.
pub async fn look(client: &Client, shard: i16) -> Result<Sight, SessionError> {
    let query = "select coalesce(array_agg(l.objid::int8) filter (where l.classid::int8 = $1::int4), '{}'), \
                        coalesce(bool_or(l.classid::int8 = $2::int4 and l.objid::int8 = $3::int2), false), \
                        (select count(*)::int2 from outbox.shard) \
                   from pg_locks l \
                  where l.locktype = 'advisory' and l.objsubid = 2 and l.granted \
                    and l.database = (select oid from pg_database where datname = current_database())";
    let class = PRESENCE_CLASS + i32::from(shard);
    let row = within(
        PATIENCE,
        client.query_one(query, &[&class, &LOCK_CLASS, &shard]),
    )
    .await?;
    let mut members: Vec<Member> = row
        .get::<_, Vec<i64>>(0)
        .into_iter()
        .filter_map(|member| Member::try_from(member).ok())
        .collect();
    members.sort_unstable();
    members.dedup();
    Ok(Sight {
        members,
        held: row.get(1),
        shards: row.get(2),
    })
}

/// How many of `members` come before `me` for this shard: rendezvous hashing, so that every worker comes to the same
/// order without a word, shards spread evenly, and one that goes or comes moves only its own.
pub fn rank(me: Member, members: &[Member], service: &str, shard: i16) -> usize {
    let mine = (weight(me, service, shard), me);
    let before = |other: &&Member| (weight(**other, service, shard), **other) > mine;
    members.iter().filter(before).count()
}

/// FNV-1a with a finish that spreads its bits (MurmurHash3's): workers of different versions must agree on it, which
/// the standard library's hasher does not promise.
fn weight(member: Member, service: &str, shard: i16) -> u64 {
    let bytes = service
        .bytes()
        .chain(shard.to_be_bytes())
        .chain(member.to_be_bytes());
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICES: [&str; 6] = ["identity", "product", "inventory", "sales", "hr", "crm"];

    fn first(members: &[Member], service: &str, shard: i16) -> Member {
        let first = members
            .iter()
            .find(|member| rank(**member, members, service, shard) == 0);
        *first.unwrap()
    }

    #[test]
    fn ranks_are_a_permutation_on_which_all_agree() {
        let members = [5, 77, 1234, 99_999];
        for service in SERVICES {
            let mut ranks: Vec<usize> = members
                .iter()
                .map(|me| rank(*me, &members, service, 0))
                .collect();
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn shards_spread_and_only_those_of_one_who_goes_move() {
        let all: Vec<Member> = (0..4).map(|_| draw()).collect();
        let places: Vec<(&str, i16)> = SERVICES
            .into_iter()
            .flat_map(|s| (0..8).map(move |n| (s, n)))
            .collect();
        for gone in &all {
            let rest: Vec<Member> = all.iter().copied().filter(|m| m != gone).collect();
            let mut own = 0;
            for (service, shard) in &places {
                let before = first(&all, service, *shard);
                own += usize::from(before == *gone);
                if before != *gone {
                    assert_eq!(first(&rest, service, *shard), before);
                }
            }
            assert!((2..=28).contains(&own), "{own} of 48 belong to one of four");
        }
    }
}
