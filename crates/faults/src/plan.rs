//! What is broken, when, and for how long: drawn from a seed before anything starts, so that a run can be repeated.

use std::{fmt, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// Where a process or a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The broker, its disk, its connections.
    Kafka,
    /// PostgreSQL, its disk, its connections.
    Postgres,
    /// Redis and its connections.
    Redis,
}

/// The services that stand behind the gateways, and how many endpoints each has.
pub const BEHIND: [(&str, usize); 3] = [("product", 3), ("sales", 2), ("identity", 2)];
/// The endpoints of all of them.
pub const ENDPOINTS: usize = BEHIND[0].1 + BEHIND[1].1 + BEHIND[2].1;

/// The service of an endpoint, by their numbers.
pub fn service_of(endpoint: usize) -> usize {
    let mut first = 0;
    let found = BEHIND.iter().position(|(_, count)| {
        first += count;
        endpoint < first
    });
    found.unwrap_or_default()
}

/// What an endpoint behind the gateways does with its requests, other than to answer them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// It is gone: listener and connections.
    Gone,
    /// It takes connections and requests, and says nothing.
    Silent,
    /// It answers late.
    Slow,
    /// It closes in the middle of the head of its answer.
    HalfHead,
    /// It closes in the middle of the body of its answer.
    HalfBody,
    /// It reads requests and closes.
    HangsUp,
    /// It reads requests and resets the connection.
    Resets,
    /// It answers 500; it says of itself that it is ready.
    Fails,
}

/// Whose database sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sessions {
    /// The workers'.
    Relay,
    /// The consumers'.
    Consumers,
    /// The writers'.
    Writers,
    /// Those of sales.
    Sales,
    /// Those of inventory.
    Inventory,
}

/// One of the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// An outbox worker, of two.
    Worker,
    /// A consumer, of two.
    Consumer,
    /// The service sales.
    Sales,
    /// The service inventory.
    Inventory,
    /// A gateway, of two.
    Gateway,
}

impl Role {
    /// How many there are of it.
    pub const fn count(self) -> usize {
        match self {
            Self::Worker | Self::Consumer | Self::Gateway => 2,
            Self::Sales | Self::Inventory => 1,
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Consumer => "consumer",
            Self::Sales => "sales",
            Self::Inventory => "inventory",
            Self::Gateway => "gateway",
        }
    }
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, and a new process after a while.
    Kill(Role),
    /// SIGSTOP, and SIGCONT after a while.
    Stop(Role),
    /// SIGTERM, and a new process when it has ended.
    Restart(Role),
    /// SIGKILL of the broker, and a new one after a while.
    KillBroker,
    /// SIGSTOP of the broker.
    StopBroker,
    /// The broker is told to end, and started again.
    RestartBroker,
    /// PostgreSQL shut down without a checkpoint (`immediate`), and started after a while.
    KillPostgres,
    /// SIGSTOP of every process of PostgreSQL.
    StopPostgres,
    /// PostgreSQL shut down in order (`fast`), and started again.
    RestartPostgres,
    /// `pg_terminate_backend` of every session of somebody.
    End(Sessions),
    /// Every TCP connection to a server is reset from outside.
    Cut(Server),
    /// No write to the server's disk returns.
    Stall(Server),
    /// The server's disk works for a moment in ten.
    Slow(Server),
    /// Nothing is left on the server's disk.
    Fill(Server),
    /// The wall clock of a process jumps.
    Jump(Role),
    /// An endpoint behind the gateways misbehaves.
    Endpoint(Manner),
    /// Every endpoint of a service is gone.
    Service,
    /// SIGKILL of Redis, and an empty one after a while.
    KillRedis,
    /// SIGSTOP of Redis.
    StopRedis,
    /// Redis works for a moment in ten.
    SlowRedis,
    /// Redis forgets all.
    EmptyRedis,
    /// The gateways' configuration is changed.
    Reload,
    /// The gateways' configuration is changed to one that is none, and back.
    ReloadBad,
}

/// What a fault needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing that every machine has not.
    Nothing,
    /// A file system of its own.
    Disk,
    /// A kernel that destroys sockets on request.
    Cut,
    /// A library between a process and its clock.
    Clock,
}

