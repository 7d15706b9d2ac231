//! Reads of many at once: what the fields of one request ask for at the same time becomes one query.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    hash::Hash,
    marker::PhantomData,
    sync::Arc,
};

use bahi_db::{Ctx, Db, Tx};
use bahi_http::Refusal;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{unconstrained, yield_now},
};
use tracing::Instrument;

/// Most keys in one query.
const MOST: usize = 500;

/// Rounds in which nobody else asks before a query is sent: the rows of a long list are looked at a few at a time, and
/// each of them asks when its turn comes.
const QUIET: usize = 4;

/// A way to read many things by their keys.
pub trait Batch: Send + Sync + 'static {
    /// What one is found by.
    type Key: Hash + Eq + Clone + Send + Sync + 'static;
    /// What is found.
    type Value: Clone + Send + Sync + 'static;
    /// Why nothing could be read.
    type Error: From<bahi_db::Error> + Refusal + Send + Sync + 'static;

    /// Reads those of `keys` that there are.
    ///
    /// # Errors
    /// Whatever the database refuses.
    fn load(
        tx: &mut Tx,
        keys: &[Self::Key],
    ) -> impl Future<Output = Result<HashMap<Self::Key, Self::Value>, Self::Error>> + Send;
}

/// Rows by what they are found by.
pub fn by<K: Hash + Eq, V>(rows: Vec<V>, key: impl Fn(&V) -> K) -> HashMap<K, V> {
    rows.into_iter().map(|row| (key(&row), row)).collect()
}

/// What one key has come to; an error is told to all that waited.
pub(crate) type Answer<B> = Result<Option<<B as Batch>::Value>, Arc<<B as Batch>::Error>>;

/// Reads, in a task of its own, once it is dropped.
struct Read<B: Batch>(Option<Loads>, PhantomData<fn(B)>);

impl<B: Batch> Drop for Read<B> {
    fn drop(&mut self) {
        if let (Some(loads), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(loads.read::<B>().in_current_span());
        }
    }
}

/// Who waits for which key.
type Waiting<B> = Vec<(<B as Batch>::Key, oneshot::Sender<Answer<B>>)>;

/// The batches of one request: what was asked for and not yet read. Nothing is kept afterwards, and nothing is shared
/// between requests, which are of different callers.
#[derive(Clone)]
pub struct Loads {
    db: Db,
    ctx: Ctx,
    waiting: Arc<Mutex<HashMap<TypeId, Box<dyn Any + Send>>>>,
}

impl Loads {
    /// For a caller of a request.
    pub fn new(db: Db, ctx: Ctx) -> Self {
        Self {
            db,
            ctx,
            waiting: Arc::default(),
        }
    }

    /// Reads one, together with all others that are asked for before the request has to wait.
    pub(crate) async fn load<B: Batch>(&self, key: B::Key) -> Answer<B> {
        let (tell, answer) = oneshot::channel();
        let first = {
            let mut all = self.waiting.lock();
            let queue = all
                .entry(TypeId::of::<B>())
                .or_insert_with(|| Box::new(Waiting::<B>::new()));
            match queue.downcast_mut::<Waiting<B>>() {
                Some(queue) => {
                    queue.push((key, tell));
                    queue.len() == 1
                }
                None => false,
            }
        };
        if first {
            // All fields that are ready to ask do so before this one goes on. Should it be given up because of an
            // error beside it, the others are answered all the same.
            let read = Read::<B>(Some(self.clone()), PhantomData);
            let (mut waiting, mut quiet) = (1, 0);
            while quiet < QUIET {
                yield_now().await;
                let now = self.waiting::<B>();
                quiet = if now > waiting { 0 } else { quiet + 1 };
                waiting = now;
            }
            drop(read);
        }
        // All that wait for a query go on together, however many they are, so that what they ask for next is one query too.
        match unconstrained(answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Arc::new(bahi_db::Error::Unavailable.into())),
        }
    }

    /// How many wait for a query that was not sent yet.
    fn waiting<B: Batch>(&self) -> usize {
        let all = self.waiting.lock();
        let queue = all.get(&TypeId::of::<B>());
        let queue = queue.and_then(|queue| queue.downcast_ref::<Waiting<B>>());
        queue.map_or(0, Vec::len)
    }

    async fn read<B: Batch>(self) {
        let queue = self.waiting.lock().remove(&TypeId::of::<B>());
        let Some(queue) = queue.and_then(|queue| queue.downcast::<Waiting<B>>().ok()) else {
            return;
        };
        let mut wanted: HashMap<B::Key, Vec<oneshot::Sender<Answer<B>>>> = HashMap::new();
        for (key, tell) in *queue {
            wanted.entry(key).or_default().push(tell);
        }
        let keys: Vec<B::Key> = wanted.keys().cloned().collect();
        for keys in keys.chunks(MOST) {
            let read = async |tx: &mut Tx| B::load(tx, keys).await;
            let found = self.db.read(&self.ctx, read).await.map_err(Arc::new);
            for key in keys {
                let answer = match &found {
                    Ok(found) => Ok(found.get(key).cloned()),
                    Err(error) => Err(error.clone()),
                };
                for tell in wanted.remove(key).unwrap_or_default() {
                    // Who does not listen any more has been given up.
                    let _ = tell.send(answer.clone());
                }
            }
        }
    }
}
