//! Who could relay a shard, and whose turn it is. Workers see each other by advisory locks on their sessions, so a
//! worker is present exactly as long as its connection is: no heartbeat is written, and no clock is compared.

use std::cmp::Reverse;

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

/// How many of `members` come before `me` for a shard of `shards`: rendezvous hashing with bounded loads, so that every
/// worker comes to the same order without a word, and one that goes or comes moves little. Without the bound one of two
/// workers would relay all eight shards of a database once in 128 times, and the other none.
///
/// Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998); Mirrokni, Thorup and
/// Zadimoghaddam, "Consistent hashing with bounded loads" (2016).
pub fn rank(me: Member, members: &[Member], service: &str, shard: i16, shards: i16) -> usize {
    let owner = owner(members, service, shard, shards);
    if owner == Some(me) {
        return 0;
    }
    let order = order(members, service, shard);
    let others = order.iter().filter(|member| Some(**member) != owner);
    1 + others.take_while(|member| **member != me).count()
}

/// Those present, the one that weighs most for the shard first.
fn order(members: &[Member], service: &str, shard: i16) -> Vec<Member> {
    let mut order = members.to_vec();
    order.sort_unstable_by_key(|member| Reverse((weight(*member, service, shard), *member)));
    order
}

/// Deals the shards up to this one: each to the first in its order that has not got its part yet. Where the parts are
/// not even, some may have one more.
fn owner(members: &[Member], service: &str, shard: i16, shards: i16) -> Option<Member> {
    let part = usize::try_from(shards).ok()?.checked_div(members.len())?;
    let mut one_more = usize::try_from(shards).ok()? % members.len();
    let mut dealt: Vec<Member> = Vec::new();
    for shard in 0..=shard {
        let has = |member: &Member| dealt.iter().filter(|other| *other == member).count();
        let next = order(members, service, shard)
            .into_iter()
            .find(|member| has(member) < part || has(member) == part && one_more > 0)?;
        one_more -= usize::from(has(&next) == part);
        dealt.push(next);
    }
    dealt.pop()
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
            .find(|member| rank(**member, members, service, shard, 8) == 0);
        *first.unwrap()
    }

    #[test]
    fn ranks_are_a_permutation_on_which_all_agree() {
        let members = [5, 77, 1234, 99_999];
        for service in SERVICES {
            for (shard, shards) in (1..=8).flat_map(|shards| (0..shards).map(move |s| (s, shards)))
            {
                let mut ranks: Vec<usize> = members
                    .iter()
                    .map(|me| rank(*me, &members, service, shard, shards))
                    .collect();
                ranks.sort_unstable();
                assert_eq!(ranks, [0, 1, 2, 3]);
            }
        }
    }

    /// How many shards each has, of those that the rule `first` deals.
    fn parts(all: &[Member], service: &str, first: impl Fn(i16) -> Member) -> Vec<usize> {
        let dealt: Vec<Member> = (0..8).map(first).collect();
        let part = |me: &Member| dealt.iter().filter(|other| *other == me).count();
        let parts: Vec<usize> = all.iter().map(part).collect();
        assert_eq!(parts.iter().sum::<usize>(), 8, "{service}");
        parts
    }

    #[test]
    fn shards_of_a_database_are_dealt_evenly_whoever_comes() {
        let mut uneven = 0;
        for count in [1, 2, 3, 5, 8, 9] {
            for _ in 0..20 {
                let all: Vec<Member> = (0..count).map(|_| draw()).collect();
                for service in SERVICES {
                    let even = |parts: &[usize]| {
                        parts.iter().all(|part| {
                            *part == 8 / all.len() || *part == 8_usize.div_ceil(all.len())
                        })
                    };
                    let dealt = parts(&all, service, |shard| first(&all, service, shard));
                    assert!(even(&dealt), "{dealt:?}");
                    // By weight alone, it is not so.
                    let weighed = parts(&all, service, |shard| order(&all, service, shard)[0]);
                    uneven += usize::from(!even(&weighed));
                }
            }
        }
        assert!(uneven > 100, "{uneven}");
    }

    #[test]
    fn one_who_goes_moves_little_besides_its_own() {
        let places: Vec<(&str, i16)> = SERVICES
            .into_iter()
            .flat_map(|s| (0..8).map(move |n| (s, n)))
            .collect();
        let (mut moved, mut stayed) = (0, 0);
        for _ in 0..8 {
            let all: Vec<Member> = (0..4).map(|_| draw()).collect();
            for gone in &all {
                let rest: Vec<Member> = all.iter().copied().filter(|m| m != gone).collect();
                for (service, shard) in &places {
                    let before = first(&all, service, *shard);
                    if before != *gone {
                        let same = first(&rest, service, *shard) == before;
                        *if same { &mut stayed } else { &mut moved } += 1;
                    }
                }
            }
        }
        // Of those of others. Dealt anew by number modulo workers, two thirds would move.
        assert!(moved * 3 < stayed, "{moved} moved, {stayed} stayed");
    }
}