/// A kind of fault with how often it is drawn.
pub type Weighed = (Kind, u32);

/// The faults of a run of the relay.
pub const RELAY: &[Weighed] = &[
    (Kind::Kill(Role::Worker), 12),
    (Kind::Kill(Role::Consumer), 8),
    (Kind::Stop(Role::Worker), 8),
    (Kind::Stop(Role::Consumer), 6),
    (Kind::KillBroker, 3),
    (Kind::StopBroker, 3),
    (Kind::KillPostgres, 4),
    (Kind::End(Sessions::Relay), 8),
    (Kind::End(Sessions::Consumers), 5),
    (Kind::End(Sessions::Writers), 4),
    (Kind::Cut(Server::Kafka), 6),
    (Kind::Cut(Server::Postgres), 5),
    (Kind::Stall(Server::Kafka), 2),
    (Kind::Stall(Server::Postgres), 2),
    (Kind::Slow(Server::Kafka), 2),
    (Kind::Slow(Server::Postgres), 2),
    (Kind::Fill(Server::Kafka), 1),
    (Kind::Fill(Server::Postgres), 2),
    (Kind::Jump(Role::Worker), 4),
    (Kind::Jump(Role::Consumer), 4),
];

/// The faults of a run of the sale.
pub const SALE: &[Weighed] = &[
    (Kind::Kill(Role::Sales), 10),
    (Kind::Kill(Role::Inventory), 10),
    (Kind::Kill(Role::Worker), 5),
    (Kind::Stop(Role::Sales), 6),
    (Kind::Stop(Role::Inventory), 6),
    (Kind::Stop(Role::Worker), 3),
    (Kind::Restart(Role::Sales), 5),
    (Kind::Restart(Role::Inventory), 5),
    (Kind::Restart(Role::Worker), 3),
    (Kind::KillBroker, 2),
    (Kind::StopBroker, 3),
    (Kind::RestartBroker, 1),
    (Kind::KillPostgres, 4),
    (Kind::StopPostgres, 4),
    (Kind::RestartPostgres, 2),
    (Kind::End(Sessions::Sales), 5),
    (Kind::End(Sessions::Inventory), 5),
    (Kind::End(Sessions::Relay), 3),
    (Kind::Cut(Server::Postgres), 4),
    (Kind::Cut(Server::Kafka), 2),
];

/// The faults of a run of the gateway.
pub const GATEWAY: &[Weighed] = &[
    (Kind::Endpoint(Manner::Gone), 10),
    (Kind::Endpoint(Manner::Silent), 8),
    (Kind::Endpoint(Manner::Slow), 4),
    (Kind::Endpoint(Manner::HalfHead), 4),
    (Kind::Endpoint(Manner::HalfBody), 4),
    (Kind::Endpoint(Manner::HangsUp), 6),
    (Kind::Endpoint(Manner::Resets), 6),
    (Kind::Endpoint(Manner::Fails), 6),
    (Kind::Service, 5),
    (Kind::KillRedis, 5),
    (Kind::StopRedis, 4),
    (Kind::SlowRedis, 2),
    (Kind::EmptyRedis, 2),
    (Kind::Cut(Server::Redis), 3),
    (Kind::Kill(Role::Gateway), 3),
    (Kind::Stop(Role::Gateway), 2),
    (Kind::Restart(Role::Gateway), 6),
    (Kind::Reload, 4),
    (Kind::ReloadBad, 3),
];

impl Kind {
    /// What it needs.
    pub fn need(self) -> Need {
        match self {
            Self::Stall(_) | Self::Slow(_) | Self::Fill(_) => Need::Disk,
            Self::Cut(_) => Need::Cut,
            Self::Jump(_) => Need::Clock,
            _ => Need::Nothing,
        }
    }

