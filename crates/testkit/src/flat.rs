//! Whether a question asks the database once for all of its rows.

use bahi_db::Db;

use crate::eventually;

/// Asserts that a question needs no more statements for fifty rows than for two. The least of three tries counts: what
/// opening a connection takes, and a round more because a processor was busy, are not what it is about; a statement for
/// each row shows every time.
pub async fn assert_flat(db: &Db, ask: impl AsyncFn(usize)) {
    let least = async |rows: usize| {
        let mut least = u64::MAX;
        for _ in 0..3 {
            let before = db.statements();
            ask(rows).await;
            // What has only read is answered before its transaction has ended.
            eventually(async || {
                let status = db.status();
                (status.available == status.size).then_some(())
            })
            .await;
            least = least.min(db.statements() - before);
        }
        least
    };
    let (few, many) = (least(2).await, least(50).await);
    assert!(
        many <= few,
        "{few} statements for two rows, {many} for fifty"
    );
}
