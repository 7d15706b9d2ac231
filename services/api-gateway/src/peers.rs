//! Connections of each address: who opens too many gets no more, and takes nothing from others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use prometheus::{IntCounter, register_int_counter};

use crate::{config::Network, limit::network};

#[allow(clippy::unwrap_used)] // Constant name.
static REFUSED: LazyLock<IntCounter> = LazyLock::new(|| {
    register_int_counter!(
        "gateway_connections_refused_total",
        "Connections closed because their address had too many"
    )
    .unwrap()
});

/// The open connections.
pub struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
    most: u32,
    /// Load balancers of ours, behind which everybody is.
    ours: Vec<Network>,
}

/// A connection that counts until this is dropped.
pub struct Admitted {
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
    address: IpAddr,
}

impl Peers {
    /// At most `most` of an address, but of `ours` as many as come.
    pub fn new(most: u32, ours: &[Network]) -> Self {
        Self {
            open: Arc::default(),
            most,
            ours: ours.to_vec(),
        }
    }

    /// Counts a connection; nothing when it is one too many.
    pub fn admit(&self, peer: IpAddr) -> Option<Option<Admitted>> {
        if self.ours.iter().any(|block| block.contains(peer)) {
            return Some(None);
        }
        let address = network(peer);
        let mut open = self.open.lock();
        let count = open.entry(address).or_default();
        if *count >= self.most {
            REFUSED.inc();
            return None;
        }
        *count += 1;
        Some(Some(Admitted {
            open: self.open.clone(),
            address,
        }))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_connections_and_gets_another_when_one_ends() {
        let peers = Peers::new(2, &["10.0.0.0/8".parse().unwrap()]);
        let of = |ip: &str| peers.admit(ip.parse().unwrap());
        let first = of("192.0.2.1");
        let _second = of("192.0.2.1");
        assert!(of("192.0.2.1").is_none());
        assert!(of("192.0.2.2").is_some());
        drop(first);
        let third = of("192.0.2.1");
        assert!(third.is_some() && of("192.0.2.1").is_none());
        for _ in 0..5 {
            assert!(of("10.1.2.3").is_some());
        }
        // A customer of IPv6 is his network.
        let _one = of("2001:db8::1");
        let _two = of("2001:db8::2");
        assert!(of("2001:db8::3").is_none());
        drop(third);
        assert_eq!(peers.open.lock().len(), 2);
    }
}