    /// What must not be under another fault at the same time.
    fn target(self, which: usize) -> Option<Target> {
        match self {
            // One gateway at a time, and none is started with a configuration that is none.
            Self::Kill(Role::Gateway)
            | Self::Stop(Role::Gateway)
            | Self::Restart(Role::Gateway)
            | Self::Reload
            | Self::ReloadBad => Some(Target::Gateways),
            Self::Kill(role) | Self::Stop(role) | Self::Restart(role) => {
                Some(Target::Process(role, which % role.count()))
            }
            Self::Endpoint(_) => Some(Target::Service(service_of(which))),
            Self::Service => Some(Target::Service(which)),
            Self::KillRedis | Self::StopRedis | Self::SlowRedis | Self::EmptyRedis => {
                Some(Target::Server(Server::Redis))
            }
            Self::KillBroker | Self::StopBroker | Self::RestartBroker => {
                Some(Target::Server(Server::Kafka))
            }
            Self::KillPostgres | Self::StopPostgres | Self::RestartPostgres => {
                Some(Target::Server(Server::Postgres))
            }
            Self::Stall(server) | Self::Slow(server) | Self::Fill(server) => {
                Some(Target::Server(server))
            }
            Self::End(_) | Self::Cut(_) | Self::Jump(_) => None,
        }
    }

    /// Which of the role, where it has fewer than the draw.
    fn one_of(self, which: usize) -> usize {
        match self {
            Self::Kill(role) | Self::Stop(role) | Self::Restart(role) => which % role.count(),
            // The first bit says whom of a pair; what is above it, where behind the gateways.
            Self::Endpoint(_) => (which >> 1) % ENDPOINTS,
            Self::Service => (which >> 1) % BEHIND.len(),
            _ => which & 1,
        }
    }

    /// How long the target has to itself afterwards.
    fn rest(self) -> Duration {
        Duration::from_secs(match self {
            Self::KillBroker | Self::RestartBroker | Self::Fill(Server::Kafka) => 14,
            Self::KillPostgres | Self::RestartPostgres | Self::Fill(Server::Postgres) => 8,
            Self::StopBroker | Self::StopPostgres | Self::Stall(_) | Self::Slow(_) => 5,
            // Whom the gateways have left out by then is taken again.
            Self::Endpoint(_) | Self::Service => 7,
            Self::Kill(Role::Gateway) | Self::Restart(Role::Gateway) => 5,
            Self::KillRedis | Self::StopRedis | Self::SlowRedis | Self::EmptyRedis => 3,
            Self::Kill(_) | Self::Stop(_) | Self::Restart(_) => 2,
            _ => 0,
        })
    }

