//! A Redis of a test's own, which it may kill and pause.

use std::process::{Child, Command, Stdio};

use bahi_testkit::{eventually, signal};

/// A Redis that keeps nothing on disk. It ends with the test.
pub struct OwnRedis {
    port: u16,
    folder: tempfile::TempDir,
    child: Child,
}

impl OwnRedis {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        let mut folder = tempfile::tempdir().unwrap();
        // Another process may take the port between the look and the start: then it ends at once, and we look again.
        for _ in 0..20 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut redis = Self {
                port,
                child: spawn(port, &folder),
                folder,
            };
            if redis.answers().await {
                return redis;
            }
            folder = std::mem::replace(&mut redis.folder, tempfile::tempdir().unwrap());
        }
        panic!("no port for a Redis");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Kills it. What it knew is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    pub async fn revive(&mut self) {
        self.child = spawn(self.port, &self.folder);
        assert!(self.answers().await, "Redis comes back");
    }

    /// It takes connections and says nothing.
    pub fn pause(&self) {
        assert!(signal(self.child.id(), "STOP"));
    }

    pub fn resume(&self) {
        assert!(signal(self.child.id(), "CONT"));
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn answers(&mut self) -> bool {
        let client = redis::Client::open(self.url()).unwrap();
        let child = parking_lot::Mutex::new(&mut self.child);
        eventually(|| async {
            if child.lock().try_wait().unwrap().is_some() {
                return Some(false);
            }
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let pong: redis::RedisResult<String> =
                redis::cmd("PING").query_async(&mut connection).await;
            pong.ok().map(|_| true)
        })
        .await
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // A paused process is killed as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