    /// From and to in milliseconds; `most` is the longest stop.
    fn length(self, rng: &mut StdRng, most: u64) -> Duration {
        let most = match self {
            Self::Stop(Role::Gateway) | Self::StopRedis | Self::SlowRedis => most.min(4_000),
            Self::Stop(_) => most,
            Self::Endpoint(_) => most.min(4_000),
            Self::Service | Self::KillRedis => most.min(3_000),
            Self::EmptyRedis | Self::Reload | Self::ReloadBad => return Duration::ZERO,
            Self::StopBroker | Self::StopPostgres => most * 2 / 3,
            Self::Kill(_) | Self::KillBroker | Self::KillPostgres => most.min(3_000),
            Self::Restart(_) | Self::RestartBroker | Self::RestartPostgres => {
                return Duration::ZERO;
            }
            Self::Stall(_) => most.min(6_000),
            Self::Slow(_) | Self::Fill(_) => most.min(5_000),
            Self::End(_) | Self::Cut(_) | Self::Jump(_) => return Duration::ZERO,
        };
        // Most stops are short; one in three goes up to the longest.
        let most = if rng.random_bool(0.34) {
            most
        } else {
            most.div_ceil(4)
        };
        let least = if matches!(self, Self::Kill(_) | Self::KillBroker | Self::KillPostgres) {
            0
        } else {
            1_000
        };
        Duration::from_millis(rng.random_range(least..=most.max(least + 1)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Process(Role, usize),
    Server(Server),
    Gateways,
    Service(usize),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = |role: &Role| role.name();
        let server = |server: &Server| match server {
            Server::Kafka => "Kafka",
            Server::Postgres => "PostgreSQL",
            Server::Redis => "Redis",
        };
        let manner = |manner: &Manner| match manner {
            Manner::Gone => "gone",
            Manner::Silent => "silent",
            Manner::Slow => "slow",
            Manner::HalfHead => "answers half a head",
            Manner::HalfBody => "answers half a body",
            Manner::HangsUp => "hangs up",
            Manner::Resets => "resets",
            Manner::Fails => "answers 500",
        };
        match self {
            Self::Kill(of) => write!(f, "kill -9 {}", role(of)),
            Self::Stop(of) => write!(f, "stop {}", role(of)),
            Self::Restart(of) => write!(f, "restart {}", role(of)),
            Self::KillBroker => f.write_str("kill -9 broker"),
            Self::StopBroker => f.write_str("stop broker"),
            Self::RestartBroker => f.write_str("restart broker"),
            Self::KillPostgres => f.write_str("PostgreSQL immediate shutdown"),
            Self::StopPostgres => f.write_str("stop PostgreSQL"),
            Self::RestartPostgres => f.write_str("restart PostgreSQL"),
            Self::End(Sessions::Relay) => f.write_str("terminate sessions of workers"),
            Self::End(Sessions::Consumers) => f.write_str("terminate sessions of consumers"),
            Self::End(Sessions::Writers) => f.write_str("terminate sessions of writers"),
            Self::End(Sessions::Sales) => f.write_str("terminate sessions of sales"),
            Self::End(Sessions::Inventory) => f.write_str("terminate sessions of inventory"),
            Self::Cut(at) => write!(f, "reset connections to {}", server(at)),
            Self::Stall(at) => write!(f, "stall disk of {}", server(at)),
            Self::Slow(at) => write!(f, "slow disk of {}", server(at)),
            Self::Fill(at) => write!(f, "fill disk of {}", server(at)),
            Self::Jump(of) => write!(f, "jump clock of {}", role(of)),
            Self::Endpoint(how) => write!(f, "endpoint {}", manner(how)),
            Self::Service => f.write_str("all endpoints gone"),
            Self::KillRedis => f.write_str("kill -9 Redis"),
            Self::StopRedis => f.write_str("stop Redis"),
            Self::SlowRedis => f.write_str("slow Redis"),
            Self::EmptyRedis => f.write_str("empty Redis"),
            Self::Reload => f.write_str("another configuration"),
            Self::ReloadBad => f.write_str("a bad configuration"),
        }
    }
}

/// A fault of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Since the writers began.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// Whom, of a pair.
    pub which: usize,
    /// How long.
    pub lasts: Duration,
    /// How far a clock jumps, in seconds from the true time.
    pub offset: i64,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        match self.kind {
            Kind::Kill(role) | Kind::Stop(role) | Kind::Restart(role) if role.count() > 1 => {
                write!(f, " {}", self.which + 1)?;
            }
            Kind::Jump(_) => write!(f, " 2 to {:+} s", self.offset)?,
            Kind::Endpoint(_) => {
                let service = service_of(self.which);
                let before: usize = BEHIND.iter().take(service).map(|(_, count)| count).sum();
                let (name, number) = (BEHIND[service].0, self.which - before + 1);
                write!(f, ": {name} {number}")?;
            }
            Kind::Service => write!(f, ": {}", BEHIND[self.which].0)?,
            _ => {}
        }
        if !self.lasts.is_zero() {
            write!(f, " for {:.1} s", self.lasts.as_secs_f64())?;
        }
        Ok(())
    }
}

/// The faults of `length`, in order: every kind once at least where there is the time, each target under one fault at a
/// time, all of it over before the end.
pub fn draw(seed: u64, length: Duration, kinds: &[Weighed]) -> Vec<Planned> {
    let mut rng = StdRng::seed_from_u64(seed);
    // Drawn apart: what a seed says of the other runs does not hang on it.
    let mut places = StdRng::seed_from_u64(!seed);
    // Faults of a gateway are short, and its parts are many.
    let pace = if kinds == GATEWAY { 3 } else { 1 };
    let short = length <= Duration::from_secs(300);
    // A lease is lost after ten seconds of silence: a short run stops processes for longer than that as well.
    let most = match length.as_secs() {
        0..=100 => 6_000,
        101..=300 => 12_000,
        _ => 45_000,
    };
    let mut first: Vec<Kind> = kinds.iter().map(|(kind, _)| *kind).collect();
    first.shuffle(&mut rng);
    let total: u32 = kinds.iter().map(|(_, weight)| weight).sum();
    let mut busy: Vec<(Target, Duration)> = Vec::new();
    let (mut plan, mut at) = (Vec::new(), Duration::from_secs(3));
    let gap = if short { 500..=5_500 } else { 500..=7_500 };
    while at < length {
        busy.retain(|(_, until)| *until > at);
        let free = |kind: Kind, which: usize| {
            let target = kind.target(kind.one_of(which));
            target.is_none_or(|target| busy.iter().all(|(other, _)| *other != target))
        };
        let which = rng.random_range(0..2) | (places.random_range(0..ENDPOINTS * 6) << 1);
        let pick = if let Some(place) = first.iter().position(|kind| free(*kind, which)) {
            first.remove(place)
        } else {
            let mut ticket = rng.random_range(0..total);
            let drawn = kinds.iter().find(|(_, weight)| {
                let hit = ticket < *weight;
                ticket = ticket.saturating_sub(*weight);
                hit
            });
            drawn.map_or(Kind::End(Sessions::Relay), |(kind, _)| *kind)
        };
        let (lasts, offset) = (
            pick.length(&mut rng, most),
            rng.random_range(-90_000i64..=90_000),
        );
        let over = at + lasts + pick.rest();
        if free(pick, which) && over < length {
            if let Some(target) = pick.target(pick.one_of(which)) {
                busy.push((target, over));
            }
            plan.push(Planned {
                at,
                kind: pick,
                which: pick.one_of(which),
                lasts,
                offset,
            });
        }
        at += Duration::from_millis(rng.random_range(gap.clone()) / pace);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: fn(u64) -> Duration = |minutes| Duration::from_secs(minutes * 60);

    #[test]
    fn a_seed_is_a_schedule() {
        for kinds in [RELAY, SALE, GATEWAY] {
            let run = |seed| draw(seed, MINUTES(10), kinds);
            assert_eq!(run(7), run(7));
            assert_ne!(run(7), run(8));
        }
    }

    #[test]
    fn a_short_run_has_every_kind_once_at_least() {
        for (seed, kinds) in
            (0..200).flat_map(|seed| [RELAY, SALE, GATEWAY].map(|kinds| (seed, kinds)))
        {
            let plan = draw(seed, MINUTES(3), kinds);
            for (kind, _) in kinds {
                assert!(
                    plan.iter().any(|planned| planned.kind == *kind),
                    "seed {seed} has no {kind}"
                );
            }
        }
    }

    #[test]
    fn the_run_of_the_gateway_in_the_tests_has_every_kind() {
        let plan = draw(1, Duration::from_secs(75), GATEWAY);
        for (kind, _) in GATEWAY {
            assert!(
                plan.iter().any(|planned| planned.kind == *kind),
                "no {kind}"
            );
        }
    }

    #[test]
    fn a_long_run_has_faults_enough() {
        for seed in 0..50 {
            assert!(draw(seed, MINUTES(30), RELAY).len() >= 300, "seed {seed}");
        }
    }

    #[test]
    fn a_target_has_one_fault_at_a_time_and_all_is_over_before_the_end() {
        for (seed, kinds) in
            (0..50).flat_map(|seed| [RELAY, SALE, GATEWAY].map(|kinds| (seed, kinds)))
        {
            let plan = draw(seed, MINUTES(10), kinds);
            for (n, one) in plan.iter().enumerate() {
                assert!(one.at + one.lasts < MINUTES(10));
                let target = one.kind.target(one.which);
                let meets = plan[n + 1..].iter().any(|other| {
                    target.is_some()
                        && other.kind.target(other.which) == target
                        && other.at < one.at + one.lasts
                });
                assert!(!meets, "seed {seed}: {one} meets another");
            }
        }
    }
}
